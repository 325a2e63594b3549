//! The tracker on public detections of real scenes (MOT15, MOT17), beside the outputs of the reference implementation on the same ones.
//!
//! A check of plausibility, with a plain count of coverage and identity switches in place of the benchmarks' own figures.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use super::{tests::Bench, *};

type Boxes = BTreeMap<u32, Vec<(u64, BBox)>>;

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

/// `frame,id,left,top,width,height,confidence[,class,…]`. Of ground truth only what counts; MOT17 says what it is, and
/// only persons (class 1) count.
fn read(path: &Path, truth: bool) -> BTreeMap<u32, Vec<(u64, f32, BBox)>> {
    let mut frames: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for line in std::fs::read_to_string(path).expect("readable").lines() {
        let v: Vec<f32> = line.split(',').map(|v| v.trim().parse().expect("a number")).collect();
        let person = v.len() != 9 || (v[7] - 1.0).abs() < 0.5;
        let counts = !truth || (v[6] > 0.0 && person);
        if counts {
            let bbox = BBox::new(v[2], v[3], v[2] + v[4], v[3] + v[5]);
            frames.entry(v[0] as u32).or_default().push((v[1].max(0.0) as u64, v[6], bbox));
        }
    }
    frames
}

fn plain(frames: BTreeMap<u32, Vec<(u64, f32, BBox)>>) -> Boxes {
    frames.into_iter().map(|(f, boxes)| (f, boxes.into_iter().map(|(id, _, bbox)| (id, bbox)).collect())).collect()
}

#[derive(Debug)]
struct Score {
    /// Share of the true boxes that some track lies on.
    coverage: f64,
    /// How often a true object's track changes.
    switches: u32,
    ids: usize,
}

fn score(truth: &Boxes, seen: &Boxes) -> Score {
    let (mut total, mut covered, mut switches) = (0u32, 0u32, 0u32);
    let mut names: HashMap<u64, u64> = HashMap::new();
    let mut ids = BTreeSet::new();
    for (frame, objects) in truth {
        let empty = Vec::new();
        let tracks = seen.get(frame).unwrap_or(&empty);
        ids.extend(tracks.iter().map(|t| t.0));
        let mut pairs: Vec<(bool, f32, u64, u64)> = Vec::new();
        for (object, at) in objects {
            for (track, bbox) in tracks {
                let iou = at.iou(bbox);
                if iou >= 0.5 {
                    pairs.push((names.get(object) == Some(track), iou, *object, *track));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
        let (mut done, mut used) = (BTreeSet::new(), BTreeSet::new());
        for (_, _, object, track) in pairs {
            if !done.contains(&object) && used.insert(track) {
                done.insert(object);
                covered += 1;
                switches += u32::from(names.insert(object, track).is_some_and(|before| before != track));
            }
        }
        total += objects.len() as u32;
    }
    Score { coverage: f64::from(covered) / f64::from(total), switches, ids: ids.len() }
}

/// The reference counts frames, so here every sequence runs at the rate at which that is the same.
fn follow(detections: &BTreeMap<u32, Vec<(u64, f32, BBox)>>) -> Boxes {
    // The gate of the reference is wide too: one of these cameras rides on a bus.
    let config = TrackConfig { high_confidence: 0.6, new_confidence: 0.7, match_iou: 0.1, ..super::tests::config() };
    let mut bench = Bench::new(&config);
    let last = detections.keys().next_back().copied().unwrap_or(0);
    let mut out = Boxes::new();
    for number in 1..=last {
        let boxes: Vec<Detection> = detections
            .get(&number)
            .into_iter()
            .flatten()
            .map(|(_, confidence, bbox)| Detection { class: 0, confidence: *confidence, bbox: *bbox })
            .collect();
        let seen = bench.frame(Duration::from_secs_f32(1.0 / UNITS_HZ), &boxes);
        let live = seen.tracks.iter().filter(|t| t.phase != TrackPhase::End);
        out.insert(number, live.map(|t| (t.id.0, t.bbox)).collect());
    }
    out
}

#[test]
fn on_real_scenes_it_follows_as_the_reference_does() {
    let Some(dir) = data() else { return };
    let sequences = [
        "mot17/MOT17-02-SDP",
        "mot17/MOT17-05-SDP",
        "mot17/MOT17-09-SDP",
        "mot17/MOT17-13-SDP",
        "mot15/TUD-Campus",
        "mot15/TUD-Stadtmitte",
    ];
    for sequence in sequences {
        let name = sequence.rsplit('/').next().unwrap_or_default();
        let truth = plain(read(&dir.join(sequence).join("gt/gt.txt"), true));
        let detections = read(&dir.join(sequence).join("det/det.txt"), false);
        let ours = score(&truth, &follow(&detections));
        let reference = score(&truth, &plain(read(&dir.join(format!("reference_out/bytetrack__{name}.txt")), false)));
        let objects = truth.values().flatten().map(|o| o.0).collect::<BTreeSet<_>>().len();
        eprintln!(
            "{name}: {objects} objects; ours {ours:?} with {} identities; reference {reference:?} with {}",
            ours.ids, reference.ids
        );
        assert!(ours.coverage > reference.coverage - 0.02, "{name}: {ours:?} beside {reference:?}");
        assert!(f64::from(ours.switches) <= 1.25 * f64::from(reference.switches) + 3.0, "{name}: {ours:?} beside {reference:?}");
    }
}

/// CPU time of this thread in nanoseconds, by the scheduler's own book.
fn cpu_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// Prints the cost of a frame. `cargo test --release -p egret --lib cost_of_a_frame -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, of use in a release build only"]
fn cost_of_a_frame() {
    for objects in [10, 50, 200] {
        let mut bench = Bench::new(&super::tests::config());
        let frames = 200_000 / objects;
        let at = |i: usize, frame: usize| {
            let (column, row) = ((i % 20) as f32, (i / 20) as f32);
            // Neighbours overlap a little, so that gates are not all trivial.
            let x = 90.0 * column + 30.0 * (frame as f32 / 40.0 + i as f32).sin();
            Detection { class: 0, confidence: 0.9, bbox: BBox::new(x, 100.0 * row, x + 60.0, 100.0 * row + 120.0) }
        };
        let scenes: Vec<Vec<Detection>> = (0..400).map(|frame| (0..objects).map(|i| at(i, frame)).collect()).collect();
        let Some(before) = cpu_ns() else { return };
        let mut told = 0;
        for frame in 0..frames {
            told += bench.frame(Duration::from_millis(33), &scenes[frame % 400]).tracks.len();
        }
        let spent = cpu_ns().unwrap_or(before) - before;
        eprintln!("{objects} objects: {:.2} us of CPU per frame ({told} reports)", spent as f64 / frames as f64 / 1000.0);
    }
}
