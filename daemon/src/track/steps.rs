//! Which steps look at what of one camera, and what they have found out about its tracks.

mod ending;
mod findings;
mod gallery;
mod gather;
mod shown;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use egret_models::spec::InputSpec;

use self::{findings::Findings, gallery::Gallery, gather::Gather};
pub(super) use self::{gallery::Known, shown::Shown};
use super::Telling;
use crate::{
    config::{StepConfig, StepOn, TrackConfig},
    infer::Cropper,
    media::{BBox, Finding, Found, ModelInfo, Reading, StepReport, StepState, TrackId, TrackPhase, Tracked},
    step::{Job, Look, SkipReason, StepQueue, Target},
};
/// Most findings about whole frames that wait for the next frame's message.
const MAX_WAITING: usize = 16;
/// Most tracks of a camera of which one step gathers clips at a time: bounds the memory of their pictures.
const MAX_GATHERED: usize = 32;

/// One step as tracking sees it.
#[derive(Clone)]
pub struct Plan {
    /// Its keys.
    pub config: StepConfig,
    /// The model that looks.
    pub model: Arc<ModelInfo>,
    /// Which classes of the other model are looked at, by index; `None`: all.
    pub wanted: Option<Box<[bool]>>,
    /// How what it finds is told.
    pub telling: Telling,
    /// Whether it says what tracks look like, by which they can be known again.
    pub embeds: bool,
    /// The input of a network that takes clips.
    pub clips: Option<InputSpec>,
    /// Where it is asked.
    pub queue: Arc<StepQueue>,
}

/// All steps of one camera.
pub(super) struct Steps {
    steps: Vec<Step>,
    gallery: Option<Gallery>,
}

struct Step {
    plan: Arc<Plan>,
    cropper: Option<Cropper>,
    whole: Subject,
    tracks: HashMap<TrackId, Subject>,
    /// About whole frames, not told yet.
    findings: VecDeque<Arc<Finding>>,
    /// A track that was not seen for so long makes no more pictures for clips.
    patience: Duration,
}

/// A track, or the camera as a whole, as one step knows it.
#[derive(Default)]
struct Subject {
    asked: Option<Duration>,
    pending: bool,
    /// When it was last seen, and in which frame.
    seen: (Duration, u64),
    gather: Gather,
    findings: Findings,
}

/// A frame on its way past the steps.
struct Visit<'a> {
    frame: &'a Shown<'a>,
    /// Time since the camera's first frame; never goes back.
    clock: Duration,
    now: Instant,
}

/// What came of asking once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It is in the queue.
    Queued,
    /// A picture of it is kept, or will be, for a clip.
    Gathering,
    /// It is left out.
    Skipped(SkipReason),
}

/// What a network that is no detector says of a frame.
pub(super) fn finding(reading: Reading, model: &Arc<ModelInfo>, telling: Option<&Telling>, frame: u64) -> Arc<Finding> {
    let (Telling { confidence, details }, looks) = (telling.copied().unwrap_or_default(), 1);
    let found = match reading {
        Reading::Scores(scores) => Found::Label(scores.best().filter(|(_, score)| *score >= confidence)),
        Reading::Embedding(vector) => Found::Appearance(vector),
        Reading::Areas(areas) => Found::Areas(areas),
        Reading::Boxes(boxes) => Found::Boxes(Arc::new(boxes)),
    };
    Arc::new(Finding { model: model.clone(), frame, looks, found, details })
}

impl Steps {
    /// The steps that look at what this model sees; `None`: there are none.
    pub(super) fn of(plans: &[Arc<Plan>], model: &str, config: &TrackConfig) -> Option<Box<Self>> {
        let of_it = plans.iter().filter(|plan| plan.config.of == model);
        let steps: Vec<Step> = of_it.map(|plan| Step::new(plan, config.lost_after / 2)).collect();
        let embeds = steps.iter().any(|step| step.plan.embeds && step.plan.config.on == StepOn::Tracks);
        let gallery = (embeds && config.appearance.limit > 0.0).then(|| Gallery::new(config.appearance));
        (!steps.is_empty()).then(|| Box::new(Self { steps, gallery }))
    }

