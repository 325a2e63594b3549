//! Messages that wait for the broker: bounded, and whatever does not fit is counted.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;

use super::{
    commands::Reply,
    counters::{BrokerCounters, DropReason},
    keeper::Kept,
    sort::{Sort, Worth},
    spool::Delivery,
    topics::Family,
};

/// Most per-frame messages that wait. When one more comes, the oldest goes.
const MAX_FRAMES: usize = 512;
/// Most track messages that wait. When one more comes, the oldest goes.
const MAX_TRACKS: usize = 4096;
/// Most events that wait. When one more comes, the oldest goes.
const MAX_EVENTS: usize = 4096;
/// Most frame, track and event messages that wait.
pub const CAPACITY: usize = MAX_FRAMES + MAX_TRACKS + MAX_EVENTS;

/// A message as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) family: Family,
    pub(super) worth: Worth,
    /// Order of writing.
    number: u64,
    /// When it was written, or what it is about was seen.
    at: SystemTime,
    /// Camera and number in the queue on disk, where it is kept until it is answered.
    kept: Option<(Arc<str>, u64)>,
    /// What the command that it answers is known by to its sender (MQTT 5).
    pub(super) correlation: Option<Bytes>,
}

impl Message {
    /// Its place in the order of writing.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

/// The queues.
#[derive(Default)]
pub(super) struct Outbox {
    next: u64,
    frames: VecDeque<Message>,
    tracks: VecDeque<Message>,
    events: VecDeque<Message>,
    /// From the queue on disk.
    kept: VecDeque<Message>,
    /// The latest of each retained topic; an empty payload clears it.
    retained: BTreeMap<Arc<str>, Message>,
    /// Retained topics whose latest has not been sent on this connection.
    stale: VecDeque<Arc<str>>,
    /// Of what is kept on disk: answered, and whether it was refused.
    answered: Vec<(Arc<str>, u64, bool)>,
}

impl Outbox {
    /// Puts a message in line. Of a retained topic only the latest matters.
    pub(super) fn push(&mut self, topic: &Arc<str>, payload: Bytes, sort: impl Into<Sort>, counters: &BrokerCounters) {
        let (topic, Sort { family, worth, .. }) = (topic.clone(), sort.into());
        let message =
            Message { topic, payload, family, worth, number: self.next, at: SystemTime::now(), kept: None, correlation: None };
        self.next += 1;
        match family {
            Family::Frame | Family::DialectFrame => bounded(&mut self.frames, message, MAX_FRAMES, counters),
            Family::Track | Family::Health | Family::Reply | Family::DialectEvent => {
                bounded(&mut self.tracks, message, MAX_TRACKS, counters);
            }
            Family::Event => bounded(&mut self.events, message, MAX_EVENTS, counters),
            Family::DeviceStatus | Family::CameraStatus | Family::Count | Family::DialectState => {
                if !self.stale.contains(&message.topic) {
                    self.stale.push_back(message.topic.clone());
                }
                self.retained.insert(message.topic.clone(), message);
            }
        }
    }

    /// Puts the answer to a command in line.
    pub(super) fn push_reply(&mut self, Reply { topic, payload, correlation }: Reply, counters: &BrokerCounters) {
        let Sort { family, worth, .. } = Family::Reply.into();
        let message =
            Message { topic, payload, family, worth, number: self.next, at: SystemTime::now(), kept: None, correlation };
        self.next += 1;
        bounded(&mut self.tracks, message, MAX_TRACKS, counters);
    }

    /// Puts a message in line that came from the queue on disk. That sees to it that there are not too many.
    pub(super) fn push_kept(&mut self, delivery: Delivery) {
        let Delivery { class, topic, payload, delayed, stream, number, at, .. } = delivery;
        let payload = Bytes::from(if delayed { mark_delayed(payload) } else { payload });
        let message = Message {
            topic: topic.into(),
            payload,
            family: Kept::family(class),
            worth: class.into(),
            number: self.next,
            at,
            kept: Some((stream, number)),
            correlation: None,
        };
        self.next += 1;
        self.kept.push_back(message);
    }

    /// Messages that are on disk need not wait here: they will come again.
    pub(super) fn forget_kept(&mut self) {
        self.kept.clear();
    }

    /// What has been answered since this was asked last.
    pub(super) fn answered(&mut self) -> Vec<(Arc<str>, u64, bool)> {
        std::mem::take(&mut self.answered)
    }

    /// The broker has a message, or will never have it.
    pub(super) fn answer(&mut self, message: &Message, refused: bool) {
        if let Some((stream, number)) = &message.kept {
            self.answered.push((stream.clone(), *number, refused));
        }
    }

