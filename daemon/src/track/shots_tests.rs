use std::time::{Instant, SystemTime};

use super::*;
use crate::{
    analyse::geometry::{Point, Polygon},
    media::{Capture, Extras, ModelInfo, StepReport, StreamId, TimeBasis, TimeCard},
};

const SIZE: (u32, u32) = (640, 480);

/// Columns are as bright as their number, up to 200; limited range.
fn frame(number: u32) -> Frame {
    let row: Vec<u8> = (0..SIZE.0).map(|x| 16 + (x / 4) as u8).collect();
    let mut bytes = row.repeat(SIZE.1 as usize);
    bytes.extend(vec![128; (SIZE.0 * SIZE.1 / 2) as usize]);
    let capture = Capture { wall: SystemTime::UNIX_EPOCH + Duration::from_millis(100) * number, basis: TimeBasis::Arrival };
    Frame {
        stream: StreamId::new(1, "door"),
        seq: number.into(),
        dispatch: number.into(),
        pts: Duration::from_millis(100) * number,
        capture,
        pixels: Pixels::Host(HostPicture::tight_i420(SIZE, bytes.into()).expect("a picture")),
        times: TimeCard::received(Instant::now()),
    }
}

fn track(id: u64, phase: TrackPhase, confidence: f32, bbox: BBox) -> Track {
    Track {
        id: TrackId(id),
        class: 0,
        confidence,
        bbox,
        velocity: (0.0, 0.0),
        stationary: false,
        first_seen: SystemTime::UNIX_EPOCH,
        last_seen: SystemTime::UNIX_EPOCH,
        hits: 1,
        phase,
    }
}

/// What is told of a frame with these tracks.
fn look(shots: &mut Shots, number: u32, tracks: Vec<Track>, veils: &[Zone]) -> Vec<Arc<Shot>> {
    let frame = frame(number);
    let mut tracked = Tracked { tracks, ..empty() };
    shots.take(&frame, frame.pts, || veils.to_vec(), &mut tracked);
    tracked.shots.into_iter().map(|(_, shot)| shot).collect()
}

fn at(x: f32, w: f32) -> BBox {
    BBox::new(x, 100.0, x + w, 100.0 + 2.0 * w)
}

#[test]
fn the_first_and_the_best_are_told() {
    use TrackPhase::{End, New, Update};
    let mut shots = Shots::new(320);
    let told = look(&mut shots, 0, vec![track(1, New, 0.6, at(100.0, 40.0))], &[]);
    assert_eq!((told.len(), told[0].confidence.to_bits()), (1, 0.6_f32.to_bits()));
    // 40 by 80 and a tenth on each side.
    assert_eq!(told[0].canvas.size(), (48, 96));
    assert_eq!(told[0].canvas.samples()[0], 28, "16 + 96 / 4 in the full range: it begins at column 96");
    // A little better is not better; much better too soon is not taken; worse is not.
    for (number, confidence) in [(3, 0.64), (1, 0.9), (5, 0.5)] {
        assert!(look(&mut shots, number, vec![track(1, Update, confidence, at(100.0, 40.0))], &[]).is_empty());
    }
    assert!(look(&mut shots, 6, vec![track(1, Update, 0.8, at(200.0, 80.0))], &[]).is_empty());
    // Larger, but cut off by the edge.
    assert!(look(&mut shots, 9, vec![track(1, Update, 0.9, at(600.0, 90.0))], &[]).is_empty());
    let told = look(&mut shots, 20, vec![track(1, End, 0.9, at(600.0, 90.0))], &[]);
    assert_eq!((told.len(), told[0].bbox, told[0].canvas.size()), (1, at(200.0, 80.0), (96, 192)));
    assert_eq!(told[0].captured, SystemTime::UNIX_EPOCH + Duration::from_millis(600));
    let jpeg = told[0].jpeg().expect("a JPEG");
    assert_eq!((&jpeg[..2], &jpeg[jpeg.len() - 2..]), (&[0xff, 0xd8][..], &[0xff, 0xd9][..]));
    assert!(look(&mut shots, 21, vec![track(1, End, 0.9, at(600.0, 90.0))], &[]).is_empty(), "it is over");
}