    /// The tracks that turn out to be objects known before. What is known of them goes on under the old identities, of which the
    /// caller is to tell in its next story.
    /// `born`: when a track was first seen.
    pub(super) fn recognise(&mut self, born: impl Fn(TrackId) -> Option<Duration>) -> Vec<Known> {
        let Some(gallery) = &mut self.gallery else { return Vec::new() };
        let known = gallery.recognise(born);
        for Known { rename, .. } in &known {
            for step in &mut self.steps {
                let Some(subject) = step.tracks.remove(&rename.from) else { continue };
                if let Some(mut old) = step.tracks.insert(rename.to, subject) {
                    ending::abandon(&step.plan, &mut old);
                }
            }
        }
        known
    }

    /// Shows the steps a frame and what was seen in it, and notes in its story what they do and what they have found out.
    pub(super) fn visit(&mut self, frame: &Shown<'_>, clock: Duration, now: Instant, tracked: &mut Tracked) {
        let visit = Visit { frame, clock, now };
        for step in &mut self.steps {
            let state = match step.plan.config.on {
                StepOn::Frames => step.frame(&visit),
                StepOn::Tracks => step.tracks(&visit, tracked),
            };
            report(tracked).states.push((step.plan.model.clone(), state));
        }
        self.tell(clock, tracked);
    }

    /// The frame went elsewhere: no step looks at it.
    pub(super) fn pass_over(&mut self, reason: SkipReason, clock: Duration, tracked: &mut Tracked) {
        for step in &mut self.steps {
            step.plan.queue.counters().skip(reason, 1);
            report(tracked).states.push((step.plan.model.clone(), StepState::Skipped(reason)));
        }
        self.tell(clock, tracked);
    }

    /// Adds what the steps have found out to a story, and forgets the tracks that end in it.
    pub(super) fn tell(&mut self, clock: Duration, tracked: &mut Tracked) {
        if let Some(gallery) = &mut self.gallery {
            gallery.see(&tracked.tracks, clock);
        }
        for step in &mut self.steps {
            if !step.findings.is_empty() {
                report(tracked).frame.extend(step.findings.drain(..));
            }
            if step.tracks.is_empty() {
                continue;
            }
            for i in 0..tracked.tracks.len() {
                let (id, phase) = (tracked.tracks[i].id, tracked.tracks[i].phase);
                let Some(subject) = step.tracks.get_mut(&id) else { continue };
                if phase == TrackPhase::End {
                    ending::abandon(&step.plan, subject);
                }
                if let Some(finding) = subject.findings.told() {
                    report(tracked).tracks.push((id, finding.clone()));
                }
                if phase == TrackPhase::End {
                    step.tracks.remove(&id);
                }
            }
        }
    }

    /// A look has come back; `None`: it failed.
    pub(super) fn answered(&mut self, model: &str, target: &Target, reading: Option<Reading>) {
        let Some(step) = self.steps.iter_mut().find(|step| step.plan.model.name == model) else { return };
        let plan = &step.plan;
        let Some(track) = target.track else {
            step.whole.pending = false;
            if let Some(reading) = reading {
                if step.findings.len() == MAX_WAITING {
                    step.findings.pop_front();
                }
                step.findings.push_back(finding(reading, &plan.model, Some(&plan.telling), target.frame));
            }
            return;
        };
        // The track may have been renamed meanwhile, or have ended.
        let track = self.gallery.as_ref().map_or(track, |gallery| gallery.name(track));
        let Some(subject) = step.tracks.get_mut(&track) else { return };
        subject.pending = false;
        let Some(reading) = reading else { return };
        subject.findings.take(reading, plan, target.frame);
        if let (Some(gallery), Some(Found::Appearance(vector))) =
            (&mut self.gallery, subject.findings.told().map(|finding| &finding.found))
        {
            gallery.look(track, &plan.model, vector);
        }
    }
}

/// A story's part about steps.
pub(super) fn report(tracked: &mut Tracked) -> &mut StepReport {
    tracked.steps.get_or_insert_with(Box::default)
}

impl Step {
    fn new(plan: &Arc<Plan>, patience: Duration) -> Self {
        let cropper = plan.clips.as_ref().and_then(Cropper::new);
        let (whole, tracks, findings) = (Subject::default(), HashMap::new(), VecDeque::new());
        Self { plan: plan.clone(), cropper, whole, tracks, findings, patience }
    }

