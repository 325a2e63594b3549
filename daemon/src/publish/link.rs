//! The messages that are on their way over one connection.
//!
//! A link lives for one connection only. After any error it is thrown away, and what was not acknowledged is sent again on the next one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    budget::Budget,
    connection::{Connection, Happened},
    counters::{BrokerCounters, DropReason},
    outbox::{Message, Outbox},
    packet::{LinkError, Spoken, Terms},
    reason,
    topics::Family,
};

/// The state of one connection.
pub(super) struct Link {
    connection: Connection,
    /// When the broker accepted it, and what it asks for.
    accepted: Option<(Instant, Terms)>,
    /// When the broker last said anything.
    heard: Instant,
    /// Handed to the connection, in order, not written yet, and nobody will acknowledge it: where each ends.
    unwritten: VecDeque<(u64, Family)>,
    /// Not acknowledged, by packet identifier, with the time of sending.
    unacknowledged: BTreeMap<u16, (Instant, Message)>,
    last_id: u16,
    /// The topics that the broker was asked for.
    asked: Vec<String>,
    /// Reasons for which it has refused messages.
    refusals: BTreeSet<u8>,
    /// One was larger than the broker takes, and that was said.
    told_too_large: bool,
}

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            accepted: None,
            heard: Instant::now(),
            unwritten: VecDeque::new(),
            unacknowledged: BTreeMap::new(),
            last_id: 0,
            asked: Vec::new(),
            refusals: BTreeSet::new(),
            told_too_large: false,
        }
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.is_some()
    }

    /// How long it has held since the broker accepted it.
    pub(super) fn held(&self) -> Option<Duration> {
        self.accepted.map(|(at, _)| at.elapsed())
    }

    /// For how long the broker has said nothing, or has not acknowledged a message, whichever is longer.
    pub(super) fn silent_for(&self) -> Duration {
        let waiting = self.unacknowledged.values().map(|(sent, _)| *sent).min();
        waiting.map_or(self.heard, |sent| sent.min(self.heard)).elapsed()
    }

    /// Nothing is on its way.
    pub(super) fn is_clear(&self) -> bool {
        self.unwritten.is_empty() && self.unacknowledged.is_empty()
    }

    /// Says goodbye.
    pub(super) fn farewell(&mut self) {
        self.connection.farewell();
    }

    /// Asks the broker for these topics, QoS 0.
    pub(super) fn subscribe<'a>(&mut self, topics: impl Iterator<Item = &'a str>) {
        let topics: Vec<&str> = topics.collect();
        if !topics.is_empty() {
            let id = self.free_id();
            self.connection.subscribe(id, &topics);
            self.asked = topics.into_iter().map(str::to_owned).collect();
        }
    }

    /// Those of the topics at these places.
    pub(super) fn asked(&self, places: &[usize]) -> Vec<&str> {
        places.iter().filter_map(|at| self.asked.get(*at)).map(String::as_str).collect()
    }

    /// Works on the connection until something happens. Safe to drop and call again; not after an error.
    pub(super) async fn next(&mut self) -> Result<Happened, LinkError> {
        let happened = self.connection.next().await?;
        if !matches!(happened, Happened::Wrote(_)) {
            self.heard = Instant::now();
        }
        if let Happened::Connected(terms) = &happened {
            self.accepted = Some((Instant::now(), *terms));
        }
        Ok(happened)
    }

    /// Hands the connection what it takes.
    ///
    /// # Errors
    /// A message cannot be put into a packet.
    pub(super) fn pump(
        &mut self,
        outbox: &mut Outbox,
        budget: &mut Option<Budget>,
        counters: &BrokerCounters,
    ) -> Result<(), LinkError> {
        let Some((_, terms)) = self.accepted else { return Ok(()) };
        while let Some(message) = outbox.pop(self.unacknowledged.len() < usize::from(terms.window)) {
            if message.payload.len() + message.topic.len() > terms.largest {
                counters.lost(message.family, DropReason::TooLarge);
                outbox.answer(&message, true);
                if !std::mem::replace(&mut self.told_too_large, true) {
                    let (broker, topic, bytes) = (counters.name(), &*message.topic, message.payload.len());
                    tracing::warn!(
                        broker,
                        topic,
                        bytes,
                        largest = terms.largest,
                        "the broker takes no message of this size; further ones are counted"
                    );
                }
                continue;
            }
            if let Some(budget) = budget
                && !budget.has_room(message.worth, Instant::now())
            {
                counters.lost(message.family, DropReason::Budget);
                continue;
            }
            let id = if message.family.acknowledged() { self.free_id() } else { 0 };
            let before = self.connection.position();
            match self.connection.send(&message, id) {
                Ok(true) => {}
                Ok(false) => {
                    outbox.give_back(message);
                    break;
                }
                Err(error) => {
                    counters.lost(message.family, DropReason::TooLarge);
                    outbox.answer(&message, true);
                    return Err(error);
                }
            }
            counters.sent(message.payload.len());
            if let Some(budget) = budget {
                budget.spend(self.connection.position() - before);
            }
            if id == 0 {
                self.unwritten.push_back((self.connection.position(), message.family));
            } else {
                self.unacknowledged.insert(id, (Instant::now(), message));
            }
        }
        Ok(())
    }

    /// A packet identifier that nothing on its way has. The window is far smaller than their number, so there is one.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.unacknowledged.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// All was written up to a position.
    pub(super) fn wrote(&mut self, position: u64, counters: &BrokerCounters) {
        while let Some((_, family)) = self.unwritten.pop_front_if(|(end, _)| *end <= position) {
            counters.delivered(family);
        }
    }

    /// `refused`: for this reason.
    pub(super) fn acknowledged(&mut self, id: u16, refused: Option<u8>, outbox: &mut Outbox, counters: &BrokerCounters) {
        let Some((_, message)) = self.unacknowledged.remove(&id) else { return };
        if let Some(code) = refused {
            counters.lost(message.family, DropReason::Refused);
            counters.gave_reason(Spoken::Puback, code);
            if self.refusals.insert(code) {
                let (broker, topic) = (counters.name(), &*message.topic);
                tracing::warn!(
                    broker,
                    topic,
                    reason = reason::meaning(code),
                    code,
                    "the broker refuses a message; further ones are counted"
                );
            }
        } else {
            counters.delivered(message.family);
        }
        outbox.answer(&message, refused.is_some());
        outbox.acknowledged(&message);
    }

    /// The connection is gone: what must arrive goes back to the outbox, in order; the rest is counted as lost. Retained topics are told
    /// again on each new connection anyway.
    pub(super) fn dissolve(self, outbox: &mut Outbox, counters: &BrokerCounters) {
        for (_, family) in self.unwritten {
            counters.lost(family, DropReason::ConnectionLost);
        }
        let mut under_way: Vec<Message> = self.unacknowledged.into_values().map(|(_, message)| message).collect();
        under_way.sort_by_key(|message| std::cmp::Reverse(message.number()));
        for message in under_way {
            if !message.family.retained() {
                outbox.give_back(message);
            }
        }
        // They come again from the disk, in the right order with the others there.
        outbox.forget_kept();
    }
}
