//! Long work that a signal stops in order.

use std::{fs, thread};

use anyhow::Context as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::pictures::told;
use crate::life::{self, Signal, Signals};

/// Does `work` on a thread of its own. The first signal cancels `stop`, which the work asks, and calls `clear`; the second one calls
/// `clear` again and waits no longer. `None`: a signal ended it.
pub(in crate::cli) fn run<T: Send + 'static>(
    stop: &CancellationToken,
    clear: impl Fn(),
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<Option<anyhow::Result<T>>> {
    let nohup = hangup_is_ignored();
    life::run(async move {
        let mut signals = Signals::listen().context("signals are not heard")?;
        let (done, mut ended) = oneshot::channel();
        let work = move || {
            // Nobody waits any more after a second signal.
            let _ = done.send(work());
        };
        thread::Builder::new().name("work".to_owned()).spawn(work).context("no thread")?;
        loop {
            let signal = tokio::select! {
                worked = &mut ended => {
                    let worked = worked.context("the work broke off")?;
                    // What it says about files that were deleted under its hands is of no interest.
                    return Ok((!stop.is_cancelled() || worked.is_ok()).then_some(worked));
                }
                signal = signals.next() => signal,
            };
            if signal == Signal::Reload && nohup {
                continue;
            }
            let second = stop.is_cancelled();
            stop.cancel();
            clear();
            if second {
                return Ok(None);
            }
            told("stopping: nothing will be written; a second signal ends it at once");
        }
    })
    .context("no async runtime")?
}

/// Whether this process was started to outlive its terminal, as `nohup` does it.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The bits count from signal 1, which is SIGHUP.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
