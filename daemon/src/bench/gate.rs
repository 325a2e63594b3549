//! What the gate saves and what it costs: cameras in virtual time through the daemon's own watch and batcher.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    batch::{Batcher, Counts, Limits, Mode, Outcome, Slot, StillSettings, StreamSettings, Work},
    config::GateConfig,
    gate::{Calm, Luma, MotionSettings, PictureSettings, Watch, WatchSettings},
    media::{BBox, Capture, Frame, Mark, Pixels, StreamId, TimeBasis, TimeCard, Track, TrackId, TrackPhase},
};

#[cfg(feature = "sim")]
mod scenes;
mod video;

#[cfg(feature = "sim")]
pub use scenes::{Scenes, scenes};
pub use video::video;

/// What is not looked at for so long is followed no more.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// An object must be looked at this soon after it shows.
const FIRST: Duration = Duration::from_secs(1);

/// How the cameras are configured.
#[derive(Clone, Copy, Debug)]
pub struct GateOptions {
    /// The gate; `None`: there is none.
    pub gate: Option<GateConfig>,
    /// As the camera's key.
    pub calm_interval: Duration,
}

/// What came of a camera, or of several.
#[derive(Clone, Debug, Default)]
pub struct GateReport {
    /// Which.
    pub name: String,
    /// Where its frames went.
    pub counts: Counts,
    /// Objects that were in view for a second or longer.
    pub objects: u64,
    /// Those of which no frame of their first second was looked at.
    pub missed: u64,
    /// The longest that one of the others waited for its first look.
    pub longest_wait: Duration,
    /// CPU time of all looks at luma planes.
    pub looking: Duration,
}

impl GateReport {
    /// Share of the frames that no network had to look at.
    pub fn saved(&self) -> f64 {
        1.0 - self.counts.inferred as f64 / self.counts.decoded.max(1) as f64
    }

    /// Adds another camera's.
    pub fn add(&mut self, other: &Self) {
        self.counts += other.counts;
        self.objects += other.objects;
        self.missed += other.missed;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.looking += other.looking;
    }
}

/// An object in a frame.
#[derive(Clone, Copy, Debug)]
struct Shown {
    id: u64,
    bbox: BBox,
}

/// When an object was in view, and when it was looked at first.
#[derive(Clone, Copy, Debug)]
struct Visit {
    from: Duration,
    to: Duration,
    looked: Option<Duration>,
}

/// One camera. Tracking is as good as the objects that it is given: what is measured is the gate alone.
struct Camera {
    watch: Watch,
    batcher: Arc<Batcher>,
    slot: Slot,
    calm: Calm,
    known: BTreeMap<u64, (Duration, BBox)>,
    visits: BTreeMap<u64, Visit>,
    looking: Duration,
}

impl Camera {
    fn new(options: &GateOptions) -> Self {
        let motion = options.gate.map(|gate| MotionSettings { threshold: gate.threshold, hold: gate.hold });
        let still = options.gate.map(|gate| StillSettings { interval: gate.interval, tracks: gate.tracks });
        let limits = Limits { max_batch: 1, max_wait: Duration::ZERO, staleness: LOST_AFTER, instances: 1 };
        let batcher = Batcher::new(limits);
        // Every-frame streams go by media time, which is the only time here.
        let mode = Mode::EveryFrame { queue: 1 };
        let settings = StreamSettings { still, calm_interval: options.calm_interval, ..StreamSettings::new(mode) };
        let slot = batcher.add(StreamId::new(1, "camera"), settings);
        Self {
            watch: Watch::new(WatchSettings { motion, picture: PictureSettings::default() }),
            batcher,
            slot,
            calm: Calm::default(),
            known: BTreeMap::new(),
            visits: BTreeMap::new(),
            looking: Duration::ZERO,
        }
    }

    /// A frame; whether a network looked at it.
    fn take(&mut self, luma: Luma<'_>, at: Duration, shown: &[Shown]) -> bool {
        let started = Instant::now();
        let seen = self.watch.look(luma, at);
        self.looking += started.elapsed();
        let size = (luma.width as u32, luma.height as u32);
        let waits = self.slot.offer_seen(frame(self.slot.stream(), size, at), seen.still)
            && self.batcher.counts().iter().any(|(_, counts)| counts.in_flight > 0);
        let looked = waits && self.infer();
        for object in shown {
            let visit = self.visits.entry(object.id).or_insert(Visit { from: at, to: at, looked: None });
            visit.to = at;
            if looked {
                visit.looked.get_or_insert(at);
            }
        }
        if looked {
            self.follow(at, shown);
        }
        looked
    }

    fn infer(&self) -> bool {
        let Some(Work::Batch(batch)) = self.batcher.next() else { return false };
        self.batcher.finished(&batch.frames, Outcome::Inferred, Duration::from_millis(1));
        true
    }

    /// What tracking would say to the batcher.
    fn follow(&mut self, at: Duration, shown: &[Shown]) {
        let tracks: Vec<Track> = shown.iter().map(|object| track(object, self.known.get(&object.id), at)).collect();
        self.known.extend(shown.iter().map(|object| (object.id, (at, object.bbox))));
        self.known.retain(|_, (seen, _)| at.saturating_sub(*seen) <= LOST_AFTER);
        let activity = self.calm.take(at, &tracks, false, !self.known.is_empty());
        self.batcher.control().set_activity(self.slot.stream(), activity);
    }

    fn report(self, name: String) -> GateReport {
        let mut report = GateReport { name, looking: self.looking, counts: self.batcher.total(), ..GateReport::default() };
        for visit in self.visits.values().filter(|visit| visit.to.saturating_sub(visit.from) >= FIRST) {
            let wait = visit.looked.map(|looked| looked.saturating_sub(visit.from));
            report.objects += 1;
            match wait {
                Some(wait) if wait <= FIRST => report.longest_wait = report.longest_wait.max(wait),
                _ => report.missed += 1,
            }
        }
        report
    }
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

fn track(object: &Shown, known: Option<&(Duration, BBox)>, at: Duration) -> Track {
    let middle = |bbox: &BBox| (f32::midpoint(bbox.x1, bbox.x2), f32::midpoint(bbox.y1, bbox.y2));
    let velocity = known.map_or((0.0, 0.0), |(seen, bbox)| {
        let (step, from, to) = (at.saturating_sub(*seen).as_secs_f32().max(1e-3), middle(bbox), middle(&object.bbox));
        ((to.0 - from.0) / step, (to.1 - from.1) / step)
    });
    Track {
        id: TrackId(object.id),
        class: 0,
        confidence: 1.0,
        bbox: object.bbox,
        velocity,
        stationary: false,
        first_seen: SystemTime::UNIX_EPOCH,
        last_seen: SystemTime::UNIX_EPOCH + at,
        hits: 1,
        phase: if known.is_some() { TrackPhase::Update } else { TrackPhase::New },
    }
}
