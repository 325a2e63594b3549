//! What publishing counts, for metrics and health.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{disk::DiskQueue, packet::Spoken, topics::Family};
use crate::{control::Tally, throttle::Latest};

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum DropReason {
    /// The queue was full: the broker is away or slower than the cameras.
    Overflow,
    /// It was on its way when the connection broke, and nobody acknowledges its kind.
    ConnectionLost,
    /// The broker refused it.
    Refused,
    /// It is larger than the broker takes.
    TooLarge,
    /// It was still waiting when the daemon shut down.
    Shutdown,
    /// It waited longer than anything may.
    Expired,
    /// The disk did not give it back.
    Damaged,
    /// More bytes a second than the broker is to get.
    Budget,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Overflow,
        Self::ConnectionLost,
        Self::Refused,
        Self::TooLarge,
        Self::Shutdown,
        Self::Expired,
        Self::Damaged,
        Self::Budget,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::ConnectionLost => "connection_lost",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Shutdown => "shutdown",
            Self::Expired => "expired",
            Self::Damaged => "damaged",
            Self::Budget => "budget",
        }
    }
}

/// Why there is no connection to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Failure {
    /// The host does not resolve, refuses, or does not answer in time.
    Unreachable,
    /// The TLS handshake or the certificate failed, or the authorities cannot be read.
    Tls,
    /// The broker refused the credentials.
    AuthFailed,
    /// The broker refused the connection for another reason.
    Refused,
    /// The broker closed the connection.
    Closed,
    /// The broker does not answer any more.
    Timeout,
    /// What came is not MQTT as it should be, or the client lost its way in it.
    Protocol,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Unreachable, Self::Tls, Self::AuthFailed, Self::Refused, Self::Closed, Self::Timeout, Self::Protocol];

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::AuthFailed => "auth_failed",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
        }
    }
}

const FAMILIES: usize = Family::ALL.len();

/// What is counted of one broker.
#[derive(Debug, Default)]
pub struct BrokerCounters {
    name: String,
    published: [AtomicU64; FAMILIES],
    dropped: [[AtomicU64; DropReason::ALL.len()]; FAMILIES],
    bytes: AtomicU64,
    connects: AtomicU64,
    failures: [AtomicU64; Failure::ALL.len()],
    connected: AtomicBool,
    heard: AtomicBool,
    queued: AtomicU64,
    kept: AtomicU64,
    last_failure: Mutex<Option<(Failure, String)>>,
    reasons: Mutex<BTreeMap<(Spoken, u8), u64>>,
}

impl BrokerCounters {
    /// The broker's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Messages delivered: acknowledged by the broker, or written to the connection where nobody acknowledges.
    pub fn published(&self, family: Family) -> u64 {
        self.published[family as usize].load(Ordering::Relaxed)
    }

    /// Messages that were not.
    pub fn dropped(&self, family: Family, reason: DropReason) -> u64 {
        self.dropped[family as usize][reason as usize].load(Ordering::Relaxed)
    }

    /// Payload bytes handed to the connection.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Connections that the broker accepted.
    pub fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    /// Connections that failed or broke.
    pub fn failures(&self, failure: Failure) -> u64 {
        self.failures[failure as usize].load(Ordering::Relaxed)
    }

    /// Whether the broker is connected.
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Messages that wait for the broker.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Messages in the queue on disk that the broker has not acknowledged.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Why the last connection failed or broke; `None` while connected.
    pub fn last_failure(&self) -> Option<(Failure, String)> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the broker refused something or ended a connection for a reason of the standard's, by packet and code.
    pub fn reasons(&self) -> BTreeMap<(Spoken, u8), u64> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn gave_reason(&self, packet: Spoken, code: u8) {
        *self.reasons.lock().unwrap_or_else(PoisonError::into_inner).entry((packet, code)).or_default() += 1;
    }

