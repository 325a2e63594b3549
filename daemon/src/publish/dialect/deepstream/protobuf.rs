//! The protobuf form, `nv.Frame`, written by hand: a dozen fields need no generator. `nv_frame.proto` beside this file has the fields
//! that are sent, with their numbers; those come from the reference of NVIDIA's `schema.pb.h` (DeepStream 9).

use std::time::UNIX_EPOCH;

use bytes::Bytes;

use super::{About, Label, VERSION};
use crate::media::Tracked;

/// Wire types (protobuf encoding, "Message structure").
const VARINT: u8 = 0;
const LENGTH: u8 = 2;
const FIXED32: u8 = 5;

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tag(field: u8, wire: u8, out: &mut Vec<u8>) {
    out.push(field << 3 | wire);
}

/// Fields with their default value are left out, as in proto3.
fn number(field: u8, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        tag(field, VARINT, out);
        varint(value, out);
    }
}

fn float(field: u8, value: f32, out: &mut Vec<u8>) {
    if value != 0.0 {
        tag(field, FIXED32, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn bytes(field: u8, value: &[u8], out: &mut Vec<u8>) {
    tag(field, LENGTH, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn text(field: u8, value: &str, out: &mut Vec<u8>) {
    if !value.is_empty() {
        bytes(field, value.as_bytes(), out);
    }
}

fn message(field: u8, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(field, &inner, out);
}

/// `nv.Frame`.
pub(super) fn frame(about: &[About<'_>], tracked: &Tracked) -> Bytes {
    let mut out = Vec::with_capacity(64 + 64 * about.len());
    text(1, VERSION, &mut out);
    text(2, &tracked.frame_seq.to_string(), &mut out);
    let since = tracked.capture.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = |out: &mut Vec<u8>| {
        number(1, since.as_secs(), out);
        number(2, since.subsec_nanos().into(), out);
    };
    message(3, timestamp, &mut out);
    text(4, tracked.stream.name(), &mut out);
    for object in about {
        message(5, |out| self::object(object, out), &mut out);
    }
    out.into()
}

fn object(object: &About<'_>, out: &mut Vec<u8>) {
    text(1, &object.id.to_string(), out);
    let bbox = |out: &mut Vec<u8>| {
        (1..).zip(object.bbox).for_each(|(field, value)| float(field, value as f32, out));
    };
    message(2, bbox, out);
    text(3, object.label, out);
    float(4, object.confidence, out);
    for Label { model, name, .. } in &object.labels {
        let entry = |out: &mut Vec<u8>| {
            text(1, model, out);
            text(2, name, out);
        };
        message(5, entry, out);
    }
}
