//! The figures beside TrackEval's: on what the authors' programs of SORT, ByteTrack and OC-SORT put out, and on random sequences.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{judged, options};
use crate::{
    track::associate::Kind,
    trackeval::{Judged, Options, Rates, Report, Row},
};

/// The folder of shared test data, or a loud word.
fn data() -> Option<PathBuf> {
    let root = std::env::var_os("EGRET_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let dir = root.join("tracking");
    if !dir.exists() {
        eprintln!("SKIPPED: no tracking data in {}", dir.display());
        return None;
    }
    Some(dir)
}

fn published(dir: &Path, benchmark: &str, trackers: &[&str]) -> Report {
    let results = trackers.iter().map(|tracker| dir.join(format!("reference_out/{tracker}__{{}}.txt"))).collect();
    judged(&Options { results, ..options(&dir.join(benchmark)) }).expect("judged")
}

/// MOTA, IDF1, HOTA and switches by TrackEval on the outputs of the authors' Python programs: MOT17-02, 05, 09 and 13 together,
/// TUD-Campus, TUD-Stadtmitte.
const SORT: [&str; 3] = ["60.798 64.759 54.652 177", "62.674 60.645 45.257 6", "71.713 73.467 53.034 10"];
const BYTETRACK: [&str; 3] = ["62.418 62.427 53.390 153", "61.281 71.318 51.388 4", "69.896 75.772 53.734 10"];
const OCSORT: [&str; 3] = ["60.805 63.695 54.513 148", "58.774 69.243 49.889 3", "69.550 73.892 51.605 14"];

fn told(row: &Row) -> String {
    let f = row.figures;
    format!("{:.3} {:.3} {:.3} {}", f.mota, f.idf1, f.hota, f.id_switches)
}

/// Checks the figures of two reports against one line for each tracker.
fn are(mot17: &Report, mot15: &Report, expected: &[[&str; 3]]) {
    assert_eq!((mot17.trackers.len(), mot15.trackers.len()), (expected.len(), expected.len()));
    for ((mot17, mot15), expected) in mot17.trackers.iter().zip(&mot15.trackers).zip(expected) {
        let [campus, stadtmitte] = mot15.sequences.as_slice() else { panic!("two sequences") };
        assert_eq!([told(&mot17.combined), told(campus), told(stadtmitte)], *expected, "{}", mot17.tracker);
    }
}

#[test]
fn the_figures_of_published_programs_are_those_of_trackeval() {
    let Some(dir) = data() else { return };
    let names = ["sort", "bytetrack", "ocsort"];
    let (mot17, report) = (published(&dir, "mot17", &names), published(&dir, "mot15", &names));
    are(&mot17, &report, &[SORT, BYTETRACK, OCSORT]);
    assert_eq!(report.trackers.iter().map(|judged| judged.tracker.as_str()).collect::<Vec<_>>(), names);
    // As SORT's own page has them, by the older tools of MOTChallenge.
    let f = report.trackers[0].sequences[0].figures;
    assert_eq!((f.false_positives, f.false_negatives, f.id_switches, f.fragmentations), (15, 113, 6, 9));
    assert_eq!((format!("{:.1}", f.mota), format!("{:.1}", f.motp)), ("62.7".to_owned(), "73.7".to_owned()));
}

/// Ours count time; asked to count frames, they are the published ones. What is written and read again is judged the same.
#[test]
fn the_trackers_run_as_published_have_the_published_figures() {
    let Some(dir) = data() else { return };
    let out = TempDir::new().expect("a folder");
    let ran = |folder: &str, every| {
        let options = Options {
            trackers: vec![Kind::Sort, Kind::OcSort],
            as_published: true,
            rates: Rates::new(&["25".to_owned()]).expect("a rate"),
            write: Some(out.path().to_owned()),
            every,
            ..options(&dir.join(folder))
        };
        let again =
            Options { trackers: vec![], results: vec![out.path().join("sort"), out.path().join("ocsort")], ..options.clone() };
        (judged(&options).expect("judged"), judged(&again).expect("judged"))
    };
    let (mot17, mot15) = (ran("mot17", 1), ran("mot15", 1));
    are(&mot17.0, &mot15.0, &[SORT, OCSORT]);
    for (report, again) in [mot17, mot15, ran("mot17", 4)] {
        for (judged, again) in report.trackers.iter().zip(&again.trackers) {
            assert_eq!((&judged.tracker, judged.combined.figures), (&again.tracker, again.combined.figures));
            assert!(judged.combined.cpu_us_per_frame.is_some() && again.combined.cpu_us_per_frame.is_none());
        }
    }
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/trackeval_reference.py");

/// All figures by TrackEval itself, for each folder of sequences, results and benchmark.
fn reference(asked: &[(PathBuf, PathBuf, &str)]) -> Vec<Value> {
    let Some(python) = std::env::var_os("EGRET_REFERENCE_PYTHON") else {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON names no Python with trackeval");
        return Vec::new();
    };
    let mut command = std::process::Command::new(python);
    command.arg("-B").arg(SCRIPT);
    for (sequences, results, benchmark) in asked {
        command.arg(sequences).arg(results).arg(benchmark);
    }
    let output = command.output().expect("EGRET_REFERENCE_PYTHON starts");
    if output.status.code() == Some(77) {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON: {}", String::from_utf8_lossy(&output.stderr).trim());
        return Vec::new();
    }
    assert!(output.status.success(), "TrackEval failed: {}", String::from_utf8_lossy(&output.stderr));
    let told: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told.len(), asked.len());
    told
}

/// Compares every figure of a report with TrackEval's.
fn same(judged: &Judged, reference: &Value) {
    for row in judged.sequences.iter().chain([&judged.combined]) {
        let ours = serde_json::to_value(row.figures).expect("JSON");
        let theirs = &reference[&row.sequence];
        for (name, value) in ours.as_object().expect("an object") {
            let (ours, theirs) = (value.as_f64().expect("a number"), theirs[name].as_f64().expect("a number"));
            assert!((ours - theirs).abs() < 1e-9, "{} {}: {name} {ours} instead of {theirs}", judged.tracker, row.sequence);
        }
    }
}

#[test]
fn all_figures_of_published_programs_are_those_of_trackeval_itself() {
    let Some(dir) = data() else { return };
    let (mut asked, mut told) = (Vec::new(), Vec::new());
    for (folder, benchmark) in [("mot15", "MOT15"), ("mot17", "MOT17")] {
        for judged in published(&dir, folder, &["sort", "bytetrack", "ocsort"]).trackers {
            asked.push((dir.join(folder), dir.join(format!("reference_out/{}__{{}}.txt", judged.tracker)), benchmark));
            told.push(judged);
        }
    }
    told.iter().zip(reference(&asked)).for_each(|(judged, reference)| same(judged, &reference));
}

/// SplitMix64 (Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A sequence in which everything goes wrong that can: misses, false boxes, switches, boxes that count for nothing or distract, frames
/// without objects or without tracks.
fn chaos(dice: &mut Dice, classes: bool) -> (String, String, u64) {
    let (frames, objects) = (8 + dice.below(40), 1 + dice.below(9));
    let (mut truth, mut tracks) = (Vec::new(), Vec::new());
    let silent = dice.share() < 0.1;
    for frame in 1..=frames {
        let (blind, bare) = (dice.share() < 0.08, dice.share() < 0.08);
        let mut used = std::collections::BTreeSet::new();
        for object in 0..objects {
            let (x, y) = (60.0 * dice.share() + 20.0 * object as f64, 40.0 * dice.share());
            let (w, h) = (30.0 + 10.0 * dice.share(), 60.0 + 20.0 * dice.share());
            if !bare && dice.share() < 0.9 {
                let flag = u8::from(dice.share() < 0.9);
                let class = [1, 1, 1, 1, 2, 3, 7, 8, 12][(object % 9) as usize];
                let rest = if classes { format!("{class},1") } else { "-1,-1,-1".to_owned() };
                truth.push(format!("{frame},{},{x:.3},{y:.3},{w:.3},{h:.3},{flag},{rest}", object + 1));
            }
            let id = if dice.share() < 0.06 { 100 + dice.below(20) } else { object + 10 * (frame / (6 + object)) };
            if !silent && !blind && dice.share() < 0.85 && used.insert(id) {
                let mut shake = || 12.0 * (dice.share() - 0.5);
                let [x, y, w, h] = [x + shake(), y + shake(), w + shake(), h + shake()];
                tracks.push(format!("{frame},{id},{x:.3},{y:.3},{w:.3},{h:.3},1,-1,-1,-1"));
            }
        }
    }
    (truth.join("\n"), tracks.join("\n"), frames)
}

#[test]
fn all_figures_of_random_sequences_are_those_of_trackeval_itself() {
    let folder = TempDir::new().expect("a folder");
    let (mut asked, mut told) = (Vec::new(), Vec::new());
    for (benchmark, classes, seed) in [("MOT15", false, 15), ("MOT17", true, 17)] {
        let mut dice = Dice(seed);
        let (data, out) = (folder.path().join(benchmark), folder.path().join("out").join(benchmark));
        fs::create_dir_all(&out).expect("a folder");
        for number in 0..40 {
            let (truth, tracks, frames) = chaos(&mut dice, classes);
            let sequence = data.join(format!("S{number:02}"));
            fs::create_dir_all(sequence.join("gt")).expect("a folder");
            fs::write(sequence.join("gt/gt.txt"), truth).expect("written");
            fs::write(sequence.join("seqinfo.ini"), format!("[Sequence]\nseqLength={frames}\n")).expect("written");
            fs::write(out.join(format!("S{number:02}.txt")), tracks).expect("written");
        }
        let report = judged(&Options { results: vec![out.clone()], ..options(&data) }).expect("judged");
        let f = report.trackers[0].combined.figures;
        eprintln!("{benchmark}: 40 random sequences, {f:?}");
        assert!(f.id_switches > 100 && f.fragmentations > 100 && f.mostly_lost > 0, "{f:?}");
        told.extend(report.trackers);
        asked.push((data, out.join("{}.txt"), benchmark));
    }
    told.iter().zip(reference(&asked)).for_each(|(judged, reference)| same(judged, &reference));
}

/// Our own tracker on the same detections: at the full rate better in every figure than the best of the three, and at a half and a quarter of
/// it. Figures that were reached, a little rounded down.
#[test]
fn our_own_is_better_in_every_figure_at_every_rate() {
    let Some(dir) = data() else { return };
    let rates = ["MOT17-02=30", "MOT17-05=14", "MOT17-09=30", "MOT17-13=25"].map(str::to_owned);
    let rates = Rates::new(&rates).expect("rates");
    let reached = [(1, (63.2, 68.5, 58.2, 105)), (2, (62.6, 67.0, 57.2, 165)), (4, (61.8, 66.5, 56.4, 180))];
    for (every, (mota, idf1, hota, switches)) in reached {
        let options = Options {
            trackers: Kind::ALL.to_vec(),
            rates: rates.clone(),
            every,
            as_published: true,
            ..options(&dir.join("mot17"))
        };
        let report = judged(&options).expect("judged");
        let (own, others) = report.trackers.split_last().expect("four trackers");
        let own = own.combined.figures;
        for other in others {
            let figures = other.combined.figures;
            assert!(
                own.mota > figures.mota && own.idf1 > figures.idf1 && own.hota > figures.hota,
                "{}: {figures:?}",
                other.tracker
            );
        }
        eprintln!(
            "every {every}: MOTA {:.3}, IDF1 {:.3}, HOTA {:.3}, {} switches",
            own.mota, own.idf1, own.hota, own.id_switches
        );
        assert!(
            own.mota >= mota && own.idf1 >= idf1 && own.hota >= hota && own.id_switches <= switches,
            "every {every}: {own:?}"
        );
    }
}
