//! When a batch goes: one pure function of the time, the cameras, the limits and the engine's measured cost.
//!
//! A free engine faces frames that wait and cameras whose next frame is due soon. Waiting for these makes fuller batches, which cost
//! an accelerator less per frame, and makes the frames that wait older. So it waits for the cohort that is expected within the
//! window, and only where the measured costs say that company pays; it never waits for a camera that is late.

use std::time::{Duration, Instant};

use super::{Limits, cost::CostModel};

/// A frame may come this share of its period late before nobody waits for it any more.
const LATENESS: u32 = 4;
/// The last part of the period in which a waiting frame is let go, for its successor may come early.
const REPLACEMENT: u32 = 16;
/// The part of a period that a foreseen round may come early.
const EARLY: u32 = 64;
/// The share of a period that each frame must gain for a round to be cut short.
const MARGIN: f64 = 4.0;
/// How long every-frame streams of yet unknown rhythm are given for their next frame.
const FIRST_FRAMES: Duration = Duration::from_millis(100);
/// The longest that every-frame streams gather.
const GATHER: Duration = Duration::from_millis(250);

/// What the policy sees of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Camera {
    /// Frames that wait.
    pub(super) waiting: usize,
    /// Since when the oldest of them waits.
    pub(super) oldest: Option<Instant>,
    /// When the latest frame came.
    pub(super) last: Option<Instant>,
    /// The mean time between frames, once trusted.
    pub(super) period: Option<Duration>,
    /// Whether it is a stream of which every frame counts: its frames queue, and it is in no hurry.
    pub(super) every_frame: bool,
    /// Whether another frame can come: the stream is not leaving and its producer not held back.
    pub(super) open: bool,
}

impl Camera {
    /// When the next frame is due and when it is late, unless it is late already.
    fn expected(&self, now: Instant) -> Option<(Instant, Instant)> {
        let period = self.period.filter(|_| self.open)?;
        let due = self.last? + period;
        let late = due + period / LATENESS;
        (now < late).then_some((due, late))
    }
}

/// What a free engine is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Take so many frames now.
    Dispatch(usize),
    /// Look again then, or when a frame arrives.
    WaitUntil(Instant),
    /// Nothing waits.
    Idle,
}

/// Decides. `draining`: no frame will come any more.
pub(super) fn decide(
    now: Instant,
    cameras: impl Iterator<Item = Camera> + Clone,
    limits: &Limits,
    cost: &CostModel,
    draining: bool,
) -> Decision {
    let waiting: usize = cameras.clone().map(|c| c.waiting).sum();
    if waiting == 0 {
        return Decision::Idle;
    }
    let live = cameras.clone().filter(|c| !c.every_frame);
    let Some(oldest) = live.clone().filter_map(|c| c.oldest).min() else {
        let until = if draining || waiting >= limits.max_batch { None } else { gather_until(now, cameras, limits) };
        return until.map_or(Decision::Dispatch(waiting.min(limits.max_batch)), Decision::WaitUntil);
    };
    let until = if draining || waiting >= limits.max_batch { None } else { wait_until(now, oldest, waiting, live, limits, cost) };
    until.map_or_else(|| Decision::Dispatch(share(waiting, limits, cost)), Decision::WaitUntil)
}

/// For an engine with nothing to do: when it will want to look again if the cameras keep their rhythm, so that it need not be woken
/// by the first frame of a round only to wait for the others. A hair early, since the first frame may be, too.
pub(super) fn foresee(
    now: Instant,
    cameras: impl Iterator<Item = Camera> + Clone,
    limits: &Limits,
    cost: &CostModel,
) -> Option<Instant> {
    let first = cameras.clone().enumerate().filter_map(|(i, c)| c.expected(now).map(|(due, _)| (due.max(now), i, c)));
    let (at, first, Camera { period, .. }) = first.filter(|(.., c)| !c.every_frame).min_by_key(|(due, ..)| *due)?;
    let arrived = |(i, c)| if i == first { Camera { waiting: 1, oldest: Some(at), last: Some(at), ..c } } else { c };
    match decide(at, cameras.enumerate().map(arrived), limits, cost, false) {
        Decision::WaitUntil(until) => until.checked_sub(period? / EARLY).filter(|until| *until > now),
        Decision::Dispatch(_) | Decision::Idle => None,
    }
}

