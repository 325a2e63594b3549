//! What is kept, in memory: where each record stands, who still waits for it, and what is next. At most about 110 bytes for each record.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
    time::Duration,
};

use super::{Class, log::Place};

/// A record that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) seq: u64,
    /// When it came, by the queue's clock in milliseconds.
    pub(super) stamp: u64,
    /// The caller's time, in microseconds from 1970.
    pub(super) at: i64,
    pub(super) place: Place,
    pub(super) class: Class,
    /// Brokers that it is kept for.
    pub(super) brokers: u16,
    /// Those of them that have acknowledged it, but not for long enough.
    pub(super) acknowledged: u16,
}

/// The records of one camera, in order.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) entries: VecDeque<Entry>,
    /// For each broker: everything before this number has been handed out.
    cursors: Vec<u64>,
}

impl Stream {
    fn position(&self, number: u64) -> usize {
        self.entries.partition_point(|entry| entry.number < number)
    }

    pub(super) fn find(&mut self, number: u64) -> Option<&mut Entry> {
        let position = self.position(number);
        self.entries.get_mut(position).filter(|entry| entry.number == number)
    }

    fn cursor(&mut self, broker: usize) -> &mut u64 {
        if self.cursors.len() <= broker {
            self.cursors.resize(broker + 1, 0);
        }
        &mut self.cursors[broker]
    }

    /// The next record for a broker. It stays that until it is taken: what need not be handed out before it is passed over for good.
    fn peek(&mut self, broker: usize) -> Option<Entry> {
        let from = *self.cursor(broker);
        let from = self.position(from);
        let bit = 1 << broker;
        let wanted = |entry: &&Entry| entry.brokers & bit != 0 && entry.acknowledged & bit == 0;
        let found = self.entries.range(from..).find(wanted).copied();
        let next = found.map(|entry| entry.number).or_else(|| self.entries.back().map(|entry| entry.number + 1));
        let cursor = self.cursor(broker);
        *cursor = next.unwrap_or_default().max(*cursor);
        found
    }

    /// Nobody waits for the first ones any more.
    fn trim(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.brokers == 0) {
            self.entries.pop_front();
        }
    }
}

/// An acknowledgement that may yet be undone.
#[derive(Clone, Debug)]
struct Recent {
    at: Duration,
    stream: Arc<str>,
    number: u64,
}

/// What is known of one broker.
#[derive(Default)]
struct Broker {
    recent: VecDeque<Recent>,
    /// Whose turn it was last.
    last: Option<Arc<str>>,
}

/// All records of all cameras.
pub(super) struct Index {
    pub(super) streams: BTreeMap<Arc<str>, Stream>,
    brokers: Vec<Broker>,
}

impl Index {
    pub(super) fn new(brokers: usize) -> Self {
        Self { streams: BTreeMap::new(), brokers: (0..brokers).map(|_| Broker::default()).collect() }
    }

    pub(super) fn push(&mut self, stream: &str, entry: Entry) {
        match self.streams.get_mut(stream) {
            Some(known) => known.entries.push_back(entry),
            None => {
                self.streams.insert(stream.into(), Stream { entries: [entry].into(), cursors: Vec::new() });
            }
        }
    }

    pub(super) fn find(&mut self, stream: &str, number: u64) -> Option<&mut Entry> {
        self.streams.get_mut(stream)?.find(number)
    }

    /// The next record for a broker: cameras take turns, each in its own order. One whose next record may not go now misses no turn by that.
    pub(super) fn next(&mut self, broker: usize, may: impl Fn(&Entry) -> bool) -> Option<(Arc<str>, Entry)> {
        let last = self.brokers.get(broker)?.last.clone();
        let turn = |(name, stream): (&Arc<str>, &mut Stream)| {
            let entry = stream.peek(broker).filter(&may)?;
            *stream.cursor(broker) = entry.number + 1;
            Some((name.clone(), entry))
        };
        let behind = last.as_deref().map_or(Unbounded, Excluded);
        let found = self.streams.range_mut::<str, _>((behind, Unbounded)).find_map(turn);
        // Round again from the first.
        let found = found.or_else(|| self.streams.iter_mut().find_map(turn));
        if let Some((name, _)) = &found {
            self.brokers[broker].last = Some(name.clone());
        }
        found
    }

    /// Whether there is any record for a broker to be handed out.
    pub(super) fn has_next(&mut self, broker: usize) -> bool {
        self.streams.values_mut().any(|stream| stream.peek(broker).is_some())
    }

    /// A record could not be sent after all: it is the next of its camera again, with all behind it.
    pub(super) fn hand_back(&mut self, broker: usize, stream: &str, number: u64) {
        if let Some(stream) = self.streams.get_mut(stream) {
            let cursor = stream.cursor(broker);
            *cursor = number.min(*cursor);
        }
    }

