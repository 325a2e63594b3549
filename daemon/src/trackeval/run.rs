//! From folders and trackers to a report.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    TrackEvalError,
    figures::Outcome,
    follow::{Followed, follow, params},
    rates::{self, Rates},
    report::{About, Judged, Report, Row},
    results::{self, Results},
    scene::{Named, Scene},
    sequence::{self, Place, Sequence},
};
use crate::track::associate::Kind;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder of sequences, or one sequence.
    pub sequences: PathBuf,
    /// Trackers to run.
    pub trackers: Vec<Kind>,
    /// Whether the published trackers count frames, as their authors' programs do, and not time.
    pub as_published: bool,
    /// Results of other programs to judge: folders of `SEQ.txt` files, or paths in which `{}` stands for the sequence.
    pub results: Vec<PathBuf>,
    /// Takes frames 1, 1 + N, 1 + 2N … of each sequence.
    pub every: u32,
    /// Frame rates.
    pub rates: Rates,
    /// Folder to which the trackers' results are written.
    pub write: Option<PathBuf>,
}

/// What was found of one tracker.
struct Entry {
    name: String,
    source: Source,
    rows: Vec<Row>,
    total: Outcome,
    cpu: Duration,
}

enum Source {
    Tracker(Kind),
    Results(Results),
}

/// Runs and judges; `progress` is told the sequence that comes next.
///
/// # Errors
/// [`TrackEvalError`]: which file or option, why, and what to do.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Report, TrackEvalError> {
    let mut entries = entries(options)?;
    let places = sequence::find(&options.sequences)?;
    let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    if let Some(stray) = options.rates.stray(&names) {
        return Err(TrackEvalError::Options(format!(
            "--fps {stray}=…: no sequence of that name; there are {}",
            names.join(", ")
        )));
    }
    let rates = known_rates(options, &places)?;
    let mut report = Report { every: options.every, sequences: Vec::new(), trackers: Vec::new(), notes: Vec::new() };
    for (place, &fps) in places.iter().zip(&rates) {
        progress(&place.name);
        let sequence = Sequence::read(place, options.every, !options.trackers.is_empty())?;
        note(&sequence, &mut report.notes);
        report.sequences.push(about(&sequence, fps));
        for entry in &mut entries {
            entry.judge(&sequence, fps, options)?;
        }
    }
    let frames = report.sequences.iter().map(|sequence| sequence.frames).sum();
    report.trackers = entries.into_iter().map(|entry| entry.finish(frames)).collect();
    Ok(report)
}

fn entries(options: &Options) -> Result<Vec<Entry>, TrackEvalError> {
    let trackers = options.trackers.iter().map(|&kind| (kind.name().to_owned(), Source::Tracker(kind)));
    let results = options.results.iter().map(|path| Results::new(path)).map(|set| (set.name.clone(), Source::Results(set)));
    let mut entries: Vec<Entry> = Vec::new();
    for (name, source) in trackers.chain(results) {
        let taken = entries.iter().any(|entry| entry.name == name);
        let name = match &source {
            Source::Tracker(_) if taken => return Err(TrackEvalError::Options(format!("--tracker {name} is named twice"))),
            Source::Results(results) if taken => results.path.display().to_string(),
            _ => name,
        };
        entries.push(Entry { name, source, rows: Vec::new(), total: Outcome::default(), cpu: Duration::ZERO });
    }
    if entries.is_empty() {
        return Err(TrackEvalError::Options("nothing to judge: give --tracker NAME or --results DIR".to_owned()));
    }
    Ok(entries)
}

/// Where a tracker is to run, every rate must be known, before the first one runs.
fn known_rates(options: &Options, places: &[Place]) -> Result<Vec<Option<f64>>, TrackEvalError> {
    if options.trackers.is_empty() {
        return Ok(vec![None; places.len()]);
    }
    let table = sequence::table(&options.sequences)?;
    places.iter().map(|place| place.rate(&options.rates, &table).map(Some)).collect()
}

fn note(sequence: &Sequence, notes: &mut Vec<String>) {
    let Sequence { name, clamped, empty, .. } = sequence;
    if *clamped > 0 {
        notes.push(format!("{name}: {clamped} detections have a confidence outside 0..1 and were given the nearer of the two"));
    }
    if *empty > 0 {
        notes.push(format!("{name}: {empty} detections without an area were left out"));
    }
}

fn about(sequence: &Sequence, fps: Option<f64>) -> About {
    let scene = Scene::new(&sequence.truth, &[], false);
    About {
        name: sequence.name.clone(),
        frames: sequence.length(),
        fps,
        objects: scene.objects,
        boxes: scene.true_boxes(),
        distractors: sequence.distractors,
    }
}

impl Entry {
    fn judge(&mut self, sequence: &Sequence, fps: Option<f64>, options: &Options) -> Result<(), TrackEvalError> {
        let (tracks, cpu) = match (&self.source, fps) {
            (Source::Results(results), _) => (sequence.results(&results.file(&sequence.name)?)?, None),
            (Source::Tracker(kind), Some(fps)) => {
                let step = Duration::from_secs_f64(f64::from(options.every) / fps);
                let Followed { tracks, cpu } = follow(&params(*kind, options.as_published), &sequence.detections, step);
                once(&self.name, &sequence.name, &tracks)?;
                if let Some(folder) = &options.write {
                    results::write(folder, &self.name, &sequence.name, &tracks)?;
                }
                (tracks, Some(cpu))
            }
            (Source::Tracker(_), None) => {
                return Err(TrackEvalError::Rate { sequence: sequence.name.clone(), table: Path::new(rates::TABLE).into() });
            }
        };
        let outcome = Outcome::of(&Scene::new(&sequence.truth, &tracks, sequence.distractors));
        self.cpu += cpu.unwrap_or_default();
        self.rows.push(Row {
            sequence: sequence.name.clone(),
            figures: outcome.figures(),
            cpu_us_per_frame: cpu.map(|cpu| per_frame(cpu, sequence.length())),
        });
        self.total.add(&outcome);
        Ok(())
    }

    fn finish(self, frames: usize) -> Judged {
        let ran = matches!(self.source, Source::Tracker(_));
        let combined = Row {
            sequence: "COMBINED".to_owned(),
            figures: self.total.figures(),
            cpu_us_per_frame: ran.then(|| per_frame(self.cpu, frames)),
        };
        Judged { tracker: self.name, sequences: self.rows, combined }
    }
}

fn per_frame(cpu: Duration, frames: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / frames.max(1) as f64
}

/// An identity is in a frame once at most; our own trackers are not excused.
fn once(tracker: &str, sequence: &str, tracks: &[Vec<Named>]) -> Result<(), TrackEvalError> {
    for (frame, tracks) in (1..).zip(tracks) {
        let mut ids: Vec<u64> = tracks.iter().map(|named| named.id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(TrackEvalError::Twice { place: format!("{tracker} on {sequence}"), frame, id: twice[0] });
        }
    }
    Ok(())
}
