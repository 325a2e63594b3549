//! The queue itself: what is taken, kept, handed out and given up.

use std::{sync::Arc, time::Duration};

use super::{
    Class, Delivery, Loss, LossReason, Opened, Record, Settings, SpoolError, Stats,
    clock::{self, Clock, ms},
    folder::{Disk, Folder},
    frame,
    index::{Entry, Index, Settled},
    log::{Log, Segment},
    loss::Tally,
    record::{self, Body, Header, Label},
    recover::recover,
};

/// Acknowledgements are written along with records, or after so long: until then a power cut only means that something arrives twice.
const LATEST_ACKNOWLEDGEMENTS: Duration = Duration::from_secs(10);
/// So often the clock is written while something is kept, so that its age is known after a power cut.
const CLOCK_MS: u64 = 3_600_000;
/// A device that refused is asked again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// A bounded queue on disk. See the [module](super).
pub struct Spool<F = Disk> {
    settings: Settings,
    log: Log<F>,
    index: Index,
    clock: Clock,
    next_number: u64,
    /// The first number of this run.
    first_number: u64,
    /// Numbers that a broker does not wait for any more, and no file says so yet; by class and broker.
    settled: Vec<Vec<u64>>,
    settled_since: Option<Duration>,
    /// Records since the last sync, and the first one's time.
    unsynced: u32,
    unsynced_since: Option<Duration>,
    /// No sync is tried before.
    not_before: Duration,
    /// Latest stamp that a file has.
    stamped: u64,
    losses: Tally,
    scratch: Vec<u8>,
    appended: u64,
    payload_bytes: u64,
}

impl<F: Folder> Spool<F> {
    /// Opens a queue, whatever state the last run left it in. `boot` and `now` are [`super::boot`] and [`super::since_boot`].
    ///
    /// # Errors
    /// The settings are wrong, the folder cannot be used, or another version wrote it.
    pub fn open(mut folder: F, settings: Settings, boot: u128, now: Duration) -> Result<(Self, Opened), SpoolError> {
        settings.check()?;
        let mut found = recover(&mut folder, &settings.brokers)?;
        let clock = Clock::new(boot, now, found.latest, &found.anchors);
        let mut index = Index::new(settings.brokers.len());
        for (_, (stream, entry)) in std::mem::take(&mut found.entries) {
            index.push(&stream, entry);
        }
        let limits = (settings.segment_bytes, ms(settings.max_age) / 8);
        let log = Log::new(folder, found.segments, found.next_id, limits);
        found.opened.bytes = log.bytes();
        let spool = Self {
            settled: vec![Vec::new(); Class::ALL.len() * settings.brokers.len()],
            settings,
            log,
            index,
            clock,
            next_number: found.next_number,
            first_number: found.next_number,
            settled_since: None,
            unsynced: 0,
            // What a killed daemon wrote last is with the kernel only.
            unsynced_since: (found.opened.bytes > 0).then_some(now),
            not_before: Duration::ZERO,
            stamped: found.latest,
            losses: Tally::default(),
            scratch: Vec::new(),
            appended: 0,
            payload_bytes: 0,
        };
        Ok((spool, found.opened))
    }

    fn header(&self, now: Duration) -> Header {
        let anchor = self.clock.anchor(now);
        let brokers = self.settings.brokers.clone();
        Header { number: self.next_number, boot: anchor.boot, since_boot: anchor.since_boot, stamp: anchor.stamp, brokers }
    }

    /// Takes a record for some brokers (bits in the order of [`Settings::brokers`]); its number, `None` if it is for nobody.
    /// From here on it outlives the daemon, and from the next sync on the power.
    ///
    /// # Errors
    /// The record is not taken. What was taken before is not affected.
    pub fn append(&mut self, record: &Record<'_>, brokers: u16, now: Duration) -> Result<Option<u64>, SpoolError> {
        record::check(record, self.settings.max_record as usize)?;
        let brokers = brokers & super::all(self.settings.brokers.len());
        if brokers == 0 {
            return Ok(None);
        }
        let (number, stamp) = (self.next_number, self.clock.stamp(now));
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        record::write_record(&mut frame, Label { number, stamp, brokers }, record);
        let placed = self.make_room(record.class, frame.len() as u64, now).and_then(|()| {
            let header = self.header(now);
            self.log.append(record.class, &frame, &header)
        });
        self.follow_moves();
        self.scratch = frame;
        let place = placed?;
        let at = record::micros(record.at);
        let entry = Entry { number, seq: record.seq, stamp, at, place, class: record.class, brokers, acknowledged: 0 };
        self.index.push(record.stream, entry);
        self.log.live(place.segment, 1);
        self.next_number += 1;
        self.stamped = stamp;
        self.appended += 1;
        self.payload_bytes += record.payload.len() as u64;
        self.unsynced += 1;
        self.unsynced_since.get_or_insert(now);
        if self.unsynced >= self.settings.sync_records && now >= self.not_before {
            // The record is taken; a device that fails is told of by `tick`, which tries again.
            let _told_later = self.sync_now(now);
        }
        Ok(Some(number))
    }

