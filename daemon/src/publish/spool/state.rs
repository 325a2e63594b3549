//! What is to be known again after a restart: one small text or blob per name, replaced as a whole.
//!
//! Each name has two files, `<name>.0.state` and `<name>.1.state`: a power cut can only hurt the one that is being written, and the other
//! one has what was saved last. Sixteen bytes of magic, version and checksum, then a [frame](super::frame) with a number that rises with each
//! writing, and the bytes.
//!
//! [`States::write`] is for what changes often: it outlives the daemon, and the same file is written over until [`States::sync`] has it outlive
//! the power; then the two change their parts. [`States::save`] is both.

use std::collections::HashMap;

use super::{
    SpoolError,
    crc::crc32c,
    folder::{Disk, Folder},
    frame,
};

const MAGIC: [u8; 8] = *b"egretsta";
const VERSION: u32 = 1;
const PRELUDE: usize = 16;
/// Most bytes of one state.
const LARGEST: usize = frame::LONGEST - 8;

/// Saved states in one folder.
pub struct States<F = Disk> {
    folder: F,
    known: HashMap<String, Known>,
}

/// What is known of the copies of a name.
#[derive(Clone, Copy)]
struct Known {
    /// The one that outlives the power; it is not written to.
    safe: usize,
    /// The number of the newest one.
    number: u64,
    /// The other one is newer, and not synced.
    written: bool,
}

/// What one of the two files is.
enum Copy {
    Absent,
    Sound(u64, Vec<u8>),
    Damaged,
}

impl<F: Folder> States<F> {
    /// States in this folder.
    pub fn new(folder: F) -> Self {
        Self { folder, known: HashMap::new() }
    }

    /// What was saved last under a name, if anything ever was; after a power cut while saving, what was saved before.
    ///
    /// # Errors
    /// [`SpoolError::Version`], [`SpoolError::Damaged`], or the system's word.
    pub fn load(&mut self, name: &str) -> Result<Option<Vec<u8>>, SpoolError> {
        check(name)?;
        let copies = [self.read(name, 0)?, self.read(name, 1)?];
        let damaged = copies.iter().any(|copy| matches!(copy, Copy::Damaged));
        let sound = copies.into_iter().enumerate().filter_map(|(which, copy)| match copy {
            Copy::Sound(number, bytes) => Some((number, which, bytes)),
            _ => None,
        });
        match sound.max_by_key(|(number, ..)| *number) {
            Some((number, which, bytes)) => {
                // One that a killed daemon wrote may be with the kernel only, and it is the newest: the older one gives way.
                self.known.insert(name.to_owned(), Known { safe: which, number, written: false });
                Ok(Some(bytes))
            }
            None if damaged => Err(SpoolError::Damaged { name: name.to_owned() }),
            None => Ok(None),
        }
    }

    /// Saves bytes under a name. When this returns, they outlive the power.
    ///
    /// # Errors
    /// They are too many, or the device does not take them: what was saved before is still there.
    pub fn save(&mut self, name: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        self.write(name, bytes)?;
        self.sync(name)
    }

    /// Writes bytes under a name. When this returns, they outlive the daemon.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        if bytes.len() > LARGEST {
            return Err(SpoolError::TooLarge { what: "a state", bytes: bytes.len(), limit: LARGEST });
        }
        let Known { safe, number, .. } = self.known(name)?;
        let mut out = beginning();
        frame::append(&mut out, |out| {
            out.extend_from_slice(&(number + 1).to_le_bytes());
            out.extend_from_slice(bytes);
        });
        let file = file(name, 1 - safe);
        let refused = |error| SpoolError::new(file.clone(), error);
        self.folder.write_at(&file, 0, &out).map_err(refused)?;
        self.folder.truncate(&file, out.len() as u64).map_err(refused)?;
        self.known.insert(name.to_owned(), Known { safe, number: number + 1, written: true });
        Ok(())
    }

    /// What was written under a name outlives the power from here on.
    ///
    /// # Errors
    /// The device does not take it: what was saved before is still there.
    pub fn sync(&mut self, name: &str) -> Result<(), SpoolError> {
        let Some(known) = self.known.get_mut(name).filter(|known| known.written) else { return Ok(()) };
        let file = file(name, 1 - known.safe);
        let refused = |error| SpoolError::new(file.clone(), error);
        self.folder.sync(&file).map_err(refused)?;
        self.folder.sync_names().map_err(refused)?;
        (known.safe, known.written) = (1 - known.safe, false);
        Ok(())
    }

    fn known(&mut self, name: &str) -> Result<Known, SpoolError> {
        if !self.known.contains_key(name) {
            match self.load(name) {
                Ok(_) | Err(SpoolError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.known.get(name).copied().unwrap_or(Known { safe: 1, number: 0, written: false }))
    }

    fn read(&mut self, name: &str, which: usize) -> Result<Copy, SpoolError> {
        let file = file(name, which);
        let bytes = match self.folder.read(&file, (PRELUDE + frame::HEAD + frame::LONGEST + 1) as u64) {
            // Made, and never written: the disk was full.
            Ok(bytes) if bytes.is_empty() => return Ok(Copy::Absent),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Copy::Absent),
            Err(error) => return Err(SpoolError::new(file, error)),
        };
        let Some((start, rest)) = bytes.split_at_checked(PRELUDE) else { return Ok(Copy::Damaged) };
        let word = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        if start[..8] != MAGIC || crc32c(&[&start[..12]]) != word(12) {
            return Ok(Copy::Damaged);
        }
        if word(8) != VERSION {
            return Err(SpoolError::Version { file: format!("{}/{file}", self.folder.place()), found: word(8), known: VERSION });
        }
        let body = frame::body(rest).and_then(|body| body.split_first_chunk::<8>());
        Ok(body.map_or(Copy::Damaged, |(number, bytes)| Copy::Sound(u64::from_le_bytes(*number), bytes.to_vec())))
    }
}

