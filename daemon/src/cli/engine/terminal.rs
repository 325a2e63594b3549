//! How a build is followed on a terminal, and where there is none.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use crate::engine::{Phase, Sparing, Tell};

/// Characters of a full bar.
const BAR: usize = 30;
/// Per cent between two lines where there is no terminal.
const STEP: u8 = 10;

/// One line that is written over on a terminal; else a line now and then. On standard error: standard output has the result.
pub(super) fn follow(model: &str) -> Tell {
    let model = model.to_owned();
    let live = io::stderr().is_terminal();
    let sparing = Mutex::new(Sparing::new(if live { 1 } else { STEP }));
    Arc::new(move |phase| {
        // What is long is told when all is done.
        if live && matches!(phase, Phase::Cut(_)) {
            return;
        }
        if !sparing.lock().unwrap_or_else(PoisonError::into_inner).lets(phase) {
            return;
        }
        let mut err = io::stderr().lock();
        let _nobody_listens = if live {
            // Back to the beginning, and nothing of the longer line stays.
            write!(err, "\r\x1b[K{model}: {}", line(phase)).and_then(|()| err.flush())
        } else {
            writeln!(err, "{model}: {phase}")
        };
    })
}

/// Ends the line that is written over.
pub(super) fn done() {
    if io::stderr().is_terminal() {
        let _nobody_listens = write!(io::stderr().lock(), "\r\x1b[K");
    }
}

fn line(phase: &Phase) -> String {
    match phase.percent() {
        Some(percent) => {
            let full = BAR * usize::from(percent.min(100)) / 100;
            format!("[{}{}] {phase}", "#".repeat(full), "·".repeat(BAR - full))
        }
        None => phase.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_build_is_far() {
        let at = |fraction| line(&Phase::Building { fraction, remaining: Some(Duration::from_secs(90)) });
        assert_eq!(at(Some(0.5)), format!("[{}{}] building, 50 %, about 90 s left", "#".repeat(15), "·".repeat(15)));
        assert_eq!(at(Some(2.0)).matches('#').count(), BAR);
        assert_eq!(at(None), "building, about 90 s left");
    }
}
