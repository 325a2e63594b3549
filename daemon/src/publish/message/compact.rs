//! The compact form of messages about frames: a tenth of the size of their JSON.
//!
//! One structure, written as Protobuf (`docs/mqtt/egret.proto`) or as CBOR (RFC 8949; `docs/mqtt/egret.cddl`), a map whose keys are the
//! field numbers of Protobuf. It says what the JSON says; boxes are in 65535ths of the frame's width and height, confidences in 10000ths.
//! What few networks tell (key points, masks, findings) is in it as it is in JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{FrameMessage, Object, SCHEMA, Stamp};
use crate::{media::TimeBasis, publish::told::Steps};

/// The version of this form.
const VERSION: u32 = 1;
/// Confidences are in so many parts.
const PARTS: f32 = 10_000.0;
/// Boxes are in so many parts of the frame's width and height.
const EDGE: f32 = 65_535.0;
/// Bytes of a box: left, top, right, bottom, 16 bits each, little-endian.
pub(crate) const BOX: usize = 8;
/// More objects than any frame has are not read.
const MOST_OBJECTS: usize = 4096;

/// Where a capture time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Basis {
    /// [`TimeBasis::Arrival`]
    Arrival = 0,
    /// [`TimeBasis::SenderReport`]
    SenderReport = 1,
}

/// A frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Compact {
    /// 1.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Name of the device.
    #[prost(string, tag = "2")]
    pub device: String,
    /// Name of the camera.
    #[prost(string, tag = "3")]
    pub camera: String,
    /// The UUID's 16 bytes; where it is none, its text.
    #[prost(bytes = "vec", tag = "4")]
    pub boot_id: Vec<u8>,
    /// [`FrameMessage::seq`]
    #[prost(uint64, tag = "5")]
    pub seq: u64,
    /// [`FrameMessage::frame`]
    #[prost(uint64, tag = "6")]
    pub frame: u64,
    /// Media time in microseconds.
    #[prost(uint64, tag = "7")]
    pub pts_us: u64,
    /// Microseconds since 1970.
    #[prost(uint64, tag = "8")]
    pub captured_us: u64,
    /// `published_at` less `captured_at`, in microseconds, both by the wall clock: negative where clocks disagree.
    #[prost(sint64, tag = "9")]
    pub published_after_us: i64,
    /// [`FrameMessage::since_arrival_ms`] in microseconds.
    #[prost(uint64, optional, tag = "10")]
    pub since_arrival_us: Option<u64>,
    /// Width of the source frame in pixels.
    #[prost(uint32, tag = "11")]
    pub width: u32,
    /// Its height.
    #[prost(uint32, tag = "12")]
    pub height: u32,
    /// Which network.
    #[prost(message, optional, tag = "13")]
    pub model: Option<CompactModel>,
    /// The classes of the objects in this frame.
    #[prost(string, repeated, tag = "14")]
    pub classes: Vec<String>,
    /// [`FrameMessage::uncertainty_ms`] in microseconds.
    #[prost(uint64, optional, tag = "15")]
    pub uncertainty_us: Option<u64>,
    /// Where `captured_us` comes from.
    #[prost(enumeration = "Basis", tag = "16")]
    pub basis: i32,
    /// Of each object: index into `classes`.
    #[prost(uint32, repeated, tag = "17")]
    pub class: Vec<u32>,
    /// Of each object, in 10000ths.
    #[prost(uint32, repeated, tag = "18")]
    pub confidence: Vec<u32>,
    /// Of each object; 0: none, the object is not confirmed.
    #[prost(fixed64, repeated, tag = "19")]
    pub track: Vec<u64>,
    /// Of each object 8 bytes: left, top, right, bottom, 16 bits each, little-endian, in 65535ths of the frame's width and height.
    #[prost(bytes = "vec", tag = "20")]
    pub boxes: Vec<u8>,
    /// What else is known of objects.
    #[prost(message, repeated, tag = "21")]
    pub details: Vec<Detail>,
    /// `steps` and `findings` of the frame, a JSON object; empty where there are none.
    #[prost(string, tag = "22")]
    pub about: String,
    /// [`FrameMessage::closing`]
    #[prost(bool, tag = "23")]
    pub closing: bool,
}

/// A network.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CompactModel {
    /// [`super::Model::name`]
    #[prost(string, tag = "1")]
    pub name: String,
    /// [`super::Model::runtime`]
    #[prost(string, tag = "2")]
    pub runtime: String,
    /// [`super::Model::precision`]; empty where it is no file.
    #[prost(string, tag = "3")]
    pub precision: String,
    /// The first 8 bytes of the SHA-256 of its file; empty where it is none.
    #[prost(bytes = "vec", tag = "4")]
    pub digest: Vec<u8>,
}

