//! The contracts of others, spoken beside our own: each is a serialiser over the same stories that the native messages are made of.
//!
//! Any number of them at once, none by default. No dialect waits for the broker or knows what it holds; what comes in from it is the birth
//! message of Home Assistant, and the switches of cameras where commands allow them. What each of them sends, and what it leaves out, stands in `docs/dialects.md`.

mod axis;
mod deepstream;
mod form;
mod frigate;
mod homeassistant;
mod onvif;
mod remains;

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use bytes::Bytes;

use self::{axis::Axis, deepstream::DeepStream, frigate::Frigate, homeassistant::HomeAssistant, onvif::Onvif};
use super::{compose::Now, journal::Orphan, topics::Family};
use crate::{
    analyse::CameraRules,
    config::DialectsConfig,
    media::{StreamId, Tracked},
    status::CameraStatus,
};

/// Where messages go: topic, payload, and the family that says how each is delivered and counted.
type Out<'a> = dyn FnMut(&Arc<str>, Bytes, Family) + 'a;

/// What every dialect may say of this daemon.
#[derive(Clone, Debug)]
struct Device {
    /// First level or levels of the native topics.
    base: String,
    name: String,
    boot_id: String,
    started_at: SystemTime,
}

/// Somebody turns a switch of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) camera: String,
    /// `None`: neither on nor off.
    pub(super) on: Option<bool>,
}

impl Wish {
    fn new(camera: &str, payload: &[u8]) -> Self {
        let on = match payload {
            b"ON" => Some(true),
            b"OFF" => Some(false),
            _ => None,
        };
        Self { camera: camera.to_owned(), on }
    }
}

enum Dialect {
    Frigate(Box<Frigate>),
    HomeAssistant(Box<HomeAssistant>),
    DeepStream(Box<DeepStream>),
    Onvif(Box<Onvif>),
    Axis(Box<Axis>),
}

/// The dialects that are spoken.
pub(super) struct Dialects {
    spoken: Vec<Dialect>,
    /// What an earlier run left open, by camera, until it is ended.
    left: BTreeMap<String, Vec<Orphan>>,
}

impl Dialects {
    /// Those that are configured. `base` and `device` are the first levels of the native topics.
    pub(super) fn new(config: &DialectsConfig, base: &str, device: &str, boot_id: &str, started_at: SystemTime) -> Self {
        let device = Device { base: base.to_owned(), name: device.to_owned(), boot_id: boot_id.to_owned(), started_at };
        let spoken = [
            config.frigate.as_ref().map(|c| Dialect::Frigate(Box::new(Frigate::new(c, &device)))),
            config.home_assistant.as_ref().map(|c| Dialect::HomeAssistant(Box::new(HomeAssistant::new(c, &device)))),
            config.deepstream.as_ref().map(|c| Dialect::DeepStream(Box::new(DeepStream::new(c, &device)))),
            config.onvif.as_ref().map(|c| Dialect::Onvif(Box::new(Onvif::new(c)))),
            config.axis.as_ref().map(|c| Dialect::Axis(Box::new(Axis::new(c)))),
        ];
        Self { spoken: spoken.into_iter().flatten().collect(), left: BTreeMap::new() }
    }

    /// Cameras may be switched on and off: where a dialect has switches, they are announced and heard.
    pub(super) fn have_switches(&mut self) {
        for dialect in &mut self.spoken {
            match dialect {
                Dialect::Frigate(dialect) => dialect.has_switches(),
                Dialect::HomeAssistant(dialect) => dialect.has_switches(),
                _ => {}
            }
        }
    }

