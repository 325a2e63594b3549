//! What the process itself has cost: CPU time to the nanosecond, context switches, memory.

use std::{collections::BTreeMap, fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// What was used up to a moment, or between two.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// User and system time of all threads, those that have ended included.
    pub cpu: Duration,
    /// Times that a thread that lives went to sleep of its own accord: each is a wake-up.
    pub sleeps: u64,
    /// CPU time of the threads that live, added up by name without their numbers.
    pub threads: BTreeMap<String, Duration>,
}

impl Usage {
    /// Since the process started.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let mut usage = Self { cpu: Duration::new(time.tv_sec as u64, time.tv_nsec as u32), ..Self::default() };
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            // A thread may end while it is looked at; it is then left out.
            let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let status = read("status");
            usage.sleeps += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            let name = read("comm").trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
            let run = read("schedstat").split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
            *usage.threads.entry(name).or_default() += Duration::from_nanos(run);
        }
        usage
    }

    /// What was used since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |name| earlier.threads.get(name).copied().unwrap_or_default();
        let threads = self.threads.iter().map(|(name, cpu)| (name.clone(), cpu.saturating_sub(before(name)))).collect();
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), sleeps: self.sleeps.saturating_sub(earlier.sleeps), threads }
    }
}

/// The largest resident memory that the process ever had, in bytes.
pub fn peak_resident_bytes() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:").map(|kib| kib * 1024)
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_is_seen_and_sleep_is_not() {
        let start = Usage::now();
        let mut x = 1_u64;
        while Usage::now().cpu.saturating_sub(start.cpu) < Duration::from_millis(20) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        let worked = Usage::now();
        let begin = Instant::now();
        let (_never, receiver) = std::sync::mpsc::sync_channel::<()>(1);
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
        assert!(begin.elapsed() >= Duration::from_millis(50));
        let slept = Usage::now().since(&worked);
        assert!(worked.since(&start).cpu >= Duration::from_millis(20));
        assert!(slept.sleeps >= 1);
        assert!(peak_resident_bytes().is_some_and(|bytes| bytes > 1_000_000));
    }
}