/// What is known of an object beside its box.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Detail {
    /// Which object.
    #[prost(uint32, tag = "1")]
    pub object: u32,
    /// `angle`, `corners`, `keypoints`, `mask` and `findings` as in JSON: an object of them.
    #[prost(string, tag = "2")]
    pub json: String,
}

/// Why what came is no compact frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCompact {
    /// The bytes are no Protobuf, or no CBOR.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A field is not as it has to be.
    #[error("its {0} is not as egret writes it")]
    Field(&'static str),
}

fn micros(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

fn us(ms: f64) -> u64 {
    (ms * 1000.0).round() as u64
}

/// The 16 bytes of a UUID; the text's own where it is none.
fn boot_bytes(text: &str) -> Vec<u8> {
    let hyphens = text.len() == 36 && [8, 13, 18, 23].iter().all(|at| text.as_bytes()[*at] == b'-');
    hyphens.then(|| bytes(&text.replace('-', ""))).flatten().filter(|bytes| bytes.len() == 16).unwrap_or_else(|| text.into())
}

/// Hexadecimal digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    hex.as_bytes().chunks(2).map(|pair| Some((digit(pair.first()?)? << 4 | digit(pair.get(1)?)?) as u8)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

impl From<&FrameMessage<'_>> for Compact {
    fn from(message: &FrameMessage<'_>) -> Self {
        let captured_us = micros(message.captured_at.0);
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let model = CompactModel {
            name: message.model.name.to_owned(),
            runtime: message.model.runtime.to_owned(),
            precision: text(message.model.precision),
            digest: message.model.digest.and_then(bytes).unwrap_or_default(),
        };
        let basis = match message.basis {
            TimeBasis::Arrival => Basis::Arrival,
            TimeBasis::SenderReport => Basis::SenderReport,
        };
        let mut compact = Self {
            version: VERSION,
            device: message.device.to_owned(),
            camera: message.camera.to_owned(),
            boot_id: boot_bytes(message.boot_id),
            seq: message.seq,
            frame: message.frame,
            pts_us: us(message.pts_ms),
            captured_us,
            published_after_us: micros(message.published_at.0).wrapping_sub(captured_us).cast_signed(),
            since_arrival_us: message.since_arrival_ms.map(us),
            width: message.size[0],
            height: message.size[1],
            model: Some(model),
            uncertainty_us: message.uncertainty_ms.map(us),
            basis: basis.into(),
            about: about(message.steps, &message.findings),
            closing: message.closing,
            ..Self::default()
        };
        let size = message.size.map(|side| side.max(1) as f32);
        message.objects.iter().enumerate().for_each(|(i, object)| compact.add(i, &object, size));
        compact
    }
}

/// What is said of the frame as a whole.
fn about(steps: Option<Steps<'_>>, findings: &[super::super::told::Told<'_>]) -> String {
    let mut about = Map::new();
    if let Some(steps) = steps {
        about.insert("steps".to_owned(), json!(steps));
    }
    if !findings.is_empty() {
        about.insert("findings".to_owned(), json!(findings));
    }
    if about.is_empty() { String::new() } else { Value::Object(about).to_string() }
}

impl Compact {
    fn add(&mut self, place: usize, object: &Object<'_>, [width, height]: [f32; 2]) {
        let class = self.classes.iter().position(|class| class == object.class).unwrap_or_else(|| {
            self.classes.push(object.class.to_owned());
            self.classes.len() - 1
        });
        self.class.push(class as u32);
        self.confidence.push((object.confidence.0.clamp(0.0, 1.0) * PARTS).round() as u32);
        self.track.push(object.track.map_or(0, |track| track.0.0));
        let [x1, y1, x2, y2] = object.bbox.map(|edge| edge.0);
        let part = |edge: f32, side: f32| ((edge / side).clamp(0.0, 1.0) * EDGE).round() as u16;
        for edge in [part(x1, width), part(y1, height), part(x2, width), part(y2, height)] {
            self.boxes.extend(edge.to_le_bytes());
        }
        let bare = object.angle.is_none() && object.keypoints.is_none() && object.mask.is_none() && object.findings.is_empty();
        if !bare && let Value::Object(mut all) = json!(object) {
            for told in ["class", "confidence", "box", "box_norm", "track"] {
                all.remove(told);
            }
            self.details.push(Detail { object: place as u32, json: Value::Object(all).to_string() });
        }
    }

