//! One camera's frames on their way through tracking.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    counters::Counters,
    ids::Ids,
    lives::{Lives, Moment, Seen, Wanted},
    order::{Arrival, InOrder},
    shots::Shots,
    steps::{self, Shown, Steps},
};
use crate::{
    batch::{Batcher, Region, Step},
    config::TrackConfig,
    gate::{Activity, Calm},
    media::{
        BBox, Batch, Capture, Detection, Extras, Finding, Frame, Mark, ModelInfo, Reading, Rename, StepReport, StreamId, Track,
        TrackId, TrackPhase, Tracked, TrackedDetection,
    },
    observe::still::Stills,
    step::{SkipReason, Target},
};

/// Most frames that wait for an earlier one. They hold decoder surfaces, so not many.
const MAX_WAITING: usize = 128;
/// Most detections of one frame that are followed and published.
const MAX_DETECTIONS: usize = 1000;

/// From this confidence on a detection without a track is somebody new.
const SURE: f32 = 0.5;

/// A frame with what was seen in it.
pub(super) struct Item {
    pub(super) frame: Frame,
    pub(super) detections: Vec<Detection>,
    /// What belongs to them.
    pub(super) extras: Extras,
    /// What a network that is no detector says of it.
    pub(super) finding: Option<Arc<Finding>>,
    pub(super) model: Arc<ModelInfo>,
    pub(super) failed: bool,
}

/// The state of one camera.
pub(super) struct Following {
    stream: StreamId,
    order: InOrder<Item>,
    tracker: Lives,
    steps: Option<Box<Steps>>,
    /// The best pictures of tracks, where they are wanted.
    shots: Option<Shots>,
    /// What the batcher was told last.
    told: Activity,
    pace: Pace,
    arrived: Instant,
    last: Last,
}

/// How much goes on in the picture.
struct Pace {
    calm: Calm,
    activity: Activity,
}

impl Pace {
    /// A new object is a detection that is sure and belongs to no track; those that are not sure come and go in any picture.
    fn take(&mut self, clock: Duration, seen: &Seen, following: bool) {
        let loose = seen.detections.iter().any(|seen| seen.track.is_none() && seen.detection.confidence >= SURE);
        self.activity = self.calm.take(clock, &seen.tracks, loose, following);
    }
}

/// What a message about a camera without frames still has to say.
struct Last {
    seq: u64,
    pts: Duration,
    capture: Capture,
    size: (u32, u32),
    model: Arc<ModelInfo>,
}

impl Last {
    fn of(frame: &Frame, model: &Arc<ModelInfo>) -> Self {
        Self { seq: frame.seq, pts: frame.pts, capture: frame.capture, size: frame.pixels.size(), model: model.clone() }
    }
}

impl Following {
    pub(super) fn new(frame: &Frame, config: &TrackConfig, model: &Arc<ModelInfo>, steps: Option<Box<Steps>>) -> Self {
        Self {
            stream: frame.stream.clone(),
            order: InOrder::new(MAX_WAITING),
            tracker: Lives::new(config),
            steps,
            shots: config.best_shots.map(Shots::new),
            // As the batcher sees every stream at first.
            told: Activity::Busy,
            pace: Pace { calm: Calm::default(), activity: Activity::Busy },
            arrived: Instant::now(),
            last: Last::of(frame, model),
        }
    }

    pub(super) fn stream(&self) -> &StreamId {
        &self.stream
    }

    pub(super) fn model(&self) -> &str {
        &self.last.model.name
    }

    /// Whether anything is followed, or to be told once no more frames come.
    pub(super) fn is_active(&self) -> bool {
        self.tracker.is_active() || self.steps.as_ref().is_some_and(|steps| steps.is_busy())
    }

