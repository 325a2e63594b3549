//! A stage that fails or panics ends the daemon: a half-dead one would look alive for years.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    thread::{self, JoinHandle},
};

use futures::FutureExt;
use tokio::sync::mpsc;

/// Why the daemon has to end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {reason}")]
pub struct Fault {
    /// Which stage, or thread.
    pub stage: String,
    /// What happened.
    pub reason: String,
}

/// Reports faults. Cheap to clone; one per stage.
#[derive(Clone, Debug)]
pub struct FaultSender(mpsc::Sender<Fault>);

/// Where faults arrive. The first one decides.
pub type FaultReceiver = mpsc::Receiver<Fault>;

/// A channel for faults. When it is full the daemon is ending anyway, so more are only logged.
pub fn faults() -> (FaultSender, FaultReceiver) {
    let (sender, receiver) = mpsc::channel(8);
    (FaultSender(sender), receiver)
}

impl FaultSender {
    /// Ends the daemon. Never blocks.
    pub fn report(&self, stage: &str, reason: impl Into<String>) {
        let fault = Fault { stage: stage.into(), reason: reason.into() };
        tracing::error!(stage, reason = %fault.reason, "fault: the daemon ends");
        // Full or closed: the daemon is ending already.
        let _ = self.0.try_send(fault);
    }

    /// Starts a stage on an OS thread of this name (the kernel shows its first 15 bytes). A panic in it is a fault.
    ///
    /// # Errors
    /// The operating system gives no more threads.
    pub fn spawn_stage(&self, name: &str, stage: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let (faults, stage_name) = (self.clone(), name.to_owned());
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(stage)) {
                faults.report(&stage_name, format!("panicked: {}", panic_text(panic.as_ref())));
            }
        })
    }

    /// Starts a stage as a task of the current runtime. A panic in it is a fault.
    pub fn spawn_task(&self, name: &str, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        let (faults, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                faults.report(&name, format!("panicked: {}", panic_text(panic.as_ref())));
            }
        })
    }
}

/// From now on a panic on any thread is logged with its place, and is a fault, also where a library would swallow it.
/// Process-wide: for the daemon's command, not for tests.
pub fn log_panics(faults: FaultSender) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if tracing::dispatcher::has_been_set() {
            log_panic(info);
        } else {
            before(info);
        }
        faults.report(thread::current().name().unwrap_or("a thread"), format!("panicked: {}", panic_text(info.payload())));
    }));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    // Captured only when RUST_BACKTRACE asks for it.
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(thread = thread::current().name(), place, backtrace, "panic: {}", panic_text(info.payload()));
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_stage_is_a_fault_with_its_name_and_words() {
        let (sender, mut receiver) = faults();
        let frames = 3;
        let thread = sender.spawn_stage("track", move || panic!("lost frame {frames}")).expect("a thread");
        thread.join().expect("the panic stays inside");
        let fault = receiver.blocking_recv().expect("a fault");
        assert_eq!(fault.to_string(), "track: panicked: lost frame 3");
    }

    #[test]
    fn a_stage_has_its_thread_name_and_ends_quietly() {
        let (sender, mut receiver) = faults();
        let (name, seen) = std::sync::mpsc::sync_channel(1);
        let stage = move || name.send(thread::current().name().map(str::to_owned)).expect("the test waits");
        sender.spawn_stage("infer:yolox/0", stage).expect("a thread").join().expect("no panic");
        drop(sender);
        assert_eq!(seen.recv().expect("a name").as_deref(), Some("infer:yolox/0"));
        assert_eq!(receiver.blocking_recv(), None);
    }

    #[tokio::test]
    async fn a_panicking_task_is_a_fault() {
        let (sender, mut receiver) = faults();
        sender.spawn_task("publish", async { panic!("no topic") }).await.expect("the panic stays inside");
        assert_eq!(receiver.recv().await.map(|f| f.to_string()).as_deref(), Some("publish: panicked: no topic"));
    }

    #[test]
    fn more_faults_than_fit_never_block() {
        let (sender, mut receiver) = faults();
        for i in 0..100 {
            sender.report("infer", format!("{i}"));
        }
        assert_eq!(receiver.blocking_recv().map(|f| f.reason).as_deref(), Some("0"), "the first one decides");
    }
}