fn beginning() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    let sum = crc32c(&[&out]);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn file(name: &str, which: usize) -> String {
    format!("{name}.{which}.state")
}

/// A name becomes the name of a file.
fn check(name: &str) -> Result<(), SpoolError> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(sound) {
        let reason = format!("is to be 1 to 64 letters, digits, - or _, not {name:?}");
        return Err(SpoolError::Settings { key: "the name of a state", reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::cut::World, *};

    #[test]
    fn what_is_saved_is_loaded_and_the_shorter_replaces_the_longer() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut states = States::new(Disk::open(dir.path()).expect("opens"));
        assert_eq!(states.load("counts").expect("reads"), None);
        for text in [&b"a long one"[..], b"short", b""] {
            states.save("counts", text).expect("saves");
            assert_eq!(states.load("counts").expect("reads").as_deref(), Some(text));
        }
        states.save("tracks", b"other").expect("saves");
        assert_eq!(states.load("counts").expect("reads").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn bad_names_sizes_and_versions_are_refused() {
        let world = World::default();
        let mut states = States::new(world.folder());
        for name in ["", "a/b", "../x", &"n".repeat(65)] {
            let error = states.save(name, b"").expect_err(name).to_string();
            assert!(error.contains("name of a state"), "{error}");
        }
        assert!(matches!(states.save("big", &vec![0; LARGEST + 1]), Err(SpoolError::TooLarge { .. })));
        let mut newer = MAGIC.to_vec();
        newer.extend_from_slice(&9_u32.to_le_bytes());
        newer.extend_from_slice(&crc32c(&[&newer]).to_le_bytes());
        states.folder.write_at("x.1.state", 0, &newer).expect("writes");
        let error = states.save("x", b"").expect_err("another version").to_string();
        assert!(error.contains("x.1.state") && error.contains("format 9"), "{error}");
    }

    #[test]
    fn both_copies_damaged_is_said_and_can_be_replaced() {
        let world = World::default();
        let mut states = States::new(world.folder());
        states.save("a", b"one").expect("saves");
        world.flip("a.0.state", 30, 1);
        let mut again = States::new(world.folder());
        assert!(matches!(again.load("a"), Err(SpoolError::Damaged { .. })));
        again.save("a", b"two").expect("saves");
        assert_eq!(again.load("a").expect("reads").as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn what_is_written_outlives_the_daemon_and_what_is_synced_the_power() {
        let world = World::default();
        let mut states = States::new(world.folder());
        for text in [&b"one"[..], b"two", b"three"] {
            states.write("a", text).expect("writes");
            assert_eq!(States::new(world.folder()).load("a").expect("reads").as_deref(), Some(text));
        }
        assert_eq!(world.names(), ["a.0.state"], "it is written over");
        states.sync("a").expect("syncs");
        states.sync("a").expect("nothing to do");
        states.sync("b").expect("nothing to do");
        states.write("a", b"four").expect("writes");
        world.flip("a.1.state", 20, 1);
        assert_eq!(States::new(world.folder()).load("a").expect("reads").as_deref(), Some(&b"three"[..]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Whenever the power goes, the state is the last one that was synced, or one that was written behind it.
        #[test]
        fn a_cut_leaves_what_was_synced_or_something_newer(
            steps in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..2000), any::<bool>()), 1..10),
            fails_at in 0..40_u32, seed in any::<u64>(),
        ) {
            let world = World::default();
            let mut states = States::new(world.folder());
            let (mut allowed, mut synced): (Vec<Option<Vec<u8>>>, _) = (vec![None], false);
            world.fail_after(fails_at);
            for (bytes, sync) in &steps {
                allowed.push(Some(bytes.clone()));
                if states.write("a", bytes).is_err() {
                    break;
                }
                if *sync {
                    if states.sync("a").is_err() {
                        break;
                    }
                    (allowed, synced) = (vec![Some(bytes.clone())], true);
                }
            }
            world.cut(seed);
            match States::new(world.folder()).load("a") {
                Ok(loaded) => prop_assert!(allowed.contains(&loaded), "{:?}", loaded),
                Err(error) => prop_assert!(!synced, "{error}"),
            }
        }

        /// Whenever the power goes, the state is the last one that was saved, or the one whose saving was under way.
        #[test]
        fn a_cut_leaves_the_last_or_the_one_before(
            saves in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 1..6),
            fails_at in 0..30_u32, seed in any::<u64>(),
        ) {
            let world = World::default();
            let mut states = States::new(world.folder());
            let (mut kept, mut under_way) = (None, None);
            world.fail_after(fails_at);
            for bytes in &saves {
                if states.save("a", bytes).is_err() {
                    under_way = Some(bytes.clone());
                    break;
                }
                kept = Some(bytes.clone());
            }
            world.cut(seed);
            let loaded = States::new(world.folder()).load("a");
            match loaded {
                Ok(loaded) => prop_assert!(loaded == kept || loaded == under_way, "{:?}", loaded),
                Err(error) => prop_assert!(kept.is_none(), "{error}"),
            }
        }
    }
}
