//! Objects that enter and leave a zone, and those that stay there.

use std::{collections::BTreeMap, time::Duration};

use super::{
    each::Happening,
    event::{EventPhase, Measure, Tally, Unit},
    presence::Presence,
    rule::RuleConfig,
    sight::Look,
};
use crate::media::TrackId;

/// The rules `zone` and `dwell`.
#[derive(Default)]
pub(super) struct ZoneWatch {
    presence: Presence,
    tallies: BTreeMap<u16, Tally>,
}

fn seconds(threshold: Option<f64>) -> impl Fn(Duration) -> Option<Measure> {
    move |time| Some(Measure::new(time.as_secs_f64(), Unit::Seconds, threshold))
}

impl ZoneWatch {
    /// `time`: how long an object has to stay; zero for those that only enter.
    pub(super) fn look(&mut self, rule: &RuleConfig, time: Duration, look: &Look<'_>, out: &mut Vec<Happening>) {
        let (before, threshold) = (out.len(), (!time.is_zero()).then_some(time.as_secs_f64()));
        self.presence.look(rule, look, time, seconds(threshold), out);
        self.tally(&out[before..]);
    }

    /// Each object is counted under the class that it has at the time.
    fn tally(&mut self, news: &[Happening]) {
        for happening in news {
            let Some(object) = happening.objects.first() else { continue };
            let tally = self.tallies.entry(object.class).or_default();
            match happening.phase {
                EventPhase::Start | EventPhase::Once => tally.entered += 1,
                EventPhase::End => tally.left += 1,
            }
        }
    }

    /// Entries and exits so far, and who is there now.
    pub(super) fn tallies(&self) -> BTreeMap<u16, Tally> {
        let mut tallies = self.tallies.clone();
        self.presence.present().for_each(|object| tallies.entry(object.class).or_default().now += 1);
        tallies
    }

    /// Goes on from what was counted before.
    pub(super) fn recall(&mut self, tallies: BTreeMap<u16, Tally>) {
        self.tallies = tallies;
    }

    /// Entries whose exits are still to come.
    pub(super) fn open(&self) -> BTreeMap<u16, u64> {
        let mut open = BTreeMap::new();
        self.presence.told().for_each(|object| *open.entry(object.class).or_default() += 1);
        open
    }

    /// A track goes by another identity from now on.
    pub(super) fn rename(&mut self, tracks: (TrackId, TrackId), time: Duration, out: &mut Vec<Happening>) {
        let before = out.len();
        self.presence.rename(tracks, seconds((!time.is_zero()).then_some(time.as_secs_f64())), out);
        self.tally(&out[before..]);
    }

    pub(super) fn close(&mut self, time: Duration, out: &mut Vec<Happening>) {
        let before = out.len();
        self.presence.close(seconds((!time.is_zero()).then_some(time.as_secs_f64())), out);
        self.tally(&out[before..]);
    }
}
