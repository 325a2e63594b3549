//! The compact form as CBOR (RFC 8949): a map whose keys are the field numbers of Protobuf. Where Protobuf has lists of numbers, confidences
//! and tracks are byte strings of 16 and of 64 bits each, little-endian; what is JSON text in Protobuf is CBOR here.

use std::io;

use ciborium::Value;
use serde_json::Value as Json;

use super::compact::{BadCompact, Compact, CompactModel, Detail};

type Entry = (Value, Value);

fn entry(key: u32, value: impl Into<Value>) -> Entry {
    (key.into(), value.into())
}

/// JSON text as what it says.
fn native(text: &str) -> Value {
    serde_json::from_str::<Json>(text).ok().and_then(|json| Value::serialized(&json).ok()).unwrap_or(Value::Null)
}

impl Compact {
    /// Writes CBOR.
    ///
    /// # Errors
    /// The writer's.
    pub fn to_cbor(&self, out: impl io::Write) -> Result<(), ciborium::ser::Error<io::Error>> {
        ciborium::into_writer(&self.entries(), out)
    }

    fn entries(&self) -> Value {
        let text = |key: u32, text: &str| entry(key, text);
        let confidence: Vec<u8> = self.confidence.iter().flat_map(|parts| (*parts as u16).to_le_bytes()).collect();
        let track: Vec<u8> = self.track.iter().flat_map(|track| track.to_le_bytes()).collect();
        let list = |values: Vec<Value>| Value::Array(values);
        let mut entries = vec![
            entry(1, self.version),
            text(2, &self.device),
            text(3, &self.camera),
            entry(4, self.boot_id.clone()),
            entry(5, self.seq),
            entry(6, self.frame),
            entry(7, self.pts_us),
            entry(8, self.captured_us),
            entry(9, self.published_after_us),
            entry(11, self.width),
            entry(12, self.height),
            entry(14, list(self.classes.iter().map(|class| class.as_str().into()).collect())),
            entry(16, self.basis),
            entry(17, list(self.class.iter().map(|class| (*class).into()).collect())),
            entry(18, confidence),
            entry(19, track),
            entry(20, self.boxes.clone()),
        ];
        entries.extend(self.since_arrival_us.map(|us| entry(10, us)));
        entries.extend(self.model.as_ref().map(|model| entry(13, model.entries())));
        entries.extend(self.uncertainty_us.map(|us| entry(15, us)));
        if !self.details.is_empty() {
            let detail = |detail: &Detail| list(vec![detail.object.into(), native(&detail.json)]);
            entries.push(entry(21, list(self.details.iter().map(detail).collect())));
        }
        if !self.about.is_empty() {
            entries.push(entry(22, native(&self.about)));
        }
        if self.closing {
            entries.push(entry(23, true));
        }
        Value::Map(entries)
    }

