//! One way of looking at a camera's frames: the batcher decides, tracking and rules see what it lets through.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{GateOptions, Way};
use crate::{
    analyse::{self, EventPhase},
    batch::{Batcher, Counts, Limits, Mode, Outcome, Slot, StillSettings, StreamSettings, Work},
    config::{Config, TrackConfig},
    media::{
        BBox, Capture, Detection, Frame, Inferred, Mark, ModelInfo, Pixels, StreamId, TimeBasis, TimeCard, Track, TrackPhase,
        Tracked,
    },
    observe::still::Stills,
    track::{Counters, Follower, Stepped, ToTrack, Ways},
    trackeval::{Named, Rect},
};

/// A frame that waits is a day old at most: nothing is ever stale.
const NEVER_STALE: Duration = Duration::from_hours(24);

/// What a follower borrows.
pub(super) struct Stand {
    batcher: Arc<Batcher>,
    ways: Ways,
    counters: Counters,
    stills: Arc<Stills>,
    config: Config,
}

impl Stand {
    /// For that model. `config`: the tracker, and the rules of its only camera.
    pub(super) fn new(config: Config, model: &str) -> Self {
        let limits = Limits { max_batch: 1, max_wait: Duration::ZERO, staleness: NEVER_STALE, instances: 1 };
        let batcher = Batcher::new(limits);
        let ways = Ways::new(BTreeMap::from([(model.to_owned(), Arc::clone(&batcher))]));
        Self { batcher, ways, counters: Counters::default(), stills: Stills::new(), config }
    }

    pub(super) fn track(&self) -> &TrackConfig {
        &self.config.track
    }
}

/// An event, and when it was told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Happening {
    pub(super) rule: Arc<str>,
    pub(super) way: Option<analyse::Way>,
    pub(super) at: Duration,
}

/// One way at work.
pub(super) struct Arm<'a> {
    pub(super) way: Way,
    stand: &'a Stand,
    slot: Slot,
    follower: Follower<'a>,
    model: Arc<ModelInfo>,
    tracks: Vec<Track>,
    last: Duration,
    /// Whether each frame was looked at.
    pub(super) looked: Vec<bool>,
    /// Where what is followed is said to be, frame by frame.
    pub(super) told: Vec<Vec<Named>>,
    pub(super) events: Vec<Happening>,
}

impl<'a> Arm<'a> {
    pub(super) fn new(way: Way, options: &GateOptions, model: &Arc<ModelInfo>, stand: &'a Stand) -> Self {
        let stream = StreamId::new(1, "camera");
        // Every-frame streams go by media time, which is the only time here.
        let settings = StreamSettings {
            still: way.gated().then(|| StillSettings::new(&options.gate, stand.track().lost_after)),
            calm_interval: if way.calm() { options.calm_interval } else { Duration::ZERO },
            ..StreamSettings::new(Mode::EveryFrame { queue: 1 })
        };
        let slot = stand.batcher.add(stream.clone(), settings);
        let Stand { ways, counters, stills, config, .. } = stand;
        let mut follower = Follower::new(&config.track, ways, counters, stills, SystemTime::UNIX_EPOCH);
        if let Some(camera) = config.cameras.first() {
            let rules = Arc::clone(&camera.rules);
            follower.take(ToTrack::Rules { stream, rules }, Instant::now(), &mut Vec::new());
        }
        Self {
            way,
            stand,
            slot,
            follower,
            model: Arc::clone(model),
            tracks: Vec::new(),
            last: Duration::ZERO,
            looked: Vec::new(),
            told: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A frame. `still`: nothing moves in it. `detections` are asked for if it is looked at.
    pub(super) fn take<E>(
        &mut self,
        size: (u32, u32),
        at: Duration,
        still: bool,
        detections: impl FnOnce() -> Result<Vec<Detection>, E>,
    ) -> Result<(), E> {
        self.slot.offer_seen(frame(self.slot.stream(), size, at), still);
        let (mut detections, mut looked, mut stories) = (Some(detections), false, Vec::new());
        while let Some(work) = self.stand.batcher.try_next() {
            let model = Arc::clone(&self.model);
            let message = match work {
                Work::Batch(batch) => {
                    self.stand.batcher.finished(&batch.frames, Outcome::Inferred, Duration::from_millis(1));
                    looked = true;
                    let seen = detections.take().map_or_else(|| Ok(Vec::new()), |detections| detections())?;
                    let (detections, extras, readings) = (vec![seen], Vec::new(), Vec::new());
                    ToTrack::Inferred(Inferred { batch, detections, extras, readings, model, failed: false })
                }
                // Nobody looks a second time: the first look is believed.
                Work::Step(step) => ToTrack::Stepped(Stepped { step, detections: None, model }),
            };
            self.follower.take(message, Instant::now(), &mut stories);
            stories.drain(..).for_each(|story| self.hear(story, at));
        }
        let step = at.saturating_sub(self.last).as_secs_f32();
        let ahead = if still && self.way.gated() { 0.0 } else { step };
        self.told.push(self.tracks.iter().map(|track| named(track, ahead)).collect());
        self.looked.push(looked);
        Ok(())
    }

    fn hear(&mut self, story: Tracked, at: Duration) {
        if story.closing {
            return;
        }
        self.last = at;
        self.tracks.clear();
        self.tracks.extend(story.tracks.iter().filter(|track| track.phase != TrackPhase::End));
        let events = story.verdicts.into_iter().flat_map(|verdicts| verdicts.events);
        let told = events.filter(|event| event.phase != EventPhase::End);
        self.events.extend(told.map(|event| Happening { rule: event.rule, way: event.way, at }));
    }

    pub(super) fn counts(&self) -> Counts {
        self.stand.batcher.total()
    }
}

/// A track as a box of so many seconds later.
fn named(track: &Track, ahead: f32) -> Named {
    let (dx, dy) = (track.velocity.0 * ahead, track.velocity.1 * ahead);
    let BBox { x1, y1, x2, y2 } = track.bbox;
    let [left, top, width, height] = [x1 + dx, y1 + dy, x2 - x1, y2 - y1].map(f64::from);
    Named { id: track.id.0, bbox: Rect { left, top, width, height } }
}

fn frame(stream: &StreamId, (width, height): (u32, u32), pts: Duration) -> Frame {
    let now = Instant::now();
    let mut times = TimeCard::received(now);
    times.stamp(Mark::Decoded, now);
    Frame {
        stream: stream.clone(),
        seq: 0,
        dispatch: 0,
        pts,
        capture: Capture { wall: SystemTime::UNIX_EPOCH + pts, basis: TimeBasis::Arrival },
        pixels: Pixels::None { width, height },
        times,
    }
}
