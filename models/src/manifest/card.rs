//! Where a model comes from and what it may be used for.

use std::fmt;

/// What is known of a file's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Digest {
    /// Nobody here has seen the file: the first pull pins what it finds, and says so.
    #[default]
    Unknown,
    /// Its SHA-256 as 64 lower-case hexadecimal digits.
    Known(String),
}

impl Digest {
    /// Reads `unknown` or 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "unknown" => Some(Self::Unknown),
            _ if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) => Some(Self::Known(text.to_ascii_lowercase())),
            _ => None,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Known(hex) => f.write_str(hex),
        }
    }
}

/// What a manifest says about a model beside what the network computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// Name in a store: letters, digits, `-`, `_` and `.`, at most 64.
    pub name: String,
    /// The ONNX file, beside the manifest.
    pub file: String,
    /// SHA-256 of that file.
    pub sha256: Digest,
    /// Where the file can be downloaded. Only `http` and `https`.
    pub url: Option<String>,
    /// One line about it.
    pub description: Option<String>,
    /// The project that it comes from.
    pub source: Option<String>,
    /// SPDX expression of the weights' licence, or its name.
    pub license: Option<String>,
    /// What to know about the licence.
    pub license_note: Option<String>,
    /// How to make the ONNX file, where none is published.
    pub export: Option<String>,
}

/// How a file was made from a float one: written by the precision tools.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Precision {
    /// `fp16` or `int8`.
    pub kind: PrecisionKind,
    /// SHA-256 of the float file.
    pub from_sha256: String,
    /// How ranges were found, e.g. `percentile 99.99`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// SHA-256 over the calibration pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_sha256: Option<String>,
    /// How many pictures that were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_frames: Option<u64>,
    /// Nodes that stayed in float.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub float_nodes: Vec<String>,
    /// What the accuracy gate found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// A reduced number format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionKind {
    /// 16-bit floats.
    Fp16,
    /// 8-bit integers with explicit scales (Q/DQ).
    Int8,
}

/// Agreement with the float model on frames that took no part in calibration.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Whether it holds.
    pub passed: bool,
    /// Frames that were compared.
    pub frames: u64,
    /// Overlap from which two boxes are the same.
    pub iou: f64,
    /// Share of the float model's boxes that are found again.
    pub recall: f64,
    /// Share of this model's boxes that the float model has.
    pub precision: f64,
    /// Mean absolute difference of the scores.
    pub score_drift: f64,
}
