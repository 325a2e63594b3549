//! The figures on what was worked by hand, and the refusals.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::*;
use crate::track::associate::Kind;

fn named(id: u64, left: f64) -> Named {
    Named { id, bbox: Rect { left, top: 0.0, width: 10.0, height: 10.0 } }
}

fn truth(id: u64, left: f64) -> Truth {
    Truth { named: named(id, left), worth: Worth::Counts }
}

fn near(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 1e-9
}

/// An object in four frames, under one name in the first two and another in the rest.
#[test]
fn a_switch_half_way_as_worked_by_hand() {
    let objects: Vec<Vec<Truth>> = (0..4).map(|_| vec![truth(7, 0.0)]).collect();
    let tracks: Vec<Vec<Named>> = (0..4).map(|frame| vec![named(if frame < 2 { 1 } else { 2 }, 0.0)]).collect();
    let f = Outcome::of(&Scene::new(&objects, &tracks, false)).figures();
    assert_eq!((f.id_switches, f.fragmentations, f.true_positives, f.false_positives, f.false_negatives), (1, 0, 4, 0, 0));
    assert!(near(f.mota, 75.0) && near(f.motp, 100.0) && near(f.idf1, 50.0), "{f:?}");
    // Every box was found; each of the four has two of the four frames that either name has: 2 / (4 + 2 - 2).
    assert!(near(f.det_a, 100.0) && near(f.ass_a, 50.0) && near(f.hota, 100.0 * 0.5f64.sqrt()), "{f:?}");
}

/// Found, missed, found: a fragment and no switch. A box that lies half beside is found up to its own IoU of 3/5.
#[test]
fn a_gap_and_a_shift_as_worked_by_hand() {
    let objects: Vec<Vec<Truth>> = (0..3).map(|_| vec![truth(0, 0.0), truth(1, 100.0)]).collect();
    let tracks = [vec![named(5, 2.5), named(6, 100.0)], vec![named(6, 100.0)], vec![named(5, 2.5), named(6, 100.0)]];
    let f = Outcome::of(&Scene::new(&objects, &tracks, false)).figures();
    assert_eq!((f.fragmentations, f.id_switches, f.false_negatives), (1, 0, 1));
    assert_eq!((f.mostly_tracked, f.partly_tracked, f.mostly_lost), (1, 1, 0));
    assert!(near(f.motp, 100.0 * (3.0 + 2.0 * 0.6) / 5.0), "{f:?}");
    assert!(near(f.idr, 100.0 * 5.0 / 6.0) && near(f.idp, 100.0), "{f:?}");
    // 12 of the 19 thresholds are at or below 0.6: there five of six boxes are found; above it three, with two wrong ones.
    let below = 12.0 * (5.0 / 6.0);
    assert!(near(f.det_a, 100.0 * (below + 7.0 * (3.0 / 8.0)) / 19.0), "{f:?}");
}

#[test]
fn who_was_together_stays_together_and_only_then_the_overlap_decides() {
    // In the second frame the other track lies better, but the first one still overlaps by more than a half.
    let objects = [vec![truth(0, 0.0)], vec![truth(0, 0.0)]];
    let tracks = [vec![named(1, 0.0)], vec![named(1, 3.0), named(2, 0.0)]];
    let f = Outcome::of(&Scene::new(&objects, &tracks, false)).figures();
    assert_eq!((f.id_switches, f.false_positives), (0, 1));
}

#[test]
fn tracks_on_what_distracts_are_neither_right_nor_wrong() {
    let worth = |worth| Truth { named: named(0, 50.0), worth };
    for (on, false_positives) in [(Worth::Distracts, 0), (Worth::Nothing, 1)] {
        let scene = Scene::new(&[vec![truth(1, 0.0), worth(on)]], &[vec![named(1, 0.0), named(2, 50.0)]], true);
        let f = Outcome::of(&scene).figures();
        assert_eq!((f.true_positives, f.false_positives), (1, false_positives), "{on:?}");
        // What is neither is nobody that could be missed.
        assert_eq!(f.false_negatives, 0);
    }
    // Where an object that counts is nearer, the track is its.
    let both = [vec![truth(1, 50.0), Truth { named: named(0, 52.0), worth: Worth::Distracts }]];
    assert_eq!(Outcome::of(&Scene::new(&both, &[vec![named(2, 50.0)]], true)).figures().true_positives, 1);
}

