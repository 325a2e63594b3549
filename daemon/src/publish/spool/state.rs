//! What is to be known again after a restart: one small text or blob per name, replaced as a whole.
//!
//! Each name has two files that are written in turn, `<name>.0.state` and `<name>.1.state`: a power cut can only hurt the one that is being written,
//! and the other one has what was saved before. Sixteen bytes of magic, version and checksum, then a [frame](super::frame) with a
//! number that rises with each saving, and the bytes.

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
    /// The newest sound copy of each name: which of the two, and its number.
    newest: HashMap<String, (usize, u64)>,
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
        Self { folder, newest: HashMap::new() }
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
                self.newest.insert(name.to_owned(), (which, number));
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
        if bytes.len() > LARGEST {
            return Err(SpoolError::TooLarge { what: "a state", bytes: bytes.len(), limit: LARGEST });
        }
        if !self.newest.contains_key(name) {
            match self.load(name) {
                Ok(_) | Err(SpoolError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let (which, number) = self.newest.get(name).map_or((0, 1), |(which, number)| (1 - which, number + 1));
        let mut out = beginning();
        frame::append(&mut out, |out| {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(bytes);
        });
        let file = file(name, which);
        let refused = |error| SpoolError::new(file.clone(), error);
        self.folder.write_at(&file, 0, &out).map_err(refused)?;
        self.folder.truncate(&file, out.len() as u64).map_err(refused)?;
        self.folder.sync(&file).map_err(refused)?;
        self.folder.sync_names().map_err(refused)?;
        self.newest.insert(name.to_owned(), (which, number));
        Ok(())
    }

    fn read(&mut self, name: &str, which: usize) -> Result<Copy, SpoolError> {
        let file = file(name, which);
        let bytes = match self.folder.read(&file, (PRELUDE + frame::HEAD + frame::LONGEST + 1) as u64) {
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
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
