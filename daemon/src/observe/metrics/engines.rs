//! What is happening to the engines, in metrics.

use std::fmt;

use super::Families;
use crate::engine::EngineState;

pub(super) fn tell(engines: &[(String, EngineState)], out: &mut Families<'_>) -> fmt::Result {
    if engines.is_empty() {
        return Ok(());
    }
    let state = engines.iter().flat_map(|(model, state)| {
        let row = move |word: &'static str| {
            (vec![("model", model.as_str()), ("state", word)], f64::from(u8::from(state.word() == word)))
        };
        EngineState::WORDS.map(row)
    });
    out.gauge("egret_engine_state", "1 for what is happening to a model's TensorRT engine", state)?;
    let built = engines.iter().filter_map(|(model, state)| match state {
        EngineState::Building { fraction, .. } => Some((vec![("model", model.as_str())], (*fraction)?)),
        _ => None,
    });
    out.gauge("egret_engine_build_ratio", "How far the build of a model's engine is", built)?;
    let left = engines.iter().filter_map(|(model, state)| match state {
        EngineState::Building { remaining, .. } => Some((vec![("model", model.as_str())], remaining.as_ref()?.as_secs_f64())),
        _ => None,
    });
    out.gauge("egret_engine_build_remaining_seconds", "What is left of it at the pace so far", left)
}
