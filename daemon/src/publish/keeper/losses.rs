//! What was given up, told as messages that are themselves kept: coalesced, so that a queue that overflows is not filled with them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    super::{
        compose,
        message::{Kind, LossMessage, Lost, Reason, SCHEMA, Stamp},
        spool::{Class, Loss, LossReason},
        topics::{self, Place},
    },
    Kept,
};

/// What stands for a camera where losses are kept: no camera has this name.
pub(super) const STREAM: &str = "";
/// Shortest time between two tellings.
const EVERY: Duration = Duration::from_secs(10);
/// Most rows that wait. What more there is goes into the log and the counters alone.
const MOST: usize = 1024;

/// Records of one kind and camera, lost for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    messages: u64,
    seqs: (u64, u64),
    times: (SystemTime, SystemTime),
    brokers: u16,
}

/// Why what was lost, of which camera.
type Key = (Reason, Lost, Arc<str>);

/// Losses that are to be told.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses(BTreeMap<Key, Row>);

fn lost(class: Class) -> Lost {
    match class {
        Class::Event => Lost::Event,
        Class::TrackEnd => Lost::Track,
        Class::Count => Lost::Count,
    }
}

impl Losses {
    fn add(&mut self, key: Key, row: Row) {
        let room = self.0.len() < MOST;
        match self.0.get_mut(&key) {
            Some(known) => {
                known.messages += row.messages;
                known.brokers |= row.brokers;
                known.seqs = (known.seqs.0.min(row.seqs.0), known.seqs.1.max(row.seqs.1));
                known.times = (known.times.0.min(row.times.0), known.times.1.max(row.times.1));
            }
            None if room => {
                self.0.insert(key, row);
            }
            None => {}
        }
    }

    /// The queue has given records up.
    pub(super) fn given_up(&mut self, loss: &Loss) {
        let reason = match loss.reason {
            LossReason::Size => Reason::Size,
            LossReason::Age => Reason::Age,
            LossReason::Damage => Reason::Damage,
        };
        let row = Row { messages: loss.count, seqs: loss.seqs, times: loss.times, brokers: loss.brokers };
        self.add((reason, lost(loss.class), loss.stream.clone()), row);
    }

    /// The disk did not take a record.
    pub(super) fn refused(&mut self, kept: &Kept) {
        let row = Row { messages: 1, seqs: (kept.seq, kept.seq), times: (kept.at, kept.at), brokers: kept.brokers };
        self.add((Reason::Disk, lost(kept.class), kept.stream.clone()), row);
    }

