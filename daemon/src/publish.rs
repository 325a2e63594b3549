//! Delivery over MQTT.
//!
//! A writer makes messages of what tracking saw and what cameras are doing; for each broker a task of its own drives the connection. A
//! broker that is away, slow or broken is none of the line's business, nor of another broker's: input is always taken, queues towards the broker are bounded, and what does not fit is
//! counted. The schema of the messages is in [`message`], their topics in [`topics`].

mod alias;
pub mod asyncapi;
mod backoff;
mod broker;
mod budget;
mod commands;
mod compose;
mod connection;
mod counters;
mod dialect;
mod disk;
mod health;
mod hearing;
mod herald;
pub mod journal;
mod keeper;
mod lane;
mod link;
pub mod message;
mod outbox;
mod packet;
mod publisher;
pub mod reason;
mod scene;
mod scribe;
pub mod shape;
mod sieve;
mod sort;
pub mod spool;
mod stamp;
mod tls;
pub mod told;
pub mod topics;
mod traces;
mod trail;
pub mod verdict;
mod visit;
mod way;
mod writer;

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

pub use counters::{BrokerCounters, Counters, DropReason, Failure};
pub use disk::DiskQueue;
pub(crate) use hearing::{Heard, Hearing};
pub use outbox::CAPACITY as QUEUE_MESSAGES;
pub use packet::Spoken;
pub use scribe::{Line, Scribe};
pub(crate) use stamp::parse as parse_time;
pub(crate) use tls::{check_identity, is_server_name};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
pub use topics::Family;
pub(crate) use visit::{shake_hands, visit};

use crate::{
    config::{CameraConfig, Config, MqttConfig},
    control::Request,
    media::{Mark, Tracked},
    observe::StageTimes,
    status::StatusBoard,
};

/// Most batches that are taken at once: their frames must fit the queue, or a burst would be dropped before the connection is asked.
const BATCHES: usize = 8;

/// Whose messages are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Name of the device.
    pub device: String,
    /// The cameras that are configured as the daemon starts, each with the names of its rules: what earlier ones have left at the brokers is
    /// cleared. `None`: nobody knows, and nothing is.
    pub cameras: Option<Vec<(String, Vec<String>)>>,
}

impl Site {
    /// What a configuration says.
    pub fn of(config: &Config) -> Self {
        let rules = |camera: &CameraConfig| camera.rules.rules.iter().map(|rule| rule.name.clone()).collect();
        let cameras = config.cameras.iter().map(|camera| (camera.name.clone(), rules(camera))).collect();
        Self { device: config.device.clone(), cameras: Some(cameras) }
    }

    /// A device of which no more is known.
    pub fn named(device: &str) -> Self {
        Self { device: device.to_owned(), cameras: None }
    }
}

/// Publishes until the input ends, or `cancel` says so: then what is still under way is drained, `offline` is told and the connection closed,
/// all within a few seconds. Without a broker, frames are counted and forgotten.
///
/// `input` is what is published; what others command goes to the door.
///
/// Meant for a current-thread runtime: then a batch costs one wake-up.
pub async fn run(
    config: Option<MqttConfig>,
    site: Site,
    (input, door): (mpsc::Receiver<Vec<Tracked>>, mpsc::Sender<Request>),
    board: Arc<StatusBoard>,
    stages: Arc<StageTimes>,
    counters: Arc<Counters>,
    cancel: CancellationToken,
) {
    match config {
        Some(config) => publisher::run(config, &site, (input, door), board, (stages, counters), cancel).await,
        None => count(input, &board, &stages, &counters, &cancel).await,
    }
}

/// No broker: nothing is written.
async fn count(
    mut input: mpsc::Receiver<Vec<Tracked>>,
    board: &StatusBoard,
    stages: &StageTimes,
    counters: &Counters,
    cancel: &CancellationToken,
) {
    tracing::info!("no broker is configured: nothing is published");
    let mut batches = Vec::new();
    loop {
        let came = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            came = input.recv_many(&mut batches, BATCHES) => came,
            () = board.wait() => {
                board.take_changes();
                continue;
            }
        };
        if came == 0 {
            return;
        }
        let now = Instant::now();
        for tracked in batches.iter_mut().flatten() {
            tracked.times.stamp(Mark::PublishStarted, now);
            tracked.times.stamp(Mark::Published, now);
        }
        let frames = || batches.iter().flatten().filter(|t| !t.closing);
        counters.frames_came(frames().count() as u64);
        stages.record(frames().map(|t| &t.times));
        batches.clear();
    }
}

/// A name for this run of the daemon: counters start again with each.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/uuid").map_or_else(
        |_| {
            // No /proc: the time and the process number tell runs apart.
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            format!("{:x}-{:x}", since.as_nanos(), std::process::id())
        },
        |uuid| uuid.trim().to_owned(),
    )
}

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod broker_tests;
#[cfg(test)]
mod contract_tests;
#[cfg(test)]
mod dialect_tests;
#[cfg(test)]
mod fake_tests;
#[cfg(test)]
mod five_tests;
#[cfg(test)]
mod heard_tests;
#[cfg(test)]
mod keeper_tests;
#[cfg(test)]
mod several_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tls_tests;
#[cfg(test)]
mod wire_tests;
