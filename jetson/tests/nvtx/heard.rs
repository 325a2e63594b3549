//! What a tool hears of a test of the same program.

use std::{env, fs, process::Command};

/// Runs one test of this program while a tool listens: the ranges in the order in which they began and ended. `None`: the test was skipped.
pub(crate) fn heard(test: &str) -> Option<String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture"]);
    command.env("NVTX_INJECTION64_PATH", egret_jetson::nvtx::doubles::listener()).env("EGRET_NVTX_HEARD", file.path());
    let output = command.output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    if told.contains("SKIPPED") {
        eprintln!("SKIPPED as what it listens to: {told}");
        return None;
    }
    Some(fs::read_to_string(file.path()).expect("heard"))
}
