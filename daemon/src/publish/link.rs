//! The messages that are on their way over one connection.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    counters::{Counters, DropReason},
    mqtt::Sender,
    outbox::{Message, Outbox},
};

/// The state of one connection.
pub(super) struct Link {
    sender: Sender,
    /// When the broker accepted it.
    accepted: Option<Instant>,
    /// When anything last happened on it.
    heard: Instant,
    window: usize,
    largest: usize,
    /// Handed to the client, in order, not written yet.
    handed: VecDeque<Message>,
    /// Written, not acknowledged, by packet identifier.
    unacknowledged: BTreeMap<u16, Message>,
    /// How many of both the broker will acknowledge.
    open: usize,
}

impl Link {
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            sender,
            accepted: None,
            heard: Instant::now(),
            window: 0,
            largest: 0,
            handed: VecDeque::new(),
            unacknowledged: BTreeMap::new(),
            open: 0,
        }
    }

    pub(super) fn accept(&mut self, window: u16, largest: usize) {
        self.accepted = Some(Instant::now());
        self.window = usize::from(window);
        self.largest = largest;
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.is_some()
    }

    /// How long it has held since the broker accepted it.
    pub(super) fn held(&self) -> Option<Duration> {
        self.accepted.map(|at| at.elapsed())
    }

    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    pub(super) fn silent_for(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Nothing is on its way.
    pub(super) fn is_clear(&self) -> bool {
        self.handed.is_empty() && self.unacknowledged.is_empty()
    }

    /// Says goodbye.
    pub(super) fn farewell(&self) -> bool {
        self.sender.farewell()
    }

    /// Hands the client what it takes.
    pub(super) fn pump(&mut self, outbox: &mut Outbox, counters: &Counters) {
        if !self.is_accepted() {
            return;
        }
        while let Some(message) = outbox.pop(self.open < self.window) {
            if message.payload.len() + message.topic.len() > self.largest {
                counters.lost(message.family, DropReason::TooLarge);
                continue;
            }
            if !self.sender.send(&message) {
                outbox.give_back(message);
                break;
            }
            counters.sent(message.payload.len());
            self.open += usize::from(message.family.acknowledged());
            self.handed.push_back(message);
        }
    }

    /// The client wrote a message; `id` is 0 where nobody acknowledges.
    pub(super) fn wrote(&mut self, id: u16, counters: &Counters) {
        // First in, first out: the message is the first one of its kind.
        let Some(at) = self.handed.iter().position(|m| m.family.acknowledged() == (id != 0)) else { return };
        let Some(message) = self.handed.remove(at) else { return };
        if id == 0 {
            counters.delivered(message.family);
        } else {
            self.unacknowledged.insert(id, message);
        }
    }

    pub(super) fn acknowledged(&mut self, id: u16, refused: bool, outbox: &mut Outbox, counters: &Counters) {
        let Some(message) = self.unacknowledged.remove(&id) else { return };
        self.open = self.open.saturating_sub(1);
        if refused {
            counters.lost(message.family, DropReason::Refused);
        } else {
            counters.delivered(message.family);
        }
        outbox.acknowledged(&message);
    }

    /// The connection is gone: what must arrive goes back to the outbox, in order; the rest is counted as lost. Retained topics are told
    /// again on each new connection anyway.
    pub(super) fn dissolve(self, outbox: &mut Outbox, counters: &Counters) {
        let mut under_way: Vec<Message> = self.unacknowledged.into_values().chain(self.handed).collect();
        under_way.sort_by_key(|message| std::cmp::Reverse(message.number()));
        for message in under_way {
            if !message.family.acknowledged() {
                counters.lost(message.family, DropReason::ConnectionLost);
            } else if !message.family.retained() {
                outbox.give_back(message);
            }
        }
    }
}
