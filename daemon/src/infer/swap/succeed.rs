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

    /// Whether it serves already, and has not been compared. Then [`Self::detectors`] are those that take over from it if it sees something
    /// else than the float network.
    fn serves(&self) -> bool {
        false
    }

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
    let state = if heir.serves() { judge(succession, heir, trial) } else { lead(succession, heir, trial) };
    succession.keep_frames(false);
    let Some(state) = state else { return };
    let (model, runtime) = (&trial.model, succession.serving().runtime.clone());
    match &state {
        EngineState::Serving => tracing::info!(model, runtime, "the engine serves"),
        other => {
            let reason = other.reason().unwrap_or_default();
            tracing::error!(model, serving = runtime, reason, "{other}");
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
        Compared::Agrees(figures) => heir.note(true, &figures),
        Compared::Not => {}
        Compared::Disagrees(reason) | Compared::Impossible(reason) => {
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

/// Compares what serves already: it goes only if it is found to see something else. `None`: it was stopped.
fn judge(succession: &Succession, heir: &mut dyn Heir, trial: &Trial) -> Option<EngineState> {
    let model = &trial.model;
    trial.at(EngineState::Checking);
    let reason = match compared(succession, heir, trial)? {
        Compared::Agrees(figures) => {
            heir.note(true, &figures);
            return Some(EngineState::Serving);
        }
        Compared::Not => return Some(EngineState::Serving),
        Compared::Impossible(reason) => {
            tracing::warn!(model, reason, "the engine serves without having been compared");
            return Some(EngineState::Serving);
        }
        Compared::Disagrees(reason) => reason,
    };
    heir.note(false, &reason);
    match heir.detectors() {
        Ok(others) => succession.replace(others),
        // It computed a moment ago what the engine did not: only memory or the disk can fail here.
        Err(error) => tracing::error!(model, error, "the engine serves on until the next start: nothing else runs the model"),
    }
    Some(EngineState::Rejected(reason))
}

/// What the engine is beside the float network.
enum Compared {
    /// It sees the same; the figures.
    Agrees(String),
    /// There was nothing to compare, or no need to.
    Not,
    /// It sees something else.
    Disagrees(String),
    /// The float network, or a second engine, does not run.
    Impossible(String),
}

/// Holds the engine against the float network. `None`: it was stopped.
fn compared(succession: &Succession, heir: &mut dyn Heir, trial: &Trial) -> Option<Compared> {
    let mut pair = match heir.pair() {
        Ok(Some(pair)) => pair,
        Ok(None) => return Some(Compared::Not),
        Err(reason) => return Some(Compared::Impossible(reason)),
    };
    let stop = || trial.stop.is_cancelled();
    let frames = succession.frames(trial.enough, trial.patience, &stop);
    if stop() {
        return None;
    }
    let judged = match canary(&mut *pair.float, &mut *pair.engine, &frames, &CANARY_GATE) {
        Ok(judged) => judged,
        Err(error) if error.is_the_reference_s() => return Some(Compared::Impossible(error.to_string())),
        Err(error) => return Some(Compared::Disagrees(error.to_string())),
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
        return Some(Compared::Disagrees(format!("it does not agree with {}: {why} ({figures})", pair.float.spec().runtime)));
    }
    if total.reference == 0 {
        tracing::warn!(model, frames = frames.len(), "no frame showed anything: the engine serves without having been compared");
        return Some(Compared::Not);
    }
    tracing::info!(model, figures, "the engine agrees with the float network");
    Some(Compared::Agrees(figures))
}

/// The board hears of everything, the log of every tenth per cent.
fn follow(trial: &Trial) -> Tell {
    let (model, board) = (trial.model.clone(), Arc::clone(&trial.board));
    let sparing = std::sync::Mutex::new(Sparing::new(10));
    Arc::new(move |phase: &Phase| {
        board.hear(&model, phase);
        if sparing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).lets(phase) {
            tracing::info!(model, "engine: {phase}");
        }
    })
}
