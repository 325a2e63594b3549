//! What this process costs, from `/proc/self` (proc(5)).

use std::{fs, path::Path, time::Duration};

/// Clock ticks per second of `/proc/self/stat`: `USER_HZ`, 100 on every Linux that egret runs on.
const USER_HZ: u64 = 100;

/// What `/proc/self` says. `None`: it could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// User and system time.
    pub cpu: Option<Duration>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
}

impl Process {
    /// This process now.
    pub fn read() -> Self {
        Self::read_from(Path::new("/proc/self"))
    }

    fn read_from(proc: &Path) -> Self {
        let status = fs::read_to_string(proc.join("status")).unwrap_or_default();
        Self {
            cpu: fs::read_to_string(proc.join("stat")).ok().and_then(|stat| cpu(&stat)),
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
            threads: field(&status, "Threads:"),
            descriptors: fs::read_dir(proc.join("fd")).ok().map(|fds| fds.count() as u64),
        }
    }
}

/// Fields 14 and 15, counted after the command name, which may hold spaces and parentheses.
fn cpu(stat: &str) -> Option<Duration> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / USER_HZ))
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_cost() {
        let process = Process::read();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{process:?}");
        assert!(process.threads.is_some_and(|n| n >= 1) && process.descriptors.is_some_and(|n| n >= 3), "{process:?}");
        assert!(process.cpu.is_some());
    }

    #[test]
    fn a_command_name_with_parentheses_does_not_confuse() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("42 (egret"), None);
    }

    #[test]
    fn an_absent_proc_is_no_error() {
        assert_eq!(Process::read_from(Path::new("/nonexistent")), Process::default());
    }
}