#[test]
fn nothing_found_and_nothing_there() {
    let objects = [vec![truth(0, 0.0)], vec![truth(0, 0.0)]];
    let f = Outcome::of(&Scene::new(&objects, &[], false)).figures();
    assert_eq!((f.false_negatives, f.mostly_lost), (2, 1));
    assert!(near(f.hota, 0.0) && near(f.mota, 0.0) && near(f.loc_a, 100.0) && near(f.idf1, 0.0), "{f:?}");
    let f = Outcome::of(&Scene::new(&[vec![], vec![]], &[vec![named(1, 0.0)]], false)).figures();
    assert_eq!((f.false_positives, f.mostly_lost), (1, 0));
    assert!(near(f.hota, 0.0) && near(f.mota, 0.0) && near(f.idf1, 0.0), "{f:?}");
    let f = Outcome::default().figures();
    assert!([f.hota, f.mota, f.motp, f.idf1, f.idp, f.idr].into_iter().all(|value| near(value, 0.0)), "{f:?}");
}

fn options(sequences: &Path) -> Options {
    Options {
        sequences: sequences.to_owned(),
        trackers: vec![],
        as_published: false,
        results: vec![],
        every: 1,
        rates: Rates::default(),
        write: None,
    }
}

fn judged(options: &Options) -> Result<Report, String> {
    run(options, &mut |_| {}).map_err(|error| error.to_string())
}

/// Writes files under a folder.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    }
    folder
}

const TWO: &str = "1,1,10,10,20,40,1,-1,-1,-1\n2,1,12,10,20,40,1,-1,-1,-1\n3,1,14,10,20,40,1,-1,-1,-1\n";

#[test]
fn every_nth_frame_is_what_a_slower_camera_sees() {
    let truth = (1..=9).map(|f| format!("{f},1,{f},0,10,20,1,-1,-1,-1")).collect::<Vec<_>>().join("\n");
    let slow = "1,1,1,0,10,20,1,-1,-1,-1\n2,1,5,0,10,20,1,-1,-1,-1\n3,1,9,0,10,20,1,-1,-1,-1\n";
    let folder = folder(&[("data/A/gt/gt.txt", &truth), ("out/A.txt", slow)]);
    let data = folder.path().join("data");
    let report = judged(&Options { every: 4, results: vec![folder.path().join("out")], ..options(&data) }).expect("judged");
    assert_eq!((report.sequences[0].frames, report.sequences[0].boxes), (3, 3));
    let f = report.trackers[0].combined.figures;
    assert!(near(f.mota, 100.0) && near(f.hota, 100.0), "{f:?}");
    let beyond = judged(&Options { every: 5, results: vec![folder.path().join("out")], ..options(&data) }).expect_err("beyond");
    assert!(beyond.contains("A.txt: frame 3; A has 2 frames here"), "{beyond}");
}

/// What is asked of them, and what the answer must say.
#[test]
fn what_is_no_sequence_and_no_result_is_refused() {
    let nine = "1,1,10,10,20,40,1,1,1\n";
    for (truth, result, said) in [
        ("1,1,10,10,20\n", TWO, "gt.txt line 1: 5 values instead of seven or more"),
        ("1,1,10,10,20,40,1,1,1\n2,1,10,10,20,40,1\n", TWO, "gt.txt line 2: 7 values; the lines before have 9"),
        ("1,1,10,10,20,40,1,1,1,1,1\n", TWO, "11 values; truth has nine"),
        ("0,1,10,10,20,40,1,1,1\n", TWO, "line 1: frame \"0\" is no number from 1"),
        ("1.5,1,10,10,20,40,1,1,1\n", TWO, "line 1: frame \"1.5\" is no number"),
        ("1,1,NaN,10,20,40,1,1,1\n", TWO, "line 1: left \"NaN\" is no number"),
        ("1,1,10,10,inf,40,1,1,1\n", TWO, "line 1: width \"inf\" is no number"),
        ("1,1,10,1e300,20,40,1,1,1\n", TWO, "more than 1000000 pixels away"),
        ("1,1,10,10,-20,40,1,1,1\n", TWO, "line 1: a box of -20 x 40 pixels"),
        ("1,1,10,10,20,40,1,14,1\n", TWO, "line 1: class 14; those of MOTChallenge"),
        ("1,1,10,10,20,40,1,0,1\n", TWO, "line 1: class 0"),
        ("1,1,10,10,20,40,1,1,1\n1,1,50,10,20,40,1,1,1\n", TWO, "gt.txt line 2: identity 1 is twice in frame 1"),
        ("1,-1,10,10,20,40,1,1,1\n", TWO, "line 1: identity \"-1\" is no whole number"),
        ("one two\n", TWO, "commas"),
        (nine, "1,1,10,10,20,40,1,-1,-1,-1\n\n1,1,10,10,20,40,1,-1,-1,-1\n", "A.txt line 3: identity 1 is twice in frame 1"),
        (nine, "1,-1,10,10,20,40,0.9,-1,-1,-1\n", "A.txt line 1: identity \"-1\""),
        (nine, "1,1,10,10,20,40,0.9,3,-1,-1\n", "A.txt line 1: class 3; only pedestrians"),
        (nine, "2,1,10,10,20,40,0.9,-1,-1,-1\n", "A.txt: frame 2; A has 1 frames here"),
        (nine, "1,1,10,10,20,40,x,-1,-1,-1\n", "A.txt line 1: confidence \"x\""),
    ] {
        let folder = folder(&[("data/A/gt/gt.txt", truth), ("out/A.txt", result)]);
        let error = judged(&Options { results: vec![folder.path().join("out")], ..options(&folder.path().join("data")) });
        let error = error.expect_err(said);
        assert!(error.contains(said), "{truth:?} {result:?}: {error}");
    }
    let crowd = (0..2001).map(|id| format!("1,{id},0,0,1,1,1")).collect::<Vec<_>>().join("\n");
    let folder = folder(&[("A/gt/gt.txt", &crowd), ("out/A.txt", TWO)]);
    let error = judged(&Options { results: vec![folder.path().join("out")], ..options(folder.path()) }).expect_err("a crowd");
    assert!(error.contains("line 2001: more than 2000 boxes in frame 1"), "{error}");
}