    /// No more frames come: steps look at what they have. `true`: answers are under way.
    pub(super) fn last_looks(&mut self, now: Instant) -> bool {
        let Self { stream, steps, .. } = self;
        steps.as_mut().is_some_and(|steps| {
            steps.flush(stream, now);
            steps.awaits()
        })
    }

    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.arrived)
    }

    /// How much is going on in the picture, if that has changed since the last call.
    pub(super) fn activity_news(&mut self) -> Option<Activity> {
        let activity = if self.tracker.is_active() { self.pace.activity.max(Activity::Lost) } else { Activity::Idle };
        (activity != self.told).then(|| {
            self.told = activity;
            activity
        })
    }

    /// Takes a frame in its order; what becomes due goes to `out`, the pictures are dropped.
    pub(super) fn take(
        &mut self,
        item: Item,
        now: Instant,
        ids: &mut Ids,
        counters: &Counters,
        way_out: WayOut<'_>,
        out: &mut Vec<Tracked>,
    ) {
        self.arrived = now;
        let Self { order, tracker, pace, steps, shots, last, .. } = self;
        let number = item.frame.dispatch;
        let mut desk =
            Desk { tracker, pace, steps: steps.as_deref_mut(), shots: shots.as_mut(), last, now, ids, counters, way_out, out };
        let (arrival, late) = order.push(number, item, |item| desk.follow(item));
        match arrival {
            Arrival::Taken => {}
            Arrival::Skipped(missing) => counters.skipped.add(missing),
            Arrival::Late => counters.late.add(1),
        }
        if let Some(item) = late.filter(|item| !item.failed) {
            desk.unfollowed(item);
        }
    }

    /// Follows what still waits for frames that will not come any more.
    pub(super) fn drain(&mut self, ids: &mut Ids, counters: &Counters, stills: &Stills, out: &mut Vec<Tracked>) {
        let Self { order, tracker, pace, steps, shots, last, .. } = self;
        let way_out = WayOut { batcher: None, stills };
        let mut desk = Desk {
            tracker,
            pace,
            steps: steps.as_deref_mut(),
            shots: shots.as_mut(),
            last,
            now: Instant::now(),
            ids,
            counters,
            way_out,
            out,
        };
        order.drain().for_each(|item| desk.follow(item));
    }

    /// Ends all tracks.
    pub(super) fn close(&mut self, counters: &Counters, out: &mut Vec<Tracked>) {
        let mut tracks = Vec::new();
        self.tracker.end_all(&mut tracks);
        self.tell_ends(tracks, counters, out);
    }

    /// No frames have come for a while: tracks end as each one's time is over.
    pub(super) fn fade(&mut self, now: Instant, counters: &Counters, out: &mut Vec<Tracked>) {
        let mut tracks = Vec::new();
        self.tracker.pass(self.idle_for(now), &mut tracks);
        self.tell_ends(tracks, counters, out);
    }

    fn tell_ends(&mut self, tracks: Vec<Track>, counters: &Counters, out: &mut Vec<Tracked>) {
        counters.ended.add(tracks.len() as u64);
        let last = &self.last;
        let mut tracked = Tracked {
            stream: self.stream.clone(),
            frame_seq: last.seq,
            pts: last.pts,
            capture: last.capture,
            size: last.size,
            detections: Vec::new(),
            extras: Extras::default(),
            tracks,
            shots: Vec::new(),
            steps: None,
            verdicts: None,
            model: last.model.clone(),
            closing: true,
            times: crate::media::TimeCard::default(),
        };
        if let Some(steps) = &mut self.steps {
            steps.tell(self.tracker.clock(), &mut tracked);
        }
        if let Some(shots) = &mut self.shots {
            shots.tell(&mut tracked);
        }
        if !tracked.tracks.is_empty() || tracked.steps.is_some() {
            out.push(tracked);
        }
    }

    /// A step has looked at one of its tracks or at a frame; `None`: it failed.
    pub(super) fn answered(&mut self, model: &str, target: &Target, reading: Option<Reading>) {
        if let Some(steps) = &mut self.steps {
            steps.answered(model, target, reading);
        }
    }

    /// What the second look at a track saw, `None` if it failed.
    pub(super) fn looked(&mut self, track: TrackId, found: Option<&[Detection]>, counters: &Counters) {
        match self.tracker.looked(track, found) {
            Some(true) => counters.looks_found.add(1),
            Some(false) => counters.looks_refused.add(1),
            None => {}
        }
    }
}

