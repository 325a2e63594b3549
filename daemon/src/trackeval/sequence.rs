//! Folders of MOTChallenge: `SEQ/gt/gt.txt`, `SEQ/det/det.txt`, `SEQ/seqinfo.ini`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    TrackEvalError,
    lines::{self, Kind, Line, MAX_FRAMES},
    rates::{self, Rates},
    scene::{Named, Truth, Worth},
};
use crate::media::{BBox, Detection};

const TRUTH: &str = "gt/gt.txt";
const DETECTIONS: &str = "det/det.txt";
const INFO: &str = "seqinfo.ini";
const MAX_INFO_BYTES: u64 = 1 << 16;
const MAX_SEQUENCES: usize = 1000;
const NO_FILE: &str = "a sequence of MOTChallenge has gt/gt.txt, and det/det.txt for a tracker to run on";

/// Where a sequence lies, and what is known of it before its boxes are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) name: String,
    folder: PathBuf,
    /// Frames and frames per second by its seqinfo.ini.
    length: Option<u32>,
    rate: Option<f64>,
}

/// Finds the sequences of a folder, by name; the folder itself may be one.
pub(super) fn find(folder: &Path) -> Result<Vec<Place>, TrackEvalError> {
    const REMEDY: &str = "name a sequence, or the folder that holds them, with --sequences";
    let unread = |source: io::Error| TrackEvalError::Read { file: folder.to_owned(), source, remedy: REMEDY };
    let entries = fs::read_dir(folder).map_err(unread)?;
    if is_sequence(folder) {
        // `.` has a name too.
        let whole = fs::canonicalize(folder).map_err(unread)?;
        return Ok(vec![Place::new(&whole)?]);
    }
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(unread)?.path();
        if is_sequence(&path) {
            folders.push(path);
        }
    }
    folders.sort();
    if folders.is_empty() {
        return Err(TrackEvalError::Nothing { folder: folder.to_owned(), needs: TRUTH });
    }
    if folders.len() > MAX_SEQUENCES {
        return Err(TrackEvalError::Options(format!("{} holds more than {MAX_SEQUENCES} sequences", folder.display())));
    }
    folders.iter().map(|folder| Place::new(folder)).collect()
}

fn is_sequence(folder: &Path) -> bool {
    folder.join(TRUTH).exists() || folder.join(DETECTIONS).exists()
}

/// Rates from the table beside the sequences, or above a folder that is one itself.
pub(super) fn table(folder: &Path) -> Result<(PathBuf, Rates), TrackEvalError> {
    let whole = if is_sequence(folder) { fs::canonicalize(folder).ok() } else { None };
    let beside = whole.as_deref().and_then(Path::parent).unwrap_or(folder);
    Ok((beside.join(rates::TABLE), Rates::beside(beside)?))
}

