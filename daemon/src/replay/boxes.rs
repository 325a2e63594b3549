//! Detections that were recorded: egret's own messages about frames, or boxes in the form of MOTChallenge's det.txt.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read as _},
    path::Path,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use serde_json::Value;

use super::ReplayError;
use crate::{
    media::{BBox, Detection, Extra, Extras, ModelInfo, ObjectMask, TimeBasis, Turned},
    publish::{self, message},
    trackeval,
};

/// Longest line: a frame with everything that it may have has half a megabyte.
const MAX_LINE_BYTES: u64 = 4 << 20;
/// Most frames of one recording: five days at 24 frames per second.
const MAX_FRAMES: usize = 10_000_000;
/// No picture has a longer side.
const MAX_SIDE: u32 = 65_535;

/// One frame of a recording.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shot {
    /// Its number in its stream.
    pub(super) number: u64,
    pub(super) pts: Duration,
    pub(super) captured: SystemTime,
    pub(super) basis: TimeBasis,
    /// Width and height of the picture in pixels.
    pub(super) size: (u32, u32),
    pub(super) detections: Vec<Detection>,
    pub(super) extras: Extras,
}

/// All frames of one camera, in their order.
#[derive(Debug, PartialEq)]
pub(super) struct Boxes {
    /// The camera that they are of, where the file says one.
    pub(super) camera: Option<String>,
    /// The model that saw them, its classes in the order of their first appearance.
    pub(super) model: ModelInfo,
    pub(super) shots: Vec<Shot>,
}

/// What a message about a frame has to say. It may say more.
#[derive(Deserialize)]
struct Message {
    camera: String,
    frame: u64,
    pts_ms: f64,
    captured_at: String,
    basis: String,
    size: [u32; 2],
    model: Model,
    objects: Vec<Object>,
    #[serde(default)]
    closing: bool,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    runtime: String,
}

#[derive(Deserialize)]
struct Object {
    class: String,
    confidence: f32,
    #[serde(rename = "box")]
    bbox: [f32; 4],
    angle: Option<f32>,
    corners: Option<[[f32; 2]; 4]>,
    keypoints: Option<Vec<[f32; 3]>>,
    mask: Option<Covered>,
}

#[derive(Deserialize)]
struct Covered {
    #[serde(rename = "box")]
    bbox: [f32; 4],
    size: [u32; 2],
    runs: Vec<u32>,
}

/// Reads messages: JSON objects, one a line, as they were published, or within `{"topic": …, "payload": …}`, or behind their topic as
/// `mosquitto_sub -v` prints them. Messages that are not about frames are passed over. `wanted`: the camera, where there are several.
pub(super) fn messages(file: &Path, wanted: Option<&str>) -> Result<Boxes, ReplayError> {
    let unread = |source| ReplayError::Read { file: file.to_owned(), source };
    let mut reader = BufReader::new(crate::file::regular(file).map_err(unread)?);
    let mut reading = Reading { wanted, classes: Vec::new(), model: None, cameras: BTreeMap::new(), frames: 0 };
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let length = (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut text).map_err(unread)?;
        if length == 0 {
            break;
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let wrong = |what| ReplayError::Line { file: file.to_owned(), line: number, what };
        if length as u64 == MAX_LINE_BYTES {
            return Err(wrong(format!("it is longer than {MAX_LINE_BYTES} bytes")));
        }
        reading.line(&text).map_err(wrong)?;
    }
    reading.finish(file)
}

struct Reading<'a> {
    wanted: Option<&'a str>,
    classes: Vec<String>,
    model: Option<Model>,
    cameras: BTreeMap<String, Vec<Shot>>,
    frames: usize,
}

