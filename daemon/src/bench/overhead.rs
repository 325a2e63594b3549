//! The daemon's own cost per frame: everything but decoding, letterbox and inference.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use super::{
    line::{Line, named},
    meter::Usage,
    source,
};
use crate::{
    batch::{Counts, Mode, Slot, StreamSettings},
    config::Config,
    observe::StageSummary,
    publish::{Counters as Published, DropReason, Family},
};

/// How long a broker may take to answer.
const CONNECT: Duration = Duration::from_secs(10);
/// In saturation, frames that may be under way: fewer than publishing queues, so that none is dropped there.
const UNDER_WAY: u64 = 192;
/// In saturation, how often the source looks whether frames have left.
const LOOK: Duration = Duration::from_micros(200);

/// What the source does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Frames as fast as they are taken, each of them published.
    Saturated,
    /// Live cameras at so many frames per second each, evenly spread.
    Paced {
        /// Of each camera.
        fps: f64,
    },
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration: its broker, batching and tracking count.
    pub config: Config,
    /// Cameras.
    pub cameras: usize,
    /// What they do.
    pub load: Load,
    /// Objects that move in each frame.
    pub objects: usize,
    /// Largest batch.
    pub max_batch: usize,
    /// Before anything is measured.
    pub warm_up: Duration,
    /// What is measured.
    pub duration: Duration,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Overhead {
    /// How long, on the clock.
    pub wall: Duration,
    /// Frames whose messages the broker was sent.
    pub frames: u64,
    /// Messages that were dropped on the way to the broker.
    pub unsent: u64,
    /// Mean frames in a batch.
    pub mean_batch: f64,
    /// What the process used.
    pub usage: Usage,
    /// Where the frames' time went.
    pub stages: Vec<StageSummary>,
    /// Where the frames are: the law holds.
    pub counts: Counts,
}

impl Overhead {
    /// CPU time of the whole process for each published frame, in µs.
    pub fn cpu_us_per_frame(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / self.frames.max(1) as f64
    }