    /// The next message to send: statuses first, then by time, so that over a slow link what waited in memory and what waited on disk come back
    /// side by side. Without `window` only those that nobody acknowledges.
    pub(super) fn pop(&mut self, window: bool) -> Option<Message> {
        if !window {
            return self.frames.pop_front();
        }
        while let Some(topic) = self.stale.pop_front() {
            if let Some(message) = self.retained.get(&topic) {
                return Some(message.clone());
            }
        }
        let queues = [&mut self.frames, &mut self.tracks, &mut self.events, &mut self.kept].into_iter();
        let waiting = queues.filter_map(|queue| queue.front().map(|first| (first.at, first.number)).map(|place| (place, queue)));
        waiting.min_by_key(|(place, _)| *place).and_then(|(_, queue)| queue.pop_front())
    }

    /// Takes a message back that was popped and could not be sent. Give back in reverse order.
    pub(super) fn give_back(&mut self, message: Message) {
        match message.family {
            _ if message.kept.is_some() => self.kept.push_front(message),
            Family::Frame | Family::DialectFrame => self.frames.push_front(message),
            Family::Track | Family::Health | Family::Reply | Family::DialectEvent => self.tracks.push_front(message),
            Family::Event => self.events.push_front(message),
            Family::DeviceStatus | Family::CameraStatus | Family::Count | Family::DialectState => {
                self.stale.push_front(message.topic);
            }
        }
    }

    /// The broker has it: a cleared topic need not be cleared again.
    pub(super) fn acknowledged(&mut self, message: &Message) {
        if message.family.retained() && message.payload.is_empty() && self.retained.get(&message.topic) == Some(message) {
            self.retained.remove(&message.topic);
        }
    }

    /// Whether a topic is to be cleared, and the broker has not said that it is.
    pub(super) fn clears(&self, topic: &str) -> bool {
        self.retained.get(topic).is_some_and(|message| message.payload.is_empty())
    }

    /// A new connection: every retained topic is told again, since the broker may have forgotten, or been told of our end.
    /// `first` leads.
    pub(super) fn refresh(&mut self, first: &Arc<str>) {
        self.stale = self.retained.keys().filter(|topic| *topic != first).cloned().collect();
        self.stale.push_front(first.clone());
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.frames.len() + self.tracks.len() + self.events.len() + self.kept.len() + self.stale.len()
    }