    /// Gives up the oldest of the least important until so many bytes more fit.
    fn make_room(&mut self, class: Class, bytes: u64, now: Duration) -> Result<(), SpoolError> {
        let over = |log: &Log<F>| log.bytes() + bytes > self.settings.max_bytes;
        if over(&self.log) && now >= self.not_before {
            // What nobody waits for goes first.
            self.sync_now(now)?;
        }
        while self.log.bytes() + bytes > self.settings.max_bytes {
            let mut lesser = Class::ALL.into_iter().filter(|lesser| *lesser <= class);
            let oldest = lesser.find_map(|lesser| Some((self.log.oldest(lesser)?, lesser)));
            let (victim, of) = oldest.ok_or(SpoolError::NoRoom { class, limit: self.settings.max_bytes })?;
            self.evict(victim, of, class, now)?;
        }
        Ok(())
    }

    fn evict(&mut self, victim: u32, of: Class, incoming: Class, now: Duration) -> Result<(), SpoolError> {
        let header = self.header(now);
        if self.log.is_active(victim) {
            self.log.seal(of, &header)?;
            self.follow_moves();
        }
        if self.log.is_newest(victim) {
            self.log.renew(incoming, &header)?;
            self.follow_moves();
        }
        self.log.delete(victim)?;
        // Or else, after a power cut, they would come back behind those that were to replace them.
        self.log.sync_names()?;
        for (stream, entry) in self.index.take(|entry| entry.place.segment == victim) {
            self.losses.count(LossReason::Size, &stream, &entry, None);
        }
        Ok(())
    }

    /// The next record for a broker: cameras take turns, each in the order of its records. `None`: there is nothing to send.
    pub fn next(&mut self, broker: usize, now: Duration) -> Option<Delivery> {
        self.next_if(broker, now, true)
    }

    /// Whether there is anything to send to a broker.
    pub fn has_next(&mut self, broker: usize) -> bool {
        self.index.has_next(broker)
    }

    /// As [`Self::next`], but of cameras whose next record is delayed only if `delayed` ones may go. The turns of the others wait.
    pub fn next_if(&mut self, broker: usize, now: Duration, delayed: bool) -> Option<Delivery> {
        loop {
            let (stamp, first, after) = (self.clock.stamp(now), self.first_number, ms(self.settings.delayed_after));
            let is_delayed = |entry: &Entry| entry.number < first || stamp.saturating_sub(entry.stamp) > after;
            let (stream, entry) = self.index.next(broker, |entry| delayed || !is_delayed(entry))?;
            if let Some(delivery) = self.fetch(&stream, &entry, now) {
                return Some(delivery);
            }
            let at = Some((Segment::name(entry.place.segment, entry.class), entry.place.offset));
            for (stream, entry) in self.index.take(|other| other.number == entry.number) {
                self.losses.count(LossReason::Damage, &stream, &entry, at.clone());
                self.log.live(entry.place.segment, -1);
            }
        }
    }

    fn fetch(&mut self, stream: &Arc<str>, entry: &Entry, now: Duration) -> Option<Delivery> {
        let bytes = self.log.read(entry.class, entry.place).ok()?;
        let waited = self.clock.stamp(now).saturating_sub(entry.stamp);
        let delayed = entry.number < self.first_number || waited > ms(self.settings.delayed_after);
        let mut delivery = None;
        record::read(frame::body(&bytes)?, |body| match body {
            Body::Record(label, record) if label.number == entry.number => {
                let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
                delivery = Some(Delivery {
                    number: label.number,
                    class: record.class,
                    stream: stream.clone(),
                    seq: record.seq,
                    id: record.id.to_owned(),
                    topic: record.topic.to_owned(),
                    properties: record.properties.iter().map(own).collect(),
                    payload: record.payload.to_vec(),
                    at: record.at,
                    delayed,
                });
            }
            _ => {}
        })?;
        delivery
    }

