//! A JPEG of what a camera just saw, with the boxes drawn in, for whoever asks the local HTTP listener.
//!
//! Nothing is copied on the line: when somebody waits for a picture of a stream, tracking hands over the next frame it would
//! have dropped, and drawing and encoding happen on the asker's side.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use tokio::sync::oneshot;

use crate::{
    analyse::{MaskConfig, Zone, cover},
    media::{Canvas, EncodeError, Frame, HostPicture, StreamId, Tracked},
};

/// JPEG quality of stills.
pub(crate) const QUALITY: u8 = 85;
/// Askers per stream; more are refused.
const MAX_WAITING: usize = 8;

/// A frame and what was seen in it.
#[derive(Debug)]
pub struct Seen {
    /// The frame. Steps may look at it too.
    pub frame: Arc<Frame>,
    /// What was seen.
    pub tracked: Tracked,
    /// Parts of the picture that nobody is to see.
    pub veils: Vec<Zone>,
}

/// Where askers wait and tracking delivers.
#[derive(Debug, Default)]
pub struct Stills {
    waiting: AtomicUsize,
    askers: Mutex<HashMap<u32, Vec<oneshot::Sender<Arc<Seen>>>>>,
    /// The masks of each stream that has any.
    veils: Mutex<HashMap<u32, Vec<MaskConfig>>>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum StillError {
    /// Too many askers.
    #[error("{MAX_WAITING} requests for a picture of this camera wait already")]
    Busy,
    /// The frame lies where it cannot be read.
    #[error("the frames of this camera do not come to host memory")]
    NotInHostMemory,
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl Stills {
    /// A desk with no askers.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn askers(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Vec<oneshot::Sender<Arc<Seen>>>>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the next frame of a stream that leaves tracking.
    ///
    /// # Errors
    /// [`StillError::Busy`].
    pub fn ask(&self, stream: &StreamId) -> Result<oneshot::Receiver<Arc<Seen>>, StillError> {
        let (sender, receiver) = oneshot::channel();
        let mut askers = self.askers();
        let queue = askers.entry(stream.number()).or_default();
        queue.retain(|asker| !asker.is_closed());
        if queue.len() >= MAX_WAITING {
            return Err(StillError::Busy);
        }
        queue.push(sender);
        self.waiting.store(askers.values().map(Vec::len).sum(), Ordering::Relaxed);
        Ok(receiver)
    }

    /// Says which parts of a stream's pictures nobody is to see: masks of all classes.
    pub fn veil(&self, stream: &StreamId, masks: &[MaskConfig]) {
        let masks: Vec<_> = masks.iter().filter(|mask| mask.classes.is_none()).cloned().collect();
        let mut veils = self.veils.lock().unwrap_or_else(PoisonError::into_inner);
        if masks.is_empty() {
            veils.remove(&stream.number());
        } else {
            veils.insert(stream.number(), masks);
        }
    }

    /// The parts that nobody is to see at a time.
    pub(crate) fn veils(&self, stream: &StreamId, at: SystemTime) -> Vec<Zone> {
        let veils = self.veils.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |mask: &&MaskConfig| mask.schedule.as_ref().is_none_or(|schedule| schedule.week.holds(at, &schedule.zone));
        veils.get(&stream.number()).into_iter().flatten().filter(holds).map(|mask| mask.zone.clone()).collect()
    }

    /// Takes a frame that tracking is done with. Costs one atomic load when nobody waits.
    pub fn deliver(&self, frame: impl Into<Arc<Frame>>, tracked: &Tracked) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let frame = frame.into();
        let mut askers = self.askers();
        let Some(queue) = askers.remove(&frame.stream.number()) else { return };
        self.waiting.store(askers.values().map(Vec::len).sum(), Ordering::Relaxed);
        drop(askers);
        let veils = self.veils(&frame.stream, frame.capture.wall);
        let seen = Arc::new(Seen { frame, tracked: tracked.clone(), veils });
        for asker in queue {
            // An asker who went away is no loss.
            let _ = asker.send(Arc::clone(&seen));
        }
    }
}

/// Draws the boxes and encodes.
///
/// # Errors
/// [`StillError::NotInHostMemory`] or [`StillError::Encode`].
pub fn jpeg(seen: &Seen) -> Result<Vec<u8>, StillError> {
    let Some(picture) = seen.frame.pixels.host() else { return Err(StillError::NotInHostMemory) };
    let mut canvas = Canvas::of(picture, 1);
    seen.veils.iter().for_each(|zone| cover(&mut canvas, zone));
    for tracked in &seen.tracked.detections {
        let [luma, cb, cr] = paint(tracked.detection.class);
        canvas.outline(&tracked.detection.bbox, [luma, cb, cr]);
    }
    Ok(canvas.encode(QUALITY)?)
}

/// A picture as JPEG, without boxes. Where a side is longer than `longest`, only every so-manieth pixel is taken.
pub(crate) fn encode(picture: &HostPicture, longest: u32) -> Result<Vec<u8>, EncodeError> {
    let step = picture.width().max(picture.height()).div_ceil(longest.max(1)).max(1);
    Canvas::of(picture, step as usize).encode(QUALITY)
}

/// A colour per class, as full-range BT.601 Y'CbCr.
fn paint(class: u16) -> [u8; 3] {
    const COLORS: [[u8; 3]; 6] = [[149, 43, 21], [178, 171, 0], [76, 84, 255], [225, 0, 148], [105, 212, 234], [128, 128, 255]];
    COLORS[usize::from(class) % COLORS.len()]
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant, SystemTime},
    };

    use super::*;
    use crate::analyse::{
        Anchor,
        geometry::{Point, Polygon},
    };
    use crate::media::{BBox, Capture, Detection, ModelInfo, Pixels, TimeBasis, TimeCard, TrackedDetection};

    pub(in crate::observe) fn seen() -> (Frame, Tracked) {
        let stream = StreamId::new(7, "door");
        let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
        let mut bytes = vec![16u8; 64 * 48];
        bytes.extend(vec![128u8; 2 * 32 * 24]);
        let picture = HostPicture::tight_i420((64, 48), bytes.into()).expect("a picture");
        let times = TimeCard::received(Instant::now());
        let detection = Detection { class: 0, confidence: 0.9, bbox: BBox::new(10.0, 10.0, 40.0, 30.0) };
        let model = ModelInfo {
            name: "m".to_owned(),
            classes: vec!["person".to_owned()],
            runtime: "null".to_owned(),
            sha256: String::new(),
            precision: "fp32",
        };
        let tracked = Tracked {
            stream: stream.clone(),
            frame_seq: 3,
            pts: Duration::ZERO,
            capture,
            size: (64, 48),
            detections: vec![TrackedDetection { detection, track: None }],
            extras: crate::media::Extras::default(),
            tracks: Vec::new(),
            steps: None,
            shots: Vec::new(),
            verdicts: None,
            model: Arc::new(model),
            times,
            closing: false,
        };
        let frame = Frame { stream, seq: 3, pts: Duration::ZERO, capture, pixels: Pixels::Host(picture), times, dispatch: 3 };
        (frame, tracked)
    }

    #[test]
    fn a_jpeg_comes_out_whole() {
        let (frame, tracked) = seen();
        let jpeg = jpeg(&Seen { frame: frame.into(), tracked, veils: Vec::new() }).expect("a JPEG");
        assert_eq!(&jpeg[..2], [0xff, 0xd8], "start of image");
        assert_eq!(&jpeg[jpeg.len() - 2..], [0xff, 0xd9], "end of image");
    }

    #[test]
    fn the_outline_is_where_the_box_is() {
        let (frame, _) = seen();
        let Pixels::Host(picture) = &frame.pixels else { unreachable!() };
        let mut canvas = Canvas::of(picture, 1);
        assert_eq!(canvas.samples()[..3], [0, 128, 128], "limited-range black becomes full-range black");
        canvas.outline(&BBox::new(10.0, 10.0, 40.0, 30.0), [200, 1, 2]);
        let at = |x: usize, y: usize| canvas.samples()[(y * 64 + x) * 3];
        assert_eq!((at(10, 10), at(40, 30), at(25, 20), at(9, 10), at(41, 20)), (200, 200, 0, 0, 0));
    }

    #[test]
    fn what_is_masked_is_black_in_the_picture() {
        let half = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)].map(|(x, y)| Point::new(x, y)).to_vec();
        let zone = Zone { include: vec![Polygon::new(half).expect("half of it")], exclude: Vec::new() };
        let mask = |classes: Option<&str>| MaskConfig {
            name: "half".into(),
            zone: zone.clone(),
            anchor: Anchor::Foot,
            classes: classes.map(|class| vec![class.to_owned()]),
            schedule: None,
        };
        let desk = Stills::new();
        let (frame, tracked) = seen();
        desk.veil(&frame.stream, &[mask(Some("car"))]);
        assert!(desk.veils(&frame.stream, frame.capture.wall).is_empty(), "one of a class hides no picture");
        desk.veil(&frame.stream, &[mask(None)]);
        let mut asked = desk.ask(&frame.stream).expect("asked");
        desk.deliver(frame, &tracked);
        let seen = asked.try_recv().expect("delivered");
        let Pixels::Host(picture) = &seen.frame.pixels else { unreachable!() };
        let mut canvas = Canvas::of(picture, 1);
        (0..64).for_each(|x| canvas.dot(x, 20, [200; 3]));
        seen.veils.iter().for_each(|zone| cover(&mut canvas, zone));
        let at = |x: usize| canvas.samples()[(20 * 64 + x) * 3];
        assert_eq!((at(0), at(31), at(32), at(63)), (0, 0, 200, 200));
        desk.veil(&seen.frame.stream, &[]);
        assert!(desk.veils(&seen.frame.stream, seen.frame.capture.wall).is_empty());
    }

    #[test]
    fn only_the_stream_that_was_asked_for_is_handed_over() {
        let desk = Stills::new();
        let (frame, tracked) = seen();
        let mut other = desk.ask(&StreamId::new(8, "yard")).expect("asked");
        let mut asked = desk.ask(&frame.stream).expect("asked");
        desk.deliver(frame, &tracked);
        assert_eq!(asked.try_recv().expect("delivered").frame.seq, 3);
        assert!(other.try_recv().is_err());
    }

    #[test]
    fn askers_are_bounded_and_the_gone_make_room() {
        let desk = Stills::new();
        let stream = StreamId::new(1, "a");
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| desk.ask(&stream).expect("room")).collect();
        assert!(matches!(desk.ask(&stream), Err(StillError::Busy)));
        drop(waiting);
        assert!(desk.ask(&stream).is_ok());
    }
}
