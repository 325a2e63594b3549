//! What is asked of one step, by all cameras.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Job, StepCounters};

/// What bounds the batches of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimits {
    /// Most pictures or clips in a batch, at least 1.
    pub max_batch: usize,
    /// Longest time that the oldest look waits for company.
    pub max_wait: Duration,
    /// Engine instances that pull from the queue, at least 1.
    pub instances: usize,
}

/// A bounded queue that hands out batches: as soon as one is full, or when its oldest look has waited long enough.
#[derive(Debug)]
pub struct StepQueue {
    inner: Mutex<Inner>,
    work: Condvar,
    limits: StepLimits,
    counters: StepCounters,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: VecDeque<Job>,
    /// Pictures and clips in `jobs`.
    pictures: usize,
    closed: bool,
}

/// Batches that may wait beyond those that run, per instance: one is filled while another is in the network.
const BATCHES: usize = 2;

impl StepQueue {
    /// An empty queue.
    pub fn new(limits: StepLimits) -> Arc<Self> {
        let limits = StepLimits { max_batch: limits.max_batch.max(1), instances: limits.instances.max(1), ..limits };
        Arc::new(Self { inner: Mutex::default(), work: Condvar::new(), limits, counters: StepCounters::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it counts.
    pub fn counters(&self) -> &StepCounters {
        &self.counters
    }

    /// Pictures and clips that may wait.
    pub fn capacity(&self) -> usize {
        BATCHES * self.limits.max_batch * self.limits.instances
    }

    /// Pictures and clips that wait.
    pub fn waiting(&self) -> usize {
        self.lock().pictures
    }

    /// Asks for a last look, whether there is room or not: its pictures lie in memory already, and tracking bounds how many.
    ///
    /// # Errors
    /// The job itself, if the queue is closed.
    pub fn push_last(&self, job: Job) -> Result<(), Job> {
        self.put(job, true)
    }

    /// Asks for a look.
    ///
    /// # Errors
    /// The job itself, if the queue is full or closed. A job that is larger than the queue is taken when nothing else waits.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        self.put(job, false)
    }

    fn put(&self, job: Job, beyond: bool) -> Result<(), Job> {
        let mut inner = self.lock();
        let full = !beyond && inner.pictures > 0 && inner.pictures + job.look.len() > self.capacity();
        if inner.closed || full {
            return Err(job);
        }
        let before = inner.pictures;
        inner.pictures += job.look.len();
        inner.jobs.push_back(job);
        // The first one starts the wait of an instance, a full batch ends it; whoever comes between needs to wake nobody.
        let wake = before == 0 || before / self.limits.max_batch < inner.pictures / self.limits.max_batch;
        drop(inner);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// The next batch for a free instance; waits for it. `None` once the queue is closed and empty.
    pub fn next(&self) -> Option<Vec<Job>> {
        let mut inner = self.lock();
        loop {
            let Some(oldest) = inner.jobs.front().map(|job| job.asked) else {
                if inner.closed {
                    return None;
                }
                inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = (oldest + self.limits.max_wait).saturating_duration_since(Instant::now());
            if left.is_zero() || inner.closed || inner.pictures >= self.limits.max_batch {
                let batch = inner.take(self.limits.max_batch);
                let more = !inner.jobs.is_empty();
                drop(inner);
                if more {
                    self.work.notify_one();
                }
                return Some(batch);
            }
            inner = self.work.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends it: nothing is taken in any more, and [`Self::next`] hands out what waits and then `None`.
    pub fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }
}

impl Inner {
    /// The oldest jobs, as many as fit into a batch and at least one.
    fn take(&mut self, max_batch: usize) -> Vec<Job> {
        let (mut batch, mut room) = (Vec::new(), max_batch);
        while let Some(job) = self.jobs.front()
            && (batch.is_empty() || job.look.len() <= room)
        {
            room = room.saturating_sub(job.look.len());
            self.pictures -= job.look.len();
            batch.extend(self.jobs.pop_front());
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{
        infer::Clip,
        media::StreamId,
        step::{Look, Target},
    };

    fn job(frame: u64, clips: usize) -> Job {
        let target = Target { stream: StreamId::new(1, "door"), track: None, frame };
        Job { target, look: Look::Clips(vec![Clip { crops: Vec::new() }; clips]), asked: Instant::now() }
    }

    fn limits(max_wait: Duration) -> StepLimits {
        StepLimits { max_batch: 4, max_wait, instances: 1 }
    }

    fn frames(batch: Option<Vec<Job>>) -> Vec<u64> {
        batch.into_iter().flatten().map(|job| job.target.frame).collect()
    }

    #[test]
    fn a_full_batch_goes_at_once_and_the_queue_is_bounded() {
        let queue = StepQueue::new(limits(Duration::from_hours(1)));
        assert_eq!(queue.capacity(), 8);
        for frame in 0..8 {
            queue.push(job(frame, 1)).unwrap();
        }
        assert_eq!(queue.push(job(8, 1)).unwrap_err().target.frame, 8);
        assert_eq!(frames(queue.next()), [0, 1, 2, 3]);
        queue.push(job(9, 3)).unwrap();
        assert_eq!(queue.waiting(), 7);
        assert_eq!(frames(queue.next()), [4, 5, 6, 7]);
        queue.close();
        assert!(queue.push(job(10, 1)).is_err());
        assert_eq!(frames(queue.next()), [9], "what waits is finished");
        assert!(queue.next().is_none());
    }

    #[test]
    fn what_does_not_fit_together_goes_apart_and_nothing_is_too_large() {
        let queue = StepQueue::new(limits(Duration::ZERO));
        queue.push(job(0, 3)).unwrap();
        queue.push(job(1, 2)).unwrap();
        assert_eq!(frames(queue.next()), [0]);
        assert_eq!(frames(queue.next()), [1]);
        queue.push(job(2, 20)).unwrap();
        assert!(queue.push(job(3, 1)).is_err());
        assert_eq!(frames(queue.next()), [2]);
    }

    #[test]
    fn a_part_of_a_batch_goes_when_its_time_has_come() {
        let queue = StepQueue::new(limits(Duration::from_millis(5)));
        let taker = {
            let queue = queue.clone();
            thread::spawn(move || frames(queue.next()))
        };
        let asked = Instant::now();
        queue.push(job(0, 1)).unwrap();
        assert_eq!(taker.join().unwrap(), [0]);
        assert!(asked.elapsed() >= Duration::from_millis(5), "it waited for company");
    }
}