    /// Counts what waits as dropped, and forgets it.
    pub(super) fn abandon(&mut self, counters: &BrokerCounters) {
        self.forget_kept();
        while let Some(message) = self.pop(true) {
            counters.lost(message.family, DropReason::Shutdown);
        }
    }
}

/// The messages are JSON objects, and this is one field more, where it is not there yet.
pub(super) fn mark_delayed(mut payload: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = br#","delayed":true}"#;
    if payload.ends_with(MARK) {
        return payload;
    }
    if payload.len() > 2 && payload.pop_if(|last| *last == b'}').is_some() {
        payload.extend_from_slice(MARK);
    }
    payload
}

fn bounded(queue: &mut VecDeque<Message>, message: Message, most: usize, counters: &BrokerCounters) {
    if queue.len() >= most
        && let Some(oldest) = queue.pop_front()
    {
        counters.lost(oldest.family, DropReason::Overflow);
    }
    queue.push_back(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Arc<str> {
        name.into()
    }

    fn push(outbox: &mut Outbox, name: &str, text: &str, family: Family, counters: &BrokerCounters) {
        outbox.push(&topic(name), Bytes::copy_from_slice(text.as_bytes()), family, counters);
    }

    fn texts(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop(true)).map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect()
    }

    fn delivery(number: u64, delayed: bool) -> Delivery {
        Delivery {
            number,
            class: crate::publish::spool::Class::Event,
            stream: "door".into(),
            seq: number,
            id: String::new(),
            topic: "e".into(),
            properties: Vec::new(),
            payload: br#"{"seq":1}"#.to_vec(),
            at: SystemTime::UNIX_EPOCH,
            delayed,
        }
    }

    #[test]
    fn statuses_lead_and_the_rest_keeps_its_order() {
        let (mut outbox, counters) = (Outbox::default(), BrokerCounters::default());
        push(&mut outbox, "f", "f0", Family::Frame, &counters);
        push(&mut outbox, "t", "t1", Family::Track, &counters);
        push(&mut outbox, "f", "f2", Family::Frame, &counters);
        push(&mut outbox, "s", "old", Family::CameraStatus, &counters);
        push(&mut outbox, "s", "new", Family::CameraStatus, &counters);
        assert_eq!(outbox.len(), 4);
        assert_eq!(texts(&mut outbox), ["new", "f0", "t1", "f2"]);
    }

    #[test]
    fn a_full_window_lets_only_frames_pass() {
        let (mut outbox, counters) = (Outbox::default(), BrokerCounters::default());
        push(&mut outbox, "t", "t0", Family::Track, &counters);
        push(&mut outbox, "f", "f1", Family::Frame, &counters);
        assert_eq!(outbox.pop(false).map(|m| m.family), Some(Family::Frame));
        assert_eq!(outbox.pop(false), None);
        assert_eq!(texts(&mut outbox), ["t0"]);
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let (mut outbox, counters) = (Outbox::default(), BrokerCounters::default());
        for i in 0..MAX_FRAMES + 3 {
            push(&mut outbox, "f", &i.to_string(), Family::Frame, &counters);
        }
        for i in 0..MAX_TRACKS + 2 {
            push(&mut outbox, "t", &i.to_string(), Family::Track, &counters);
        }
        assert_eq!(counters.dropped(Family::Frame, DropReason::Overflow), 3);
        assert_eq!(counters.dropped(Family::Track, DropReason::Overflow), 2);
        assert_eq!(outbox.len(), MAX_FRAMES + MAX_TRACKS);
        assert_eq!(texts(&mut outbox)[0], "3");
    }

    #[test]
    fn a_new_connection_tells_every_status_again_and_a_cleared_one_until_it_is_heard() {
        let (mut outbox, counters) = (Outbox::default(), BrokerCounters::default());
        push(&mut outbox, "a", "A", Family::CameraStatus, &counters);
        push(&mut outbox, "b", "", Family::CameraStatus, &counters);
        assert_eq!(texts(&mut outbox), ["A", ""]);
        outbox.refresh(&topic("a"));
        assert_eq!(outbox.len(), 2);
        outbox.pop(true);
        let cleared = outbox.pop(true).expect("still there");
        outbox.acknowledged(&cleared);
        outbox.refresh(&topic("a"));
        assert_eq!(texts(&mut outbox), ["A"]);
    }

    #[test]
    fn what_is_given_back_is_next_again() {
        let (mut outbox, counters) = (Outbox::default(), BrokerCounters::default());
        push(&mut outbox, "t", "t0", Family::Track, &counters);
        push(&mut outbox, "t", "t1", Family::Track, &counters);
        let (first, second) = (outbox.pop(true).expect("first"), outbox.pop(true).expect("second"));
        outbox.give_back(second);
        outbox.give_back(first);
        assert_eq!(texts(&mut outbox), ["t0", "t1"]);
    }

    #[test]
    fn what_is_on_disk_is_answered_forgotten_and_marked() {
        let (mut outbox, counters) = (Outbox::default(), BrokerCounters::default());
        outbox.push_kept(delivery(7, false));
        outbox.push_kept(delivery(8, true));
        push(&mut outbox, "e", "memory", Family::Event, &counters);
        let first = outbox.pop(true).expect("first");
        assert_eq!(&first.payload[..], br#"{"seq":1}"#);
        outbox.answer(&first, false);
        assert_eq!(outbox.answered(), [("door".into(), 7, false)]);
        assert_eq!(outbox.answered(), []);
        let second = outbox.pop(true).expect("second");
        assert_eq!((&second.payload[..], second.family), (&br#"{"seq":1,"delayed":true}"#[..], Family::Event));
        outbox.give_back(second);
        outbox.forget_kept();
        assert_eq!(texts(&mut outbox), ["memory"]);
        assert_eq!(mark_delayed(b"{}".to_vec()), b"{}");
        assert_eq!(mark_delayed(br#"{"seq":1,"delayed":true}"#.to_vec()), br#"{"seq":1,"delayed":true}"#);
    }

    /// After an outage: neither the memory's backlog holds up the disk's, nor the other way round.
    #[test]
    fn what_waited_in_memory_and_what_waited_on_disk_come_by_time() {
        let (mut outbox, counters) = (Outbox::default(), BrokerCounters::default());
        let start = SystemTime::now();
        push(&mut outbox, "t", "t0", Family::Track, &counters);
        push(&mut outbox, "t", "t1", Family::Track, &counters);
        for (after, word) in [(-1.0, "e0"), (3600.0, "e1")] {
            let span = std::time::Duration::from_secs_f64(f64::abs(after));
            let at = if after < 0.0 { start - span } else { start + span };
            outbox.push_kept(Delivery { at, payload: word.into(), ..delivery(1, false) });
        }
        assert_eq!(texts(&mut outbox), ["e0", "t0", "t1", "e1"]);
    }

    #[test]
    fn what_is_abandoned_is_counted() {
        let (mut outbox, counters) = (Outbox::default(), BrokerCounters::default());
        push(&mut outbox, "f", "f0", Family::Frame, &counters);
        outbox.abandon(&counters);
        assert_eq!((outbox.len(), counters.dropped(Family::Frame, DropReason::Shutdown)), (0, 1));
    }
}