/// How many of the waiting frames go together: all of them, or equal parts where smaller batches cost no more per frame. Then each
/// frame is done sooner, other engines get their part, and the frames that stay can still be replaced by fresher ones.
fn share(waiting: usize, limits: &Limits, cost: &CostModel) -> usize {
    let parts = (waiting / cost.efficient_size(limits.max_batch)).max(1);
    waiting.div_ceil(parts).min(limits.max_batch)
}

/// Until when the frames of live cameras wait for company, if at all.
///
/// The window runs from the oldest frame until just before its successor would replace it, or to the limits. It is not shortened
/// by the execution time: what arrives meanwhile waits for the next round anyway, and when the engine is the bottleneck, its
/// frames have used up the window before it is free.
fn wait_until(
    now: Instant,
    oldest: Instant,
    waiting: usize,
    live: impl Iterator<Item = Camera> + Clone,
    limits: &Limits,
    cost: &CostModel,
) -> Option<Instant> {
    let present = live.clone().filter(|c| c.waiting > 0 || c.expected(now).is_some());
    let period = present.filter_map(|c| c.period).min()?;
    let end = oldest + period.saturating_sub(period / REPLACEMENT).min(limits.max_wait).min(limits.staleness);
    if end <= now {
        return None;
    }
    let absent = live.filter(|c| c.waiting == 0).filter_map(|c| c.expected(now));
    let mut cohort: Vec<_> = absent.filter(|(due, _)| *due <= end).collect();
    cohort.sort_unstable();
    cohort.truncate(limits.max_batch - waiting);
    let (_, late) = cohort.last()?;
    let pays = cost.company_pays(waiting, cohort.len()) && !better_to_turn(now, waiting, &cohort, period);
    pays.then_some((*late).min(end)).filter(|until| *until > now)
}

/// Whether rounds had better start from here.
///
/// Cameras have phases, so a round of all of them ends best at the widest gap between arrivals: the waits are shortest there. One
/// more arrival in this round, after a gap `g`, makes each of the `n` frames of every round to come wait `g` longer and saves that
/// arrival a whole period, `n·g - period` in all. If the best point lies behind none of the coming arrivals but here, by a clear
/// margin, the frames that wait go now and the next rounds end here too.
fn better_to_turn(now: Instant, waiting: usize, cohort: &[(Instant, Instant)], period: Duration) -> bool {
    let (n, period) = ((waiting + cohort.len()) as f64, period.as_secs_f64());
    let after = |(i, (due, _)): (usize, &(Instant, Instant))| {
        n * due.saturating_duration_since(now).as_secs_f64() - (i + 1) as f64 * period
    };
    let best = cohort.iter().enumerate().map(after).fold(f64::INFINITY, f64::min);
    best > n * period / MARGIN
}

/// Until when every-frame streams fill a batch. They are in no hurry, but a stream that is paced slower than the window is not
/// waited for.
fn gather_until(now: Instant, cameras: impl Iterator<Item = Camera> + Clone, limits: &Limits) -> Option<Instant> {
    if limits.max_wait.is_zero() {
        return None;
    }
    let oldest = cameras.clone().filter_map(|c| c.oldest).min()?;
    let filling = cameras.filter(|c| c.every_frame && c.open);
    let next = filling.filter_map(|c| match c.period {
        Some(period) if period > limits.max_wait => None,
        Some(period) => Some(c.last? + (period * 4).max(limits.max_wait)),
        None => Some(c.last? + FIRST_FRAMES),
    });
    next.max().map(|until| until.min(oldest + GATHER)).filter(|until| *until > now)
}
