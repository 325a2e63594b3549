//! A subscription at a broker, over MQTT 5 or 3.1.1.

use crate::{
    config::BrokerConfig,
    publish::{self, Heard, Hearing, topics::CHANNELS},
};

/// Larger packets are not taken: larger than any message of egret.
pub const MAX_PACKET_BYTES: usize = 4 << 20;

/// Which messages are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this device; `None`: of all.
    pub device: Option<String>,
    /// Of these cameras; none named: of all.
    pub cameras: Vec<String>,
    /// Of these kinds, as messages name them; none named: all.
    pub kinds: Vec<String>,
    /// These topic filters instead.
    pub topics: Vec<String>,
}

/// A kind of messages.
///
/// # Errors
/// There is none of this name; says which there are.
pub fn kind(name: &str) -> Result<String, String> {
    if CHANNELS.iter().any(|channel| channel.kind == name) {
        return Ok(name.to_owned());
    }
    let mut known: Vec<&str> = CHANNELS.iter().map(|channel| channel.kind).collect();
    known.dedup();
    Err(format!("there are no messages of kind {name:?}; there are {}", known.join(", ")))
}

/// The topic filters for what is wanted.
///
/// # Errors
/// The kind that there is not, with those that there are.
pub fn filters(wanted: &Wanted, base: &str) -> Result<Vec<String>, String> {
    if !wanted.topics.is_empty() {
        return Ok(wanted.topics.clone());
    }
    let all = wanted.kinds.is_empty();
    wanted.kinds.iter().try_for_each(|kind| self::kind(kind).map(drop))?;
    let device = wanted.device.as_deref().unwrap_or("+");
    if all && wanted.cameras.is_empty() {
        return Ok(vec![format!("{base}/{device}/#")]);
    }
    let any = [String::from("+")];
    let cameras = if wanted.cameras.is_empty() { &any[..] } else { &wanted.cameras };
    let mut filters = Vec::new();
    for channel in CHANNELS.iter().filter(|channel| all || wanted.kinds.iter().any(|kind| kind == channel.kind)) {
        for camera in cameras {
            let place = publish::topics::Place { base, device, camera, rule: "+", verb: "+" };
            let filter = channel.topic(place).to_string();
            // A device says what no camera does; whoever asks for cameras does not ask for that.
            let of_device = !channel.address.contains("{camera}");
            if !filters.contains(&filter) && (wanted.cameras.is_empty() || !of_device || !all) {
                filters.push(filter);
            }
        }
    }
    Ok(filters)
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its topic.
    pub topic: String,
    /// How many bytes its payload has.
    pub bytes: usize,
    /// Its payload; empty where it is larger than anything that is taken.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it.
    pub retained: bool,
}

/// Why there is no subscription any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(String),
    /// The broker refused a topic filter.
    #[error("the broker does not let us subscribe to {0}")]
    Refused(String),
    /// The connection failed or broke.
    #[error("{0}")]
    Connection(String),
}

/// The subscription. Nothing is taken from the broker faster than [`Self::next`] is asked.
pub struct Subscription {
    hearing: Hearing,
    filters: Vec<String>,
}

impl Subscription {
    /// One that is made as [`Self::next`] is polled, under a client identifier of its own.
    ///
    /// # Errors
    /// [`Lost::Tls`]: the authorities, or our certificate, cannot be used.
    pub fn new(config: &BrokerConfig, filters: &[String]) -> Result<Self, Lost> {
        Self::saying(config, filters, None)
    }

    /// The same, and a message for a topic that goes out behind it, so that no answer to it is missed.
    ///
    /// # Errors
    /// [`Lost::Tls`]: the authorities, or our certificate, cannot be used.
    pub fn saying(config: &BrokerConfig, filters: &[String], say: Option<(&str, Vec<u8>)>) -> Result<Self, Lost> {
        // The daemon's own would end its connection.
        let client_id = format!("egret-listen-{}", publish::boot_id().get(..8).unwrap_or("x"));
        let config = BrokerConfig { client_id, ..config.clone() };
        let hearing = Hearing::new(&config, filters, say, MAX_PACKET_BYTES);
        let hearing = hearing.map_err(|error| Lost::Tls(error.to_string()))?;
        Ok(Self { hearing, filters: filters.to_vec() })
    }

    /// The next message; `None`: the broker has taken the subscription. Safe to drop and call again; not after an error.
    ///
    /// # Errors
    /// [`Lost`]: it is over.
    pub async fn next(&mut self) -> Result<Option<Arrived>, Lost> {
        Ok(match self.hearing.next().await.map_err(Lost::Connection)? {
            Heard::Message { topic, payload, retained } => {
                Some(Arrived { topic, bytes: payload.len(), payload: payload.into(), retained })
            }
            Heard::TooLarge { topic, bytes } => Some(Arrived { topic, bytes, payload: Vec::new(), retained: false }),
            Heard::Subscribed { refused } => match refused.first() {
                None => None,
                Some(first) => return Err(Lost::Refused(self.filters.get(*first).cloned().unwrap_or_default())),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cameras: &[&str], kinds: &[&str]) -> Result<Vec<String>, String> {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        filters(&Wanted { cameras: words(cameras), kinds: words(kinds), ..Wanted::default() }, "site/egret")
    }

    #[test]
    fn what_is_wanted_becomes_filters() {
        assert_eq!(of(&[], &[]).expect("filters"), ["site/egret/+/#"]);
        assert_eq!(of(&[], &["event"]).expect("filters"), ["site/egret/+/cam/+/event/+"]);
        let doors = of(&["door", "yard"], &["frame", "device_status"]).expect("filters");
        assert_eq!(doors, ["site/egret/+/status", "site/egret/+/cam/door/frame", "site/egret/+/cam/yard/frame"]);
        let door = of(&["door"], &[]).expect("filters");
        assert!(door.len() > 5 && door.iter().all(|filter| filter.contains("/cam/door/")), "{door:?}");
        assert!(of(&[], &["movie"]).is_err_and(|error| error.contains("device_status, camera_status, frame, track")));
    }
}
