//! The words that travel down the line: camera → [`AccessUnit`] → [`Frame`] → [`Batch`] → [`Inferred`] → [`Tracked`] → broker.
//!
//! Each value moves to its next owner and is never shared. Every one carries its stream, its media time, the wall-clock
//! capture time with its basis, and a [`TimeCard`], so that any stage can compute the age of what it holds.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, SystemTime},
};

mod canvas;
mod device;
mod extras;
mod findings;
mod picture;
mod shot;

use bytes::Bytes;

pub use self::canvas::{Canvas, EncodeError};
pub use self::device::{DevicePixels, Downloaded, Downloads};
pub use self::extras::{Boxes, Extra, Extras, MAX_PARTS, ObjectMask, Thrown, Turned};
pub use self::findings::{Finding, Found, ModelInfo, Reading, Rename, StepReport, StepState};
pub use self::picture::{Color, ColorMatrix, HostPicture, Layout, PictureBytes, PictureTooSmall, Pixels, Plane};
pub use self::shot::Shot;
pub use crate::{
    analyse::Verdicts,
    timecard::{Mark, TimeCard},
};

/// One camera's identity for as long as it is configured: a number never used again in this process, and its name.
///
/// Equality and hashing look at the number alone, so a camera that is removed and added again is another stream.
#[derive(Clone)]
pub struct StreamId {
    number: u32,
    name: Arc<str>,
}

impl StreamId {
    /// An identity. The pipeline hands out the numbers; tests choose their own.
    pub fn new(number: u32, name: &str) -> Self {
        Self { number, name: name.into() }
    }

    /// The number: unique in this process.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The camera's name from the configuration, unique among the cameras that run: `[A-Za-z0-9_-]{1,64}`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl PartialEq for StreamId {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for StreamId {}
impl Hash for StreamId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}
impl PartialOrd for StreamId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for StreamId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}
impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.number)
    }
}
impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Where a capture time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeBasis {
    /// The camera's own clock, through the RTP ↔ NTP pair of its RTCP sender reports (RFC 3550 §6.4.1).
    SenderReport,
    /// This machine's clock when the first bytes of the access unit (or the frame of a file) arrived.
    Arrival,
}

/// When a frame was captured, on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The instant of capture.
    pub wall: SystemTime,
    /// Where it comes from.
    pub basis: TimeBasis,
}

/// The compressed formats that egret decodes from RTSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// ITU-T H.264, Annex B byte stream, one access unit per buffer.
    H264,
    /// ITU-T H.265, Annex B byte stream, one access unit per buffer.
    H265,
    /// Motion JPEG: one complete JFIF image per buffer.
    Mjpeg,
}

/// One compressed picture as it left the depacketizer.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// Whose it is.
    pub stream: StreamId,
    /// Its format. A change means that the decoder is rebuilt.
    pub codec: Codec,
    /// Media time since the start of the RTSP session, never negative.
    pub pts: Duration,
    /// When it was captured.
    pub capture: Capture,
    /// Whether decoding can start here (IDR/IRAP picture, every JPEG).
    pub random_access: bool,
    /// RTP packets lost since the previous access unit.
    pub loss: u16,
    /// Annex B NAL units (with parameter sets before each key frame) or one JFIF image.
    pub data: Bytes,
    /// [`Mark::Received`] is set.
    pub times: TimeCard,
}

/// One decoded picture. Dropping it returns its surface to the decoder's pool.
#[derive(Debug)]
pub struct Frame {
    /// Whose it is.
    pub stream: StreamId,
    /// Counts the stream's decoded frames from 0, without gaps, across reconnects. Assigned when it is offered to the batcher.
    pub seq: u64,
    /// Counts the stream's dispatched frames from 0, without gaps: what tracking restores a stream's order by when several engine
    /// instances finish out of order. Assigned by the batcher at dispatch, 0 before.
    pub dispatch: u64,
    /// Media time. Restarts with each session of the camera.
    pub pts: Duration,
    /// When it was captured.
    pub capture: Capture,
    /// The picture.
    pub pixels: Pixels,
    /// [`Mark::Received`] and [`Mark::Decoded`] are set.
    pub times: TimeCard,
}

/// An axis-aligned box in pixels of the *source* frame, corners `(x1,y1)` top-left and `(x2,y2)` bottom-right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BBox {
    /// Left edge.
    pub x1: f32,
    /// Top edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Bottom edge.
    pub y2: f32,
}

impl BBox {
    /// A box from its corners.
    pub fn new(x1: f32, y1: f32, x2: f32, y2: f32) -> Self {
        Self { x1, y1, x2, y2 }
    }