    /// A record could not be sent after all: it is the next of its camera again, with all behind it.
    pub fn hand_back(&mut self, broker: usize, stream: &str, number: u64) {
        self.index.hand_back(broker, stream, number);
    }

    /// The broker has it. For [`Settings::keep_acknowledged`] that can be undone.
    pub fn acknowledge(&mut self, broker: usize, stream: &str, number: u64, now: Duration) {
        if self.settings.keep_acknowledged.is_zero() {
            self.settle(broker, stream, number, now);
        } else {
            self.index.acknowledge(broker, stream, number, now);
        }
    }

    /// The broker will never have it: it is not offered to it again.
    pub fn refuse(&mut self, broker: usize, stream: &str, number: u64, now: Duration) {
        self.settle(broker, stream, number, now);
    }

    fn settle(&mut self, broker: usize, stream: &str, number: u64, now: Duration) {
        let settled = self.index.settle(broker, stream, number);
        let (Settled::Kept(entry) | Settled::Gone(entry)) = settled else { return };
        if matches!(settled, Settled::Gone(_)) {
            self.log.live(entry.place.segment, -1);
        }
        self.write_down(broker, entry.class, number, now);
    }

    fn write_down(&mut self, broker: usize, class: Class, number: u64, now: Duration) {
        self.settled[class as usize * self.settings.brokers.len() + broker].push(number);
        self.settled_since.get_or_insert(now);
    }

    /// The connection to a broker is gone: what it has not acknowledged will be handed out again, and what it has acknowledged behind that.
    pub fn rewind(&mut self, broker: usize) {
        self.index.rewind(broker);
    }

    /// The broker itself may be gone with what it had acknowledged but not passed on: what it acknowledged from `since` on will be handed out
    /// again, as far back as [`Settings::keep_acknowledged`]; how many records that are.
    pub fn unacknowledge_since(&mut self, broker: usize, since: Duration) -> usize {
        self.index.unacknowledge_since(broker, since)
    }

    /// When [`Self::tick`] has something to write at the latest.
    pub fn due(&self) -> Option<Duration> {
        let records = self.unsynced_since.map(|since| since + self.settings.sync_window);
        let settled = self.settled_since.map(|since| since + LATEST_ACKNOWLEDGEMENTS);
        let due = records.into_iter().chain(settled).min()?;
        Some(due.max(self.not_before))
    }

    /// Time has passed: what is due is written, what is too old is given up. To be called at [`Self::due`], and every second or so.
    ///
    /// # Errors
    /// The device does not take it; it is tried again with a later call.
    pub fn tick(&mut self, now: Duration) -> Result<(), SpoolError> {
        if let Some(before) = now.checked_sub(self.settings.keep_acknowledged) {
            self.believe(before, now);
        }
        self.expire(now);
        self.mark_time(now)?;
        if self.due().is_some_and(|due| due <= now) { self.sync_now(now) } else { Ok(()) }
    }

    fn believe(&mut self, before: Duration, now: Duration) {
        for broker in 0..self.settings.brokers.len() {
            for (stream, number) in self.index.believed(broker, before) {
                self.settle(broker, &stream, number, now);
            }
        }
    }

    fn expire(&mut self, now: Duration) {
        let Some(before) = self.clock.stamp(now).checked_sub(ms(self.settings.max_age)) else { return };
        if self.index.oldest().is_none_or(|oldest| oldest >= before) {
            return;
        }
        for (stream, entry) in self.index.take(|entry| entry.stamp < before) {
            self.losses.count(LossReason::Age, &stream, &entry, None);
            self.log.live(entry.place.segment, -1);
            let brokers = (0..self.settings.brokers.len()).filter(|broker| entry.brokers >> broker & 1 == 1);
            brokers.for_each(|broker| self.write_down(broker, entry.class, entry.number, now));
        }
    }