#[test]
fn large_objects_are_made_smaller_and_specks_left_out() {
    let mut shots = Shots::new(64);
    let tracks = vec![track(1, TrackPhase::New, 0.9, at(100.0, 150.0)), track(2, TrackPhase::New, 0.9, at(500.0, 4.0))];
    let told = look(&mut shots, 0, tracks, &[]);
    assert_eq!(told.len(), 1);
    let (width, height) = told[0].canvas.size();
    assert!(width <= 64 && (50..=64).contains(&height), "{width}x{height}");
}

#[test]
fn what_is_masked_is_black() {
    let half = [(0.0, 0.0), (0.25, 0.0), (0.25, 1.0), (0.0, 1.0)].map(|(x, y)| Point::new(x, y)).to_vec();
    let veil = Zone { include: vec![Polygon::new(half).expect("a polygon")], exclude: Vec::new() };
    for longest in [320, 40] {
        let mut shots = Shots::new(longest);
        let told = look(&mut shots, 0, vec![track(1, TrackPhase::New, 0.9, at(140.0, 50.0))], std::slice::from_ref(&veil));
        let canvas = &told[0].canvas;
        let (width, height) = canvas.size();
        // From column 135 to 195; the first 160 are masked.
        let step = 60.0 / width as f32;
        for y in [0, height / 2, height - 1] {
            for x in 0..width {
                let luma = canvas.samples()[(y * width + x) * 3];
                let column = 135.0 + x as f32 * step;
                assert!((column - 160.0).abs() < 2.0 * step || (luma == 0) == (column < 160.0), "column {column}: {luma}");
            }
        }
    }
}

#[test]
fn their_number_is_bounded_and_names_change() {
    let mut shots = Shots::new(32);
    for frame in 0..40 {
        let tracks = (0..3).map(|i| track(u64::from(frame) * 3 + i, TrackPhase::New, 0.9, at(100.0 + 40.0 * i as f32, 30.0)));
        look(&mut shots, frame, tracks.collect(), &[]);
    }
    assert_eq!(shots.kept.len(), MOST);
    let many = (0..20).map(|i| track(i, TrackPhase::End, 0.9, at(100.0, 30.0)));
    assert_eq!(look(&mut shots, 50, many.collect(), &[]).len(), 20, "all of them end at once");
    let many = (200..220).map(|i| track(i, TrackPhase::New, 0.9, at(100.0, 30.0)));
    assert_eq!(look(&mut shots, 51, many.collect(), &[]).len(), MOST_OF_FRAME);
    let rename = Rename {
        from: TrackId(200),
        to: TrackId(7000),
        class: 0,
        distance: 0.1,
        unseen: Duration::ZERO,
        by: Arc::new(ModelInfo::default()),
    };
    let mut story = Tracked { steps: Some(Box::new(StepReport { renames: vec![rename], ..StepReport::default() })), ..empty() };
    shots.take(&frame(60), Duration::from_secs(6), Vec::new, &mut story);
    let mut end = Tracked { tracks: vec![track(7000, TrackPhase::End, 0.9, at(100.0, 30.0))], ..empty() };
    shots.tell(&mut end);
    assert_eq!((end.shots.len(), end.shots[0].0), (1, TrackId(7000)));
}

fn empty() -> Tracked {
    let frame = frame(0);
    Tracked {
        stream: frame.stream.clone(),
        frame_seq: 0,
        pts: frame.pts,
        capture: frame.capture,
        size: SIZE,
        detections: Vec::new(),
        extras: Extras::default(),
        tracks: Vec::new(),
        shots: Vec::new(),
        steps: None,
        verdicts: None,
        model: Arc::new(ModelInfo::default()),
        closing: false,
        times: frame.times,
    }
}