impl Reading<'_> {
    fn line(&mut self, text: &[u8]) -> Result<(), String> {
        // A topic may stand before it.
        let start = text.iter().position(|byte| *byte == b'{').ok_or("it is no JSON object")?;
        let mut value: Value = serde_json::from_slice(&text[start..]).map_err(|error| error.to_string())?;
        if value.get("topic").is_some() && value.get("payload").is_some() {
            value = value["payload"].take();
        }
        match value.get("kind").and_then(Value::as_str) {
            Some("frame") => {}
            Some(_) => return Ok(()),
            // What was cleared has no payload.
            None if value.is_null() => return Ok(()),
            None => return Err("it has no `kind`, so it is no message of egret".to_owned()),
        }
        match value.get("schema").and_then(Value::as_str) {
            Some(message::SCHEMA) => {}
            other => return Err(format!("its schema is {other:?}, not {:?}", message::SCHEMA)),
        }
        let message: Message = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if message.closing || self.wanted.is_some_and(|wanted| wanted != message.camera) {
            self.cameras.entry(message.camera).or_default();
            return Ok(());
        }
        if self.frames == MAX_FRAMES {
            return Err(format!("more than {MAX_FRAMES} frames"));
        }
        self.frames += 1;
        let shot = self.shot(&message)?;
        self.cameras.entry(message.camera).or_default().push(shot);
        self.model.get_or_insert(message.model);
        Ok(())
    }

    fn shot(&mut self, message: &Message) -> Result<Shot, String> {
        let captured = publish::parse_time(&message.captured_at);
        let captured = captured.ok_or_else(|| format!("captured_at {:?} is no time", message.captured_at))?;
        let pts = Duration::try_from_secs_f64(message.pts_ms / 1000.0);
        let pts = pts.map_err(|_| format!("pts_ms {} is no time", message.pts_ms))?;
        let basis = match message.basis.as_str() {
            "arrival" => TimeBasis::Arrival,
            "sender_report" => TimeBasis::SenderReport,
            other => return Err(format!("basis {other:?} is neither arrival nor sender_report")),
        };
        let [width, height] = message.size;
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(format!("size [{width}, {height}] is none of a picture"));
        }
        let (mut detections, mut extras) = (Vec::with_capacity(message.objects.len()), Extras::default());
        for (place, object) in message.objects.iter().enumerate() {
            detections.push(self.detection(object).map_err(|what| format!("objects[{place}]: {what}"))?);
            if let Some(extra) = extra(object) {
                extras.set(place, extra);
            }
        }
        Ok(Shot { number: message.frame, pts, captured, basis, size: (width, height), detections, extras })
    }

    fn detection(&mut self, object: &Object) -> Result<Detection, String> {
        let [x1, y1, x2, y2] = object.bbox;
        if !(0.0..=1.0).contains(&object.confidence) {
            return Err(format!("confidence {} is not within 0..1", object.confidence));
        }
        if !(x1 <= x2 && y1 <= y2 && object.bbox.iter().all(|edge| edge.is_finite())) {
            return Err(format!("{:?} is no box [x1, y1, x2, y2]", object.bbox));
        }
        let known = self.classes.iter().position(|class| *class == object.class);
        let class = known.unwrap_or_else(|| {
            self.classes.push(object.class.clone());
            self.classes.len() - 1
        });
        let class = u16::try_from(class).map_err(|_| "more classes than any model has".to_owned())?;
        Ok(Detection { class, confidence: object.confidence, bbox: BBox::new(x1, y1, x2, y2) })
    }

    fn finish(mut self, file: &Path) -> Result<Boxes, ReplayError> {
        let nothing = |what| ReplayError::Nothing { file: file.to_owned(), what };
        let cameras: Vec<String> = self.cameras.keys().cloned().collect();
        let camera = match (self.wanted, cameras.as_slice()) {
            (_, []) => return Err(nothing("it has no message about a frame; record the topics cam/+/frame".to_owned())),
            (Some(wanted), known) if known.iter().all(|name| name != wanted) => {
                return Err(nothing(format!("it has no frame of the camera {wanted}; it has some of {}", known.join(", "))));
            }
            (Some(wanted), _) => wanted.to_owned(),
            (None, [only]) => only.clone(),
            (None, several) => {
                return Err(nothing(format!("it has frames of {}; choose one with --camera", several.join(", "))));
            }
        };
        let shots = self.cameras.remove(&camera).unwrap_or_default();
        let model = self.model.map_or_else(ModelInfo::default, |model| ModelInfo {
            name: model.name,
            runtime: model.runtime,
            classes: self.classes,
            ..ModelInfo::default()
        });
        Ok(Boxes { camera: Some(camera), model, shots })
    }
}

fn extra(object: &Object) -> Option<Extra> {
    match object {
        Object { angle: Some(angle), corners: Some(corners), .. } => {
            Some(Extra::Turned(Turned { angle: *angle, corners: *corners }))
        }
        Object { keypoints: Some(points), .. } => Some(Extra::Keypoints(points.as_slice().into())),
        Object { mask: Some(Covered { bbox: [x1, y1, x2, y2], size, runs }), .. } => {
            Some(Extra::Mask(ObjectMask { bbox: BBox::new(*x1, *y1, *x2, *y2), size: *size, runs: runs.as_slice().into() }))
        }
        Object { .. } => None,
    }
}

/// Reads a det.txt: all boxes are of one class, frames are `step` apart and of one size.
pub(super) fn det_txt(
    file: &Path,
    class: &str,
    step: Duration,
    size: (u32, u32),
    start: SystemTime,
) -> Result<Boxes, ReplayError> {
    let frames = trackeval::detections(file)?;
    let shot = |(number, detections): (u32, Vec<Detection>)| {
        let pts = step.checked_mul(number)?;
        let captured = start.checked_add(pts)?;
        let (basis, extras) = (TimeBasis::Arrival, Extras::default());
        Some(Shot { number: number.into(), pts, captured, basis, size, detections, extras })
    };
    let shots: Vec<Shot> = (0..).zip(frames).map_while(shot).collect();
    if shots.is_empty() {
        return Err(ReplayError::Nothing { file: file.to_owned(), what: "it has no boxes".to_owned() });
    }
    let model = ModelInfo {
        name: "detections".to_owned(),
        runtime: "det.txt".to_owned(),
        classes: vec![class.to_owned()],
        ..ModelInfo::default()
    };
    Ok(Boxes { camera: None, model, shots })
}
