//! What a message is to whoever has no room for all: said once, by who writes it. The budget of bytes goes by it, and the queue on disk.

use super::{spool::Class, topics::Family};

/// What a message is worth; the least is left out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// The next one of its kind comes with the next frame.
    Frame,
    /// The next one of its track comes soon.
    Update,
    /// It tells what holds, or is told again.
    Lasting,
    /// It comes once: a track has ended, or goes by another name. Of use to those who know what the track is called.
    End,
    /// It comes once: an event.
    Event,
}

impl Worth {
    /// How important it is in the queue on disk; `None`: it is not kept there.
    pub(super) fn class(self) -> Option<Class> {
        match self {
            Self::Event => Some(Class::Event),
            Self::End => Some(Class::TrackEnd),
            Self::Frame | Self::Update | Self::Lasting => None,
        }
    }
}

impl From<Class> for Worth {
    fn from(class: Class) -> Self {
        match class {
            Class::Event => Self::Event,
            Class::TrackEnd => Self::End,
            Class::Count => Self::Lasting,
        }
    }
}

/// What a message is, beside its topic and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) family: Family,
    pub(super) worth: Worth,
    /// Its number among those of its camera and kind; 0 where nobody asks.
    pub(super) seq: u64,
}

impl Sort {
    pub(super) fn new(family: Family, worth: Worth, seq: u64) -> Self {
        Self { family, worth, seq }
    }
}

/// As most messages of a family are.
impl From<Family> for Sort {
    fn from(family: Family) -> Self {
        let worth = match family {
            Family::Frame | Family::DialectFrame => Worth::Frame,
            Family::Event => Worth::Event,
            _ => Worth::Lasting,
        };
        Self { family, worth, seq: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::{super::compose::tests as compose, *};
    use crate::{
        analyse::{Count, Event, EventId, EventPhase, Tally, Verdicts},
        media::{Rename, StepReport, TimeBasis, TrackId, TrackPhase},
    };

    /// The one who writes a message, the message itself, and its topic agree.
    #[test]
    fn what_is_written_says_what_it_is_worth_and_its_number() {
        let (mut composer, arrived) = (compose::composer(), compose::arrived());
        let mut tracked = compose::tracked(TimeBasis::SenderReport, arrived);
        let since = compose::wall();
        let event = Event {
            id: EventId(1),
            rule: "yard".into(),
            kind: "zone",
            phase: EventPhase::Start,
            started: since,
            objects: Vec::new(),
            way: None,
            measure: None,
        };
        let tallies = [(0, Tally::default())].into();
        let count = Count { rule: "yard".into(), kind: "zone", since, tallies };
        tracked.verdicts = Some(Box::new(Verdicts { events: vec![event], counts: vec![count], ..Verdicts::default() }));
        let by = tracked.model.clone();
        let rename = Rename { from: TrackId(7), to: TrackId(6), class: 0, distance: 0.1, unseen: Duration::from_secs(9), by };
        let steps = tracked.steps.take().map_or_else(StepReport::default, |steps| *steps);
        tracked.steps = Some(Box::new(StepReport { renames: vec![rename], ..steps }));
        let mut seen = std::collections::BTreeSet::new();
        for (second, phase) in [TrackPhase::New, TrackPhase::Update, TrackPhase::End].into_iter().enumerate() {
            tracked.tracks[0].phase = phase;
            let now = compose::now_after(arrived, Duration::from_secs(10 * second as u64));
            composer.frame(&tracked, now, |topic, payload, sort| {
                let parts: Vec<&str> = topic.rsplit('/').collect();
                let (worth, class) = match (parts[1], parts[0]) {
                    ("track", "new") | ("count", _) => (Worth::Lasting, None),
                    ("track", "update") => (Worth::Update, None),
                    ("track", "end" | "rename") => (Worth::End, Some(Class::TrackEnd)),
                    ("event", _) => (Worth::Event, Some(Class::Event)),
                    _ => panic!("{topic}"),
                };
                assert_eq!((sort.worth, sort.worth.class()), (worth, class), "{topic}");
                let message: Value = serde_json::from_slice(&payload).expect("JSON");
                assert!(class.is_none() || message["seq"] == sort.seq, "{topic}: {sort:?} {message}");
                seen.insert(format!("{}/{}", parts[1], parts[0]));
            });
        }
        assert_eq!(seen.len(), 6, "{seen:?}");
        for (family, worth) in [
            (Family::Frame, Worth::Frame),
            (Family::DialectFrame, Worth::Frame),
            (Family::DeviceStatus, Worth::Lasting),
            (Family::DialectEvent, Worth::Lasting),
        ] {
            assert_eq!(Sort::from(family).worth, worth);
        }
        for class in Class::ALL {
            let kept = Worth::from(class).class();
            assert_eq!(kept, Some(class).filter(|class| *class != Class::Count), "counts are kept by nobody yet");
        }
    }
}
