//! From bytes to what they say, whatever their form.

use serde_json::Value;

use crate::publish::message::{BadCompact, Compact};

/// In which form a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON: all messages, and frames unless configured otherwise.
    Json,
    /// A frame in the compact form as CBOR.
    Cbor,
    /// A frame in the compact form as Protobuf.
    Protobuf,
    /// Nothing: what was retained is cleared.
    Cleared,
}

/// Why a message is none of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// It begins as JSON and is none.
    #[error("no JSON: {0}")]
    Json(String),
    /// It begins as a frame in the compact form and is none.
    #[error("no frame in CBOR or Protobuf: {0}")]
    Compact(#[from] BadCompact),
    /// It is larger than anything that egret writes.
    #[error("{0} bytes are more than is taken")]
    TooLarge(usize),
    /// It begins as nothing that egret writes.
    #[error("neither JSON nor a frame in CBOR or Protobuf")]
    Unknown,
}

/// Reads a payload. Its first byte tells the forms apart, also over MQTT 3.1.1, which has no content type: JSON is text, a CBOR map begins
/// with 0xa0 to 0xbf, and a frame in Protobuf with the tag of its first field, 0x08.
///
/// # Errors
/// [`Bad`]: it is nothing that egret writes.
pub fn decode(payload: &[u8]) -> Result<(Form, Value), Bad> {
    match payload.first() {
        None => Ok((Form::Cleared, Value::Null)),
        Some(0xa0..=0xbf) => Ok((Form::Cbor, Compact::from_cbor(payload)?.to_json()?)),
        Some(0x08) => Ok((Form::Protobuf, Compact::from_protobuf(payload)?.to_json()?)),
        Some(b'\t' | b'\n' | b'\r' | b' '..=b'~') => {
            let value = serde_json::from_slice(payload).map_err(|error| Bad::Json(error.to_string()))?;
            Ok((Form::Json, value))
        }
        Some(_) => Err(Bad::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_are_told_apart_and_what_is_none_is_refused() {
        assert_eq!(decode(b""), Ok((Form::Cleared, Value::Null)));
        assert_eq!(decode(b" {\"a\": 1}"), Ok((Form::Json, serde_json::json!({ "a": 1 }))));
        assert_eq!(decode(b"ON").map_err(|bad| matches!(bad, Bad::Json(_))), Err(true));
        assert_eq!(decode(b"\xff\xd8\xff\xe0 a JPEG"), Err(Bad::Unknown));
        assert!(matches!(decode(&[0xa1, 0xff]), Err(Bad::Compact(_))));
        assert!(matches!(decode(&[0x08, 0xff]), Err(Bad::Compact(_))));
    }

    proptest! {
        #[test]
        fn anything_may_come(payload in prop::collection::vec(any::<u8>(), 0..300), first in prop::sample::select(vec![0x08, 0xa3, b'{', b'['])) {
            let _read = decode(&payload);
            let mut payload = payload;
            payload.insert(0, first);
            let _read = decode(&payload);
        }
    }
}