/// Where a frame's picture can go when tracking is done with it, if not back to its decoder.
#[derive(Clone, Copy)]
pub(super) struct WayOut<'a> {
    /// Back to the network, for a second look.
    pub(super) batcher: Option<&'a Arc<Batcher>>,
    /// To whoever asked for a picture.
    pub(super) stills: &'a Stills,
}

/// Where one frame after the other is dealt with.
struct Desk<'a> {
    tracker: &'a mut Lives,
    pace: &'a mut Pace,
    steps: Option<&'a mut Steps>,
    shots: Option<&'a mut Shots>,
    last: &'a mut Last,
    now: Instant,
    ids: &'a mut Ids,
    counters: &'a Counters,
    way_out: WayOut<'a>,
    out: &'a mut Vec<Tracked>,
}

impl Desk<'_> {
    fn follow(&mut self, item: Item) {
        if item.failed {
            // Nobody looked, so nothing was missed: tracks wait for the next frame.
            return;
        }
        let Item { frame, mut detections, mut extras, finding, model, .. } = item;
        self.sift(&mut detections, &mut extras);
        let at = Moment { pts: frame.pts, wall: frame.capture.wall };
        let renames = self.recognise();
        self.fit(frame.pixels.size());
        let mut seen = Seen::default();
        self.tracker.update(at, &detections, self.ids, &mut seen);
        self.pace.take(self.tracker.clock(), &seen, self.tracker.is_active());
        *self.last = Last::of(&frame, &model);
        let mut tracked = self.story(&frame, &model, seen.detections, seen.tracks);
        tracked.extras = extras;
        tell(finding, &mut tracked);
        if !renames.is_empty() {
            steps::report(&mut tracked).renames = renames;
        }
        let clock = self.tracker.clock();
        let stills = self.way_out.stills;
        if let Some(shots) = &mut self.shots {
            shots.take(&frame, clock, || stills.veils(&frame.stream, frame.capture.wall), &mut tracked);
        }
        match &mut self.steps {
            None if seen.wanted.is_empty() => self.way_out.stills.deliver(frame, &tracked),
            None => self.look_again(frame, &seen.wanted, &mut tracked),
            Some(steps) if seen.wanted.is_empty() => {
                let frame = Arc::new(frame);
                let veils = self.way_out.stills.veils(&frame.stream, frame.capture.wall);
                steps.visit(&Shown::new(&frame, veils), clock, self.now, &mut tracked);
                self.way_out.stills.deliver(frame, &tracked);
            }
            Some(steps) => {
                steps.pass_over(SkipReason::SecondLook, clock, &mut tracked);
                self.look_again(frame, &seen.wanted, &mut tracked);
            }
        }
        self.counters.frames.add(1);
        let (mut started, mut ended) = (0, 0);
        for track in &tracked.tracks {
            match track.phase {
                TrackPhase::New => started += 1,
                TrackPhase::End => ended += 1,
                TrackPhase::Update => {}
            }
        }
        self.counters.started.add(started);
        self.counters.ended.add(ended);
        self.out.push(tracked);
    }

    /// Where the picture has another size than the last one, so has all that is followed in it.
    fn fit(&mut self, size: (u32, u32)) {
        let last = self.last.size;
        if size != last {
            let times = |now: u32, before: u32| f64::from(now) / f64::from(before.max(1));
            self.tracker.scale(times(size.0, last.0), times(size.1, last.1));
            self.counters.resized.add(1);
        }
    }

    /// Tracks that turned out to be objects known before go by their old identities from this frame on.
    fn recognise(&mut self) -> Vec<Rename> {
        let Some(steps) = &mut self.steps else { return Vec::new() };
        let known = steps.recognise(|track| self.tracker.born(track));
        self.counters.renamed.add(known.len() as u64);
        known.into_iter().map(|known| self.tracker.rename(known)).collect()
    }

    /// A frame that came too late to be followed: its detections are told, without tracks.
    fn unfollowed(&mut self, item: Item) {
        let Item { frame, mut detections, mut extras, finding, model, .. } = item;
        self.sift(&mut detections, &mut extras);
        let detections = detections.into_iter().map(|detection| TrackedDetection { detection, track: None }).collect();
        let mut tracked = self.story(&frame, &model, detections, Vec::new());
        tracked.extras = extras;
        tell(finding, &mut tracked);
        self.out.push(tracked);
    }

    fn story(&self, frame: &Frame, model: &Arc<ModelInfo>, detections: Vec<TrackedDetection>, tracks: Vec<Track>) -> Tracked {
        let mut times = frame.times;
        times.stamp(Mark::TrackStarted, self.now);
        Tracked {
            stream: frame.stream.clone(),
            frame_seq: frame.seq,
            pts: frame.pts,
            capture: frame.capture,
            size: frame.pixels.size(),
            detections,
            extras: Extras::default(),
            tracks,
            shots: Vec::new(),
            steps: None,
            verdicts: None,
            model: model.clone(),
            closing: false,
            times,
        }
    }

    /// Throws away what is no box and what is too much.
    fn sift(&self, detections: &mut Vec<Detection>, extras: &mut Extras) {
        let before = detections.len();
        extras.retain(detections, is_sound);
        self.counters.rejected.add((before - detections.len()) as u64);
        if detections.len() > MAX_DETECTIONS {
            self.counters.excess.add((detections.len() - MAX_DETECTIONS) as u64);
            extras.keep_best(detections, MAX_DETECTIONS);
        }
        let thrown = extras.sift();
        self.counters.extras_rejected.add(thrown.rejected);
        self.counters.extras_excess.add(thrown.excess);
    }

    /// Sends the frame back for a second look at new tracks; where that is not possible they are announced at once.
    fn look_again(&mut self, frame: Frame, wanted: &[Wanted], tracked: &mut Tracked) {
        let (width, height) = frame.pixels.size();
        let regions = wanted
            .iter()
            .map(|w| Region { frame: 0, track: w.track, bbox: double(&w.bbox, width as f32, height as f32) })
            .collect();
        let step = Step { batch: Batch { seq: frame.dispatch, frames: vec![frame] }, regions };
        if self.way_out.batcher.is_some_and(|batcher| batcher.push_step(step).is_ok()) {
            self.counters.looks.add(wanted.len() as u64);
            return;
        }
        self.counters.looks_unheard.add(wanted.len() as u64);
        let mut seen = Seen {
            detections: std::mem::take(&mut tracked.detections),
            tracks: std::mem::take(&mut tracked.tracks),
            wanted: Vec::new(),
        };
        for one in wanted {
            self.tracker.announce(one, &mut seen);
        }
        tracked.detections = seen.detections;
        tracked.tracks = seen.tracks;
    }
}

/// Adds what a network that is no detector says of this frame.
fn tell(finding: Option<Arc<Finding>>, tracked: &mut Tracked) {
    if let Some(finding) = finding {
        tracked.steps = Some(Box::new(StepReport { frame: vec![finding], ..StepReport::default() }));
    }
}

fn is_sound(detection: &Detection) -> bool {
    let BBox { x1, y1, x2, y2 } = detection.bbox;
    // Beyond this, areas are no longer finite numbers.
    let sane = |v: f32| v.abs() <= 1e6;
    sane(x1) && sane(y1) && sane(x2) && sane(y2) && x2 > x1 && y2 > y1 && (0.0..=1.0).contains(&detection.confidence)
}

/// A box of twice the width and height around the same centre, within the picture.
fn double(bbox: &BBox, width: f32, height: f32) -> BBox {
    let (w, h) = (bbox.width() / 2.0, bbox.height() / 2.0);
    BBox::new((bbox.x1 - w).max(0.0), (bbox.y1 - h).max(0.0), (bbox.x2 + w).min(width), (bbox.y2 + h).min(height))
}
