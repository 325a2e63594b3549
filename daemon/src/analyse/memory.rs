//! What a rule remembers of tracks, or of pairs of them: bounded, whatever comes.

use std::{collections::BTreeMap, time::Duration};

/// Most tracks or pairs that one rule remembers. The one not seen for longest goes first.
pub(super) const MOST: usize = 1024;

struct Entry<T> {
    seen: Duration,
    value: T,
}

/// Something for each key, in the order of the keys.
pub(super) struct Memory<K, T> {
    entries: BTreeMap<K, Entry<T>>,
}

impl<K, T> Default for Memory<K, T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Ord + Copy, T: Default> Memory<K, T> {
    /// What is remembered of one that is seen now. Make room for it first: see [`Self::make_room`].
    pub(super) fn see(&mut self, key: K, now: Duration) -> &mut T {
        let entry = self.entries.entry(key).or_insert_with(|| Entry { seen: now, value: T::default() });
        entry.seen = now;
        &mut entry.value
    }

    /// The one that has to go before another one is seen.
    pub(super) fn make_room(&mut self, key: K) -> Option<(K, T)> {
        if self.entries.len() < MOST || self.entries.contains_key(&key) {
            return None;
        }
        let oldest = self.entries.iter().min_by_key(|(key, entry)| (entry.seen, **key)).map(|(key, _)| *key)?;
        self.entries.remove(&oldest).map(|entry| (oldest, entry.value))
    }

    /// Takes one out, with the time at which it was last seen.
    pub(super) fn take(&mut self, key: K) -> Option<(Duration, T)> {
        self.entries.remove(&key).map(|entry| (entry.seen, entry.value))
    }

    /// Puts one in, in place of one that was taken out.
    pub(super) fn put(&mut self, key: K, seen: Duration, value: T) {
        self.entries.insert(key, Entry { seen, value });
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.entries.get_mut(&key).map(|entry| &mut entry.value)
    }

    pub(super) fn contains(&self, key: K) -> bool {
        self.entries.contains_key(&key)
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.entries.iter().map(|(key, entry)| (*key, &entry.value))
    }

    /// Each one with the time at which it was last seen; those for which `keep` says no are forgotten.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(K, Duration, &mut T) -> bool) {
        self.entries.retain(|key, entry| keep(*key, entry.seen, &mut entry.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_not_seen_for_longest_makes_room() {
        let mut memory = Memory::<u32, u32>::default();
        for i in 0..MOST as u32 {
            assert!(memory.make_room(i).is_none());
            *memory.see(i, Duration::from_millis(u64::from(i))) = i;
        }
        assert!(memory.make_room(0).is_none());
        memory.see(0, Duration::from_secs(9));
        assert_eq!(memory.make_room(5_000), Some((1, 1)));
        memory.see(5_000, Duration::from_secs(9));
        assert_eq!(memory.iter().count(), MOST);
        assert!(memory.get_mut(1).is_none() && memory.get_mut(0).is_some());
    }
}