    pub(super) fn delivered(&self, family: Family) {
        self.published[family as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, family: Family, reason: DropReason) {
        self.dropped[family as usize][reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn set_queued(&self, n: usize) {
        self.queued.store(n as u64, Ordering::Relaxed);
    }

    pub(super) fn set_kept(&self, messages: u64) {
        self.kept.store(messages, Ordering::Relaxed);
    }

    pub(super) fn is_connected(&self) {
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.connected.store(true, Ordering::Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn is_disconnected(&self) {
        self.connected.store(false, Ordering::Relaxed);
    }

    /// Whether it has the subscription to commands.
    pub fn is_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn set_heard(&self, heard: bool) {
        self.heard.store(heard, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, failure: Failure, detail: String) {
        self.connected.store(false, Ordering::Relaxed);
        self.failures[failure as usize].fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((failure, detail));
    }
}

/// What publishing counts. Shared with metrics and health. What is told of no broker by name is the sum over all.
#[derive(Debug, Default)]
pub struct Counters {
    frames: AtomicU64,
    kept_bytes: AtomicU64,
    pub(super) disk: Mutex<Option<DiskQueue>>,
    pub(super) disk_stalled: AtomicBool,
    /// What is counted of commands.
    pub commands: Tally,
    /// How the board is.
    pub hardware: Latest,
    /// What is happening to the engines.
    pub engines: Arc<crate::engine::Board>,
    brokers: RwLock<Vec<Arc<BrokerCounters>>>,
}

impl Counters {
    /// Those of each broker, in the order of the configuration; none before publishing has begun.
    pub fn brokers(&self) -> Vec<Arc<BrokerCounters>> {
        self.brokers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn sum(&self, of: impl Fn(&BrokerCounters) -> u64) -> u64 {
        self.brokers.read().unwrap_or_else(PoisonError::into_inner).iter().map(|broker| of(broker)).sum()
    }

    /// Frames that came to publishing, with or without a broker.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// [`BrokerCounters::published`]
    pub fn published(&self, family: Family) -> u64 {
        self.sum(|broker| broker.published(family))
    }

    /// [`BrokerCounters::dropped`]
    pub fn dropped(&self, family: Family, reason: DropReason) -> u64 {
        self.sum(|broker| broker.dropped(family, reason))
    }

    /// [`BrokerCounters::bytes`]
    pub fn bytes(&self) -> u64 {
        self.sum(BrokerCounters::bytes)
    }

    /// [`BrokerCounters::connects`]
    pub fn connects(&self) -> u64 {
        self.sum(BrokerCounters::connects)
    }

    /// [`BrokerCounters::failures`]
    pub fn failures(&self, failure: Failure) -> u64 {
        self.sum(|broker| broker.failures(failure))
    }

    /// Whether every broker is connected, and there is one.
    pub fn connected(&self) -> bool {
        let brokers = self.brokers();
        !brokers.is_empty() && brokers.iter().all(|broker| broker.connected())
    }

    /// Whether a broker has the subscription to commands.
    pub fn is_heard(&self) -> bool {
        self.brokers().iter().any(|broker| broker.is_heard())
    }

    /// [`BrokerCounters::queued`]
    pub fn queued(&self) -> u64 {
        self.sum(BrokerCounters::queued)
    }

    /// Messages in the queue on disk that brokers have not acknowledged, those of each broker, and bytes of its files; nothing without
    /// one.
    pub fn kept(&self) -> (u64, u64) {
        (self.sum(BrokerCounters::kept), self.kept_bytes.load(Ordering::Relaxed))
    }

    /// Why there is no connection to the first of the brokers to which there is none.
    pub fn last_failure(&self) -> Option<(Failure, String)> {
        self.brokers().iter().find_map(|broker| broker.last_failure())
    }

    /// A broker is published to from now on.
    pub(super) fn add(&self, name: &str) -> Arc<BrokerCounters> {
        let broker = Arc::new(BrokerCounters { name: name.to_owned(), ..BrokerCounters::default() });
        self.brokers.write().unwrap_or_else(PoisonError::into_inner).push(broker.clone());
        broker
    }

    pub(super) fn frames_came(&self, n: u64) {
        self.frames.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn set_kept_bytes(&self, bytes: u64) {
        self.kept_bytes.store(bytes, Ordering::Relaxed);
    }
}
