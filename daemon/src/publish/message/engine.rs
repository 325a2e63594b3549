//! What is happening to the engines, in `health`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::EngineState;

/// The TensorRT engine of a model.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Engine {
    /// `serving`; `checking`: it is compared with the float network, and serves meanwhile only if it was built ahead of time; or something
    /// else serves and it is `waiting` for another builder, `building`, `on_trial` (its first batches), `failed` (it cannot be built) or `rejected` (it disagrees, or failed on trial).
    pub state: &'static str,
    /// Whole per cent of a build that is under way; `null`: none is, or it is not known yet.
    pub percent: Option<u8>,
    /// Seconds that are left of it at the pace so far; `null`: not known.
    pub remaining_s: Option<u64>,
    /// Why it does not serve; `null`: it does, or is about to.
    pub reason: Option<String>,
    /// Where the network is cut in two, and why there: TensorRT refuses part of it, which runs in ONNX Runtime behind the engine. Absent
    /// where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

impl From<&EngineState> for Engine {
    fn from(state: &EngineState) -> Self {
        let remaining = match state {
            EngineState::Building { remaining, .. } => remaining.map(|remaining| remaining.as_secs()),
            _ => None,
        };
        Self {
            state: state.word(),
            percent: state.percent(),
            remaining_s: remaining,
            reason: state.reason().map(ToOwned::to_owned),
            cut: None,
        }
    }
}
