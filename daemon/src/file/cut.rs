//! A folder in memory that loses power: what was not synced is there, half there, or not there, sector by sector and name by name, in any order.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Folder;

/// Numbers that look like chance (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z >> 32) as u32
    }
}

/// What a device writes at once.
const SECTOR: usize = 512;

#[derive(Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that differ.
    dirty: BTreeSet<usize>,
    /// The length differs.
    length_changed: bool,
}

/// Something that happened to the names.
enum Change {
    Made(String, usize),
    Removed(String),
}

#[derive(Default)]
struct State {
    files: Vec<Content>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    changes: Vec<Change>,
    /// Operations until all fail.
    budget: Option<u32>,
    /// Bytes until the device is full.
    space: Option<usize>,
    /// Syncs that fail, and lose what they were to write.
    bad_syncs: u32,
    error: Option<io::ErrorKind>,
}

/// The machine: folders of it come and go, it stays.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

/// Its only folder.
pub(crate) struct Lossy(World);

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn folder(&self) -> Lossy {
        Lossy(self.clone())
    }

    /// So many writing operations succeed from here on.
    pub(crate) fn fail_after(&self, operations: u32) {
        self.state().budget = Some(operations);
    }

    /// So many bytes more fit; `None`: any.
    pub(crate) fn space(&self, bytes: Option<usize>) {
        self.state().space = bytes;
    }

    /// So many syncs fail, and what they were to write is lost and forgotten, as Linux does it.
    pub(crate) fn fail_syncs(&self, count: u32) {
        self.state().bad_syncs = count;
    }

    pub(crate) fn a_sync_will_fail(&self) -> bool {
        self.state().bad_syncs > 0
    }

    /// All writing fails like this.
    pub(crate) fn refuse(&self, error: Option<io::ErrorKind>) {
        self.state().error = error;
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().live.keys().cloned().collect()
    }

    pub(crate) fn length(&self, name: &str) -> usize {
        let state = self.state();
        state.live.get(name).map_or(0, |id| state.files[*id].live.len())
    }

    /// A bit goes wrong on the device.
    pub(crate) fn flip(&self, name: &str, at: usize, bits: u8) {
        let mut state = self.state();
        let id = state.live[name];
        let file = &mut state.files[id];
        file.live[at] ^= bits;
        if let Some(byte) = file.durable.get_mut(at) {
            *byte ^= bits;
        }
    }

    /// The power goes, and comes back.
    pub(crate) fn cut(&self, seed: u64) {
        let mut dice = Dice(seed);
        let mut state = self.state();
        let State { files, durable, changes, .. } = &mut *state;
        for file in files.iter_mut() {
            file.cut(&mut dice);
        }
        // Each name on its own: what was made may be missing, what was removed may be back.
        for change in changes.drain(..) {
            if dice.next_u32() & 1 == 0 {
                continue;
            }
            match change {
                Change::Made(name, id) => durable.insert(name, id),
                Change::Removed(name) => durable.remove(&name),
            };
        }
        state.live = state.durable.clone();
        (state.budget, state.space, state.bad_syncs, state.error) = (None, None, 0, None);
    }
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
            self.length_changed = true;
        }
        self.live[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }

    fn truncate(&mut self, length: usize) {
        self.live.resize(length, 0);
        self.length_changed = true;
    }

    fn sync(&mut self) {
        self.durable = self.live.clone();
        self.dirty.clear();
        self.length_changed = false;
    }

    /// Unsynced sectors get through, or not, or in part; the length is the old one, the new one, or one between.
    fn cut(&mut self, dice: &mut Dice) {
        if self.length_changed {
            let (from, to) = (self.durable.len().min(self.live.len()), self.durable.len().max(self.live.len()));
            let length = match dice.next_u32() % 3 {
                0 => self.durable.len(),
                1 => self.live.len(),
                _ => from + dice.next_u32() as usize % (to - from + 1),
            };
            self.durable.resize(length, 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.live.len()).min(self.durable.len());
            let part = match dice.next_u32() % 4 {
                0 => 0,
                1 => dice.next_u32() as usize % SECTOR,
                _ => SECTOR,
            };
            let end = end.min(start + part);
            if start < end {
                self.durable[start..end].copy_from_slice(&self.live[start..end]);
            }
        }
        self.live = self.durable.clone();
        self.length_changed = false;
    }
}

impl Lossy {
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.0.state();
        if let Some(error) = state.error {
            return Err(error.into());
        }
        match &mut state.budget {
            Some(0) => return Err(io::Error::other("the power is going")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(state)
    }

    fn id(state: &State, name: &str) -> io::Result<usize> {
        state.live.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Folder for Lossy {
    fn names(&mut self) -> io::Result<Vec<String>> {
        Ok(self.0.names())
    }

    fn read(&mut self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.0.state();
        let mut bytes = state.files[Self::id(&state, name)?].live.clone();
        bytes.truncate(limit as usize);
        Ok(bytes)
    }

    fn read_at(&mut self, name: &str, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let state = self.0.state();
        let live = &state.files[Self::id(&state, name)?].live;
        let from = live.get(offset as usize..offset as usize + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(from);
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.change()?;
        let known = state.live.get(name).copied();
        let id = known.unwrap_or_else(|| {
            let id = state.files.len();
            state.files.push(Content::default());
            state.live.insert(name.to_owned(), id);
            state.changes.push(Change::Made(name.to_owned(), id));
            id
        });
        let fits = state.space.map_or(bytes.len(), |space| space.min(bytes.len()));
        state.space = state.space.map(|space| space - fits);
        state.files[id].write(offset as usize, &bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.change()?;
        let id = Self::id(&state, name)?;
        state.files[id].truncate(length as usize);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let id = Self::id(&state, name)?;
        if state.bad_syncs > 0 {
            state.bad_syncs -= 1;
            let file = &mut state.files[id];
            file.live = file.durable.clone();
            file.dirty.clear();
            return Err(io::Error::other("the device did not write it"));
        }
        state.files[id].sync();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.change()?;
        Self::id(&state, name)?;
        state.live.remove(name);
        state.changes.push(Change::Removed(name.to_owned()));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let id = Self::id(&state, from)?;
        state.live.remove(from);
        state.live.insert(to.to_owned(), id);
        // A file that has two names for a moment is never lost between them.
        state.changes.push(Change::Made(to.to_owned(), id));
        state.changes.push(Change::Removed(from.to_owned()));
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let mut state = self.change()?;
        state.durable = state.live.clone();
        state.changes.clear();
        Ok(())
    }

    fn place(&self) -> String {
        "memory".into()
    }
}
