//! The folder of the queue: held by one daemon at a time.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{Read as _, Write as _},
    path::Path,
};

use super::SpoolError;
pub use crate::file::{Disk, Folder};

/// The file that holds the lock.
const LOCK: &str = "lock";

impl Disk {
    /// Opens a folder, and makes it where there is none. It is locked against other daemons for as long as this lives.
    ///
    /// # Errors
    /// [`SpoolError::Locked`], [`SpoolError::NotWritable`], or what else the system says.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let refused = |error| SpoolError::new(path.display().to_string(), error);
        fs::create_dir_all(path).map_err(refused)?;
        let mut lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join(LOCK)).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let known = (&lock).take(20).read_to_string(&mut holder).is_ok() && !holder.is_empty();
                let holder = if known { format!(" (process {})", holder.trim()) } else { String::new() };
                return Err(SpoolError::Locked { folder: path.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        // For people who wonder; the lock holds without it, on a full disk too.
        let _unsaid = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self::held(path, lock))
    }
}