    /// Reads CBOR.
    ///
    /// # Errors
    /// [`BadCompact`]: it is none, or not of a frame.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, BadCompact> {
        let value: Value = ciborium::from_reader(bytes).map_err(|error| BadCompact::Unreadable(error.to_string()))?;
        let mut compact = Self::default();
        for (key, value) in value.into_map().map_err(|_| BadCompact::Field("map"))? {
            if let Some(key) = key.as_integer().and_then(|key| u32::try_from(key).ok()) {
                compact.take(key, value)?;
            }
        }
        compact.checked()
    }

    fn take(&mut self, key: u32, value: Value) -> Result<(), BadCompact> {
        match key {
            1 => self.version = number(&value, "version")?,
            2 => self.device = text(value, "device")?,
            3 => self.camera = text(value, "camera")?,
            4 => self.boot_id = bytes(value, "boot_id")?,
            5 => self.seq = number(&value, "seq")?,
            6 => self.frame = number(&value, "frame")?,
            7 => self.pts_us = number(&value, "pts_us")?,
            8 => self.captured_us = number(&value, "captured_us")?,
            9 => self.published_after_us = number(&value, "published_after_us")?,
            10 => self.since_arrival_us = Some(number(&value, "since_arrival_us")?),
            11 => self.width = number(&value, "width")?,
            12 => self.height = number(&value, "height")?,
            13 => self.model = Some(CompactModel::from_entries(value)?),
            14 => {
                self.classes =
                    list(value, "classes")?.into_iter().map(|class| text(class, "classes")).collect::<Result<_, _>>()?;
            }
            15 => self.uncertainty_us = Some(number(&value, "uncertainty_us")?),
            16 => self.basis = number(&value, "basis")?,
            17 => self.class = list(value, "class")?.iter().map(|class| number(class, "class")).collect::<Result<_, _>>()?,
            18 => self.confidence = words(&bytes(value, "confidence")?, "confidence", |two| u16::from_le_bytes(two).into())?,
            19 => self.track = words(&bytes(value, "track")?, "track", u64::from_le_bytes)?,
            20 => self.boxes = bytes(value, "boxes")?,
            21 => self.details = list(value, "details")?.into_iter().map(detail).collect::<Result<_, _>>()?,
            22 => self.about = json(&value, "about")?,
            23 => self.closing = value.as_bool().ok_or(BadCompact::Field("closing"))?,
            // A later version's.
            _ => {}
        }
        Ok(())
    }
}

impl CompactModel {
    fn entries(&self) -> Value {
        let mut entries = vec![entry(1, self.name.as_str()), entry(2, self.runtime.as_str())];
        if !self.precision.is_empty() {
            entries.push(entry(3, self.precision.as_str()));
        }
        if !self.digest.is_empty() {
            entries.push(entry(4, self.digest.clone()));
        }
        Value::Map(entries)
    }

    fn from_entries(value: Value) -> Result<Self, BadCompact> {
        let mut model = Self::default();
        for (key, value) in value.into_map().map_err(|_| BadCompact::Field("model"))? {
            match key.as_integer().and_then(|key| u32::try_from(key).ok()) {
                Some(1) => model.name = text(value, "model")?,
                Some(2) => model.runtime = text(value, "model")?,
                Some(3) => model.precision = text(value, "model")?,
                Some(4) => model.digest = bytes(value, "model")?,
                _ => {}
            }
        }
        Ok(model)
    }
}

fn number<N: TryFrom<ciborium::value::Integer>>(value: &Value, field: &'static str) -> Result<N, BadCompact> {
    value.as_integer().and_then(|number| N::try_from(number).ok()).ok_or(BadCompact::Field(field))
}

fn text(value: Value, field: &'static str) -> Result<String, BadCompact> {
    value.into_text().map_err(|_| BadCompact::Field(field))
}

fn bytes(value: Value, field: &'static str) -> Result<Vec<u8>, BadCompact> {
    value.into_bytes().map_err(|_| BadCompact::Field(field))
}

fn list(value: Value, field: &'static str) -> Result<Vec<Value>, BadCompact> {
    value.into_array().map_err(|_| BadCompact::Field(field))
}

/// Numbers of `N` bytes each.
fn words<const N: usize, T>(bytes: &[u8], field: &'static str, read: impl Fn([u8; N]) -> T) -> Result<Vec<T>, BadCompact> {
    let (words, rest) = bytes.as_chunks::<N>();
    if rest.is_empty() { Ok(words.iter().map(|word| read(*word)).collect()) } else { Err(BadCompact::Field(field)) }
}

fn detail(value: Value) -> Result<Detail, BadCompact> {
    let bad = BadCompact::Field("details");
    let [object, what]: [Value; 2] = list(value, "details")?.try_into().map_err(|_| bad)?;
    Ok(Detail { object: number(&object, "details")?, json: json(&what, "details")? })
}

/// What was JSON once; in CBOR everything may stand in keys and values, in JSON it may not.
fn json(value: &Value, field: &'static str) -> Result<String, BadCompact> {
    value.deserialized::<Json>().map(|json| json.to_string()).map_err(|_| BadCompact::Field(field))
}