    /// Width, never negative.
    pub fn width(&self) -> f32 {
        (self.x2 - self.x1).max(0.0)
    }

    /// Height, never negative.
    pub fn height(&self) -> f32 {
        (self.y2 - self.y1).max(0.0)
    }

    /// Area in square pixels.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// The same box in a picture that is so many times as wide and as high.
    #[must_use]
    pub fn scaled(&self, across: f32, down: f32) -> Self {
        Self::new(self.x1 * across, self.y1 * down, self.x2 * across, self.y2 * down)
    }

    /// Intersection over union, 0 where both are empty.
    pub fn iou(&self, other: &Self) -> f32 {
        let w = (self.x2.min(other.x2) - self.x1.max(other.x1)).max(0.0);
        let h = (self.y2.min(other.y2) - self.y1.max(other.y1)).max(0.0);
        let intersection = w * h;
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }
}

/// One object seen by a detector in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Index into the model's class names.
    pub class: u16,
    /// 0..1.
    pub confidence: f32,
    /// In pixels of the source frame.
    pub bbox: BBox,
}

/// Frames of several cameras (or of one file) that go through the network together.
#[derive(Debug)]
pub struct Batch {
    /// Counts the batches of one batcher from 0.
    pub seq: u64,
    /// At least one frame, [`Mark::Dispatched`] set.
    pub frames: Vec<Frame>,
}

/// A batch with what the network saw in it. The frames stay alive until tracking drops them: second stages crop from them.
#[derive(Debug)]
pub struct Inferred {
    /// The batch. Several engine instances may finish out of order; tracking restores each stream's order by [`Frame::dispatch`].
    pub batch: Batch,
    /// One entry per frame, in the order of the batch; all of them empty when the engine failed.
    pub detections: Vec<Vec<Detection>>,
    /// What belongs to them, frame by frame; empty where the network tells nothing but boxes.
    pub extras: Vec<Extras>,
    /// What a network says that is no detector, one entry per frame; else empty.
    pub readings: Vec<Reading>,
    /// Which model, run by what.
    pub model: Arc<ModelInfo>,
    /// Whether the engine failed on this batch (the frames count as dropped, reason `engine_error`).
    pub failed: bool,
}

/// Unique on this device across cameras and reboots (see `track::ids`). A string in JSON, since JavaScript has no 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A detection and the track it was given to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackedDetection {
    /// What the detector saw.
    pub detection: Detection,
    /// `None` while the tracker has not confirmed the object.
    pub track: Option<TrackId>,
}

/// What became of a track in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackPhase {
    /// Confirmed in this frame.
    New,
    /// Seen again.
    Update,
    /// Given up: lost for too long, or its camera went away.
    End,
}

/// A track at the moment of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Track {
    /// Its identity.
    pub id: TrackId,
    /// Index into the model's class names.
    pub class: u16,
    /// Confidence of the latest detection; of the best one at the end.
    pub confidence: f32,
    /// Latest filtered box, in pixels of the source frame.
    pub bbox: BBox,
    /// Pixels per second of the box centre, by the tracker's motion model.
    pub velocity: (f32, f32),
    /// Whether it has stood still for a while.
    pub stationary: bool,
    /// When it was first seen.
    pub first_seen: SystemTime,
    /// When it was last seen.
    pub last_seen: SystemTime,
    /// Frames in which it was matched with a detection.
    pub hits: u32,
    /// What happened to it.
    pub phase: TrackPhase,
}

/// One frame as it leaves tracking: no pixels any more.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// Whose it is.
    pub stream: StreamId,
    /// [`Frame::seq`].
    pub frame_seq: u64,
    /// [`Frame::pts`].
    pub pts: Duration,
    /// When it was captured.
    pub capture: Capture,
    /// Width and height of the source frame in pixels.
    pub size: (u32, u32),
    /// What was detected.
    pub detections: Vec<TrackedDetection>,
    /// What belongs to the detections, by their place.
    pub extras: Extras,
    /// What became of the tracks.
    pub tracks: Vec<Track>,
    /// Pictures of tracks that began or ended, at their best so far; empty where none are kept.
    pub shots: Vec<(TrackId, Arc<Shot>)>,
    /// What steps did, and what they and networks that are no detectors have found out; `None`: there is nothing to say.
    pub steps: Option<Box<StepReport>>,
    /// What the camera's rules say of it; `None`: nothing.
    pub verdicts: Option<Box<Verdicts>>,
    /// Which model saw it.
    pub model: Arc<ModelInfo>,
    /// No frame was looked at: the stream stopped or is gone, and its tracks end. The rest is that of its last frame; no mark is set.
    pub closing: bool,
    /// All marks up to [`Mark::Tracked`] are set.
    pub times: TimeCard,
}
