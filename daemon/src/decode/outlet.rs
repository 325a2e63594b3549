//! Where a camera's decoding meets the line: frames go to the batcher, what they tell of the camera goes to the status board.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Place, Way, freeze::Freeze};
use crate::{
    gate::{self, Grid, Hidden, Luma, Watch, WatchSettings},
    media::{Codec, Downloads, Frame, Mark, Pixels, StreamId},
    status::{CameraState, CameraStatus, StatusBoard},
};

type Offer = dyn Fn(Frame, bool) -> bool + Send + Sync;
type Interrupt = dyn Fn() + Send + Sync;

/// Takes the decoded frames of one camera: the batcher's slot in the daemon, anything in a test.
pub struct FrameSink {
    offer: Box<Offer>,
    interrupt: Box<Interrupt>,
}

impl FrameSink {
    /// `offer` takes a frame and says `false` when the line is closed. It may block; `interrupt` must unblock it.
    pub fn new(offer: impl Fn(Frame) -> bool + Send + Sync + 'static, interrupt: impl Fn() + Send + Sync + 'static) -> Self {
        Self::watched(move |frame, _| offer(frame), interrupt)
    }

    /// The same where `offer` is also told whether the frame is still: nothing moves in it.
    pub fn watched(
        offer: impl Fn(Frame, bool) -> bool + Send + Sync + 'static,
        interrupt: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { offer: Box::new(offer), interrupt: Box::new(interrupt) }
    }
}

impl fmt::Debug for FrameSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameSink")
    }
}

/// What the pictures have shown so far.
#[derive(Debug)]
struct Seen {
    /// The state that the pictures justify and that the board shows; `None` after anything else was shown.
    shown: Option<CameraState>,
    size: Option<(u32, u32)>,
    freeze: Freeze,
    frozen: bool,
    watch: Watch,
    /// Rows of a picture that lies on a device.
    rows: Vec<u8>,
    /// A session began and has not shown a picture yet.
    fresh: bool,
    /// Sessions that showed pictures.
    sessions: u64,
}

impl Seen {
    fn look(&mut self, luma: Luma<'_>, pts: Duration, now: Instant) -> gate::Seen {
        if let Some(frozen) = self.freeze.look(luma, now) {
            self.frozen = frozen;
        }
        self.watch.look(luma, pts)
    }
}

/// The end of one camera's decoding.
pub struct Outlet {
    stream: StreamId,
    frames: FrameSink,
    board: Arc<StatusBoard>,
    seen: Mutex<Seen>,
    delivered: AtomicU64,
    downloads: Arc<Downloads>,
}

impl Outlet {
    /// An outlet to `frames`; pictures identical for `frozen_timeout` are reported frozen (zero: never).
    pub fn new(stream: StreamId, frames: FrameSink, board: Arc<StatusBoard>, frozen_timeout: Duration) -> Arc<Self> {
        let seen = Seen {
            shown: None,
            size: None,
            freeze: Freeze::new(frozen_timeout, Instant::now()),
            frozen: false,
            watch: Watch::new(WatchSettings::default()),
            rows: Vec::new(),
            fresh: true,
            sessions: 0,
        };
        Arc::new(Self { stream, frames, board, seen: Mutex::new(seen), delivered: AtomicU64::new(0), downloads: Arc::default() })
    }