impl Place {
    fn new(folder: &Path) -> Result<Self, TrackEvalError> {
        let name = folder.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| TrackEvalError::Options(format!("{} has no readable name", folder.display())))?;
        let mut place = Self { name: name.to_owned(), folder: folder.to_owned(), length: None, rate: None };
        let info = folder.join(INFO);
        if info.exists() {
            place.inform(&info)?;
        }
        Ok(place)
    }

    fn inform(&mut self, info: &Path) -> Result<(), TrackEvalError> {
        const REMEDY: &str = "a seqinfo.ini has lines such as `seqLength=600` and `frameRate=30`";
        let text = lines::text(info, MAX_INFO_BYTES, REMEDY)?;
        for (number, line) in text.lines().enumerate() {
            let wrong = |what| TrackEvalError::Form { file: info.to_owned(), line: Some(number + 1), what, remedy: REMEDY };
            let Some((key, value)) = line.split_once('=') else { continue };
            match key.trim().to_ascii_lowercase().as_str() {
                "seqlength" => {
                    let length = value.trim().parse().ok().filter(|length| (1..=MAX_FRAMES).contains(length));
                    self.length = Some(length.ok_or_else(|| wrong(format!("{value:?} is no number of frames")))?);
                }
                "framerate" => self.rate = Some(rates::rate(value).map_err(wrong)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Frames per second: as `options` say, else the table, else the sequence itself.
    pub(super) fn rate(&self, options: &Rates, (path, table): &(PathBuf, Rates)) -> Result<f64, TrackEvalError> {
        let rate = options.of(&self.name).or_else(|| table.of(&self.name)).or(self.rate);
        rate.ok_or_else(|| TrackEvalError::Rate { sequence: self.name.clone(), table: path.clone() })
    }
}

/// A sequence as it is judged, every `every`th frame of it.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    /// True boxes, frame by frame.
    pub(crate) truth: Vec<Vec<Truth>>,
    /// Whether what distracts is to be taken out of the tracks.
    pub(super) distractors: bool,
    /// What a tracker is given, frame by frame; empty where none runs.
    pub(crate) detections: Vec<Vec<Detection>>,
    /// How many detections have a confidence outside 0..1.
    pub(super) clamped: usize,
    /// How many detections have no area.
    pub(super) empty: usize,
}

impl Sequence {
    /// Reads the boxes of a sequence; detections only where a tracker is to run.
    pub(super) fn read(place: &Place, every: u32, run: bool) -> Result<Self, TrackEvalError> {
        let truth = place.lines(TRUTH, Kind::Truth)?;
        let mut detections = if run { place.lines(DETECTIONS, Kind::Detections)? } else { Vec::new() };
        let last = truth.iter().chain(&detections).map(|line| line.frame).max().unwrap_or(0);
        let length = place.length.unwrap_or(last).div_ceil(every);
        let distractors = truth.iter().any(|line| line.class.is_some());
        let before = detections.len();
        detections.retain(|line| line.named.bbox.width > 0.0 && line.named.bbox.height > 0.0);
        let clamped = detections.iter().filter(|line| !(0.0..=1.0).contains(&line.confidence)).count();
        Ok(Self {
            name: place.name.clone(),
            truth: frames(&truth, length, every, |line| Truth { named: line.named, worth: worth(line, &place.name) }),
            distractors,
            detections: if run { frames(&detections, length, every, detection) } else { Vec::new() },
            clamped,
            empty: before - detections.len(),
        })
    }

    /// All sequences of a folder for a tracker to run on, with their frames per second.
    pub(crate) fn all(folder: &Path, rates: &Rates) -> Result<Vec<(Self, f64)>, TrackEvalError> {
        let table = table(folder)?;
        let read = |place: &Place| Ok((Self::read(place, 1, true)?, place.rate(rates, &table)?));
        find(folder)?.iter().map(read).collect()
    }

    /// Frames that are judged.
    pub(super) fn length(&self) -> usize {
        self.truth.len()
    }

    /// Tracks of another program on these very frames, counted from 1 as `--write` counts them.
    pub(super) fn results(&self, path: &Path) -> Result<Vec<Vec<Named>>, TrackEvalError> {
        const REMEDY: &str = "--results names a folder of SEQ.txt files, or a path in which {} stands for the sequence";
        let lines = lines::read(path, Kind::Results, REMEDY)?;
        let length = self.length() as u32;
        if let Some(line) = lines.iter().find(|line| line.frame > length) {
            return Err(TrackEvalError::Form {
                file: path.to_owned(),
                line: None,
                what: format!("frame {}; {} has {length} frames here", line.frame, self.name),
                remedy: "give results of these very frames; with --every N they are counted as 1, 2, 3 … too",
            });
        }
        Ok(frames(&lines, length, 1, |line| line.named))
    }
}

impl Place {
    fn lines(&self, file: &str, kind: Kind) -> Result<Vec<Line>, TrackEvalError> {
        let path = self.folder.join(file);
        let lines = lines::read(&path, kind, NO_FILE)?;
        match self.length {
            Some(length) => match lines.iter().find(|line| line.frame > length) {
                None => Ok(lines),
                Some(line) => Err(TrackEvalError::Form {
                    file: path,
                    line: None,
                    what: format!("frame {}; seqinfo.ini says that there are {length}", line.frame),
                    remedy: "correct seqLength, or remove seqinfo.ini",
                }),
            },
            None => Ok(lines),
        }
    }
}

/// The kept lines frame by frame, in the order of the file.
fn frames<T>(lines: &[Line], length: u32, every: u32, of: impl Fn(&Line) -> T) -> Vec<Vec<T>> {
    let mut frames: Vec<Vec<T>> = (0..length).map(|_| Vec::new()).collect();
    for line in lines.iter().filter(|line| (line.frame - 1).is_multiple_of(every)) {
        frames[((line.frame - 1) / every) as usize].push(of(line));
    }
    frames
}

/// By MOTChallenge's rules: persons on vehicles, persons that stand still or are pictured, what looks like a person and what is
/// mirrored distracts; in MOT20 vehicles do too.
fn worth(line: &Line, sequence: &str) -> Worth {
    // Marked with zero: not judged.
    let marked = line.confidence.trunc() != 0.0;
    match line.class {
        None | Some(1) => {
            if marked {
                Worth::Counts
            } else {
                Worth::Nothing
            }
        }
        Some(2 | 7 | 8 | 12) => Worth::Distracts,
        Some(6) if sequence.starts_with("MOT20") => Worth::Distracts,
        Some(_) => Worth::Nothing,
    }
}

/// The boxes of a det.txt alone, frame by frame from its frame 1 on; those without area are left out, as in a sequence.
///
/// # Errors
/// [`TrackEvalError`] names the line.
pub(crate) fn detections(path: &Path) -> Result<Vec<Vec<Detection>>, TrackEvalError> {
    let mut lines = lines::read(path, Kind::Detections, "name a file in the form of MOTChallenge's det.txt")?;
    lines.retain(|line| line.named.bbox.width > 0.0 && line.named.bbox.height > 0.0);
    let length = lines.iter().map(|line| line.frame).max().unwrap_or(0);
    Ok(frames(&lines, length, 1, detection))
}

fn detection(line: &Line) -> Detection {
    let rect = line.named.bbox;
    let bbox = BBox::new(rect.left as f32, rect.top as f32, (rect.left + rect.width) as f32, (rect.top + rect.height) as f32);
    Detection { class: 0, confidence: line.confidence.clamp(0.0, 1.0) as f32, bbox }
}
