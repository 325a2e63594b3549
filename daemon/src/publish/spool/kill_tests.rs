//! A real process that writes, killed in the midst of it, twice.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, UNIX_EPOCH},
};

use super::*;

const FOLDER: &str = "EGRET_TEST_SPOOL";
/// Records of each child that the parent waits for.
const ENOUGH: usize = 3000;

fn settings() -> Settings {
    Settings { segment_bytes: 64 << 10, max_record: 4096, sync_records: 64, ..Settings::default() }
}

/// The child: writes until it is killed, and says what was taken once it was.
#[test]
#[ignore = "the other test runs it"]
fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (mut spool, opened) = Spool::open_at(Path::new(&folder), settings()).expect("opens");
    let mut out = std::io::stdout().lock();
    let first = spool.append(&record("cam0", 0), 1, since_boot()).expect("taken").expect("for somebody");
    writeln!(out, "\nfound {} {}", opened.records, first).expect("told");
    for number in first + 1.. {
        let stream = format!("cam{}", number % 4);
        let taken = spool.append(&record(&stream, number), 1, since_boot()).expect("taken");
        writeln!(out, "took {}", taken.expect("for somebody")).expect("told");
    }
}

fn record(stream: &str, seq: u64) -> Record<'_> {
    Record { class: Class::Event, stream, seq, id: "i", topic: "t", properties: &[], payload: &[7; 300], at: UNIX_EPOCH }
}

/// Runs the child until it has taken enough, kills it, and says which numbers it took.
fn run_and_kill(folder: &Path) -> Vec<u64> {
    let test = concat!(module_path!(), "::writes_until_it_is_killed");
    let test = test.split_once("::").expect("behind the crate").1;
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its words")).lines().map_while(Result::ok);
    let number = |line: String| line.strip_prefix("took ").and_then(|number| number.parse().ok());
    let mut taken: Vec<u64> = lines.by_ref().filter_map(number).take(ENOUGH).collect();
    // SIGKILL.
    child.kill().expect("killed");
    taken.extend(lines.filter_map(number));
    child.wait().expect("gone");
    assert!(taken.len() >= ENOUGH);
    taken
}

#[test]
fn a_killed_daemon_loses_nothing_that_was_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut taken = run_and_kill(dir.path());
    taken.extend(run_and_kill(dir.path()));
    let (mut spool, opened) = Spool::open_at(dir.path(), settings()).expect("opens");
    let mut there = Vec::new();
    let mut latest = std::collections::BTreeMap::new();
    while let Some(delivery) = spool.next(0, Duration::ZERO) {
        assert!(delivery.delayed);
        assert_eq!(delivery.payload, [7; 300]);
        let latest = latest.insert(delivery.stream.clone(), delivery.number);
        assert!(latest.is_none_or(|latest| latest < delivery.number), "in order");
        there.push(delivery.number);
    }
    there.sort_unstable();
    let missing: Vec<_> = taken.iter().filter(|number| there.binary_search(number).is_err()).collect();
    assert!(missing.is_empty(), "{} of {} are missing", missing.len(), taken.len());
    assert!(there.windows(2).all(|two| two[0] != two[1]), "none twice");
    assert_eq!(there.len() as u64, opened.records);
    println!("{} taken by two killed processes, all there; {:?}", taken.len(), opened.damage);
}