    /// What somebody else has found.
    pub(super) fn join(&mut self, others: Self) {
        for (key, row) in others.0 {
            self.add(key, row);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes the messages.
pub(in crate::publish) struct Teller {
    topic: Arc<str>,
    device: String,
    boot_id: String,
    seq: u64,
    told: Option<Duration>,
    /// What was told in this run, and when: the queue may give these messages up too.
    said: VecDeque<(SystemTime, Key, Row)>,
}

impl Teller {
    pub(in crate::publish) fn new(base: &str, device: &str, boot_id: &str) -> Self {
        let topic = topics::LOSS.topic(Place { base, device, ..Place::default() });
        Self { topic, device: device.to_owned(), boot_id: boot_id.to_owned(), seq: 0, told: None, said: VecDeque::new() }
    }

    /// The messages about what was lost, if it is time; in an ordered end it is.
    pub(super) fn tell(&mut self, losses: &mut Losses, (now, wall): (Duration, SystemTime), ends: bool) -> Vec<Kept> {
        if losses.is_empty() || (!ends && self.told.is_some_and(|told| now.saturating_sub(told) < EVERY)) {
            return Vec::new();
        }
        self.told = Some(now);
        let tell = |(key, row): (Key, Row)| {
            if self.said.len() >= MOST {
                self.said.pop_front();
            }
            self.said.push_back((wall, key.clone(), row.clone()));
            self.message(key, &row, wall)
        };
        std::mem::take(losses).0.into_iter().map(tell).collect()
    }

    /// Messages about losses have been lost themselves: what they said is to be told again, added up with what is to be told anyway. How
    /// many of them nobody knows the words of any more, since an earlier run told them.
    pub(super) fn again(&mut self, loss: &Loss, losses: &mut Losses) -> u64 {
        // Times are kept in microseconds.
        let slack = Duration::from_micros(1);
        let lost = |at: &SystemTime| *at + slack >= loss.times.0 && *at <= loss.times.1 + slack;
        let (gone, stay): (VecDeque<_>, _) = std::mem::take(&mut self.said).into_iter().partition(|(at, ..)| lost(at));
        self.said = stay;
        let known = gone.len() as u64;
        for (_, key, row) in gone {
            let brokers = row.brokers & loss.brokers;
            if brokers != 0 {
                losses.add(key, Row { brokers, ..row });
            }
        }
        loss.count.saturating_sub(known)
    }

    fn message(&mut self, (reason, of, camera): Key, row: &Row, wall: SystemTime) -> Kept {
        let (seqs, times) = (Some(row.seqs.into()), Some([Stamp(row.times.0), Stamp(row.times.1)]));
        self.kept((reason, of, &camera), (Some(row.messages), seqs, times), row.brokers, wall)
    }

    /// A damaged piece of a file: nobody knows what stood in it.
    pub(super) fn damaged(&mut self, class: Class, brokers: u16, wall: SystemTime) -> Kept {
        self.kept((Reason::Damage, lost(class), ""), (None, None, None), brokers, wall)
    }

    fn kept(
        &mut self,
        (reason, of, camera): (Reason, Lost, &str),
        (messages, seqs, times): (Option<u64>, Option<[u64; 2]>, Option<[Stamp; 2]>),
        brokers: u16,
        wall: SystemTime,
    ) -> Kept {
        let seq = self.seq;
        self.seq += 1;
        let message = LossMessage {
            schema: SCHEMA,
            kind: Kind::Loss,
            device: &self.device,
            boot_id: &self.boot_id,
            seq,
            camera,
            of,
            messages,
            reason,
            seqs,
            times,
            published_at: Stamp(wall),
            delayed: false,
        };
        Kept {
            class: Class::Event,
            // In a row of their own: no camera's events wait for them, nor they for any.
            stream: STREAM.into(),
            seq,
            id: format!("{}-loss-{seq:x}", self.boot_id),
            topic: self.topic.clone(),
            payload: compose::write(&mut Vec::with_capacity(512), &message),
            at: wall,
            brokers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::compose::tests, *};

    const SECOND: Duration = Duration::from_secs(1);

    fn loss(reason: LossReason, stream: &str, seqs: (u64, u64), brokers: u16) -> Loss {
        let at = |seq| SystemTime::UNIX_EPOCH + SECOND * seq as u32;
        let times = (at(seqs.0), at(seqs.1));
        Loss { reason, class: Class::Event, stream: stream.into(), count: seqs.1 - seqs.0 + 1, times, seqs, brokers, at: None }
    }

    #[test]
    fn losses_are_added_up_and_told_at_once_and_then_every_ten_seconds() {
        let (mut losses, mut teller) = (Losses::default(), Teller::new("egret", "box1", "one"));
        let wall = SystemTime::UNIX_EPOCH + 100 * SECOND;
        assert!(teller.tell(&mut losses, (SECOND, wall), false).is_empty());
        losses.given_up(&loss(LossReason::Size, "door", (3, 5), 1));
        losses.given_up(&loss(LossReason::Size, "door", (6, 9), 2));
        losses.given_up(&loss(LossReason::Age, "yard", (0, 0), 1));
        let told = teller.tell(&mut losses, (SECOND, wall), false);
        let texts: Vec<_> = told.iter().map(|kept| String::from_utf8_lossy(&kept.payload).into_owned()).collect();
        assert!(texts[0].contains(r#""camera":"door","of":"event","messages":7,"reason":"size","seqs":[3,9]"#), "{}", texts[0]);
        assert!(texts[1].contains(r#""seq":1,"camera":"yard""#), "{}", texts[1]);
        assert_eq!((&*told[0].topic, told[0].brokers, &*told[1].id), ("egret/box1/loss", 3, "one-loss-1"));
        let mut others = Losses::default();
        others.refused(&Kept { class: Class::TrackEnd, stream: "door".into(), ..told[0].clone() });
        losses.join(others);
        assert!(teller.tell(&mut losses, (10 * SECOND, wall), false).is_empty());
        let told = teller.tell(&mut losses, (11 * SECOND, wall), false);
        assert!(String::from_utf8_lossy(&told[0].payload).contains(r#""of":"track","messages":1,"reason":"disk""#));
        let damaged = teller.damaged(Class::TrackEnd, 1, wall);
        let text = String::from_utf8_lossy(&damaged.payload).into_owned();
        assert!(
            text.contains(r#""camera":"","of":"track","messages":null,"reason":"damage","seqs":null,"times":null"#),
            "{text}"
        );
        losses.given_up(&loss(LossReason::Damage, "door", (1, 1), 1));
        assert_eq!(teller.tell(&mut losses, (12 * SECOND, wall), true).len(), 1, "the end tells what is left");
    }

    /// A queue that overflows for long gives up its oldest messages about that too.
    #[test]
    fn what_was_told_and_lost_is_told_again() {
        let (mut teller, mut losses, wall) = (Teller::new("egret", "box1", "one"), Losses::default(), tests::wall());
        let text = |losses: &mut Losses, teller: &mut Teller, second: u32| {
            let now = SECOND * second;
            let told = teller.tell(losses, (now, wall + now), false);
            told.iter().map(|kept| String::from_utf8_lossy(&kept.payload).into_owned()).collect::<Vec<_>>()
        };
        losses.given_up(&loss(LossReason::Size, "door", (0, 9), 3));
        assert_eq!(text(&mut losses, &mut teller, 0).len(), 1);
        losses.given_up(&loss(LossReason::Size, "door", (10, 19), 3));
        assert_eq!(text(&mut losses, &mut teller, 10).len(), 1);
        losses.given_up(&loss(LossReason::Size, "door", (20, 29), 3));
        let of_losses = |times, brokers, count| Loss { count, times, brokers, ..loss(LossReason::Size, STREAM, (0, 0), 1) };
        // One of an earlier run is among them, and one broker has had it.
        assert_eq!(teller.again(&of_losses((wall - SECOND, wall), 2, 2), &mut losses), 1);
        let again = text(&mut losses, &mut teller, 20);
        assert!(again.len() == 1 && again[0].contains(r#""messages":20,"reason":"size","seqs":[0,29]"#), "{again:?}");
        assert_eq!(teller.again(&of_losses((wall, wall + 20 * SECOND), 3, 2), &mut losses), 0);
        let again = text(&mut losses, &mut teller, 30);
        assert!(again.len() == 1 && again[0].contains(r#""messages":30,"reason":"size","seqs":[0,29]"#), "{again:?}");
        assert_eq!(teller.again(&of_losses((wall, wall + 29 * SECOND), 3, 1), &mut losses), 1, "that is not known any more");
        assert!(losses.is_empty());
    }

    #[test]
    fn the_message_is_as_its_fixture() {
        let mut teller = Teller::new("egret", "box1", "0f8fad5b-d9cb-469f-a165-70867728950e");
        let (mut losses, wall) = (Losses::default(), tests::wall());
        let at = |minutes| wall - Duration::from_mins(minutes);
        let row = Row { messages: 412, seqs: (1034, 1445), times: (at(60), at(60) + Duration::from_secs(2950)), brokers: 1 };
        losses.add((Reason::Size, Lost::Event, "door".into()), row);
        tests::golden("loss", &teller.tell(&mut losses, (SECOND, wall), false)[0].payload);
    }

    #[test]
    fn they_are_bounded() {
        let mut losses = Losses::default();
        for camera in 0..2 * MOST {
            losses.given_up(&loss(LossReason::Size, &camera.to_string(), (0, 0), 1));
        }
        assert_eq!(losses.0.len(), MOST);
    }
}
