//! From signals to an ordered end.

use std::{io, pin::pin, time::Duration};

use tokio::{
    signal::unix::{self, SignalKind},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Exit, fault::FaultReceiver, notify::Notifier};

/// What the outside asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals of this process. From its creation on they no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    term: unix::Signal,
    int: unix::Signal,
    hup: unix::Signal,
}

impl Signals {
    /// Listens.
    ///
    /// # Errors
    /// The operating system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            term: unix::signal(SignalKind::terminate())?,
            int: unix::signal(SignalKind::interrupt())?,
            hup: unix::signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::Stop,
            _ = self.int.recv() => Signal::Stop,
            _ = self.hup.recv() => Signal::Reload,
        }
    }
}

/// What [`supervise`] watches over.
pub struct Supervision<'a> {
    /// The line to systemd.
    pub notifier: &'a Notifier,
    /// Cancelled at the head, here or by whoever started the daemon; the line drains by itself.
    pub cancel: &'a CancellationToken,
    /// How long the ordered shutdown may take.
    pub deadline: Duration,
    /// Faults of the stages.
    pub faults: FaultReceiver,
}

/// Runs the line until it ends by itself, a signal or whoever holds `cancel` stops it, or a fault ends it.
///
/// The first stop signal cancels the head and lets the line drain, at most for the deadline. The second one returns
/// [`Exit::Interrupted`] at once. `reload` is called on SIGHUP; it must hand the work to the line rather than do it.
pub async fn supervise(
    Supervision { notifier, cancel, deadline, mut faults }: Supervision<'_>,
    mut signals: impl AsyncFnMut() -> Signal,
    mut reload: impl FnMut(),
    line: impl Future<Output = Exit>,
) -> Exit {
    let mut line = pin!(line);
    let mut end_by: Option<Instant> = None;
    let mut failed = false;
    loop {
        let patience = async {
            match end_by {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            exit = &mut line => return if failed { Exit::Failure } else { exit },
            signal = signals() => match signal {
                Signal::Reload if end_by.is_none() => reload(),
                Signal::Reload => tracing::info!("no reload while stopping"),
                Signal::Stop if end_by.is_none() => {
                    tracing::info!(deadline_s = deadline.as_secs_f64(), "stopping; a second signal ends at once");
                    end_by = Some(stop(notifier, cancel, deadline));
                }
                Signal::Stop => {
                    tracing::warn!("second signal: ending at once");
                    return Exit::Interrupted;
                }
            },
            () = cancel.cancelled(), if end_by.is_none() => end_by = Some(stop(notifier, cancel, deadline)),
            Some(fault) = faults.recv() => {
                tracing::error!(%fault, "ending after a fault");
                failed = true;
                end_by.get_or_insert_with(|| stop(notifier, cancel, deadline));
            }
            () = patience => {
                tracing::error!(deadline_s = deadline.as_secs_f64(), "the ordered shutdown did not end in time: ending anyway");
                return Exit::Failure;
            }
        }
    }
}

fn stop(notifier: &Notifier, cancel: &CancellationToken, deadline: Duration) -> Instant {
    notifier.stopping();
    cancel.cancel();
    Instant::now() + deadline
}

/// Runs a daemon on a runtime of its own and returns how it ended, without waiting for what did not end in time: threads and
/// blocking tasks still running end with the process, when `main` returns.
///
/// # Errors
/// The operating system gives no runtime.
pub fn run<T>(daemon: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("egret-async").build()?;
    let ended = runtime.block_on(daemon);
    runtime.shutdown_background();
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::{
        super::{fault::faults, notify::tests::recorder},
        *,
    };

    const DEADLINE: Duration = Duration::from_secs(10);

    /// Runs a line that drains for `drain` once cancelled, under these signals (each after a second) and this fault.
    async fn run_line(drain: Duration, signals: &[Signal], fault: Option<&str>) -> (Exit, Duration, Vec<String>, usize) {
        let (notifier, lines) = recorder();
        let cancel = CancellationToken::new();
        let (sender, receiver) = faults();
        let (queue, mut queued) = mpsc::channel(8);
        for signal in signals {
            queue.send(*signal).await.expect("room");
        }
        if let Some(reason) = fault {
            sender.report("infer", reason);
        }
        let reloads = AtomicUsize::new(0);
        let head = cancel.clone();
        let line = async move {
            head.cancelled().await;
            tokio::time::sleep(drain).await;
            Exit::Clean
        };
        let next = async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match queued.recv().await {
                Some(signal) => signal,
                None => std::future::pending().await,
            }
        };
        let watched = Supervision { notifier: &notifier, cancel: &cancel, deadline: DEADLINE, faults: receiver };
        let started = Instant::now();
        let reload = || {
            reloads.fetch_add(1, Ordering::Relaxed);
        };
        let exit = supervise(watched, next, reload, line).await;
        let told = lines.lock().expect("no panic").clone();
        (exit, started.elapsed(), told, reloads.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn one_signal_drains_and_ends_cleanly() {
        let (exit, took, told, _) = run_line(Duration::from_secs(3), &[Signal::Stop], None).await;
        assert_eq!((exit, took.as_secs()), (Exit::Clean, 4));
        assert_eq!(told, ["STOPPING=1 STATUS=stopping"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_signal_ends_at_once() {
        let (exit, took, _, _) = run_line(Duration::from_secs(9), &[Signal::Stop, Signal::Stop], None).await;
        assert_eq!((exit, took.as_secs()), (Exit::Interrupted, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_bounds_a_shutdown_that_hangs() {
        let (exit, took, _, _) = run_line(Duration::MAX / 4, &[Signal::Stop], None).await;
        assert_eq!((exit, took.as_secs()), (Exit::Failure, 11));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_bounds_also_what_was_stopped_from_within() {
        let (notifier, lines) = recorder();
        let (cancel, (_sender, faults)) = (CancellationToken::new(), faults());
        cancel.cancel();
        let watched = Supervision { notifier: &notifier, cancel: &cancel, deadline: DEADLINE, faults };
        let started = Instant::now();
        let exit = supervise(watched, async || std::future::pending().await, || (), std::future::pending()).await;
        assert_eq!((exit, started.elapsed()), (Exit::Failure, DEADLINE));
        assert_eq!(lines.lock().expect("no panic").len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_drains_and_ends_with_failure() {
        let (exit, took, told, _) = run_line(Duration::from_secs(3), &[], Some("device lost")).await;
        assert_eq!((exit, took.as_secs()), (Exit::Failure, 3));
        assert_eq!(told.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn reloads_are_passed_on_until_the_end_begins() {
        let signals = [Signal::Reload, Signal::Reload, Signal::Stop, Signal::Reload];
        let (exit, _, _, reloads) = run_line(Duration::from_secs(5), &signals, None).await;
        assert_eq!((exit, reloads), (Exit::Clean, 2));
    }
}
