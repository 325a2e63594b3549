//! What tests of several modules need.

pub(crate) mod jetson;

use std::path::Path;
#[cfg(feature = "sim")]
use std::{
    env, fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Writes a film by running a pipeline to its end.
pub(crate) fn film(path: &Path, pipeline: &str) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!("{pipeline} ! filesink location={}", path.display())).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(60), &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert!(end.is_some_and(|message| message.type_() == gst::MessageType::Eos), "{pipeline:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Whether the calling test has this process to itself, as one that counts threads or descriptors must. Where it has not (plain
/// `cargo test` runs all tests of a binary in one process), it is run again in a process of its own, that one's failure is this one's,
/// and the caller returns.
#[cfg(feature = "sim")]
pub(crate) fn alone() -> bool {
    const MARK: &str = "EGRET_TEST_ALONE";
    if env::var_os("NEXTEST").is_some() || env::var_os(MARK).is_some() {
        return true;
    }
    let test = thread::current().name().expect("the harness names the thread after the test").to_owned();
    let run = Command::new(env::current_exe().unwrap()).args(["--exact", &test, "--nocapture"]).env(MARK, "1").output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("test result: ok. 1 passed"), "{test}: {said}");
    false
}

/// Threads and open descriptors of this process.
#[cfg(feature = "sim")]
pub(crate) fn held() -> (usize, usize) {
    let count = |folder| fs::read_dir(folder).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// What is held when the last clients' and cameras' remains have been taken down: at once when it is `enough`, else the least within 5 s.
#[cfg(feature = "sim")]
pub(crate) async fn settled(enough: impl Fn((usize, usize)) -> bool) -> (usize, usize) {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut least = held();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while Instant::now() < deadline && !enough(least) {
        tick.tick().await;
        let now = held();
        least = (least.0.min(now.0), least.1.min(now.1));
    }
    least
}
