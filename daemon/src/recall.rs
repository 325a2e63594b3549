//! What is to be known again after a restart, and is written down while the daemon runs: by a thread of its own, since a disk may take its
//! time. It stands beside the queue of messages, in folders of its own within the queue's.
//!
//! What has changed is written at short intervals and outlives the daemon's crash from then on; it is synced at long ones, which is kind to
//! flash, and outlives the power from then on.

use std::{
    io,
    path::Path,
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    analyse,
    config::Config,
    publish::spool::{Disk, SpoolError, States},
};

/// What has changed is written so often: what a crash may cost.
pub const WRITE_EVERY: Duration = Duration::from_millis(200);
/// What was written is synced so often: what a power cut may cost.
pub const SYNC_EVERY: Duration = Duration::from_secs(30);

/// Why there is no memory.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// The folder, or what stands in it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The system gives no thread.
    #[error("no thread for what is remembered: {0}")]
    Thread(#[from] io::Error),
}

/// A thread that writes one thing down. Dropped, it writes and syncs what is new, and ends.
#[derive(Debug)]
pub struct Recall {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One thing that was written down, before it is again.
pub struct Memory {
    states: States<Disk>,
    name: &'static str,
}

impl Memory {
    /// The memory of this name in the queue's folder, and what the last run wrote there. What is damaged is reported, and nothing then.
    ///
    /// # Errors
    /// Somebody else has it open, another version wrote it, or the disk does not give it.
    pub fn open(queue: &Path, name: &'static str) -> Result<(Self, Option<Vec<u8>>), SpoolError> {
        let folder = queue.join(name);
        let mut states = States::new(Disk::open(&folder)?);
        let saved = match states.load(name) {
            Err(error @ SpoolError::Damaged { .. }) => {
                tracing::error!(folder = %folder.display(), %error, "nothing is remembered of the last run");
                None
            }
            saved => saved?,
        };
        Ok((Self { states, name }, saved))
    }

    /// Starts to write down what `news` gives; `None`: nothing has changed.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn keep(self, news: impl FnMut() -> Option<Vec<u8>> + Send + 'static) -> Result<Recall, RecallError> {
        let (stop, stopped) = sync_channel(0);
        let work = move || {
            let (synced, unsynced) = (Instant::now(), None);
            let mut writing = Writing { memory: self, news, unsynced, unwritten: false, synced, complained: false };
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(WRITE_EVERY) {
                writing.work(false);
            }
            writing.work(true);
        };
        let thread = thread::Builder::new().name("memory".into()).spawn(work)?;
        Ok(Recall { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Recall {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panic_is_reported = thread.join();
        }
    }
}

struct Writing<F> {
    memory: Memory,
    news: F,
    /// What is newer than the last sync.
    unsynced: Option<Vec<u8>>,
    /// It has to be written, or written again: a sync that fails may have dropped it.
    unwritten: bool,
    synced: Instant,
    complained: bool,
}

impl<F: FnMut() -> Option<Vec<u8>>> Writing<F> {
    fn work(&mut self, last: bool) {
        if let Some(news) = (self.news)() {
            (self.unsynced, self.unwritten) = (Some(news), true);
        }
        let done = self.write(last);
        if let Err(error) = &done
            && !self.complained
        {
            tracing::error!(%error, "what is to be known after a restart cannot be written: it is tried again and again");
        }
        self.complained = done.is_err();
    }

    fn write(&mut self, last: bool) -> Result<(), SpoolError> {
        let (Memory { states, name }, Some(bytes)) = (&mut self.memory, &self.unsynced) else { return Ok(()) };
        if self.unwritten {
            states.write(name, bytes)?;
            self.unwritten = false;
        }
        if last || self.synced.elapsed() >= SYNC_EVERY {
            (self.synced, self.unwritten) = (Instant::now(), true);
            states.sync(name)?;
            (self.unsynced, self.unwritten) = (None, false);
        }
        Ok(())
    }
}

/// Restores what the rules had counted, and writes down what they count from here on. `None`: there is no place for it, or no way to use it,
/// which is reported: counts then start anew.
pub fn counts(config: &Config, counters: &analyse::Counters) -> Option<Recall> {
    let queue = &config.mqtt.as_ref()?.queue.as_ref()?.directory;
    let ledger = counters.ledger().clone();
    let known = |camera: &str, rule: &str| {
        let camera = config.cameras.iter().find(|known| known.name == camera);
        camera.is_some_and(|camera| camera.rules.rules.iter().any(|known| known.name == rule))
    };
    let open = || -> Result<Recall, RecallError> {
        let (memory, saved) = Memory::open(queue, "counts")?;
        match ledger.restore(saved.as_deref().unwrap_or_default(), known) {
            Ok(0) => {}
            Ok(rules) => tracing::info!(rules, "counts go on where the last run ended"),
            Err(error) => tracing::error!(%error, "what the last run counted cannot be read: counts start anew"),
        }
        memory.keep(move || ledger.news())
    };
    open().map_err(|error| tracing::error!(%error, "counts will start anew after a restart")).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn keep(folder: &Path, text: &Arc<Mutex<Option<Vec<u8>>>>) -> (Recall, Option<Vec<u8>>) {
        let (memory, saved) = Memory::open(folder, "test").expect("opens");
        let text = text.clone();
        (memory.keep(move || text.lock().expect("no panic").take()).expect("a thread"), saved)
    }

    #[test]
    fn what_was_last_is_known_again_and_damage_is_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = Arc::new(Mutex::new(None));
        let (recall, saved) = keep(dir.path(), &text);
        assert_eq!(saved, None);
        assert!(matches!(Memory::open(dir.path(), "test"), Err(SpoolError::Locked { .. })), "one daemon at a time");
        *text.lock().expect("no panic") = Some(b"one".to_vec());
        drop(recall);
        let (recall, saved) = keep(dir.path(), &text);
        assert_eq!(saved.as_deref(), Some(&b"one"[..]));
        *text.lock().expect("no panic") = Some(b"two".to_vec());
        drop(recall);
        for file in std::fs::read_dir(dir.path().join("test")).expect("lists").flatten() {
            if file.file_name() != "lock" {
                let mut bytes = std::fs::read(file.path()).expect("reads");
                bytes.pop();
                std::fs::write(file.path(), bytes).expect("writes");
            }
        }
        assert_eq!(keep(dir.path(), &text).1, None);
    }
}
