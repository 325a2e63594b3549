//! What the instances of a model and the thread that prepares a better detector have in common.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Detector, Output, TRIAL_BATCHES, View, recorder::Recorder};
use crate::media::{Frame, ModelInfo};

/// One model's change from one detector to another.
#[derive(Debug)]
pub struct Succession {
    /// Counts what instances have to look at: a batch costs one load.
    turn: AtomicU64,
    recording: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    serving: Arc<ModelInfo>,
    before: Arc<ModelInfo>,
    heirs: Vec<Box<dyn Detector>>,
    good: u32,
    settled: bool,
    failed: Option<String>,
    frames: Recorder,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("serving", &self.serving).field("settled", &self.settled).finish_non_exhaustive()
    }
}

impl Succession {
    /// Nothing to follow yet; `serving` is what serves until then.
    pub fn new(serving: &Arc<ModelInfo>) -> Arc<Self> {
        let state = State {
            serving: Arc::clone(serving),
            before: Arc::clone(serving),
            heirs: Vec::new(),
            good: 0,
            settled: false,
            failed: None,
            frames: Recorder::default(),
        };
        let (turn, recording) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { turn, recording, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) {
        self.turn.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    /// What serves now, for those who tell others of it.
    pub fn serving(&self) -> Arc<ModelInfo> {
        Arc::clone(&self.lock().serving)
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    pub(super) fn is_rolled_back(&self) -> bool {
        self.lock().failed.is_some()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.lock().settled
    }

    /// A detector that is to take over; each goes to one instance.
    pub(super) fn take(&self) -> Option<Box<dyn Detector>> {
        self.lock().heirs.pop()
    }

    /// A batch on trial went well.
    pub(super) fn good(&self) {
        let mut state = self.lock();
        state.good = state.good.saturating_add(1);
        if state.good >= TRIAL_BATCHES && !state.settled {
            state.settled = true;
            drop(state);
            self.news();
        }
    }

    /// A batch on trial went wrong: every instance goes back.
    pub(super) fn roll_back(&self, reason: &str) {
        let mut state = self.lock();
        if state.failed.is_none() && !state.settled {
            state.failed = Some(reason.to_owned());
            state.serving = Arc::clone(&state.before);
            state.heirs.clear();
        }
        drop(state);
        self.news();
    }

    /// Keeps frames from here on, or no more.
    pub(super) fn keep_frames(&self, on: bool) {
        self.recording.store(on, Ordering::Relaxed);
        if !on {
            drop(self.lock().frames.take());
        }
    }

    /// Keeps frames that are worth it, if any are to be kept; of those that are looked at in tiles, too.
    pub(super) fn record(&self, views: &[View<'_>], output: &Output) {
        if !self.recording.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let mut state = self.lock();
        for (i, view) in views.iter().enumerate() {
            let telling = output.detections.get(i).is_some_and(|found| !found.is_empty());
            state.frames.offer(view.frame, telling, now);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until so many frames show something, until `patience` is over, or until `stop` says so; then hands over all frames.
    pub(super) fn frames(&self, enough: usize, patience: Duration, stop: &dyn Fn() -> bool) -> Vec<Frame> {
        let by = Instant::now() + patience;
        let mut state = self.lock();
        while state.frames.telling() < enough && Instant::now() < by && !stop() {
            let wait = LOOK.min(by.saturating_duration_since(Instant::now()));
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.frames.take()
    }

    /// Lets detectors take over, one for each instance as far as there are as many: each does so before its next batch.
    pub(super) fn offer(&self, heirs: Vec<Box<dyn Detector>>) {
        let Some(info) = heirs.first().map(|heir| Arc::clone(heir.spec())) else { return };
        self.hand_over(info, heirs, false);
    }

    /// The same for good, without a trial and a way back: what serves must not.
    pub(super) fn replace(&self, heirs: Vec<Box<dyn Detector>>) {
        let Some(info) = heirs.first().map(|heir| Arc::clone(heir.spec())) else { return };
        self.hand_over(info, heirs, true);
    }

    fn hand_over(&self, info: Arc<ModelInfo>, heirs: Vec<Box<dyn Detector>>, settled: bool) {
        let mut state = self.lock();
        state.serving = info;
        (state.heirs, state.good, state.settled, state.failed) = (heirs, 0, settled, None);
        drop(state);
        self.news();
    }

    /// Waits until the trial is over: `Ok`: they serve; `Err`: why what served before serves again. `None`: `stop` said so.
    pub(super) fn tried(&self, stop: &dyn Fn() -> bool) -> Option<Result<(), String>> {
        let mut state = self.lock();
        loop {
            if state.settled {
                return Some(Ok(()));
            }
            if let Some(reason) = &state.failed {
                return Some(Err(reason.clone()));
            }
            if stop() {
                return None;
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(200);
