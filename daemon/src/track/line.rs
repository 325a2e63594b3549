//! The thread that follows the objects of all cameras.

use std::{
    collections::{HashMap, VecDeque},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::mpsc;

use super::{
    Counters, Ids, Keep, Stepped, ToTrack, Ways,
    steps::{self, Steps},
    stream::{Following, Item, WayOut},
};
use crate::{
    analyse::Cameras,
    config::TrackConfig,
    gate::Activity,
    life::Stage,
    media::{Inferred, Mark, StreamId, Tracked},
    observe::still::Stills,
    step::Answered,
};

/// How often streams without frames are looked after, while anything is followed.
const TICK: Duration = Duration::from_secs(1);
/// How many removed streams are remembered, for frames of theirs that are still under way.
const REMEMBERED: usize = 256;
/// How long the last looks at a stream without frames are waited for.
const LAST_LOOKS: Duration = Duration::from_secs(10);

/// Follows objects until every sender of `input` is gone, then ends all tracks. Needs a thread of its own: it blocks.
///
/// `back` holds the ways back to the models. `output` gets one item per batch. `stage` beats for each message.
pub fn run(
    config: &TrackConfig,
    input: &Receiver<ToTrack>,
    output: &mpsc::Sender<Vec<Tracked>>,
    back: &Ways,
    counters: &Counters,
    stills: &Stills,
    stage: &Stage,
) {
    let mut line = Line::new(config, back, counters, stills, SystemTime::now());
    let mut looked_after = Instant::now();
    loop {
        let message = if line.streams.values().any(Following::is_active) {
            input.recv_timeout(TICK)
        } else {
            input.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        let _busy = stage.busy();
        let started = Instant::now();
        let mut out = Vec::new();
        match message {
            Ok(message) => line.take(message, started, &mut out),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if started.saturating_duration_since(looked_after) >= TICK {
            looked_after = started;
            line.close_idle(started, &mut out);
        }
        line.cameras.look(&mut out);
        if !send(output, out) {
            return;
        }
    }
    let mut out = Vec::new();
    line.finish(&mut out);
    line.cameras.look(&mut out);
    send(output, out);
}

/// Hands the frames on. `false`: publishing has ended, so there is nobody to follow anything for.
fn send(output: &mpsc::Sender<Vec<Tracked>>, mut out: Vec<Tracked>) -> bool {
    if out.is_empty() {
        return true;
    }
    let done = Instant::now();
    for tracked in out.iter_mut().filter(|t| !t.closing) {
        tracked.times.stamp(Mark::Tracked, done);
    }
    output.blocking_send(out).is_ok()
}

/// Tracking without a thread, a queue and a clock of its own: what follows recordings, as fast as they are read and the same each time.
pub struct Follower<'a>(Line<'a>);

impl<'a> Follower<'a> {
    /// As [`run`]; identities count from `started`.
    pub fn new(config: &'a TrackConfig, back: &'a Ways, counters: &'a Counters, stills: &'a Stills, started: SystemTime) -> Self {
        Self(Line::new(config, back, counters, stills, started))
    }

    /// Takes a message; the stories that it makes, with what the rules say of them, take the place of what was in `out`.
    pub fn take(&mut self, message: ToTrack, now: Instant, out: &mut Vec<Tracked>) {
        out.clear();
        self.0.take(message, now, out);
        self.0.cameras.look(out);
    }

    /// No more messages come: all tracks end.
    pub fn finish(mut self, out: &mut Vec<Tracked>) {
        out.clear();
        self.0.finish(out);
        self.0.cameras.look(out);
    }
}

struct Line<'a> {
    config: &'a TrackConfig,
    back: &'a Ways,
    counters: &'a Counters,
    stills: &'a Stills,
    ids: Ids,
    streams: HashMap<StreamId, Following>,
    /// Which detections are kept, for streams that do not keep all.
    keep: HashMap<StreamId, Keep>,
    gone: VecDeque<StreamId>,
    cameras: Cameras,
}

impl<'a> Line<'a> {
    fn new(config: &'a TrackConfig, back: &'a Ways, counters: &'a Counters, stills: &'a Stills, started: SystemTime) -> Self {
        Self {
            config,
            back,
            counters,
            stills,
            ids: Ids::new(started),
            streams: HashMap::new(),
            keep: HashMap::new(),
            gone: VecDeque::new(),
            cameras: Cameras::new(back.rules.clone()),
        }
    }

    fn take(&mut self, message: ToTrack, now: Instant, out: &mut Vec<Tracked>) {
        match message {
            ToTrack::Inferred(inferred) => self.inferred(inferred, now, out),
            ToTrack::Stepped(stepped) => self.stepped(&stepped),
            ToTrack::Answered(answered) => self.answered(answered),
            ToTrack::Last(done) => {
                self.last(now, out);
                // Whoever asked may have given up.
                let _ = done.send(());
            }
            ToTrack::Keep { stream, keep } if keep == Keep::default() => {
                self.keep.remove(&stream);
            }
            ToTrack::Keep { stream, keep } => {
                self.keep.insert(stream, keep);
            }
            ToTrack::Rules { stream, rules } => self.cameras.configure(&stream, &rules),
            ToTrack::Gone(stream) => {
                self.keep.remove(&stream);
                if let Some(mut following) = self.streams.remove(&stream) {
                    following.close(self.counters, out);
                    self.tell_activity(&following);
                }
                self.cameras.forget(&stream, out);
                if self.gone.len() == REMEMBERED {
                    self.gone.pop_front();
                }
                self.gone.push_back(stream);
            }
        }
    }

    fn inferred(&mut self, inferred: Inferred, now: Instant, out: &mut Vec<Tracked>) {
        let Inferred { batch, detections, extras, readings, model, failed } = inferred;
        let (mut detections, mut extras, mut readings) = (detections.into_iter(), extras.into_iter(), readings.into_iter());
        out.reserve(batch.frames.len());
        for frame in batch.frames {
            let mut detections = detections.next().unwrap_or_default();
            let (mut extras, reading) = (extras.next().unwrap_or_default(), readings.next());
            if self.gone.contains(&frame.stream) {
                self.counters.late.add(1);
                continue;
            }
            if let Some(keep) = self.keep.get(&frame.stream) {
                extras.retain(&mut detections, |detection| keep.holds(detection));
            }
            if let Some(hidden) = self.cameras.hidden(&frame, &model) {
                extras.retain(&mut detections, |detection| !hidden.holds(detection));
            }
            let (stream, batcher) = (frame.stream.clone(), self.back.batchers.get(&model.name));
            let following = self.streams.entry(stream).or_insert_with(|| {
                Following::new(&frame, self.config, &model, Steps::of(&self.back.steps, &model.name, self.config))
            });
            let finding = reading.map(|reading| steps::finding(reading, &model, self.back.told.get(&model.name), frame.seq));
            let item = Item { frame, detections, extras, finding, model: model.clone(), failed };
            let way_out = WayOut { batcher, stills: self.stills };
            following.take(item, now, &mut self.ids, self.counters, way_out, out);
            if let Some(activity) = following.activity_news()
                && let Some(batcher) = batcher
            {
                batcher.control().set_activity(following.stream(), activity);
            }
        }
    }

    fn stepped(&mut self, stepped: &Stepped) {
        for (i, region) in stepped.step.regions.iter().enumerate() {
            let Some(frame) = stepped.step.batch.frames.get(region.frame) else { continue };
            let Some(following) = self.streams.get_mut(&frame.stream) else { continue };
            let found = stepped.detections.as_ref().map(|all| all.get(i).map_or(&[][..], Vec::as_slice));
            following.looked(region.track, found, self.counters);
        }
    }

    fn answered(&mut self, answered: Answered) {
        for (target, reading) in answered.answers {
            if let Some(following) = self.streams.get_mut(&target.stream) {
                following.answered(&answered.model.name, &target, reading);
            }
        }
    }

    /// Ends the tracks of streams that send no frames, each when its time is over: nothing else would.
    fn close_idle(&mut self, now: Instant, out: &mut Vec<Tracked>) {
        for following in self.streams.values_mut() {
            if following.is_active() && following.idle_for(now) > self.config.lost_after + TICK {
                if following.last_looks(now) && following.idle_for(now) < self.config.lost_after + LAST_LOOKS {
                    continue;
                }
                following.fade(now, self.counters, out);
                if let Some(batcher) = self.back.batchers.get(following.model()) {
                    following.activity_news().inspect(|activity| batcher.control().set_activity(following.stream(), *activity));
                }
            }
        }
    }

    fn tell_activity(&self, following: &Following) {
        if let Some(batcher) = self.back.batchers.get(following.model()) {
            batcher.control().set_activity(following.stream(), Activity::Idle);
        }
    }

    /// No more frames come: follows what still waits, and lets the steps look at what they have.
    fn last(&mut self, now: Instant, out: &mut Vec<Tracked>) {
        for following in self.streams.values_mut() {
            following.drain(&mut self.ids, self.counters, self.stills, out);
            following.last_looks(now);
        }
    }

    fn finish(&mut self, out: &mut Vec<Tracked>) {
        for following in self.streams.values_mut() {
            following.drain(&mut self.ids, self.counters, self.stills, out);
            following.close(self.counters, out);
        }
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
