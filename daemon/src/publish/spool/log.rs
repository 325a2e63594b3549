//! The files: one row of segments per class, written at their end, synced when told to, and deleted as a whole.

use std::{cmp::max, collections::BTreeMap};

use super::{
    Class, SpoolError,
    folder::Folder,
    record::{self, Header},
};

/// A whole file of one class.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) class: Class,
    pub(super) bytes: u64,
    /// Of these, what stands before the first record; 0 where it was read from a file.
    pub(super) head: u32,
    /// Records in it that somebody still waits for.
    pub(super) live: u32,
}

impl Segment {
    pub(super) fn name(id: u32, class: Class) -> String {
        format!("{id:08x}.{}", class.as_str())
    }

    /// Number and class of a file that is one. No queue comes to the largest numbers, and none could go on behind them.
    pub(super) fn parse(name: &str) -> Option<(u32, Class)> {
        let (id, class) = name.split_once('.')?;
        let id = u32::from_str_radix(id, 16).ok().filter(|id| *id < u32::MAX / 2)?;
        let class = Class::ALL.into_iter().find(|known| known.as_str() == class)?;
        (Self::name(id, class) == name).then_some((id, class))
    }
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// Frames that stand elsewhere now: all of `from` at `at` or behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) from: u32,
    pub(super) at: u32,
    pub(super) to: u32,
    pub(super) to_at: u32,
}

/// The segment that a class is written to.
struct Active {
    id: u32,
    /// The queue's clock when it was begun.
    begun: u64,
    /// Where its first frame after the header stands.
    head: u32,
    /// So much of it outlives the power; what was written behind that is still known here.
    synced: u32,
    unsynced: Vec<u8>,
    /// A sync has failed: the system may have forgotten what it did not write, so it is written anew elsewhere.
    suspect: bool,
}

impl Active {
    fn end(&self) -> u32 {
        self.synced + self.unsynced.len() as u32
    }
}

pub(super) struct Log<F> {
    folder: F,
    pub(super) segments: BTreeMap<u32, Segment>,
    active: [Option<Active>; Class::ALL.len()],
    pub(super) next_id: u32,
    /// Largest segment, and longest time that one is written to, in milliseconds.
    limits: (u32, u64),
    bytes: u64,
    names_changed: bool,
    /// Files that a killed daemon may have left with the kernel only.
    left: Vec<u32>,
    moved: Vec<Moved>,
    pub(super) written: u64,
    pub(super) syncs: u64,
}

