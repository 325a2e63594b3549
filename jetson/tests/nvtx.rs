//! Ranges, with a tool that listens to this program: each test starts it anew, since a tool is looked for once per process.
#![cfg(feature = "doubles")]

use std::{env, fs, path::Path, process::Command, thread};

use egret_jetson::nvtx::{self, doubles};

/// Runs one of the programs below in a process whose environment names that tool. What was told, and what it heard.
fn heard(program: &str, tool: Option<&Path>) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heard");
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["--exact", program, "--nocapture"]).env("EGRET_NVTX_PROGRAM", "1").env("EGRET_NVTX_HEARD", &file);
    match tool {
        Some(tool) => command.env("NVTX_INJECTION64_PATH", tool),
        None => command.env_remove("NVTX_INJECTION64_PATH"),
    };
    let output = command.output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    (told, fs::read_to_string(file).unwrap_or_default())
}

/// What [`heard`] starts.
#[test]
fn program() {
    if env::var_os("EGRET_NVTX_PROGRAM").is_none() {
        return;
    }
    eprintln!("{:?}", nvtx::is_heard());
    let outer = nvtx::range(c"batch");
    drop(nvtx::range(c"letterbox"));
    let other = thread::spawn(|| {
        let _range = nvtx::range(c"elsewhere");
    });
    other.join().expect("it ends");
    drop(outer);
}

#[test]
fn a_tool_hears_each_thread_s_ranges() {
    let (told, heard) = heard("program", Some(&doubles::listener()));
    assert!(told.contains("Ok(true)"), "{told}");
    assert_eq!(heard, "1 > batch\n1 > letterbox\n1 < \n2 > elsewhere\n2 < \n1 < \n");
}

#[test]
fn without_a_tool_there_is_nothing() {
    let (told, heard) = heard("program", None);
    assert!(told.contains("Ok(false)") && heard.is_empty(), "{told}");
}

#[test]
fn a_tool_of_no_use_is_told_and_changes_nothing() {
    let (told, heard_by) = heard("program", Some(&doubles::refuser()));
    assert!(told.contains("InitializeInjectionNvtx2 failed") && heard_by.is_empty(), "{told}");
    let (told, _) = heard("program", Some(Path::new("/nonexistent/libtool.so")));
    assert!(told.contains("NvtxError") && told.contains("/nonexistent/libtool.so"), "{told}");
}