    /// The broker has it, for now.
    pub(super) fn acknowledge(&mut self, broker: usize, stream: &str, number: u64, now: Duration) {
        let bit = 1 << broker;
        let Some((name, _)) = self.streams.get_key_value(stream) else { return };
        let name = name.clone();
        if let Some(entry) = self.find(stream, number).filter(|entry| entry.brokers & bit != 0 && entry.acknowledged & bit == 0) {
            entry.acknowledged |= bit;
            self.brokers[broker].recent.push_back(Recent { at: now, stream: name, number });
        }
    }

    /// Everything that is not acknowledged is to be handed out again, and, for the order's sake, what was acknowledged behind it.
    pub(super) fn rewind(&mut self, broker: usize) {
        let bit = 1 << broker;
        let mut first = BTreeMap::<Arc<str>, u64>::new();
        for (name, stream) in &mut self.streams {
            *stream.cursor(broker) = 0;
            let waiting = |entry: &&Entry| entry.brokers & bit != 0 && entry.acknowledged & bit == 0;
            let Some(number) = stream.entries.iter().find(waiting).map(|entry| entry.number) else { continue };
            first.insert(name.clone(), number);
            let position = stream.position(number);
            stream.entries.range_mut(position..).for_each(|entry| entry.acknowledged &= !bit);
        }
        self.brokers[broker].recent.retain(|recent| first.get(&recent.stream).is_none_or(|number| recent.number < *number));
    }

    /// What was acknowledged from a moment on counts as not acknowledged; how many that are.
    pub(super) fn unacknowledge_since(&mut self, broker: usize, since: Duration) -> usize {
        let recent = &mut self.brokers[broker].recent;
        let undone = recent.split_off(recent.partition_point(|recent| recent.at < since));
        for recent in &undone {
            if let Some(entry) = self.find(&recent.stream, recent.number) {
                entry.acknowledged &= !(1 << broker);
            }
            self.hand_back(broker, &recent.stream, recent.number);
        }
        undone.len()
    }

    /// The acknowledgements that are old enough to be believed.
    pub(super) fn believed(&mut self, broker: usize, before: Duration) -> Vec<(Arc<str>, u64)> {
        let recent = &mut self.brokers[broker].recent;
        let count = recent.partition_point(|recent| recent.at <= before);
        recent.drain(..count).map(|recent| (recent.stream, recent.number)).collect()
    }

    /// A broker does not wait for a record any more; the record, if now nobody does.
    pub(super) fn settle(&mut self, broker: usize, stream: &str, number: u64) -> Settled {
        let Some(known) = self.streams.get_mut(stream) else { return Settled::Unknown };
        let bit = 1 << broker;
        let Some(entry) = known.find(number).filter(|entry| entry.brokers & bit != 0) else { return Settled::Unknown };
        entry.brokers &= !bit;
        entry.acknowledged &= !bit;
        let (entry, gone) = (*entry, entry.brokers == 0);
        if gone {
            known.trim();
            self.forget_if_empty(stream);
        }
        if gone { Settled::Gone(entry) } else { Settled::Kept(entry) }
    }

    /// Takes out all records that a condition picks.
    pub(super) fn take(&mut self, mut picked: impl FnMut(&Entry) -> bool) -> Vec<(Arc<str>, Entry)> {
        let mut taken = Vec::new();
        for (name, stream) in &mut self.streams {
            stream.entries.retain(|entry| {
                let out = picked(entry);
                if out && entry.brokers != 0 {
                    taken.push((name.clone(), *entry));
                }
                !out && entry.brokers != 0
            });
        }
        self.streams.retain(|_, stream| !stream.entries.is_empty());
        taken
    }

    /// The first of each camera's records; they are the oldest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.streams.values().filter_map(|stream| stream.entries.front()).map(|entry| entry.stamp).min()
    }

    /// For each broker: records that it has not acknowledged.
    pub(super) fn waiting(&self) -> Vec<u64> {
        let mut waiting = vec![0; self.brokers.len()];
        for entry in self.streams.values().flat_map(|stream| &stream.entries) {
            let open = entry.brokers & !entry.acknowledged;
            waiting.iter_mut().enumerate().for_each(|(broker, count)| *count += u64::from(open >> broker & 1));
        }
        waiting
    }

    fn forget_if_empty(&mut self, stream: &str) {
        if self.streams.get(stream).is_some_and(|known| known.entries.is_empty()) {
            self.streams.remove(stream);
        }
    }
}

/// What became of a record.
pub(super) enum Settled {
    /// There is no such record for this broker.
    Unknown,
    /// Another broker still waits.
    Kept(Entry),
    /// Nobody waits.
    Gone(Entry),
}