    /// How often any thread went to sleep for each published frame.
    pub fn sleeps_per_frame(&self) -> f64 {
        self.usage.sleeps as f64 / self.frames.max(1) as f64
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A thread or a runtime could not be made.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// There is no broker.
    #[error("the broker did not accept a connection within {} s: {reason}", waited.as_secs())]
    Broker {
        /// For how long.
        waited: Duration,
        /// What publishing says.
        reason: String,
    },
    /// A part of the line failed.
    #[error("{what} did not end well")]
    Died {
        /// Which part.
        what: &'static str,
    },
}

/// Runs the line and measures it.
///
/// # Errors
/// `BenchError`.
pub fn overhead(options: &Options) -> Result<Overhead, BenchError> {
    overhead_within(options, CONNECT)
}

fn overhead_within(options: &Options, patience: Duration) -> Result<Overhead, BenchError> {
    let line = Line::start(&options.config, options.max_batch, options.objects)?;
    let result = connect(&line, patience).and_then(|()| match options.load {
        Load::Saturated => saturated(&line, options),
        Load::Paced { fps } => paced(&line, options, fps),
    });
    line.stop();
    result
}

/// Waits for the broker.
fn connect(line: &Line, patience: Duration) -> Result<(), BenchError> {
    let deadline = Instant::now() + patience;
    while !line.published.connected() {
        if Instant::now() > deadline {
            let reason = line.published.last_failure().map_or_else(|| "no answer".into(), |(_, detail)| detail);
            return Err(BenchError::Broker { waited: patience, reason });
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Ok(())
}

/// What is read at the beginning and at the end.
struct Reading {
    at: Instant,
    frames: u64,
    unsent: u64,
    batches: u64,
    usage: Usage,
}

fn read(line: &Line) -> Reading {
    Reading {
        at: Instant::now(),
        frames: line.published.published(Family::Frame),
        unsent: unsent(&line.published, Family::Frame) + unsent(&line.published, Family::Track),
        batches: line.batcher.batches(),
        usage: Usage::now(),
    }
}

fn unsent(counters: &Published, family: Family) -> u64 {
    DropReason::ALL.into_iter().map(|reason| counters.dropped(family, reason)).sum()
}

fn report(line: &Line, begin: &Reading, end: &Reading) -> Overhead {
    let (frames, batches) = (end.frames - begin.frames, end.batches - begin.batches);
    Overhead {
        wall: end.at.saturating_duration_since(begin.at),
        frames,
        unsent: end.unsent - begin.unsent,
        mean_batch: frames as f64 / batches.max(1) as f64,
        usage: end.usage.since(&begin.usage),
        stages: line.stages.snapshot(),
        counts: line.batcher.total(),
    }
}

/// Lets the line run for a while, then measures.
fn measure(line: &Line, options: &Options) -> Overhead {
    wait(options.warm_up);
    line.stages.reset();
    let begin = read(line);
    wait(options.duration);
    report(line, &begin, &read(line))
}

fn wait(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

fn saturated(line: &Line, options: &Options) -> Result<Overhead, BenchError> {
    let settings = StreamSettings { mode: Mode::EveryFrame { queue: 2 * options.max_batch }, ..live() };
    let slots = line.streams(options.cameras, settings);
    let (stop, stopped) = mpsc::sync_channel::<()>(0);
    let published = line.published.clone();
    let producer = named("source", move || {
        let done = || published.published(Family::Frame) + unsent(&published, Family::Frame);
        let before = done();
        source::saturate(&slots, |offered| {
            while offered >= done() - before + UNDER_WAY {
                if stopped.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Disconnected) {
                    return false;
                }
            }
            stopped.try_recv() != Err(mpsc::TryRecvError::Disconnected)
        });
    })?;
    let result = measure(line, options);
    drop(stop);
    producer.join().map_err(|_| BenchError::Died { what: "the source" })?;
    Ok(result)
}

fn paced(line: &Line, options: &Options, fps: f64) -> Result<Overhead, BenchError> {
    let slots = line.streams(options.cameras, live());
    let period = Duration::from_secs_f64(1.0 / fps);
    let first = Instant::now() + Duration::from_millis(50);
    let stop = Arc::new(AtomicBool::new(false));
    let start = |(i, slot): (usize, Slot)| {
        let (first, stop) = (first + period.mul_f64(i as f64 / options.cameras as f64), Arc::clone(&stop));
        named("source", move || source::pace(&slot, first, period, &stop))
    };
    let cameras = slots.into_iter().enumerate().map(start).collect::<Result<Vec<_>, _>>()?;
    let result = measure(line, options);
    stop.store(true, Ordering::Relaxed);
    for camera in cameras {
        camera.join().map_err(|_| BenchError::Died { what: "a source" })?;
    }
    Ok(result)
}

fn live() -> StreamSettings {
    StreamSettings::new(Mode::LatestWins)
}

#[cfg(all(test, feature = "demo"))]
mod tests {
    use super::*;
    use crate::demo::EmbeddedBroker;

    fn options(load: Load, port: u16) -> Options {
        let text = format!("device = \"bench\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n");
        let config = crate::config::load_text("bench.toml".as_ref(), &text).expect("a good configuration").config;
        assert!(config.mqtt.as_ref().is_some_and(|mqtt| mqtt.first.publish_frames));
        let (warm_up, duration) = (Duration::from_millis(300), Duration::from_millis(700));
        Options { config, cameras: 4, load, objects: 10, max_batch: 4, warm_up, duration }
    }

    fn run(load: Load) -> Overhead {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let broker = runtime.block_on(EmbeddedBroker::start()).expect("a broker");
        overhead(&options(load, broker.v5().port())).expect("measured")
    }

    fn check(result: &Overhead) {
        assert!(result.frames > 0 && result.unsent == 0 && result.usage.cpu > Duration::ZERO, "{result:?}");
        assert!(result.counts.balanced(), "{:?}", result.counts);
        let (total, stages) = result.stages.split_last().expect("stages");
        let sum: Duration = stages.iter().map(|stage| stage.mean).sum();
        assert!(total.count > 0 && total.mean.abs_diff(sum) < Duration::from_micros(1), "{:?}", result.stages);
    }

    #[test]
    fn in_saturation_every_frame_is_published() {
        let result = run(Load::Saturated);
        check(&result);
        assert_eq!(result.counts.dropped.total(), 0);
        assert!(result.mean_batch > 3.0, "{}", result.mean_batch);
    }

    #[test]
    fn paced_cameras_come_out_at_their_rate() {
        let result = run(Load::Paced { fps: 30.0 });
        check(&result);
        let expected = 4.0 * 30.0 * result.wall.as_secs_f64();
        assert!((result.frames + result.counts.dropped.total()) as f64 >= 0.8 * expected, "{result:?}");
    }

    #[test]
    fn without_a_broker_nothing_is_measured() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let error = overhead_within(&options(Load::Saturated, nobody), Duration::from_millis(300)).expect_err("no broker");
        assert!(matches!(error, BenchError::Broker { .. }), "{error}");
    }
}
