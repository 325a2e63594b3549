//! A value that must never be seen.

use std::{convert::Infallible, fmt, str::FromStr};

use super::{Config, SourceConfig, address, fragment};

/// A password. `Debug` prints `***`, there is no `Display`, and nothing serialises it.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Config {
    /// Every password that it holds, also within paths, queries and GStreamer's fragments.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let brokers = self.mqtt.iter().flat_map(|mqtt| std::iter::once(&mqtt.first).chain(&mqtt.others));
        let cameras = self.cameras.iter().filter_map(|camera| match &camera.source {
            SourceConfig::Rtsp(rtsp) | SourceConfig::Rtsps(rtsp) => rtsp.credentials.as_ref(),
            _ => None,
        });
        let within = self.cameras.iter().flat_map(|camera| -> Box<dyn Iterator<Item = &str>> {
            match &camera.source {
                SourceConfig::Rtsp(rtsp) | SourceConfig::Rtsps(rtsp) => Box::new(address::password_values(rtsp.url.as_str())),
                SourceConfig::Gst(fragment) => Box::new(fragment::secrets(fragment)),
                _ => Box::new(std::iter::empty()),
            }
        });
        let passwords = brokers.filter_map(|broker| broker.password.as_ref());
        passwords.chain(cameras.map(|credentials| &credentials.password)).map(Secret::expose).chain(within)
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
    }
}
