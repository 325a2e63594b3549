//! Opening: what the files say is put together, and what they cannot say any more is set aside.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Class, Damage, DamageKind, Opened, SpoolError,
    clock::Anchor,
    folder::Folder,
    frame::{Piece, Pieces},
    index::Entry,
    log::{Place, Segment},
    record::{self, Body},
};

/// More is not read of one file. The largest that is written is far smaller.
const LARGEST: u64 = 64 << 20;
/// Most damaged pieces that are kept for people to look at.
const KEPT: usize = 64;

/// What the files say.
pub(super) struct Recovered {
    pub(super) segments: BTreeMap<u32, Segment>,
    pub(super) entries: BTreeMap<u64, (Arc<str>, Entry)>,
    pub(super) next_id: u32,
    pub(super) next_number: u64,
    pub(super) latest: u64,
    pub(super) anchors: Vec<Anchor>,
    pub(super) opened: Opened,
}

struct Recovery<'a, F> {
    folder: &'a mut F,
    brokers: &'a [String],
    names: BTreeSet<String>,
    streams: BTreeSet<Arc<str>>,
    found: Recovered,
}

/// The file that is being read.
struct Reading {
    name: String,
    id: u32,
    class: Class,
    /// What the bits of its records mean here; `None` where its header is damaged.
    bits: Option<Vec<Option<usize>>>,
}

impl Reading {
    /// The broker that a bit means, if there still is one.
    fn broker(&self, bit: usize) -> Option<usize> {
        self.bits.as_ref()?.get(bit).copied().flatten()
    }
}

/// Reads all segments of a folder.
pub(super) fn recover<F: Folder>(folder: &mut F, brokers: &[String]) -> Result<Recovered, SpoolError> {
    let names = folder.names().map_err(|error| SpoolError::new(folder.place(), error))?;
    let found = Recovered {
        segments: BTreeMap::new(),
        entries: BTreeMap::new(),
        next_id: 1,
        next_number: 1,
        latest: 0,
        anchors: Vec::new(),
        opened: Opened::default(),
    };
    let mut segments: Vec<(u32, Class)> = names.iter().filter_map(|name| Segment::parse(name)).collect();
    segments.sort_unstable();
    let mut recovery = Recovery { folder, brokers, names: names.into_iter().collect(), streams: BTreeSet::new(), found };
    recovery.forget_old_damage(&segments);
    for (id, class) in segments {
        recovery.segment(id, class)?;
    }
    let mut found = recovery.found;
    found.entries.retain(|_, (_, entry)| entry.brokers != 0);
    for (_, entry) in found.entries.values() {
        if let Some(segment) = found.segments.get_mut(&entry.place.segment) {
            segment.live += 1;
        }
    }
    found.opened.records = found.entries.len() as u64;
    Ok(found)
}

