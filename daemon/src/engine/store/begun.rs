//! Builds that ended with the process: a few in a row are tried again, then not for a while.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Store, lock};
use crate::engine::Key;

/// So many builds may end with the process, one after the other.
const MOST: u32 = 3;
/// Then it is left alone for so long: power cuts pass, crashes do not.
const REST: Duration = Duration::from_hours(1);

/// What is written down while an engine is being built.
#[derive(Serialize, Deserialize)]
struct Begun {
    builds: u32,
    /// Since 1970.
    at_s: u64,
}

impl Store {
    /// Writes down that a build begins, so that the next start knows how it ended if nobody could say so any more.
    ///
    /// # Errors
    /// In one line: too many ended with the process. A file that cannot be written is no reason.
    pub fn begin(&mut self, key: &Key) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.begin_at(key, now.as_secs())
    }

    fn begin_at(&mut self, key: &Key, at_s: u64) -> Result<(), String> {
        let path = self.begun(key);
        let last = crate::file::text(&path, 200).ok().and_then(|text| serde_json::from_str::<Begun>(&text).ok());
        let mut builds = last.as_ref().map_or(0, |last| last.builds);
        if let Some(last) = last.filter(|last| last.builds >= MOST) {
            // A clock that went back says nothing.
            if at_s.checked_sub(last.at_s).is_some_and(|passed| passed < REST.as_secs()) {
                return Err(format!(
                    "the last {MOST} builds of it ended with the whole process: no start within {} min begins another; see the log, or \
                     run `egret engine build`",
                    REST.as_secs() / 60
                ));
            }
            builds = 0;
        }
        let _written = lock::make(self.directory()).map_err(drop).and_then(|()| {
            let text = serde_json::to_string(&Begun { builds: builds + 1, at_s }).unwrap_or_default();
            crate::file::Fresh::write(&path, text.as_bytes()).and_then(crate::file::Fresh::place).map_err(drop)
        });
        Ok(())
    }

    /// A build has ended, well or not, and somebody could say so.
    pub fn end(&mut self, key: &Key) {
        let _gone = std::fs::remove_file(self.begun(key));
    }

    fn begun(&self, key: &Key) -> std::path::PathBuf {
        self.directory().join(format!("{}.begun", key.stem()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::key::tests::key;

    #[test]
    fn builds_that_end_with_the_process_are_not_begun_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::new(folder.path());
        for at in 0..u64::from(MOST) {
            store.begin_at(&key(), 1000 + at).expect("begun");
        }
        let refused = store.begin_at(&key(), 1003).expect_err("enough");
        assert!(refused.contains("ended with the whole process") && refused.contains("egret engine build"), "{refused}");
        store.begin_at(&key(), 1002 + REST.as_secs()).expect("after a rest");
        store.end(&key());
        for at in 0..10 {
            store.begin_at(&key(), at).expect("each ended in order");
            store.end(&key());
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
