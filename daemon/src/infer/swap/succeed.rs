//! From nothing to a detector that serves: build, compare, try, settle, or go back.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{CANARY_GATE, Detector, Succession, canary};
use crate::engine::{Board, EngineState, Phase, Sparing, Tell};

/// Frames that show something, for the comparison.
const ENOUGH: usize = 12;
/// How long these are waited for. A yard at night may show nothing.
const PATIENCE: Duration = Duration::from_mins(10);

/// The float network and the engine, both telling boxes of little confidence too.
pub struct Pair {
    /// The reference.
    pub float: Box<dyn Detector>,
    /// What is to agree with it.
    pub engine: Box<dyn Detector>,
}

/// What is to serve once it is ready.
pub trait Heir: Send {
    /// Makes it, or finds it. Hears of `stop`, and tells how far it is.
    ///
    /// # Errors
    /// In one line, why there is none. `None`: it was stopped.
    fn make(&mut self, stop: &CancellationToken, tell: Tell) -> Option<Result<(), String>>;

    /// Whether it is compared with the float network before it serves: then frames of the cameras are kept.
    fn is_compared(&self) -> bool;

    /// What is compared; `None`: it was compared before, or it is no detector.
    ///
    /// # Errors
    /// In one line, why it cannot be.
    fn pair(&mut self) -> Result<Option<Pair>, String>;

    /// The detectors that take over, one for each instance that is to be.
    ///
    /// # Errors
    /// In one line, why they do not run.
    fn detectors(&mut self) -> Result<Vec<Box<dyn Detector>>, String>;

    /// Writes down what was found, so that a restart knows.
    fn note(&mut self, passed: bool, reason: &str);
}

/// How it is done.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Name of the model.
    pub model: String,
    /// Frames that show something, for the comparison.
    pub enough: usize,
    /// How long these are waited for.
    pub patience: Duration,
    /// Ends it.
    pub stop: CancellationToken,
    /// Where its state is told.
    pub board: Arc<Board>,
}

impl Trial {
    /// As the daemon does it.
    pub fn new(model: &str, board: &Arc<Board>, stop: &CancellationToken) -> Self {
        let (model, stop, board) = (model.to_owned(), stop.clone(), Arc::clone(board));
        Self { model, enough: ENOUGH, patience: PATIENCE, stop, board }
    }

    fn at(&self, state: EngineState) {
        self.board.set(&self.model, state);
    }
}

/// Runs to the end, on a thread of its own: the instances serve meanwhile. What goes wrong is told, and changes nothing.
pub fn succeed(succession: &Arc<Succession>, heir: &mut dyn Heir, trial: &Trial) {
    succession.keep_frames(heir.is_compared());
    let state = lead(succession, heir, trial);
    succession.keep_frames(false);
    let Some(state) = state else { return };
    let (model, runtime) = (&trial.model, succession.serving().runtime.clone());
    match &state {
        EngineState::Serving => tracing::info!(model, runtime, "the engine serves"),
        other => {
            let reason = other.reason().unwrap_or_default();
            tracing::error!(model, serving = runtime, reason, "{other}: what served before serves on");
        }
    }
    trial.at(state);
}

/// `None`: it was stopped.
fn lead(succession: &Arc<Succession>, heir: &mut dyn Heir, trial: &Trial) -> Option<EngineState> {
    if let Err(reason) = heir.make(&trial.stop, follow(trial))? {
        return Some(EngineState::Failed(reason));
    }
    trial.at(EngineState::Checking);
    match compared(succession, heir, trial)? {
        Ok(agreed) => agreed.iter().for_each(|figures| heir.note(true, figures)),
        Err(reason) => {
            heir.note(false, &reason);
            return Some(EngineState::Rejected(reason));
        }
    }
    let heirs = match heir.detectors() {
        Ok(heirs) if heirs.is_empty() => return Some(EngineState::Failed("there is no instance of it".into())),
        Ok(heirs) => heirs,
        Err(reason) => return Some(EngineState::Failed(reason)),
    };
    trial.at(EngineState::OnTrial);
    succession.offer(heirs);
    match succession.tried(&|| trial.stop.is_cancelled())? {
        Ok(()) => Some(EngineState::Serving),
        Err(reason) => {
            let reason = format!("it failed in its first batches: {reason}");
            heir.note(false, &reason);
            Some(EngineState::Rejected(reason))
        }
    }
}

/// Holds the engine against the float network: `Ok` with the figures, if there were any to take. `None`: it was stopped.
fn compared(succession: &Succession, heir: &mut dyn Heir, trial: &Trial) -> Option<Result<Option<String>, String>> {
    let mut pair = match heir.pair() {
        Ok(Some(pair)) => pair,
        Ok(None) => return Some(Ok(None)),
        Err(reason) => return Some(Err(reason)),
    };
    let stop = || trial.stop.is_cancelled();
    let frames = succession.frames(trial.enough, trial.patience, &stop);
    if stop() {
        return None;
    }
    let judged = match canary(&mut *pair.float, &mut *pair.engine, &frames, &CANARY_GATE) {
        Ok(judged) => judged,
        Err(error) => return Some(Err(error.to_string())),
    };
    let total = &judged.agreement.total;
    let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.4}"));
    let (recall, precision, drift) = (share(total.recall), share(total.precision), share(total.mean_drift));
    let figures = format!(
        "recall {recall}, precision {precision}, score drift {drift} over {} boxes in {} frames",
        total.reference,
        frames.len()
    );
    let model = &trial.model;
    if !judged.verdict.passed() {
        let why = judged.verdict.failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Some(Err(format!("it does not agree with {}: {why} ({figures})", pair.float.spec().runtime)));
    }
    if total.reference == 0 {
        tracing::warn!(model, frames = frames.len(), "no frame showed anything: the engine serves without having been compared");
        return Some(Ok(None));
    }
    tracing::info!(model, figures, "the engine agrees with the float network");
    Some(Ok(Some(figures)))
}

/// The board hears of everything, the log of every tenth per cent.
fn follow(trial: &Trial) -> Tell {
    let (model, board) = (trial.model.clone(), Arc::clone(&trial.board));
    let sparing = std::sync::Mutex::new(Sparing::new(10));
    Arc::new(move |phase: &Phase| {
        board.set(&model, EngineState::from(phase));
        if sparing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).lets(phase) {
            tracing::info!(model, "engine: {phase}");
        }
    })
}