    /// Reads Protobuf.
    ///
    /// # Errors
    /// [`BadCompact`]: it is none, or not of a frame.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, BadCompact> {
        let compact: Self = prost::Message::decode(bytes).map_err(|error| BadCompact::Unreadable(error.to_string()))?;
        compact.checked()
    }

    /// What a reader may rely on.
    pub(super) fn checked(self) -> Result<Self, BadCompact> {
        let objects = self.class.len();
        let fields = [
            ("version", self.version == VERSION),
            ("basis", Basis::try_from(self.basis).is_ok()),
            ("number of objects", objects <= MOST_OBJECTS),
            ("class", self.class.iter().all(|class| (*class as usize) < self.classes.len())),
            ("confidence", self.confidence.len() == objects && self.confidence.iter().all(|parts| *parts <= PARTS as u32)),
            ("track", self.track.len() == objects),
            ("boxes", self.boxes.len() == objects * BOX),
            ("details", self.details.iter().all(|detail| (detail.object as usize) < objects)),
            ("captured_us", i64::try_from(self.captured_us).is_ok()),
        ];
        match fields.iter().find(|(_, sound)| !sound) {
            Some((field, _)) => Err(BadCompact::Field(field)),
            None => Ok(self),
        }
    }

    /// The same frame as it would have been said in JSON.
    ///
    /// # Errors
    /// [`BadCompact`]: a detail is no JSON.
    pub fn to_json(&self) -> Result<Value, BadCompact> {
        let sender_report = self.basis == i32::from(Basis::SenderReport);
        let published_us = self.captured_us.saturating_add_signed(self.published_after_us);
        let ms = |us: u64| us as f64 / 1000.0;
        let latency =
            self.since_arrival_us.map(|us| if sender_report { self.published_after_us as f64 / 1000.0 } else { ms(us) });
        let stamp = |us: u64| Stamp(UNIX_EPOCH.checked_add(Duration::from_micros(us)).unwrap_or(UNIX_EPOCH));
        let boot_id = match (self.boot_id.len(), hex(&self.boot_id)) {
            (16, hex) => [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"),
            _ => String::from_utf8_lossy(&self.boot_id).into_owned(),
        };
        let mut json = json!({
            "schema": SCHEMA, "kind": "frame", "device": self.device, "camera": self.camera, "boot_id": boot_id, "seq": self.seq,
            "frame": self.frame, "pts_ms": ms(self.pts_us), "captured_at": stamp(self.captured_us),
            "basis": if sender_report { TimeBasis::SenderReport } else { TimeBasis::Arrival },
            "uncertainty_ms": self.uncertainty_us.map(ms), "published_at": stamp(published_us), "latency_ms": latency,
            "since_arrival_ms": self.since_arrival_us.map(ms), "size": [self.width, self.height],
            "model": self.model.as_ref().map(CompactModel::to_json), "objects": self.objects()?,
        });
        if self.closing {
            json["closing"] = true.into();
        }
        merge(&mut json, &self.about)?;
        Ok(json)
    }

    fn objects(&self) -> Result<Vec<Value>, BadCompact> {
        let size = [self.width, self.height, self.width, self.height].map(f64::from);
        let rounded = |value: f64, scale: f64| (value * scale).round() / scale;
        let object = |(i, class): (usize, &u32)| {
            let edges: [f64; 4] = std::array::from_fn(|edge| {
                let at = i * BOX + edge * 2;
                let bytes = self.boxes.get(at..at + 2).and_then(|two| two.try_into().ok()).unwrap_or_default();
                f64::from(u16::from_le_bytes(bytes)) / f64::from(EDGE)
            });
            let pixels: [f64; 4] = std::array::from_fn(|edge| rounded(edges[edge] * size[edge], 100.0));
            json!({
                "class": self.classes.get(*class as usize),
                "confidence": self.confidence.get(i).map(|parts| f64::from(*parts) / f64::from(PARTS)),
                "box": pixels, "box_norm": edges.map(|edge| rounded(edge, 100_000.0)),
                "track": self.track.get(i).filter(|track| **track != 0).map(|track| format!("{track:016x}")),
            })
        };
        let mut objects: Vec<Value> = self.class.iter().enumerate().map(object).collect();
        for detail in &self.details {
            objects.get_mut(detail.object as usize).map_or(Ok(()), |object| merge(object, &detail.json))?;
        }
        Ok(objects)
    }
}

impl CompactModel {
    fn to_json(&self) -> Value {
        let mut model = json!({ "name": self.name, "runtime": self.runtime });
        if !self.precision.is_empty() {
            model["precision"] = self.precision.as_str().into();
        }
        if !self.digest.is_empty() {
            model["digest"] = hex(&self.digest).into();
        }
        model
    }
}

/// Adds the entries of a JSON object to another one, where it has none of that name.
fn merge(into: &mut Value, text: &str) -> Result<(), BadCompact> {
    if text.is_empty() {
        return Ok(());
    }
    let Ok(Value::Object(more)) = serde_json::from_str(text) else { return Err(BadCompact::Field("details")) };
    if let Value::Object(into) = into {
        more.into_iter().for_each(|(key, value)| {
            into.entry(key).or_insert(value);
        });
    }
    Ok(())
}