impl<F: Folder> Recovery<'_, F> {
    /// Damaged pieces are kept at least as long as the files that they were found in.
    fn forget_old_damage(&mut self, segments: &[(u32, Class)]) {
        let alive: BTreeSet<String> = segments.iter().map(|(id, class)| Segment::name(*id, *class)).collect();
        let damaged = self.names.iter().filter(|name| name.ends_with(".damaged"));
        let of_gone = damaged.filter(|name| name.rsplitn(3, '.').nth(2).is_none_or(|of| !alive.contains(of)));
        let of_gone: Vec<String> = of_gone.cloned().collect();
        for name in of_gone.iter().take(of_gone.len().saturating_sub(KEPT / 2)) {
            if self.folder.remove(name).is_ok() {
                self.names.remove(name);
            }
        }
    }

    fn segment(&mut self, id: u32, class: Class) -> Result<(), SpoolError> {
        let name = Segment::name(id, class);
        self.found.next_id = self.found.next_id.max(id + 1);
        let bytes = match self.folder.read(&name, LARGEST) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.unreadable(name, &error);
                return Ok(());
            }
        };
        let at = match record::version(&bytes) {
            Some(record::VERSION) => record::PRELUDE,
            Some(found) => {
                let file = format!("{}/{name}", self.folder.place());
                return Err(SpoolError::Version { file, found, known: record::VERSION });
            }
            None => 0,
        };
        let mut reading = Reading { name, id, class, bits: None };
        let mut end = bytes.len();
        for piece in (Pieces { bytes: &bytes, at }) {
            match piece {
                Piece::Frame { offset, body } => {
                    if self.frame(&mut reading, offset, body).is_none() {
                        self.damaged(&reading.name, offset, body);
                    }
                }
                Piece::Damaged { offset, end } => self.damaged(&reading.name, offset, &bytes[offset..end]),
                Piece::Torn { offset } => {
                    end = offset;
                    self.torn(&reading.name, offset, bytes.len() - offset);
                }
            }
        }
        if end == 0 {
            // Nothing of it had reached the device.
            let _again_next_time = self.folder.remove(&reading.name);
            return Ok(());
        }
        self.found.segments.insert(id, Segment { class, bytes: end as u64, head: 0, live: 0 });
        Ok(())
    }

    fn frame(&mut self, reading: &mut Reading, offset: usize, body: &[u8]) -> Option<()> {
        let length = (super::frame::HEAD + body.len()) as u32;
        let place = Place { segment: reading.id, offset: offset as u32, length };
        let mut sound = true;
        record::read(body, |body| match body {
            Body::Header(header) => {
                let number = |name: &String| self.brokers.iter().position(|known| known == name);
                reading.bits = Some(header.brokers.iter().map(number).collect());
                let anchor = Anchor { boot: header.boot, since_boot: header.since_boot, stamp: header.stamp };
                self.found.anchors.push(anchor);
                self.saw(header.number, header.stamp);
            }
            Body::Record(label, record) => {
                self.saw(label.number + 1, label.stamp);
                sound = record.class == reading.class;
                let brokers = self.translate(reading, label.brokers);
                if brokers == 0 {
                    self.found.opened.orphaned += 1;
                }
                let entry = Entry {
                    number: label.number,
                    seq: record.seq,
                    stamp: label.stamp,
                    at: record::micros(record.at),
                    place,
                    class: reading.class,
                    brokers,
                    acknowledged: 0,
                };
                let stream = self.stream(record.stream);
                self.found.entries.insert(label.number, (stream, entry));
            }
            Body::Acknowledged { broker, stamp, runs } => {
                self.saw(0, stamp);
                let Some(bit) = reading.broker(usize::from(broker)) else { return };
                for (first, length) in runs {
                    let run = self.found.entries.range_mut(first..first.saturating_add(u64::from(length)));
                    run.filter(|(_, (_, entry))| entry.class == reading.class)
                        .for_each(|(_, (_, entry))| entry.brokers &= !(1 << bit));
                }
            }
        })?;
        sound.then_some(())
    }

    fn saw(&mut self, number: u64, stamp: u64) {
        self.found.next_number = self.found.next_number.max(number);
        self.found.latest = self.found.latest.max(stamp);
    }

    fn stream(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.streams.get(name) {
            return known.clone();
        }
        let new: Arc<str> = name.into();
        self.streams.insert(new.clone());
        new
    }

    /// Where nobody knows any more for whom a record was, it is for all.
    fn translate(&self, reading: &Reading, bits: u16) -> u16 {
        if reading.bits.is_none() {
            return super::all(self.brokers.len());
        }
        let set = (0..16).filter(|bit| bits >> bit & 1 == 1).filter_map(|bit| reading.broker(bit));
        set.fold(0, |mask, broker| mask | 1 << broker)
    }

    /// A piece is set aside under a name that says where it was found, and told of once.
    fn damaged(&mut self, file: &str, offset: usize, bytes: &[u8]) {
        let aside = format!("{file}.{offset}.damaged");
        if self.names.contains(&aside) {
            return;
        }
        let room = self.names.iter().filter(|name| name.ends_with(".damaged")).count() < KEPT;
        let kept = room && self.folder.write_at(&aside, 0, bytes).is_ok();
        if kept {
            self.names.insert(aside.clone());
        }
        self.found.opened.damage.push(Damage {
            file: file.to_owned(),
            offset: offset as u64,
            bytes: bytes.len() as u64,
            kind: DamageKind::Wrong,
            kept: kept.then_some(aside),
        });
    }

    fn torn(&mut self, file: &str, offset: usize, bytes: usize) {
        let _again_next_time = self.folder.truncate(file, offset as u64);
        let (offset, bytes) = (offset as u64, bytes as u64);
        self.found.opened.damage.push(Damage { file: file.to_owned(), offset, bytes, kind: DamageKind::Torn, kept: None });
    }

    fn unreadable(&mut self, file: String, error: &std::io::Error) {
        let aside = format!("{file}.unreadable");
        let kept = self.folder.rename(&file, &aside).is_ok().then_some(aside);
        let kind = DamageKind::Unreadable(error.to_string());
        self.found.opened.damage.push(Damage { file, offset: 0, bytes: 0, kind, kept });
    }
}
