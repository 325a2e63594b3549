//! Annotated frames as JPEG files in a folder: all of them, or those around events.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::ReplayError;
use crate::{media::Canvas, observe::still::QUALITY};

/// Most frames that wait for an event to come, encoded.
const MAX_WAITING: usize = 2048;

/// A folder that gets files.
pub(super) struct Sheets {
    folder: PathBuf,
    around: Option<Duration>,
    waiting: VecDeque<(Duration, u64, Vec<u8>)>,
    /// Until when frames are written since something has happened.
    until: Option<Duration>,
    written: u64,
}

impl Sheets {
    /// Makes the folder if it is not there.
    pub(super) fn new(folder: &Path, around: Option<Duration>) -> Result<Self, ReplayError> {
        let failed = |source: std::io::Error| ReplayError::Output { file: folder.to_owned(), reason: source.to_string() };
        fs::create_dir_all(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), around, waiting: VecDeque::new(), until: None, written: 0 })
    }

    /// Frames written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Takes a frame, the `index`th of the recording. `eventful`: something has happened in it.
    pub(super) fn frame(&mut self, canvas: &Canvas, index: u64, at: Duration, eventful: bool) -> Result<(), ReplayError> {
        let jpeg = canvas.encode(QUALITY).map_err(|error| self.failed(error.to_string()))?;
        let Some(around) = self.around else { return self.write(index, &jpeg) };
        while self.waiting.len() >= MAX_WAITING || self.waiting.front().is_some_and(|(then, ..)| *then + around < at) {
            self.waiting.pop_front();
        }
        if eventful {
            self.until = Some(at + around);
            while let Some((_, index, jpeg)) = self.waiting.pop_front() {
                self.write(index, &jpeg)?;
            }
        }
        if self.until.is_some_and(|until| at <= until) {
            return self.write(index, &jpeg);
        }
        self.waiting.push_back((at, index, jpeg));
        Ok(())
    }

    fn write(&mut self, index: u64, jpeg: &[u8]) -> Result<(), ReplayError> {
        let file = self.folder.join(format!("{index:06}.jpg"));
        fs::write(&file, jpeg).map_err(|error| ReplayError::Output { file, reason: error.to_string() })?;
        self.written += 1;
        Ok(())
    }

    fn failed(&self, reason: String) -> ReplayError {
        ReplayError::Output { file: self.folder.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_around_an_event_are_written_and_no_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sheets = Sheets::new(&folder.path().join("new"), Some(Duration::from_millis(300))).expect("made");
        let canvas = Canvas::black((16, 16));
        for index in 0..30 {
            sheets.frame(&canvas, index, Duration::from_millis(100 * index), index == 10 || index == 12).expect("taken");
        }
        let mut names: Vec<String> = fs::read_dir(folder.path().join("new"))
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, (7..=15).map(|index| format!("{index:06}.jpg")).collect::<Vec<_>>());
        assert_eq!(sheets.written(), 9);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = Sheets::new(file.path(), None).map(|_| ()).expect_err("refused").to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