    fn frame(&mut self, visit: &Visit<'_>) -> StepState {
        let asked = ask(&self.plan, &mut self.cropper, visit, (None, None), &mut self.whole);
        match asked {
            Asked::Queued => StepState::Queued(1),
            Asked::Gathering => StepState::Gathering,
            Asked::Skipped(reason) => {
                self.plan.queue.counters().skip(reason, 1);
                StepState::Skipped(reason)
            }
        }
    }

    /// Asks for a look at each track that is due, those first that have waited longest.
    fn tracks(&mut self, visit: &Visit<'_>, tracked: &Tracked) -> StepState {
        let Self { plan, cropper, tracks, .. } = self;
        let least = plan.config.min_size as f32;
        let (mut small, mut due): (u64, Vec<(Option<Duration>, TrackId, BBox)>) = (0, Vec::new());
        for seen in &tracked.detections {
            let class = usize::from(seen.detection.class);
            let Some(track) = seen.track else { continue };
            if !plan.wanted.as_ref().is_none_or(|wanted| wanted.get(class).copied().unwrap_or_default()) {
                continue;
            }
            let bbox = seen.detection.bbox;
            if bbox.width().min(bbox.height()) < least {
                small += 1;
                continue;
            }
            due.push((tracks.get(&track).and_then(|subject| subject.asked), track, bbox));
        }
        due.sort_by_key(|(asked, track, _)| (*asked, *track));
        let (mut queued, mut gathering, mut skipped) = (0, false, [0; SkipReason::ALL.len()]);
        skipped[SkipReason::TooSmall as usize] = small;
        for (_, track, bbox) in due {
            let gathered = if cropper.is_some() { tracks.values().filter(|subject| subject.gather.is_busy()).count() } else { 0 };
            let subject = tracks.entry(track).or_default();
            let asked = if gathered >= MAX_GATHERED && !subject.gather.is_busy() {
                Asked::Skipped(SkipReason::QueueFull)
            } else {
                ask(plan, cropper, visit, (Some(track), Some(bbox)), subject)
            };
            match asked {
                Asked::Queued => queued += 1,
                Asked::Gathering => gathering = true,
                Asked::Skipped(reason) => skipped[reason as usize] += 1,
            }
        }
        self.let_go(visit);
        let plan = &self.plan;
        for (reason, count) in SkipReason::ALL.into_iter().zip(skipped) {
            plan.queue.counters().skip(reason, count);
        }
        // What matters most to a reader of the message comes first.
        let reasons = [SkipReason::QueueFull, SkipReason::Pending, SkipReason::Rate, SkipReason::TooSmall];
        match reasons.into_iter().find(|reason| skipped[*reason as usize] > 0) {
            _ if queued > 0 => StepState::Queued(queued),
            _ if gathering => StepState::Gathering,
            Some(reason) => StepState::Skipped(reason),
            None => StepState::NothingToSee,
        }
    }
}

/// Asks for a look at a track or a frame, if it is due.
fn ask(
    plan: &Plan,
    cropper: &mut Option<Cropper>,
    visit: &Visit<'_>,
    (track, region): (Option<TrackId>, Option<BBox>),
    subject: &mut Subject,
) -> Asked {
    subject.seen = (visit.clock, visit.frame.whole().seq);
    let due = subject.asked.is_none_or(|asked| visit.clock >= asked + plan.config.every);
    if subject.pending {
        return Asked::Skipped(SkipReason::Pending);
    }
    let look = match cropper {
        None if !due => return Asked::Skipped(SkipReason::Rate),
        None => Look::Picture { frame: Arc::clone(visit.frame.frame()), region },
        Some(cropper) => {
            if !due && !subject.gather.is_busy() {
                return Asked::Skipped(SkipReason::Rate);
            }
            match subject.gather.take(visit.frame, region, visit.clock, &plan.config, cropper) {
                Some(clips) => Look::Clips(clips),
                None => return Asked::Gathering,
            }
        }
    };
    let target = Target { stream: visit.frame.whole().stream.clone(), track, frame: visit.frame.whole().seq };
    if plan.queue.push(Job { target, look, asked: visit.now }).is_err() {
        return Asked::Skipped(SkipReason::QueueFull);
    }
    (subject.asked, subject.pending) = (Some(visit.clock), true);
    Asked::Queued
}

#[cfg(test)]
mod tests;
