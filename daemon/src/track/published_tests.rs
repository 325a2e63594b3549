//! The published trackers against what their authors' programs put out on the same detections: every row within the rounding of the
//! files, and the same identities.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    associate::{Associator, Kind, Params},
    bytetrack, ocsort, sort,
};
use crate::media::{BBox, Detection};

type Rows = Vec<Vec<(u32, BBox)>>;

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

/// `frame,id,left,top,width,height,confidence,…` by frame, counted from 1.
fn read(path: &Path) -> Vec<Vec<(u32, f32, BBox)>> {
    let mut frames = Vec::new();
    for line in fs::read_to_string(path).expect("readable").lines() {
        let v: Vec<f64> = line.split(',').map(|v| v.trim().parse().expect("a number")).collect();
        let bbox = BBox::new(v[2] as f32, v[3] as f32, (v[2] + v[4]) as f32, (v[3] + v[5]) as f32);
        let frame = v[0] as usize;
        if frames.len() < frame {
            frames.resize_with(frame, Vec::new);
        }
        frames[frame - 1].push((v[1].max(0.0) as u32, v[6] as f32, bbox));
    }
    frames
}

fn follow(params: &Params, frames: &[Vec<Detection>]) -> Rows {
    let mut tracker = Associator::new(params);
    let mut rows = Vec::new();
    let mut number = 0u32;
    let mut update = |detections: &Vec<Detection>| {
        tracker.update(Duration::from_secs(1) * number / 30, detections, &mut rows);
        number += 1;
        rows.iter().filter(|row| row.confirmed).map(|row| (row.track, row.bbox)).collect()
    };
    frames.iter().map(&mut update).collect()
}

fn distance(a: &BBox, b: &BBox) -> f32 {
    [a.x1 - b.x1, a.y1 - b.y1, a.x2 - b.x2, a.y2 - b.y2].into_iter().fold(0.0, |most, d| most.max(d.abs()))
}

/// Each row has its like, and identities stand for each other one to one. Returns how many rows there are.
fn assert_same(name: &str, ours: &Rows, theirs: &Rows, tolerance: f32) -> usize {
    let (mut there, mut back) = (HashMap::new(), HashMap::new());
    for (frame, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours.len(), theirs.len(), "{name}: rows in frame {}", frame + 1);
        let mut free = ours.clone();
        for (theirs, bbox) in theirs {
            let nearest = (0..free.len()).min_by(|&a, &b| distance(&free[a].1, bbox).total_cmp(&distance(&free[b].1, bbox)));
            let (ours, nearest) = free.swap_remove(nearest.expect("as many rows"));
            assert!(
                distance(&nearest, bbox) <= tolerance,
                "{name}, frame {}: {bbox:?} is not in ours; nearest {nearest:?}",
                frame + 1
            );
            let same = *there.entry(*theirs).or_insert(ours) == ours && *back.entry(ours).or_insert(*theirs) == *theirs;
            assert!(same, "{name}, frame {}: their {theirs} is not our {ours}", frame + 1);
        }
    }
    assert!(ours.iter().skip(theirs.len()).all(Vec::is_empty), "{name}: rows after the last frame");
    theirs.iter().map(Vec::len).sum()
}

/// The objects of a flat JSON list, by their keys.
fn objects(text: &str) -> Vec<HashMap<String, f64>> {
    let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let number = |v: &serde_json::Value| v.as_str().and_then(|v| v.parse().ok()).expect("a number in a string");
    let results = value["results"].as_array().expect("a list");
    results.iter().map(|o| o.as_object().expect("an object").iter().map(|(k, v)| (k.clone(), number(v))).collect()).collect()
}

#[test]
fn bytetrack_is_the_published_one_to_the_row() {
    let Some(dir) = data() else { return };
    let read = |name: &str| objects(&fs::read_to_string(dir.join("bytetrack_palace").join(name)).expect("readable"));
    let (seen, told) = (read("detection_results.json"), read("tracking_results.json"));
    let place = |o: &HashMap<String, f64>| {
        BBox::new(o["x"] as f32, o["y"] as f32, (o["x"] + o["width"]) as f32, (o["y"] + o["height"]) as f32)
    };
    let mut frames = vec![Vec::new(); 314];
    for o in &seen {
        frames[o["frame_id"] as usize].push(Detection { class: 0, confidence: o["prob"] as f32, bbox: place(o) });
    }
    let mut theirs = vec![Vec::new(); 314];
    for o in &told {
        theirs[o["frame_id"] as usize].push((o["track_id"] as u32, place(o)));
    }
    assert_eq!(seen.len(), 10_174);
    for params in
        [Kind::ByteTrack.params(), Params::ByteTrack(bytetrack::Params { frame_rate: 0.0, ..bytetrack::Params::default() })]
    {
        assert_eq!(assert_same("palace", &follow(&params, &frames), &theirs, 0.01), 6008);
    }
}

#[test]
fn on_real_scenes_each_is_its_authors_own() {
    let Some(dir) = data() else { return };
    let mot17 = ["MOT17-02-SDP", "MOT17-05-SDP", "MOT17-09-SDP", "MOT17-13-SDP"];
    let mot15 = ["TUD-Campus", "TUD-Stadtmitte"];
    let python = bytetrack::Params {
        frame_rate: 0.0,
        variant: bytetrack::Variant::Python,
        high_confidence: 0.6,
        low_confidence: 0.1,
        new_confidence: 0.7,
        match_iou: 0.1,
        ..bytetrack::Params::default()
    };
    let cpp = bytetrack::Params { frame_rate: 0.0, ..bytetrack::Params::default() };
    let programs = [
        ("sort", Params::Sort(sort::Params { frame_rate: 0.0, ..sort::Params::default() }), &mot17[..]),
        ("ocsort", Params::OcSort(ocsort::Params { frame_rate: 0.0, ..ocsort::Params::default() }), &mot17[..]),
        ("bytetrack", Params::ByteTrack(python), &mot17[..]),
        ("bytetrackcpp", Params::ByteTrack(cpp), &[]),
    ];
    for (name, params, sequences) in programs {
        for sequence in sequences.iter().chain(&mot15) {
            let group = if sequence.starts_with("MOT17") { "mot17" } else { "mot15" };
            let seen = read(&dir.join(group).join(sequence).join("det/det.txt"));
            let theirs = read(&dir.join(format!("reference_out/{name}__{sequence}.txt")));
            let detection = |&(_, confidence, bbox): &(u32, f32, BBox)| Detection { class: 0, confidence, bbox };
            let seen: Vec<Vec<Detection>> = seen.iter().map(|frame| frame.iter().map(detection).collect()).collect();
            let theirs: Rows = theirs.iter().map(|frame| frame.iter().map(|r| (r.0, r.2)).collect()).collect();
            // Their corner is rounded to 0.01 px and so is their size.
            let rows = assert_same(&format!("{name} on {sequence}"), &follow(&params, &seen), &theirs, 0.0102);
            eprintln!("{name} on {sequence}: {rows} rows, all of them the authors' own");
        }
    }
}
