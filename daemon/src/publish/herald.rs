//! The device's own status: what each broker is told when a connection begins and ends, and what it says for us when one breaks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;

use super::{
    compose,
    message::{DeviceStatus, Kind, Presence, PresenceReason, SCHEMA, Stamp},
    topics::{self, Place},
};

/// Writes the device's status. One for all brokers, since its messages are counted together.
pub(super) struct Herald {
    topic: Arc<str>,
    device: String,
    boot_id: String,
    started_at: SystemTime,
    seq: AtomicU64,
}

impl Herald {
    pub(super) fn new(base: &str, device: &str, boot_id: &str, started_at: SystemTime) -> Self {
        Self {
            topic: topics::DEVICE_STATUS.topic(Place { base, device, ..Place::default() }),
            device: device.to_owned(),
            boot_id: boot_id.to_owned(),
            started_at,
            seq: AtomicU64::new(0),
        }
    }

    /// Where it is told.
    pub(super) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The message.
    pub(super) fn say(&self, state: Presence, reason: PresenceReason, wall: SystemTime) -> Bytes {
        let status = DeviceStatus {
            schema: SCHEMA,
            kind: Kind::DeviceStatus,
            device: &self.device,
            boot_id: &self.boot_id,
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            state,
            reason,
            version: env!("CARGO_PKG_VERSION"),
            started_at: Stamp(self.started_at),
            published_at: Stamp(wall),
        };
        compose::write(&mut Vec::with_capacity(512), &status)
    }
}
