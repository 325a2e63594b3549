//! The life of the process: readiness, watchdog, signals, faults, exit codes.
//!
//! Failure has three fates. *Configuration*: [`Exit::Configuration`], told before anything starts. *Stream or broker*: retried where
//! it happens, never seen here. *Device or bug*: a [`Fault`], which ends the daemon with [`Exit::Failure`] so that systemd restarts it.

mod exit;
mod fault;
mod notify;
mod progress;
mod supervise;

pub use exit::Exit;
pub use fault::{Fault, FaultReceiver, FaultSender, faults, log_panics};
pub use notify::{Notifier, watchdog};
pub use progress::{Busy, Progress, Stage, Stuck};
pub use supervise::{Signal, Signals, Supervision, run, supervise};