impl<F: Folder> Log<F> {
    pub(super) fn new(folder: F, segments: BTreeMap<u32, Segment>, next_id: u32, limits: (u32, u64)) -> Self {
        let bytes = segments.values().map(|segment| segment.bytes).sum();
        let active = [const { None }; Class::ALL.len()];
        // Any of them, if it was killed again and again. Syncing what is clean costs next to nothing.
        let left: Vec<u32> = segments.keys().copied().collect();
        let names_changed = !left.is_empty();
        Self { folder, segments, active, next_id, limits, bytes, names_changed, left, moved: Vec::new(), written: 0, syncs: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What has moved since this was asked last.
    pub(super) fn moved(&mut self) -> Vec<Moved> {
        std::mem::take(&mut self.moved)
    }

    /// Writes a frame behind all others of its class. `header` is what a new segment would begin with.
    pub(super) fn append(&mut self, class: Class, frame: &[u8], header: &Header) -> Result<Place, SpoolError> {
        if self.active[class as usize].as_ref().is_some_and(|active| active.suspect) {
            self.sync_class(class, header)?;
        }
        let (largest, longest) = self.limits;
        let over = |active: &Active| {
            let grown = active.end() as usize + frame.len() > largest as usize && active.end() > active.head;
            grown || header.stamp.saturating_sub(active.begun) > longest
        };
        if self.active[class as usize].as_ref().is_some_and(over) {
            self.seal(class, header)?;
        }
        if self.active[class as usize].is_none() {
            self.begin(class, header)?;
        }
        let Some(active) = &mut self.active[class as usize] else {
            return Err(SpoolError::new("a new segment", std::io::ErrorKind::NotFound.into()));
        };
        let (name, offset) = (Segment::name(active.id, class), active.end());
        if let Err(error) = self.folder.write_at(&name, u64::from(offset), frame) {
            // A part of it may stand there. The next one is written over it, and readers find it wrong.
            let _rest = self.folder.truncate(&name, u64::from(offset));
            return Err(SpoolError::new(name, error));
        }
        active.unsynced.extend_from_slice(frame);
        self.written += frame.len() as u64;
        self.bytes += frame.len() as u64;
        if let Some(segment) = self.segments.get_mut(&active.id) {
            segment.bytes += frame.len() as u64;
        }
        Ok(Place { segment: active.id, offset, length: frame.len() as u32 })
    }

    fn begin(&mut self, class: Class, header: &Header) -> Result<(), SpoolError> {
        let mut bytes = record::prelude();
        record::write_header(&mut bytes, header);
        let id = self.next_id;
        let name = Segment::name(id, class);
        if let Err(error) = self.folder.write_at(&name, 0, &bytes) {
            let _nothing = self.folder.remove(&name);
            return Err(SpoolError::new(name, error));
        }
        self.next_id += 1;
        self.names_changed = true;
        let length = bytes.len();
        self.written += length as u64;
        self.bytes += length as u64;
        self.segments.insert(id, Segment { class, bytes: length as u64, head: length as u32, live: 0 });
        let active = Active { id, begun: header.stamp, head: length as u32, synced: 0, unsynced: bytes, suspect: false };
        self.active[class as usize] = Some(active);
        Ok(())
    }

    /// Nothing more is written to the segment of a class.
    pub(super) fn seal(&mut self, class: Class, header: &Header) -> Result<(), SpoolError> {
        self.sync_class(class, header)?;
        self.active[class as usize] = None;
        Ok(())
    }

    /// There is a new segment, known to the device: older ones may go without the numbers being forgotten.
    pub(super) fn renew(&mut self, class: Class, header: &Header) -> Result<(), SpoolError> {
        self.seal(class, header)?;
        self.begin(class, header)?;
        self.sync(header)
    }

    /// All that was written outlives the power from here on.
    pub(super) fn sync(&mut self, header: &Header) -> Result<(), SpoolError> {
        while let Some(id) = self.left.last() {
            if let Some(segment) = self.segments.get(id) {
                let name = Segment::name(*id, segment.class);
                self.folder.sync(&name).map_err(|error| SpoolError::new(name, error))?;
            }
            self.left.pop();
        }
        let mut result = Ok(());
        for class in Class::ALL {
            let synced = self.sync_class(class, header);
            result = result.and(synced);
        }
        if self.names_changed && result.is_ok() {
            self.sync_names()?;
        }
        result
    }

    pub(super) fn sync_names(&mut self) -> Result<(), SpoolError> {
        self.folder.sync_names().map_err(|error| SpoolError::new(self.folder.place(), error))?;
        self.names_changed = false;
        Ok(())
    }

    fn sync_class(&mut self, class: Class, header: &Header) -> Result<(), SpoolError> {
        if self.active[class as usize].as_ref().is_some_and(|active| active.suspect) {
            self.rewrite(class, header)?;
        }
        let Some(active) = self.active[class as usize].as_mut().filter(|active| !active.unsynced.is_empty()) else {
            return Ok(());
        };
        let name = Segment::name(active.id, class);
        if let Err(error) = self.folder.sync(&name) {
            active.suspect = true;
            return Err(SpoolError::new(name, error));
        }
        self.syncs += 1;
        active.synced = active.end();
        active.unsynced.clear();
        Ok(())
    }

    /// Writes what a failed sync may have lost to a new segment.
    fn rewrite(&mut self, class: Class, header: &Header) -> Result<(), SpoolError> {
        let Some(mut old) = self.active[class as usize].take() else { return Ok(()) };
        let at = max(old.synced, old.head);
        let frames = old.unsynced.split_off((at - old.synced) as usize);
        let written = self.begin(class, header).and_then(|()| {
            let name = Segment::name(self.next_id - 1, class);
            let to_at = self.active[class as usize].as_ref().map_or(0, |new| new.head);
            self.folder.write_at(&name, u64::from(to_at), &frames).map_err(|error| SpoolError::new(name, error))
        });
        if let Err(error) = written {
            if let Some(new) = self.active[class as usize].take() {
                self.forget(new.id, class);
            }
            old.unsynced.extend_from_slice(&frames);
            self.active[class as usize] = Some(old);
            return Err(error);
        }
        let Some(new) = &mut self.active[class as usize] else { return Ok(()) };
        self.moved.push(Moved { from: old.id, at, to: new.id, to_at: new.head });
        new.unsynced.extend_from_slice(&frames);
        self.written += frames.len() as u64;
        let (new, grown) = (new.id, frames.len() as u64);
        if let Some(segment) = self.segments.get_mut(&new) {
            segment.bytes += grown;
        }
        if let Some(segment) = self.segments.get_mut(&old.id) {
            segment.bytes -= grown;
        }
        // Otherwise it is there twice, which a later start finds out by the numbers.
        let _twice = self.folder.truncate(&Segment::name(old.id, class), u64::from(at));
        Ok(())
    }

    /// The frame at a place.
    pub(super) fn read(&mut self, class: Class, place: Place) -> std::io::Result<Vec<u8>> {
        if let Some(active) = self.active[class as usize].as_ref().filter(|active| active.id == place.segment)
            && let Some(from) = place.offset.checked_sub(active.synced)
            && let Some(bytes) = active.unsynced.get(from as usize..(from + place.length) as usize)
        {
            return Ok(bytes.to_vec());
        }
        let mut bytes = vec![0; place.length as usize];
        self.folder.read_at(&Segment::name(place.segment, class), u64::from(place.offset), &mut bytes)?;
        Ok(bytes)
    }

    /// So many records more (or fewer) of a segment are waited for.
    pub(super) fn live(&mut self, id: u32, change: i32) {
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.live = segment.live.saturating_add_signed(change);
        }
    }

    pub(super) fn is_active(&self, id: u32) -> bool {
        self.active.iter().flatten().any(|active| active.id == id)
    }

    /// The newest segment stays, since its header knows the numbers.
    pub(super) fn is_newest(&self, id: u32) -> bool {
        id + 1 == self.next_id
    }

    /// Deletes segments that nobody waits for, oldest first: a later one may know what was acknowledged of an earlier one.
    /// Only after a sync.
    pub(super) fn collect(&mut self) -> Result<(), SpoolError> {
        for class in Class::ALL {
            while let Some((&id, segment)) = self.segments.iter().find(|(_, segment)| segment.class == class) {
                if segment.live > 0 || self.is_active(id) || self.is_newest(id) {
                    break;
                }
                self.delete(id)?;
            }
        }
        Ok(())
    }

    /// The oldest segment of a class that has any records.
    pub(super) fn oldest(&self, class: Class) -> Option<u32> {
        let filled = |segment: &Segment| segment.class == class && segment.bytes > u64::from(segment.head);
        self.segments.iter().find(|(_, segment)| filled(segment)).map(|(id, _)| *id)
    }

    pub(super) fn delete(&mut self, id: u32) -> Result<(), SpoolError> {
        let Some(segment) = self.segments.get(&id) else { return Ok(()) };
        let name = Segment::name(id, segment.class);
        match self.folder.remove(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(SpoolError::new(name, error)),
            _ => {}
        }
        self.names_changed = true;
        if let Some(gone) = self.segments.remove(&id) {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
        }
        Ok(())
    }

    fn forget(&mut self, id: u32, class: Class) {
        let _rest = self.folder.remove(&Segment::name(id, class));
        if let Some(gone) = self.segments.remove(&id) {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
        }
    }
}
