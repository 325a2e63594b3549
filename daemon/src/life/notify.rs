//! What systemd is told: `READY=1`, `STATUS=…`, `WATCHDOG=1`, `RELOADING=1`, `STOPPING=1` (sd_notify(3)).
//! Without `NOTIFY_SOCKET` nothing is sent.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;

type Send = dyn Fn(&[NotifyState<'_>]) -> io::Result<()> + std::marker::Send + Sync;

/// The line to the service manager.
#[derive(Clone)]
pub struct Notifier {
    send: Arc<Send>,
}

impl Notifier {
    /// To the socket that systemd named in the environment, if it did.
    pub fn from_env() -> Self {
        Self { send: Arc::new(sd_notify::notify) }
    }

    /// To somewhere else: tests, and daemons inside another process.
    pub fn to(send: impl Fn(&[NotifyState<'_>]) -> io::Result<()> + std::marker::Send + Sync + 'static) -> Self {
        Self { send: Arc::new(send) }
    }

    /// To nobody.
    pub fn silent() -> Self {
        Self::to(|_| Ok(()))
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = (self.send)(states) {
            tracing::warn!(%error, "systemd was not notified");
        }
    }

    /// The line runs (also with no camera, or none that answers), or a reload is done.
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// A reload begins; [`Self::ready`] ends it. systemd 253 and newer match the two by the monotonic time.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading the configuration")]),
            Err(error) => tracing::warn!(%error, "no monotonic time: systemd was not told of the reload"),
        }
    }

    /// The ordered shutdown began.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }
}

/// Feeds systemd's watchdog, if it asked for one (`WatchdogSec=`), as long as no stage is stuck. Runs until cancelled.
pub async fn watchdog(notifier: Notifier, progress: Arc<Progress>, cancel: CancellationToken) {
    if let Some(interval) = sd_notify::watchdog_enabled() {
        tracing::debug!(?interval, "systemd watches over this process");
        feed(&notifier, &progress, interval, cancel).await;
    }
}

/// A stage counts as stuck after one interval, so systemd acts after one to two.
async fn feed(notifier: &Notifier, progress: &Progress, interval: Duration, cancel: CancellationToken) {
    let mut every = tokio::time::interval(interval / 3);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(every.tick()).await.is_some() {
        let stuck = progress.stuck(Instant::now(), interval);
        if stuck.is_empty() {
            notifier.tell(&[NotifyState::Watchdog]);
        }
        for stuck in stuck {
            tracing::error!(stage = stuck.stage, busy_s = stuck.busy.as_secs(), "no progress: the watchdog is not fed");
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// A notifier that writes down what it is told, one line per message.
    pub(in crate::life) fn recorder() -> (Notifier, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = lines.clone();
        let notifier = Notifier::to(move |states| {
            let words: Vec<String> = states.iter().map(ToString::to_string).collect();
            writer.lock().unwrap_or_else(PoisonError::into_inner).push(words.join(" "));
            Ok(())
        });
        (notifier, lines)
    }

    #[test]
    fn the_words_are_those_of_sd_notify() {
        let (notifier, lines) = recorder();
        notifier.ready("4 cameras");
        notifier.reloading();
        notifier.stopping();
        let lines = lines.lock().expect("no panic");
        assert_eq!(lines[0], "READY=1 STATUS=4 cameras");
        let usec = lines[1].strip_prefix("RELOADING=1 MONOTONIC_USEC=").and_then(|rest| rest.split(' ').next());
        assert!(usec.is_some_and(|usec| usec.parse::<u64>().is_ok_and(|usec| usec > 0)), "{lines:?}");
        assert_eq!(lines[2], "STOPPING=1 STATUS=stopping");
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_while_stages_wait_and_not_while_one_is_stuck() {
        let (notifier, lines) = recorder();
        let progress = Progress::new();
        let stage = progress.stage("infer");
        let cancel = CancellationToken::new();
        let fed = || std::mem::take(&mut *lines.lock().expect("no panic")).len();

        let interval = Duration::from_millis(30);
        let run = |progress: Arc<Progress>| {
            let (notifier, cancel) = (notifier.clone(), cancel.child_token());
            async move {
                let stop = cancel.clone();
                let watch = tokio::spawn(async move { feed(&notifier, &progress, interval, cancel).await });
                tokio::time::sleep(interval * 10).await;
                stop.cancel();
                watch.await.expect("no panic");
            }
        };
        run(progress.clone()).await;
        assert!(fed() >= 29, "idle is healthy");

        let busy = stage.busy();
        // Real time decides how long the stage is busy; wait until it is longer than the limit.
        while progress.stuck(Instant::now(), interval).is_empty() {
            tokio::task::yield_now().await;
        }
        run(progress.clone()).await;
        assert_eq!(fed(), 0, "stuck");

        drop(busy);
        run(progress.clone()).await;
        assert!(fed() >= 29, "recovered");
    }
}
