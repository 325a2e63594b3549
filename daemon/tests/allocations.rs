//! In the steady state no tracker allocates: its buffers have grown as far as they need to.

use std::time::Duration;

use allocation_counter::measure;
use egret::{
    media::{BBox, Detection},
    track::associate::{Associator, Kind, Params, Row},
};

/// Frames per second.
const RATE: f64 = 25.0;

/// So many objects in lanes, to and fro, some of them overlapping with their neighbours; each is missed now and then, its confidence
/// wavers, and one after the other leaves and comes back for long enough to be somebody new. In the first half second all are in one
/// crowd: that is as much work as there will be.
fn scene(objects: u32, frame: u32, out: &mut Vec<Detection>) {
    out.clear();
    for object in 0..objects {
        let dice = (frame.wrapping_mul(2_654_435_761) ^ object.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 16;
        let away = frame % 200 >= 100 && object % 10 == (frame / 200) % 10;
        if away || dice.is_multiple_of(17) {
            continue;
        }
        let (row, column) = ((object / 10) as f32, (object % 10) as f32);
        let swing = 60.0 * (frame as f32 / 40.0 + object as f32).sin();
        let apart = if frame < 12 { 15.0 } else { 170.0 };
        let (x, y) = (apart * column + swing, 60.0 * row + 0.2 * (dice % 7) as f32);
        let confidence = if dice.is_multiple_of(11) { 0.3 } else { 0.9 };
        out.push(Detection { class: 0, confidence, bbox: BBox::new(x, y, x + 45.0, y + 110.0) });
    }
}

/// How often a tracker allocates in ten seconds, once it has seen 24 seconds; and sightings that it followed.
fn allocations(params: &Params, objects: u32) -> (u64, usize) {
    let mut tracker = Associator::new(params);
    let (mut detections, mut rows): (Vec<Detection>, Vec<Row>) = (Vec::with_capacity(1024), Vec::with_capacity(4096));
    let mut run = |frames: std::ops::Range<u32>| {
        let mut seen = 0;
        for frame in frames {
            scene(objects, frame, &mut detections);
            tracker.update(Duration::from_secs_f64(f64::from(frame) / RATE), &detections, &mut rows);
            seen += rows.len();
        }
        seen
    };
    run(0..600);
    let mut seen = 0;
    let counted = measure(|| seen = run(600..850));
    (counted.count_total, seen)
}

#[test]
fn no_tracker_allocates_in_the_steady_state() {
    for kind in Kind::ALL {
        for objects in [10, 50, 200] {
            let (count, seen) = allocations(&kind.params(), objects);
            assert!(seen > 200 * objects as usize, "{kind} follows {objects}: {seen}");
            assert_eq!(count, 0, "{kind} allocates with {objects} objects");
        }
    }
}

#[test]
fn the_counter_counts() {
    let grown = measure(|| drop(std::hint::black_box(vec![1u8; 100])));
    assert_eq!(grown.count_total, 1);
    assert!(allocations_of_a_young_tracker() > 0);
}

fn allocations_of_a_young_tracker() -> u64 {
    let mut detections = Vec::new();
    scene(50, 0, &mut detections);
    let mut rows = Vec::new();
    measure(|| Associator::new(&Kind::Egret.params()).update(Duration::ZERO, &detections, &mut rows)).count_total
}
