//! All rules of one camera: a pure function of what tracking says of it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    clock::Clock,
    counters::Counters,
    event::{Unit, Verdicts},
    ground::Ground,
    rule::CameraRules,
    runner::{Moment, Runner},
    sight::{Look, Sight},
};
use crate::media::{BBox, Capture, Extras, ModelInfo, StreamId, TimeCard, TrackId, TrackPhase, Tracked, TrackedDetection};

/// The rules of one camera, and everything that they remember.
pub struct Analyst {
    counters: Arc<Counters>,
    runners: Vec<Runner>,
    ground: Option<Ground>,
    rules: CameraRules,
    clock: Clock,
    model: Option<Arc<ModelInfo>>,
    /// The last frame without what was in it: what is said when no further one comes.
    last: Option<Tracked>,
    /// What a reload leaves to be said.
    left: Verdicts,
}

impl Analyst {
    /// Rules that have seen nothing yet.
    pub fn new(counters: Arc<Counters>) -> Self {
        let (runners, rules, left) = (Vec::new(), CameraRules::default(), Verdicts::default());
        Self { counters, runners, ground: None, rules, clock: Clock::default(), model: None, last: None, left }
    }

    /// Takes new rules over. Those that stay as they were go on; what the others had under way ends.
    pub fn configure(&mut self, camera: &str, rules: &CameraRules) {
        let ground = rules.ground.as_ref().and_then(|config| Ground::new(config).ok());
        let moved = ground != self.ground;
        let mut before: Vec<Option<Runner>> = self.runners.drain(..).map(Some).collect();
        let classes = self.model.as_ref().map_or(&[][..], |model| &model.classes);
        for config in &rules.rules {
            let same = |runner: &Runner| runner.config == *config && !(moved && runner.needs_ground());
            let kept = before.iter_mut().find(|runner| runner.as_ref().is_some_and(same)).and_then(Option::take);
            self.runners.push(kept.unwrap_or_else(|| Runner::new(config, camera, classes, &self.counters)));
        }
        let moment = self.moment();
        for mut runner in before.into_iter().flatten() {
            runner.close(moment, camera, self.unit(), &mut self.left);
            self.left.counts.retain(|count| count.rule != runner.name);
            if runner.retains() {
                self.left.gone.push(runner.name.clone());
            }
            if !rules.rules.iter().any(|rule| rule.name == *runner.name) {
                self.counters.forget_rule(camera, &runner.name);
            }
        }
        (self.ground, self.rules) = (ground, rules.clone());
    }

    fn unit(&self) -> Unit {
        if self.ground.is_some() { Unit::Metres } else { Unit::Heights }
    }

    fn moment(&self) -> Moment {
        let wall = self.last.as_ref().map_or(SystemTime::UNIX_EPOCH, |last| last.capture.wall);
        Moment { now: self.clock.now(), wall }
    }

    /// Adds to a frame's story what the rules make of it.
    pub fn look(&mut self, tracked: &mut Tracked) {
        if !self.model.as_ref().is_some_and(|model| Arc::ptr_eq(model, &tracked.model)) {
            self.runners.iter_mut().for_each(|runner| runner.resolve(&tracked.model.classes));
            self.model = Some(tracked.model.clone());
        }
        let mut verdicts = std::mem::take(&mut self.left);
        let camera = tracked.stream.clone();
        if tracked.closing {
            let (moment, unit) = (self.moment(), self.unit());
            self.runners.iter_mut().for_each(|runner| runner.close(moment, camera.name(), unit, &mut verdicts));
        } else {
            self.rename(tracked, &mut verdicts);
            // A frame that was overtaken has no tracks, and says nothing of the time that has passed.
            if let Some(step) = self.clock.advance(tracked.pts, tracked.capture.wall) {
                self.frame(tracked, step, &mut verdicts);
                self.last = Some(header(tracked));
            }
        }
        tracked.verdicts = (!verdicts.is_empty()).then(|| Box::new(verdicts));
    }