#[test]
fn what_is_not_there_is_named_with_its_remedy() {
    let folder = folder(&[
        ("data/A/gt/gt.txt", TWO),
        ("data/A/seqinfo.ini", "[Sequence]\nseqLength=2\n"),
        ("rated/A/gt/gt.txt", TWO),
        ("rated/A/det/det.txt", TWO),
        ("empty/readme.txt", ""),
        ("out/B.txt", TWO),
        ("odd/A/gt/gt.txt", TWO),
        ("odd/A/seqinfo.ini", "[Sequence]\nframeRate=fast\n"),
        ("blind/A/gt/gt.txt", TWO),
    ]);
    let at = |name: &str| folder.path().join(name);
    let results = |data: &str, set: PathBuf| judged(&Options { results: vec![set], ..options(&at(data)) }).expect_err("refused");
    let tracker = |data: &str, rates: &[&str]| {
        let rates: Vec<String> = rates.iter().map(|&rate| rate.to_owned()).collect();
        let rates = Rates::new(&rates).expect("rates");
        judged(&Options { trackers: vec![Kind::Sort], rates, ..options(&at(data)) }).expect_err("refused")
    };
    for (error, said) in [
        (results("nowhere", at("out")), "name a sequence, or the folder that holds them, with --sequences"),
        (results("empty", at("out")), "holds no sequence: a sequence is a folder with gt/gt.txt"),
        (results("data", at("out")), "frame 3; seqinfo.ini says that there are 2"),
        (results("rated", at("out")), "A.txt: No such file"),
        (results("rated", at("out/B.txt")), "is a file: name the folder"),
        (results("odd", at("out")), "seqinfo.ini line 2: \"fast\" is no frame rate"),
        (tracker("rated", &[]), "the frame rate of A is not known: say --fps A=RATE"),
        (tracker("rated", &["30", "B=25"]), "--fps B=…: no sequence of that name; there are A"),
        (tracker("blind", &["30"]), "det.txt: No such file"),
        (judged(&options(&at("rated"))).expect_err("nothing"), "give --tracker NAME or --results DIR"),
    ] {
        assert!(error.contains(said), "{said}: {error}");
    }
    fs::remove_file(at("data/A/seqinfo.ini")).expect("removed");
    let whole = judged(&Options { results: vec![at("out/B{}.txt")], ..options(&at("data")) }).expect_err("refused");
    assert!(whole.contains("BA.txt"), "{whole}");
    let one = judged(&Options { results: vec![at("out/{}.txt")], ..options(&at("data/A")) }).expect_err("refused");
    assert!(one.contains("out/A.txt"), "{one}");
}

#[test]
fn the_report_is_a_table_and_json() {
    let folder = folder(&[("A/gt/gt.txt", TWO), ("B/gt/gt.txt", TWO), ("out/A.txt", TWO), ("out/B.txt", "")]);
    let report = judged(&Options { results: vec![folder.path().join("out")], ..options(folder.path()) }).expect("judged");
    let mut table = Vec::new();
    write_table(&mut table, &report).expect("written");
    let table = String::from_utf8(table).expect("text");
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].join(" "), "A: 3 frames, 3 boxes of 1 objects");
    assert_eq!(lines[4], ["out", "A", "100.000", "100.000", "100.000", "100.000", "100.000", "0", "0", "0", "0", "–"]);
    // Half of the boxes found, at each threshold: HOTA is the root of one half.
    assert_eq!(lines[6], ["out", "COMBINED", "70.711", "50.000", "100.000", "50.000", "66.667", "0", "0", "0", "3", "–"]);
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["trackers"][0]["sequences"][1]["sequence"], "B");
    assert_eq!(json["trackers"][0]["combined"]["FN"], 3);
    assert_eq!(json["trackers"][0]["combined"]["MOTA"], 50.0);
    assert!(json["trackers"][0]["combined"].get("cpu_us_per_frame").is_none());
}

#[path = "reference_tests.rs"]
mod reference;
