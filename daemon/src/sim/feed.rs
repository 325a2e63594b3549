//! The camera's own clock: takes coded pictures and hands each to the RTSP media when its time has come.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::{
    camera::Recipe,
    pictures::{Next, Picture, Pictures, PicturesError, scene_of},
    timeline::{Placed, Timeline},
    truth::Record,
};

/// A media that takes no more than this is not being read: drop up to the next key frame.
const BACKLOG_BYTES: u64 = 8 << 20;
/// Later than this (the machine slept, or is overloaded) the time line moves instead of catching up.
const LATE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(200);

/// What is to be shown, and which version of it: the number changes with the recipe.
#[derive(Clone, Debug)]
pub(super) struct Showing {
    pub(super) version: u64,
    pub(super) recipe: Recipe,
    pub(super) record: Arc<Record>,
}

/// The camera's setting, shared with its feeds.
pub(super) type Setting = Arc<Mutex<Showing>>;

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// Somebody watches. Until then one picture is made, for the description.
    playing: bool,
}

/// Handle on a feed. The media's signals drive it.
#[derive(Clone, Debug, Default)]
pub(super) struct Feed(Arc<(Mutex<State>, Condvar)>);

impl Feed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.1.notify_all();
    }

    /// The media plays, or pauses.
    pub(super) fn set_playing(&self, playing: bool) {
        self.change(|state| state.playing = playing);
    }

    /// The media is gone; the feed's thread ends.
    pub(super) fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    fn stopped(&self) -> bool {
        self.state().stopped
    }

    /// Waits for the moment; `false` when the feed is stopped instead.
    fn wait_until(&self, moment: Instant) -> bool {
        let mut state = self.state();
        while !state.stopped {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.0.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// Waits until somebody watches; `None` when the feed is stopped instead, else whether it had to wait.
    fn wait_playing(&self) -> Option<bool> {
        let mut state = self.state();
        let waited = !state.playing;
        while !state.playing && !state.stopped {
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.stopped).then_some(waited)
    }

    /// Starts the feed's thread.
    pub(super) fn start(&self, name: &str, setting: Setting, source: AppSrc) -> std::io::Result<thread::JoinHandle<()>> {
        let feed = self.clone();
        let name = name.to_owned();
        thread::Builder::new().name(format!("sim-{name}")).spawn(move || {
            let mut run = Run {
                feed,
                setting,
                source,
                timeline: Timeline::default(),
                origin: None,
                awaiting_key: true,
                sent: false,
                late: LATE,
            };
            if let Err(error) = run.run() {
                tracing::error!(camera = name, %error, "the simulated camera has no more pictures");
            }
            if run.sent {
                // The clients see the stream end. Refused only when the media is gone already.
                let _ = run.source.end_of_stream();
            } else {
                give_up(&run.source);
            }
        })
    }
}

/// No picture will come. A media that is being made ready would wait for the first one for 20 s, and with it the camera's thread and
/// whoever waits for that.
pub(super) fn give_up(source: &AppSrc) {
    gst::element_error!(source, gst::ResourceError::Close, ["the camera ends before its first picture"]);
}

struct Run {
    feed: Feed,
    setting: Setting,
    source: AppSrc,
    timeline: Timeline,
    /// The media's running time, and ours, at the time line's zero.
    origin: Option<(i64, Instant)>,
    awaiting_key: bool,
    /// Whether the media has had a picture.
    sent: bool,
    /// More than this and the origin moves.
    late: Duration,
}

impl Run {
    fn showing(&self) -> Showing {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn run(&mut self) -> Result<(), PicturesError> {
        let mut showing = self.showing();
        let mut pictures = Pictures::open(&showing.recipe, showing.record.next_frame())?;
        while !self.feed.stopped() {
            let now = self.showing();
            if now.version != showing.version {
                showing = now;
                pictures = Pictures::open(&showing.recipe, showing.record.next_frame())?;
                self.timeline.seam();
            }
            match pictures.next(PATIENCE)? {
                Next::Picture(picture) => {
                    if !self.deliver(picture, &showing) {
                        return Ok(());
                    }
                }
                Next::End => {
                    pictures.rewind()?;
                    self.timeline.seam();
                }
                Next::Waiting => {}
            }
        }
        Ok(())
    }

    /// Sends a picture at its time. `false`: the media is gone.
    fn deliver(&mut self, mut picture: Picture, showing: &Showing) -> bool {
        let placed = self.timeline.place(picture.times);
        let Some(sent_at) = self.schedule(placed) else { return false };
        if !self.feed.wait_until(sent_at) {
            return false;
        }
        if self.source.current_level_bytes() > BACKLOG_BYTES {
            self.awaiting_key = true;
        }
        if self.awaiting_key && !picture.key {
            return true;
        }
        self.awaiting_key = false;
        let truth = picture.truth.take().zip(scene_of(&showing.recipe));
        let Some(captured) = self.push(picture, placed) else { return false };
        self.sent = true;
        if let Some((truth, scene)) = truth {
            showing.record.sent(truth, &scene, captured);
        }
        match self.feed.wait_playing() {
            None => false,
            Some(waited) => {
                // Nobody watched for a while: what is overdue by now is not to be caught up with.
                self.late = if waited { Duration::ZERO } else { LATE };
                true
            }
        }
    }

    /// When to send. The first picture, and the first after a long delay, sets the origin: it is due now.
    fn schedule(&mut self, placed: Placed) -> Option<Instant> {
        let now = Instant::now();
        if let Some((_, origin)) = self.origin {
            let due = origin + Duration::from_nanos(placed.sent_ns.max(0) as u64);
            if now.saturating_duration_since(due) <= self.late {
                return Some(due);
            }
        }
        let running = running_time(&self.source)?;
        let zero = now.checked_sub(Duration::from_nanos(placed.sent_ns.max(0) as u64))?;
        self.origin = Some((running - placed.sent_ns, zero));
        Some(now)
    }

    /// Hands a picture over; the time of its capture, unless the media is gone.
    fn push(&self, mut picture: Picture, placed: Placed) -> Option<SystemTime> {
        let (origin, _) = self.origin?;
        let running = (origin + placed.captured_ns).max(0);
        // The metadata alone is copied where the encoder still holds the buffer.
        let data = picture.data.make_mut();
        data.set_pts(gst::ClockTime::from_nseconds(running as u64));
        data.set_dts(None);
        data.unset_flags(gst::BufferFlags::DISCONT);
        let sample = gst::Sample::builder().buffer(&picture.data).caps(&picture.caps).build();
        let age = u64::try_from(running_time(&self.source)? - running).unwrap_or(0);
        let captured = SystemTime::now() - Duration::from_nanos(age);
        self.source.push_sample(&sample).is_ok().then_some(captured)
    }
}

/// The running time of the pipeline around an element, in nanoseconds. `None` before it plays.
fn running_time(element: &AppSrc) -> Option<i64> {
    let now = element.clock()?.time();
    i64::try_from((now.checked_sub(element.base_time()?))?.nseconds()).ok()
}
