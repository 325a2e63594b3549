//! How the board is, looked at every other second; and what follows where heat or current slow it down: cameras are looked at less often.
//!
//! The rule is a state of its own ([`rule::Rule`]) that knows no clock, no file and no camera. What reads the board is given
//! ([`egret_jetson::telemetry`]), and so is what becomes of the share.

pub mod rule;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use egret_jetson::telemetry::{Reading, Telemetry, Throttling};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::rule::{Change, Rule};

/// How often the board is looked at.
const EVERY: Duration = Duration::from_secs(2);

/// The board as it was looked at last.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What it told.
    pub reading: Reading,
    /// The share of their frames that cameras are looked at.
    pub share: f64,
    /// So long has heat or current slowed it down since the daemon's start.
    pub throttled: Duration,
    /// So often has its over-current protection acted, by counter.
    pub over_current: BTreeMap<String, u64>,
}

impl Default for Look {
    fn default() -> Self {
        Self { reading: Reading::default(), share: 1.0, throttled: Duration::ZERO, over_current: BTreeMap::new() }
    }
}

/// Where the latest look is left for whoever wants to see it.
#[derive(Debug, Default)]
pub struct Latest(Mutex<Option<Arc<Look>>>);

impl Latest {
    /// The latest look; `None` before the first one.
    pub fn get(&self) -> Option<Arc<Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves a look.
    pub fn put(&self, look: Look) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(look));
    }
}

/// Looks at the board until it is cancelled. `open` is called off the runtime's threads: a driver takes its time to load. `apply` is told each new
/// share; `None`: whatever slows the board down, cameras are looked at as often as ever.
pub async fn watch(
    open: impl FnOnce() -> Telemetry + Send + 'static,
    latest: &Latest,
    mut apply: Option<impl FnMut(f64) + Send>,
    cancel: CancellationToken,
) {
    let mut telemetry = off_thread(open).await;
    let (mut rule, mut look, mut last) = (Rule::default(), Look::default(), Instant::now());
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = tick.tick() => {}
        }
        (look.reading, telemetry) = off_thread(move || (telemetry.read(), telemetry)).await;
        let now = Instant::now();
        let reasons: Vec<String> =
            look.reading.throttling.iter().filter(|t| t.is_relieved_by_less_work()).map(ToString::to_string).collect();
        if !reasons.is_empty() {
            look.throttled += now.saturating_duration_since(last).min(2 * EVERY);
        }
        last = now;
        for throttling in &look.reading.throttling {
            if let Throttling::Events { counter, count } = throttling {
                *look.over_current.entry(counter.clone()).or_default() += count;
            }
        }
        if let Some(apply) = &mut apply
            && let Some(change) = rule.take(now.into_std(), !reasons.is_empty())
        {
            look.share = rule.share();
            tell(change, look.share, &reasons);
            apply(look.share);
        }
        latest.put(look.clone());
    }
}

/// One line for each change.
fn tell(change: Change, share: f64, reasons: &[String]) {
    let percent = (100.0 * share).round();
    match change {
        Change::Less => tracing::warn!(
            reasons = reasons.join(", "),
            "the board is slowed down: cameras are looked at {percent} % as often (runtime.throttle)"
        ),
        Change::More if share < 1.0 => tracing::info!("nothing slows the board down: cameras are looked at {percent} % as often"),
        Change::More => tracing::info!("nothing slows the board down: cameras are looked at as often as ever"),
    }
}

/// Runs on a thread for work that waits. Its panic goes on here.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends: nobody waits for this.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests;
