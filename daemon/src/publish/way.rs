//! Where a broker is to be found, and how it is spoken to: as it is configured, or as it would have us do instead.
//!
//! A redirect (MQTT 5, §4.13) is followed with the same credentials and by the same means. Who sends one has these credentials already: they
//! were in our CONNECT. What must not happen is that they go where anybody could read them, so that a connection with TLS is only ever
//! followed by one with TLS, to a server that the same authorities vouch for, by the name that it was given in the redirect (or by
//! `server_name`, where that is configured). How often in a row is bounded, and a server that does not take us is left for the configured one.

use super::packet::Turn;
use crate::config::{BrokerConfig, MqttVersion};

/// Most redirects in a row without a connection that held.
const MOST_HOPS: u32 = 4;

/// The way to one broker.
pub(super) struct Way {
    configured: BrokerConfig,
    now: BrokerConfig,
    /// The redirect that led here was meant for good.
    for_good: bool,
    hops: u32,
    /// The broker keeps the latest of a topic, as far as is known.
    retains: bool,
}

impl Way {
    pub(super) fn new(configured: BrokerConfig) -> Self {
        Self { now: configured.clone(), configured, for_good: false, hops: 0, retains: true }
    }

    /// The broker as the next connection finds it.
    pub(super) fn now(&self) -> &BrokerConfig {
        &self.now
    }

    /// Whether it may be asked to keep the latest of a topic.
    pub(super) fn retains(&self) -> bool {
        self.retains
    }

    /// The broker would have us do otherwise, at once.
    ///
    /// # Errors
    /// Why that is not done, for people.
    pub(super) fn turn(&mut self, turn: &Turn) -> Result<(), String> {
        self.hops += 1;
        if self.hops > MOST_HOPS {
            self.hops = 0;
            self.back();
            return Err(format!("redirected more than {MOST_HOPS} times in a row"));
        }
        match turn {
            // It said so before: something else is wrong with it.
            Turn::NothingRetained if !self.retains => return Err("nothing is asked to be retained".to_owned()),
            Turn::NothingRetained => self.retains = false,
            Turn::OlderVersion => {
                self.configured.version = MqttVersion::V311;
                self.now.version = MqttVersion::V311;
            }
            Turn::Elsewhere { servers, for_good } => {
                let found = servers.split_whitespace().find_map(|server| self.place(server));
                let (host, port) = found.ok_or_else(|| format!("redirected to {servers:?}, where we cannot or may not go"))?;
                (self.now.host, self.now.port, self.for_good) = (host, port, *for_good);
            }
        }
        Ok(())
    }

    /// Host and port of a server reference: `host[:port]`, an IPv6 address in brackets. A scheme in front has to be ours.
    fn place(&self, server: &str) -> Option<(String, u16)> {
        let secure = self.configured.tls.is_some();
        let server = match server.split_once("://") {
            Some((scheme, server)) if scheme == if secure { "mqtts" } else { "mqtt" } => server,
            Some(_) => return None,
            None => server,
        };
        let usual = if secure { 8883 } else { 1883 };
        let (host, port) = match server.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, port.strip_prefix(':'))
            }
            None => server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port > 0))?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        (!host.is_empty() && host.len() <= 253 && host.chars().all(fits)).then(|| (host.to_owned(), port))
    }

    /// A connection has held.
    pub(super) fn held(&mut self) {
        self.hops = 0;
    }

    /// A connection could not be made, or was lost after the broker had `accepted` it. Whom it sent away for a while asks it again.
    pub(super) fn lost(&mut self, accepted: bool) {
        if !accepted || !self.for_good {
            self.back();
        }
    }

    fn back(&mut self) {
        self.now = self.configured.clone();
        self.for_good = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::TlsConfig, publish::testing::broker};

    fn way(secure: bool) -> Way {
        let tls = secure.then(TlsConfig::default);
        Way::new(BrokerConfig { host: "home".into(), tls, ..broker(1883, MqttVersion::V5) })
    }

    fn to(servers: &str, for_good: bool) -> Turn {
        Turn::Elsewhere { servers: servers.to_owned(), for_good }
    }

    fn place(way: &Way) -> (&str, u16) {
        (way.now().host.as_str(), way.now().port)
    }

    #[test]
    fn references_are_read_as_the_standard_shows_them() {
        for (reference, expected) in [
            ("b", ("b", 1883)),
            ("b:1", ("b", 1)),
            ("10.10.151.22:8883", ("10.10.151.22", 8883)),
            ("[fe80::9610:3eff:fe1c]:8883", ("fe80::9610:3eff:fe1c", 8883)),
            ("[::1]", ("::1", 1883)),
            ("a:b:c other:7", ("other", 7)),
            ("mqtts://b mqtt://c", ("c", 1883)),
        ] {
            let mut way = way(false);
            assert_eq!(way.turn(&to(reference, false)), Ok(()), "{reference}");
            assert_eq!(place(&way), expected);
        }
        for reference in ["", ":1883", "b:0", "b:99999", "b:x", "[b]:1", "[::1", "b/c", "http://b", "mqtts://b", "a@b"] {
            assert!(way(false).turn(&to(reference, false)).is_err(), "{reference}");
        }
    }

    #[test]
    fn tls_stays_tls() {
        let mut secure = way(true);
        assert!(secure.turn(&to("mqtt://b:1883", true)).is_err_and(|told| told.contains("may not go")));
        assert_eq!(secure.turn(&to("b", true)), Ok(()));
        assert!(secure.now().tls.is_some() && place(&secure) == ("b", 8883));
    }

    #[test]
    fn a_server_that_does_not_take_us_is_left_for_the_configured_one() {
        let mut way = way(false);
        for (for_good, accepted, stays) in [(false, false, false), (false, true, false), (true, false, false), (true, true, true)]
        {
            way.turn(&to("b:7", for_good)).expect("followed");
            way.held();
            way.lost(accepted);
            assert_eq!(place(&way), if stays { ("b", 7) } else { ("home", 1883) });
        }
    }

    #[test]
    fn rounds_end() {
        let mut way = way(false);
        for hop in 0..MOST_HOPS {
            assert_eq!(way.turn(&to(&format!("b{hop}"), false)), Ok(()));
        }
        assert!(way.turn(&to("b", false)).is_err_and(|told| told.contains("in a row")));
        assert_eq!(place(&way).0, "home");
        assert_eq!(way.turn(&to("b", false)), Ok(()), "later it may be tried again");
    }

    #[test]
    fn what_is_not_retained_is_not_asked_for_again() {
        let mut way = way(false);
        assert!(way.retains());
        assert_eq!(way.turn(&Turn::NothingRetained), Ok(()));
        way.lost(false);
        assert!(!way.retains() && way.turn(&Turn::NothingRetained).is_err(), "no loop");
    }

    #[test]
    fn an_older_version_is_spoken_from_then_on() {
        let mut way = way(false);
        assert_eq!(way.turn(&Turn::OlderVersion), Ok(()));
        way.lost(false);
        assert_eq!(way.now().version, MqttVersion::V311);
    }
}