    /// What is known of a track belongs to the object that it turned out to be.
    fn rename(&mut self, tracked: &Tracked, verdicts: &mut Verdicts) {
        let moment = Moment { now: self.clock.now(), wall: tracked.capture.wall };
        let at = (tracked.stream.name(), self.unit());
        for rename in tracked.steps.iter().flat_map(|report| &report.renames) {
            self.runners.iter_mut().for_each(|runner| runner.rename(rename, moment, at, verdicts));
        }
    }

    fn frame(&mut self, tracked: &Tracked, step: Duration, verdicts: &mut Verdicts) {
        let (sights, ended) = self.sort_out(tracked);
        let (wall, camera) = (tracked.capture.wall, tracked.stream.name());
        let aspect = f64::from(tracked.size.0.max(1)) / f64::from(tracked.size.1.max(1));
        let now = self.clock.now();
        for at in 0..self.runners.len() {
            let (before, rest) = self.runners.split_at_mut(at);
            let Some(runner) = rest.first_mut() else { continue };
            if runner.is_combination() {
                runner.combine(before, Moment { now, wall }, camera, verdicts);
                continue;
            }
            let gap = step > runner.config.max_gap;
            let watched = if gap { Duration::ZERO } else { step };
            let ground = self.ground.as_ref();
            runner.look(&Look { now, watched, gap, sights: &sights, ended: &ended, aspect, ground }, wall, camera, verdicts);
        }
    }

    /// The objects of a frame, and the tracks that end in it.
    fn sort_out(&self, tracked: &Tracked) -> (Vec<Sight>, Vec<TrackId>) {
        let (mut sights, mut ended): (Vec<Sight>, Vec<TrackId>) = (Vec::new(), Vec::new());
        let of_track = |seen: &TrackedDetection| seen.track.map(|track| (track, seen.detection.bbox));
        let mut seen: Vec<(TrackId, BBox)> = tracked.detections.iter().filter_map(of_track).collect();
        seen.sort_by_key(|(track, _)| *track);
        for track in &tracked.tracks {
            let seen = seen.binary_search_by_key(&track.id, |(of, _)| *of).ok().map(|at| &seen[at].1);
            if track.phase == TrackPhase::End {
                ended.push(track.id);
            } else if let Some(sight) = Sight::of(track, seen, tracked.size, self.ground.as_ref()) {
                sights.push(sight);
            }
        }
        sights.sort_by_key(|sight| sight.track);
        sights.dedup_by_key(|sight| sight.track);
        (sights, ended)
    }

    /// The camera is gone for good: what was under way ends, and what is retained is cleared. `None`: there is nothing to say.
    pub fn finish(mut self) -> Option<Tracked> {
        let mut tracked = self.last.take()?;
        let (moment, unit) = (Moment { now: self.clock.now(), wall: tracked.capture.wall }, self.unit());
        let mut verdicts = std::mem::take(&mut self.left);
        for runner in &mut self.runners {
            runner.close(moment, tracked.stream.name(), unit, &mut verdicts);
        }
        verdicts.counts.clear();
        verdicts.gone.extend(self.runners.iter().filter(|runner| runner.retains()).map(|runner| runner.name.clone()));
        self.counters.forget_camera(tracked.stream.name());
        tracked.verdicts = (!verdicts.is_empty()).then(|| Box::new(verdicts));
        tracked.verdicts.is_some().then_some(tracked)
    }

    /// The rules in force.
    pub fn rules(&self) -> &CameraRules {
        &self.rules
    }
}

/// A frame's story without what was in it, as one that no frame belongs to.
fn header(tracked: &Tracked) -> Tracked {
    let Tracked { stream, frame_seq, pts, capture, size, model, .. } = tracked;
    let (stream, model): (StreamId, _) = (stream.clone(), model.clone());
    let capture = Capture { ..*capture };
    Tracked {
        stream,
        frame_seq: *frame_seq,
        pts: *pts,
        capture,
        size: *size,
        detections: Vec::new(),
        extras: Extras::default(),
        tracks: Vec::new(),
        steps: None,
        shots: Vec::new(),
        verdicts: None,
        model,
        closing: true,
        times: TimeCard::default(),
    }
}