    /// What is to be heard of the broker, QoS 0.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = &str> {
        self.spoken.iter().flat_map(|dialect| match dialect {
            Dialect::HomeAssistant(dialect) => dialect.subscriptions().collect::<Vec<_>>(),
            Dialect::Frigate(dialect) => dialect.subscriptions().collect(),
            _ => Vec::new(),
        })
    }

    /// What somebody wants who turns a switch; `None`: it is no switch of ours.
    pub(super) fn wish(&self, topic: &str, payload: &[u8]) -> Option<Wish> {
        self.spoken.iter().find_map(|dialect| match dialect {
            Dialect::Frigate(dialect) => dialect.wish(topic, payload),
            Dialect::HomeAssistant(dialect) => dialect.wish(topic, payload),
            _ => None,
        })
    }

    /// The broker has accepted a connection. Retained messages are told again by the outbox.
    pub(super) fn connected(&mut self, mut out: impl FnMut(&Arc<str>, Bytes, Family)) {
        for dialect in &mut self.spoken {
            match dialect {
                Dialect::Frigate(dialect) => dialect.connected(&mut out),
                Dialect::HomeAssistant(dialect) => dialect.connected(&mut out),
                _ => {}
            }
        }
    }

    /// An earlier run left this open. It is ended as soon as its camera is known, or when it is clear that there is none of that name.
    pub(super) fn left_open(&mut self, orphans: &[Orphan]) {
        if !self.spoken.is_empty() {
            for orphan in orphans {
                self.left.entry(orphan.camera.clone()).or_default().push(orphan.clone());
            }
        }
    }

    /// Ends what an earlier run left open of a camera.
    fn end_left(&mut self, stream: &StreamId, rules: &CameraRules, out: &mut Out<'_>) {
        for [stood, ended] in remains::stories(stream, &self.left.remove(stream.name()).unwrap_or_default(), rules) {
            self.frame(&stood, |_, _, _| ());
            self.frame(&ended, &mut *out);
        }
    }

    /// The same of cameras that there are no longer.
    fn end_gone(&mut self, out: &mut Out<'_>) {
        let gone: Vec<String> = self.left.keys().cloned().collect();
        for (name, number) in gone.iter().zip((0..u32::MAX).rev()) {
            // No camera has this number.
            let stream = StreamId::new(number, name);
            self.end_left(&stream, &CameraRules::default(), out);
            self.removed(&stream, &mut *out);
        }
    }

    /// The ordered end.
    pub(super) fn leaving(&mut self, mut out: impl FnMut(&Arc<str>, Bytes, Family)) {
        self.end_gone(&mut out);
        for dialect in &mut self.spoken {
            if let Dialect::Frigate(dialect) = dialect {
                dialect.leaving(&mut out);
            }
        }
    }

    /// Something came on one of the [`Self::subscriptions`].
    pub(super) fn heard(&mut self, topic: &str, payload: &[u8], mut out: impl FnMut(&Arc<str>, Bytes, Family)) {
        for dialect in &mut self.spoken {
            if let Dialect::HomeAssistant(dialect) = dialect {
                dialect.heard(topic, payload, &mut out);
            }
        }
    }

    /// A camera is new, or its state or its rules have changed.
    pub(super) fn camera(
        &mut self,
        stream: &StreamId,
        status: &CameraStatus,
        now: Now,
        mut out: impl FnMut(&Arc<str>, Bytes, Family),
    ) {
        for dialect in &mut self.spoken {
            match dialect {
                Dialect::Frigate(dialect) => dialect.camera(stream, status, &mut out),
                Dialect::HomeAssistant(dialect) => dialect.camera(stream, status, &mut out),
                Dialect::Onvif(dialect) => dialect.camera(stream, status, now, &mut out),
                Dialect::DeepStream(_) | Dialect::Axis(_) => {}
            }
        }
        self.end_left(stream, &status.rules, &mut out);
    }

    /// A camera was removed. Its last story may still come.
    pub(super) fn removed(&mut self, stream: &StreamId, mut out: impl FnMut(&Arc<str>, Bytes, Family)) {
        for dialect in &mut self.spoken {
            match dialect {
                Dialect::Frigate(dialect) => dialect.removed(stream, &mut out),
                Dialect::HomeAssistant(dialect) => dialect.removed(stream, &mut out),
                Dialect::Onvif(dialect) => dialect.removed(stream),
                Dialect::DeepStream(_) | Dialect::Axis(_) => {}
            }
        }
    }

    /// The story of a frame.
    pub(super) fn frame(&mut self, tracked: &Tracked, mut out: impl FnMut(&Arc<str>, Bytes, Family)) {
        for dialect in &mut self.spoken {
            match dialect {
                Dialect::Frigate(dialect) => dialect.frame(tracked, &mut out),
                Dialect::HomeAssistant(dialect) => dialect.frame(tracked, &mut out),
                Dialect::DeepStream(dialect) => dialect.frame(tracked, &mut out),
                Dialect::Onvif(dialect) => dialect.frame(tracked, &mut out),
                Dialect::Axis(dialect) => dialect.frame(tracked, &mut out),
            }
        }
    }

    /// Time passes: called every few seconds. Forgets cameras that are not `known` any more.
    pub(super) fn tick(&mut self, known: impl Fn(&StreamId) -> bool, now: Now, mut out: impl FnMut(&Arc<str>, Bytes, Family)) {
        self.end_gone(&mut out);
        for dialect in &mut self.spoken {
            match dialect {
                Dialect::Frigate(dialect) => dialect.tick(&known, now, &mut out),
                Dialect::HomeAssistant(_) | Dialect::Onvif(_) => {}
                Dialect::DeepStream(dialect) => dialect.forget(&known),
                Dialect::Axis(dialect) => dialect.forget(&known),
            }
        }
    }
}

#[cfg(test)]
mod tests;
