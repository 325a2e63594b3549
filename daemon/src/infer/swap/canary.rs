//! Whether a new detector sees what the float network sees, on frames of the cameras that it is to serve.

use egret_models::eval::agreement::{Agreement, AgreementError, Gate, Prediction, Verdict, compare};

use crate::{
    infer::{DetectError, Detector},
    media::Frame,
    precision::{Judged, seen},
};

/// What must agree. The gate of a quantized file (recall and precision 0.97 over hundreds of frames) has been passed or not when the
/// file was made; here are two dozen frames, of which one borderline box more or less must not decide. An engine that computes something
/// else is far below this.
pub const CANARY_GATE: Gate = Gate { recall: 0.9, precision: 0.9, iou: 0.75, drift: 0.06 };

const FLOAT: &str = "the float network";

/// Why two detectors could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// One of them failed.
    #[error("{which} fails on a frame of {camera}: {source}")]
    Detect {
        /// `the engine` or `the float network`.
        which: &'static str,
        /// Whose frame it was.
        camera: String,
        /// Why.
        source: DetectError,
    },
    /// They do not speak of the same classes.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
}

impl CanaryError {
    /// Whether the engine has no part in it.
    pub(super) fn is_the_reference_s(&self) -> bool {
        matches!(self, Self::Detect { which: FLOAT, .. })
    }
}

/// Shows the same frames to both. Both must tell boxes down to the gate's confidence less its slack.
///
/// Frames in which neither sees anything agree, and say nothing: [`Judged::verdict`] passes then, and [`Agreement::total`] has no box.
///
/// # Errors
/// [`CanaryError`].
pub fn canary(float: &mut dyn Detector, engine: &mut dyn Detector, frames: &[Frame], gate: &Gate) -> Result<Judged, CanaryError> {
    let classes = float.spec().classes.len().max(engine.spec().classes.len());
    let reference = all(float, frames, FLOAT)?;
    let other = all(engine, frames, "the engine")?;
    let agreement = compare(&reference, &other, classes, &gate.matching())?;
    Ok(Judged { verdict: judge(gate, &agreement), agreement })
}

/// Where the float network sees nothing, nothing can be missing; boxes that it does not have still count against the engine.
fn judge(gate: &Gate, agreement: &Agreement) -> Verdict {
    if agreement.total.reference > 0 {
        return gate.judge(agreement);
    }
    Verdict { failures: gate.failures(&agreement.total), weak: Vec::new() }
}

fn all(detector: &mut dyn Detector, frames: &[Frame], which: &'static str) -> Result<Vec<Vec<Prediction>>, CanaryError> {
    let one = |frame: &Frame| {
        let failed = |source| CanaryError::Detect { which, camera: frame.stream.name().to_owned(), source };
        seen(detector, frame).map_err(failed)
    };
    frames.iter().map(one).collect()
}
