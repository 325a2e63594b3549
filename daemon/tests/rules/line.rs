//! The daemon's own tracking and rules, on detections from elsewhere.

use std::{
    path::Path,
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::{Duration, Instant, SystemTime},
};

use egret::{
    analyse::{CameraRules, Event},
    config::{self, TrackConfig},
    life::Progress,
    media::{Batch, Capture, Detection, Extras, Frame, Inferred, ModelInfo, Pixels, StreamId, TimeBasis, TimeCard},
    observe::still::Stills,
    track::{self, Counters, ToTrack, Ways},
};
use tokio::sync::mpsc;

fn tracker() -> TrackConfig {
    config::load_text(Path::new("egret.toml"), "").expect("defaults").config.track
}

/// When scenes begin.
pub(crate) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(498_684)
}

/// Feeds frames through tracking and rules; each event with the scene time of the frame that told it.
pub(crate) fn events(
    frames: impl Iterator<Item = (f64, Vec<Detection>)> + Send,
    (classes, size): (&[&str], (u32, u32)),
    rules: CameraRules,
) -> Vec<(f64, Event)> {
    let (to_track, input) = sync_channel(64);
    let (output, mut from_track) = mpsc::channel(64);
    let stream = StreamId::new(1, "street");
    let model: Arc<ModelInfo> =
        ModelInfo { classes: classes.iter().map(ToString::to_string).collect(), ..ModelInfo::default() }.into();
    let mut told = Vec::new();
    thread::scope(|scope| {
        let (config, counters, stage) = (tracker(), Counters::default(), Progress::new().stage("track"));
        scope.spawn(move || track::run(&config, &input, &output, &Ways::default(), &counters, &Stills::new(), &stage));
        scope.spawn(move || {
            to_track.send(ToTrack::Rules { stream: stream.clone(), rules: Arc::new(rules) }).expect("tracking listens");
            for (number, (t, detections)) in frames.enumerate() {
                let frame = Frame {
                    stream: stream.clone(),
                    seq: number as u64,
                    dispatch: number as u64,
                    pts: Duration::from_secs_f64(t),
                    capture: Capture { wall: start() + Duration::from_secs_f64(t), basis: TimeBasis::Arrival },
                    pixels: Pixels::None { width: size.0, height: size.1 },
                    times: TimeCard::received(Instant::now()),
                };
                let inferred = Inferred {
                    batch: Batch { seq: number as u64, frames: vec![frame] },
                    detections: vec![detections],
                    extras: vec![Extras::default()],
                    readings: Vec::new(),
                    model: model.clone(),
                    failed: false,
                };
                to_track.send(ToTrack::Inferred(inferred)).expect("tracking listens");
            }
        });
        while let Some(batch) = from_track.blocking_recv() {
            for tracked in batch {
                let events = tracked.verdicts.into_iter().flat_map(|verdicts| verdicts.events);
                told.extend(events.map(|event| (tracked.pts.as_secs_f64(), event)));
            }
        }
    });
    told
}