    fn mark_time(&mut self, now: Duration) -> Result<(), SpoolError> {
        let stamp = self.clock.stamp(now);
        if self.index.streams.is_empty() || stamp.saturating_sub(self.stamped) < CLOCK_MS {
            return Ok(());
        }
        self.settled_since.get_or_insert(now);
        self.write_settled(Class::Event, 0, &[], now)
    }

    fn write_settled(&mut self, class: Class, broker: usize, runs: &[(u64, u32)], now: Duration) -> Result<(), SpoolError> {
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        let (stamp, header) = (self.clock.stamp(now), self.header(now));
        record::write_acknowledged(&mut frame, broker as u8, stamp, runs);
        let written = self.log.append(class, &frame, &header);
        self.follow_moves();
        self.scratch = frame;
        written?;
        self.stamped = stamp;
        Ok(())
    }

    /// What was taken outlives the power from here on, and what nobody waits for is deleted.
    ///
    /// # Errors
    /// The device does not take it. It is kept in memory too until the device does.
    pub fn sync_now(&mut self, now: Duration) -> Result<(), SpoolError> {
        let done = self.try_sync(now);
        self.follow_moves();
        if done.is_err() {
            self.not_before = now + AGAIN;
        }
        done
    }

    fn try_sync(&mut self, now: Duration) -> Result<(), SpoolError> {
        let brokers = self.settings.brokers.len();
        for slot in 0..self.settled.len() {
            let mut numbers = std::mem::take(&mut self.settled[slot]);
            if numbers.is_empty() {
                continue;
            }
            numbers.sort_unstable();
            if let Err(error) = self.write_settled(Class::ALL[slot / brokers], slot % brokers, &runs(&numbers), now) {
                self.settled[slot] = numbers;
                return Err(error);
            }
        }
        self.settled_since = None;
        let header = self.header(now);
        self.log.sync(&header)?;
        self.follow_moves();
        (self.unsynced, self.unsynced_since) = (0, None);
        self.log.collect()
    }

    /// A failed sync may have moved frames.
    fn follow_moves(&mut self) {
        for moved in self.log.moved() {
            let mut count = 0;
            for entry in self.index.streams.values_mut().flat_map(|stream| &mut stream.entries) {
                if entry.place.segment == moved.from && entry.place.offset >= moved.at {
                    entry.place.segment = moved.to;
                    entry.place.offset = entry.place.offset - moved.at + moved.to_at;
                    count += i32::from(entry.brokers != 0);
                }
            }
            self.log.live(moved.from, -count);
            self.log.live(moved.to, count);
        }
    }

    /// What was given up since this was asked last.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        self.losses.take()
    }

    /// Files synced since it was opened.
    pub fn syncs(&self) -> u64 {
        self.log.syncs
    }

    /// How it stands.
    pub fn stats(&self, now: Duration) -> Stats {
        let oldest = self.index.oldest().map(|stamp| Duration::from_millis(self.clock.stamp(now).saturating_sub(stamp)));
        Stats {
            waiting: self.index.waiting(),
            bytes: self.log.bytes(),
            segments: self.log.segments.len(),
            oldest,
            appended: self.appended,
            payload_bytes: self.payload_bytes,
            written: self.log.written,
            syncs: self.log.syncs,
        }
    }

    /// An ordered end: all acknowledgements are believed, and everything is synced.
    ///
    /// # Errors
    /// The device does not take it.
    pub fn close(mut self, now: Duration) -> Result<(), SpoolError> {
        self.believe(Duration::MAX, now);
        self.sync_now(now)
    }
}

/// Where a queue may be opened without further ado.
impl Spool<Disk> {
    /// Opens the queue in a folder of this machine, now.
    ///
    /// # Errors
    /// As [`Self::open`], and as [`Disk::open`].
    pub fn open_at(path: &std::path::Path, settings: Settings) -> Result<(Self, Opened), SpoolError> {
        Self::open(Disk::open(path)?, settings, clock::boot(), clock::since_boot())
    }
}

/// Sorted numbers as first ones and lengths.
fn runs(numbers: &[u64]) -> Vec<(u64, u32)> {
    let mut runs: Vec<(u64, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((first, length)) if *first + u64::from(*length) == *number && *length < u32::MAX => *length += 1,
            _ => runs.push((*number, 1)),
        }
    }
    runs
}
