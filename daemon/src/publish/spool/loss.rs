//! What was given up, so that somebody can say so.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::{Class, index::Entry, record::time};

/// Why records were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossReason {
    /// They made room for others.
    Size,
    /// They were older than anything may be.
    Age,
    /// They could not be read again.
    Damage,
}

impl LossReason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Size, Self::Age, Self::Damage];

    /// Its name in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Age => "age",
            Self::Damage => "damage",
        }
    }
}

/// Records of one kind and camera that were given up before every broker had them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub reason: LossReason,
    /// Their class.
    pub class: Class,
    /// Their camera.
    pub stream: Arc<str>,
    /// How many.
    pub count: u64,
    /// The times of the first and the last one, as the caller gave them.
    pub times: (SystemTime, SystemTime),
    /// Their `seq`, first and last.
    pub seqs: (u64, u64),
    /// The brokers that have not got them, as bits.
    pub brokers: u16,
    /// Damage: the file and the place in it.
    pub at: Option<(String, u32)>,
}

/// Losses that nobody has asked for yet.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<(LossReason, Class, Arc<str>), Loss>);

impl Tally {
    /// Counts a record that `entry.brokers` have not got.
    pub(super) fn count(&mut self, reason: LossReason, stream: &Arc<str>, entry: &Entry, at: Option<(String, u32)>) {
        let brokers = entry.brokers & !entry.acknowledged;
        if brokers == 0 {
            return;
        }
        let (seq, when) = (entry.seq, time(entry.at));
        let loss = self.0.entry((reason, entry.class, stream.clone())).or_insert_with(|| Loss {
            reason,
            class: entry.class,
            stream: stream.clone(),
            count: 0,
            times: (when, when),
            seqs: (seq, seq),
            brokers: 0,
            at,
        });
        loss.count += 1;
        loss.brokers |= brokers;
        loss.times.1 = when;
        loss.seqs.1 = seq;
    }

    pub(super) fn take(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.0).into_values().collect()
    }
}
