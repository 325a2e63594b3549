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
    analyse::{MaskConfig, Zone, runs},
    media::{BBox, Frame, HostPicture, Layout, Pixels, StreamId, Tracked},
};

/// JPEG quality of stills.
const QUALITY: u8 = 85;
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
    #[error("the frames of this camera are not in host memory")]
    NotInHostMemory,
    /// The encoder failed.
    #[error("no JPEG can be made of a {width}x{height} picture: {reason}")]
    Encode {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Its own words.
        reason: String,
    },
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
    let Pixels::Host(picture) = &seen.frame.pixels else { return Err(StillError::NotInHostMemory) };
    let mut canvas = Canvas::of(picture, 1);
    seen.veils.iter().for_each(|zone| canvas.cover(zone));
    for tracked in &seen.tracked.detections {
        let [luma, cb, cr] = paint(tracked.detection.class);
        canvas.outline(&tracked.detection.bbox, [luma, cb, cr]);
    }
    canvas.encode()
}

/// A picture as JPEG, without boxes. Where a side is longer than `longest`, only every so-manieth pixel is taken.
pub(crate) fn encode(picture: &HostPicture, longest: u32) -> Result<Vec<u8>, StillError> {
    let step = picture.width().max(picture.height()).div_ceil(longest.max(1)).max(1);
    Canvas::of(picture, step as usize).encode()
}

/// A colour per class, as full-range BT.601 Y'CbCr.
fn paint(class: u16) -> [u8; 3] {
    const COLORS: [[u8; 3]; 6] = [[149, 43, 21], [178, 171, 0], [76, 84, 255], [225, 0, 148], [105, 212, 234], [128, 128, 255]];
    COLORS[usize::from(class) % COLORS.len()]
}

/// Interleaved full-range Y'CbCr, `[h,w,3]`.
#[derive(Clone)]
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    samples: Vec<u8>,
}

impl Canvas {
    /// A black one.
    pub(crate) fn black((width, height): (u32, u32)) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self { width, height, samples: [0, 128, 128].repeat(width * height) }
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The same of another size, cut off or black at the right and lower edges; `None`: it has that size.
    pub(crate) fn fitted(&self, (width, height): (usize, usize)) -> Option<Self> {
        if (width, height) == (self.width, self.height) {
            return None;
        }
        let mut samples = [0, 128, 128].repeat(width * height);
        let row = width.min(self.width) * 3;
        for (to, from) in samples.chunks_exact_mut(width * 3).zip(self.samples.chunks_exact(self.width * 3)) {
            to[..row].copy_from_slice(&from[..row]);
        }
        Some(Self { width, height, samples })
    }

    /// Y', Cb, Cr of one pixel after the other, row by row.
    pub(crate) fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// Colours one pixel, if it is in the picture.
    pub(crate) fn dot(&mut self, x: i64, y: i64, color: [u8; 3]) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x < self.width && y < self.height {
            let at = (y * self.width + x) * 3;
            self.samples[at..at + 3].copy_from_slice(&color);
        }
    }

    /// Every `step`th pixel of every `step`th row.
    pub(crate) fn of(picture: &HostPicture, step: usize) -> Self {
        let (width, height) = ((picture.width() as usize).div_ceil(step), (picture.height() as usize).div_ceil(step));
        let mut samples = Vec::with_capacity(width * height * 3);
        let full_range = picture.color().full_range;
        let (luma, luma_stride) = picture.plane(0);
        let (first, first_stride) = picture.plane(1);
        for y in (0..height).map(|y| y * step) {
            for x in (0..width).map(|x| x * step) {
                let (cx, cy) = (x / 2, y / 2);
                let (cb, cr) = match picture.layout() {
                    Layout::I420 => {
                        let (second, second_stride) = picture.plane(2);
                        (first[cy * first_stride + cx], second[cy * second_stride + cx])
                    }
                    Layout::Nv12 => (first[cy * first_stride + 2 * cx], first[cy * first_stride + 2 * cx + 1]),
                };
                let y = luma[y * luma_stride + x];
                samples.extend(if full_range { [y, cb, cr] } else { [stretch(y, 16, 219), chroma(cb), chroma(cr)] });
            }
        }
        Self { width, height, samples }
    }

    /// As JPEG.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, StillError> {
        let failed = |reason: String| StillError::Encode { width: self.width as u32, height: self.height as u32, reason };
        let (Ok(w), Ok(h)) = (u16::try_from(self.width), u16::try_from(self.height)) else {
            return Err(failed("larger than 65535 pixels".to_owned()));
        };
        let mut out = Vec::new();
        jpeg_encoder::Encoder::new(&mut out, QUALITY)
            .encode(&self.samples, w, h, jpeg_encoder::ColorType::Ycbcr)
            .map_err(|error| failed(error.to_string()))?;
        Ok(out)
    }

    /// Blackens a part of the picture.
    pub(crate) fn cover(&mut self, zone: &Zone) {
        let width = self.width;
        runs(zone, (width, self.height), |y, columns| {
            let row = &mut self.samples[(y * width + columns.start) * 3..(y * width + columns.end) * 3];
            row.as_chunks_mut::<3>().0.fill([0, 128, 128]);
        });
    }

    /// Draws a box's edge, from within.
    pub(crate) fn outline(&mut self, bbox: &BBox, color: [u8; 3]) {
        let thickness = (self.width / 400).max(2);
        let column = |v: f32| (v.max(0.0) as usize).min(self.width.saturating_sub(1));
        let row = |v: f32| (v.max(0.0) as usize).min(self.height.saturating_sub(1));
        let (left, right, top, bottom) = (column(bbox.x1), column(bbox.x2), row(bbox.y1), row(bbox.y2));
        for y in top..=bottom {
            let edge_row = y < top + thickness || y + thickness > bottom;
            for x in left..=right {
                if edge_row || x < left + thickness || x + thickness > right {
                    let at = (y * self.width + x) * 3;
                    self.samples[at..at + 3].copy_from_slice(&color);
                }
            }
        }
    }
}

fn stretch(value: u8, zero: i32, span: i32) -> u8 {
    (((i32::from(value) - zero) * 255 + span / 2) / span).clamp(0, 255) as u8
}

fn chroma(value: u8) -> u8 {
    (128 + ((i32::from(value) - 128) * 255) / 224).clamp(0, 255) as u8
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
    use crate::media::{Capture, Detection, ModelInfo, TimeBasis, TimeCard, TrackedDetection};

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
        assert_eq!(canvas.samples[..3], [0, 128, 128], "limited-range black becomes full-range black");
        canvas.outline(&BBox::new(10.0, 10.0, 40.0, 30.0), [200, 1, 2]);
        let at = |x: usize, y: usize| canvas.samples[(y * 64 + x) * 3];
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
        let mut canvas = Canvas { width: 64, height: 48, samples: vec![200; 64 * 48 * 3] };
        seen.veils.iter().for_each(|zone| canvas.cover(zone));
        let at = |x: usize| canvas.samples[(20 * 64 + x) * 3];
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