    /// What the pictures are watched for, from the next one on. At first for nothing.
    pub fn watch(&self, settings: WatchSettings) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).watch.configure(settings);
    }

    /// Where nothing is motion, from the next picture on.
    pub fn hide(&self, hidden: Option<Hidden>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).watch.hide(hidden);
    }

    /// Whose it is.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Hands a frame to the line, on the decoder's thread. `false`: the line is closed.
    pub(crate) fn deliver(&self, mut frame: Frame) -> bool {
        let now = Instant::now();
        self.delivered.fetch_add(1, Ordering::Relaxed);
        // What the look costs is part of decoding in the frame's times.
        let still = self.look(&frame, now);
        frame.times.stamp(Mark::Decoded, Instant::now());
        (self.frames.offer)(frame, still)
    }

    /// A decoded picture, and nothing else, makes a camera `online`; one that never changes makes it `frozen`, others make it what
    /// they are. Whether nothing moves.
    fn look(&self, frame: &Frame, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watched = gate::Seen { still: false, fault: None };
        match &frame.pixels {
            Pixels::Host(picture) => watched = seen.look(Luma::of(picture), frame.pts, now),
            Pixels::Device(picture) if seen.freeze.due(now) || seen.watch.wants(frame.pts) => {
                // The rows that are read, and only when they are.
                let (width, height) = (picture.size().0 as usize, picture.size().1 as usize);
                let (every, mut rows) = (Grid::every(width, height), std::mem::take(&mut seen.rows));
                if picture.luma(every / 2, every, &mut rows).is_some() {
                    watched = seen.look(Luma { samples: &rows, stride: width, width, height, every }, frame.pts, now);
                }
                seen.rows = rows;
            }
            Pixels::Device(_) => watched.fault = seen.watch.fault(),
            Pixels::None { .. } => {}
        }
        let (state, detail) = match watched.fault {
            _ if seen.frozen => (CameraState::Frozen, "the pictures do not change"),
            None => (CameraState::Online, ""),
            Some(gate::Fault::Black) => (CameraState::Black, "the pictures are black"),
            Some(gate::Fault::Blurred) => (CameraState::Blurred, "the pictures are far less sharp than they were"),
            Some(gate::Fault::Moved) => (CameraState::Moved, "the camera looks elsewhere than it did"),
        };
        if seen.shown != Some(state) {
            seen.shown = Some(state);
            self.board.update(&self.stream, |status| status.picture_faults.note(state));
            self.board.set(&self.stream, state, detail);
        }
        if std::mem::take(&mut seen.fresh) {
            seen.sessions += 1;
            tracing::info!(camera = self.stream.name(), session = seen.sessions, "pictures arrive");
            if seen.sessions > 1 {
                self.board.update(&self.stream, |status| status.reconnects += 1);
            }
        }
        let size = frame.pixels.size();
        if seen.size != Some(size) {
            seen.size = Some(size);
            self.board.update(&self.stream, |status| status.size = Some(size));
        }
        watched.still
    }

    /// A session begins: if it shows pictures, and is not the first one to do so, it counts as a reconnect.
    pub fn begin_session(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).fresh = true;
    }

    /// Shows a state that is not the pictures' doing. The next picture makes the camera `online` again.
    pub fn show(&self, state: CameraState, detail: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.shown = None;
        seen.freeze.reset();
        seen.frozen = false;
        self.board.set(&self.stream, state, detail);
    }

    /// Notes what the camera sends.
    pub fn codec(&self, codec: Codec) {
        self.board.update(&self.stream, |status| status.codec = Some(codec));
    }

    /// Notes what decodes it; what did not work before stays said.
    pub fn decoding(&self, codec: Codec, way: Way) {
        self.count(|status| {
            status.decoding.element = Some(way.element(codec));
            status.decoding.on_device = way.place == Place::Device;
        });
    }

    /// Changes the camera's counters.
    pub fn count(&self, change: impl FnOnce(&mut CameraStatus)) {
        self.board.update(&self.stream, change);
    }

    /// What of the pictures came to the host from a device.
    pub fn downloads(&self) -> &Arc<Downloads> {
        &self.downloads
    }

    /// Frames handed to the line so far.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Unblocks a frame that waits for room: its camera stops.
    pub fn interrupt(&self) {
        (self.frames.interrupt)();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;
    use crate::{
        gate::{MotionSettings, PictureSettings},
        media::{Capture, HostPicture, TimeBasis, TimeCard},
    };

    fn frame(stream: &StreamId, level: u8) -> Frame {
        let picture = HostPicture::tight_i420((32, 32), Bytes::from(vec![level; 32 * 32 * 3 / 2])).unwrap();
        Frame {
            stream: stream.clone(),
            seq: 0,
            dispatch: 0,
            pts: Duration::ZERO,
            capture: Capture { wall: SystemTime::now(), basis: TimeBasis::Arrival },
            pixels: Pixels::Host(picture),
            times: TimeCard::received(Instant::now()),
        }
    }

    #[test]
    fn only_a_picture_makes_a_camera_online() {
        let (board, stream) = (StatusBoard::new(), StreamId::new(1, "door"));
        board.add(&stream);
        let state = || board.get(&stream).map(|s| s.state);
        let outlet = Outlet::new(stream.clone(), FrameSink::new(|_| true, || ()), Arc::clone(&board), Duration::from_secs(9));
        assert_eq!(state(), Some(CameraState::Connecting));
        assert!(outlet.deliver(frame(&stream, 0)));
        assert_eq!(state(), Some(CameraState::Online));
        outlet.show(CameraState::NoData, "nothing for 5 s");
        assert_eq!(state(), Some(CameraState::NoData));
        outlet.deliver(frame(&stream, 0));
        assert_eq!(state(), Some(CameraState::Online));
        let status = board.get(&stream).unwrap();
        assert_eq!((status.size, status.detail.as_str(), outlet.delivered()), (Some((32, 32)), "", 2));
    }

    #[test]
    fn pictures_that_never_change_are_frozen_until_they_do() {
        let (board, stream) = (StatusBoard::new(), StreamId::new(1, "door"));
        board.add(&stream);
        let outlet = Outlet::new(stream.clone(), FrameSink::new(|_| true, || ()), Arc::clone(&board), Duration::from_secs(4));
        let start = Instant::now();
        let state_after = |seconds, level| {
            outlet.look(&frame(&stream, level), start + Duration::from_secs(seconds));
            board.get(&stream).map(|s| s.state)
        };
        assert_eq!(state_after(0, 1), Some(CameraState::Online));
        assert_eq!(state_after(3, 1), Some(CameraState::Online));
        assert_eq!(state_after(4, 1), Some(CameraState::Frozen));
        assert_eq!(state_after(8, 1), Some(CameraState::Frozen));
        assert_eq!(state_after(9, 2), Some(CameraState::Online));
        assert_eq!(board.get(&stream).map(|s| s.picture_faults.frozen), Some(1));
    }

    #[test]
    fn black_pictures_are_told_and_counted() {
        let (board, stream) = (StatusBoard::new(), StreamId::new(1, "door"));
        board.add(&stream);
        let outlet = Outlet::new(stream.clone(), FrameSink::new(|_| true, || ()), Arc::clone(&board), Duration::ZERO);
        let picture = PictureSettings { black: Duration::from_secs(5), ..PictureSettings::default() };
        outlet.watch(WatchSettings { motion: None, picture });
        let now = Instant::now();
        let state_at = |seconds, level| {
            outlet.look(&Frame { pts: Duration::from_secs(seconds), ..frame(&stream, level) }, now);
            board.get(&stream).map(|s| (s.state, s.picture_faults.black))
        };
        assert_eq!(state_at(0, 16), Some((CameraState::Online, 0)));
        assert_eq!(state_at(4, 16), Some((CameraState::Online, 0)));
        assert_eq!(state_at(5, 16), Some((CameraState::Black, 1)));
        assert_eq!(state_at(6, 90), Some((CameraState::Black, 1)));
        assert_eq!(state_at(9, 90), Some((CameraState::Online, 1)));
    }

    #[test]
    fn still_pictures_are_offered_as_such() {
        let (board, stream) = (StatusBoard::new(), StreamId::new(1, "door"));
        board.add(&stream);
        let (stills, seen) = std::sync::mpsc::sync_channel(64);
        let sink = FrameSink::watched(move |_, still| stills.send(still).is_ok(), || ());
        let outlet = Outlet::new(stream.clone(), sink, board, Duration::ZERO);
        let motion = Some(MotionSettings { threshold: 5.0, hold: Duration::ZERO });
        outlet.watch(WatchSettings { motion, picture: PictureSettings::default() });
        for i in 0..20 {
            outlet.deliver(Frame { pts: Duration::from_millis(200 * i), ..frame(&stream, 80) });
        }
        let told: Vec<bool> = seen.try_iter().collect();
        assert_eq!(told, (0..20).map(|i| i >= 10).collect::<Vec<_>>(), "the first two seconds are nothing but motion");
    }
}
