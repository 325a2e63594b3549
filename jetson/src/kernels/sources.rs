//! The sources, which are part of the program.

use sha2::{Digest, Sha256};

/// A source file that is compiled by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its file's name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// Its kernels.
    pub entries: &'static [&'static str],
}

/// All of them.
pub const UNITS: [Unit; 4] = [
    Unit {
        name: "letterbox.cu",
        text: include_str!("../../kernels/letterbox.cu"),
        entries: &[
            "letterbox_planar_f32",
            "letterbox_planar_f16",
            "letterbox_planar_i8",
            "letterbox_planar_u8",
            "letterbox_interleaved_f32",
            "letterbox_interleaved_f16",
            "letterbox_interleaved_i8",
            "letterbox_interleaved_u8",
        ],
    },
    Unit {
        name: "dense.cu",
        text: include_str!("../../kernels/dense.cu"),
        entries: &["scan_objectness", "scan_anchors", "scan_table", "scan_distribution", "scan_decoded", "scan_coverage"],
    },
    Unit {
        name: "sparse.cu",
        text: include_str!("../../kernels/sparse.cu"),
        entries: &["scan_final", "scan_ssd", "scan_queries"],
    },
    Unit { name: "select.cu", text: include_str!("../../kernels/select.cu"), entries: &["select_boxes"] },
];

/// What the units include, by name.
pub(super) const HEADERS: [(&str, &str); 4] = [
    ("decode.cuh", include_str!("../../kernels/decode.cuh")),
    ("elements.cuh", include_str!("../../kernels/elements.cuh")),
    ("letterbox.cuh", include_str!("../../kernels/letterbox.cuh")),
    ("reading.cuh", include_str!("../../kernels/reading.cuh")),
];

impl Unit {
    /// SHA-256 of the text and of all that it may include, in hexadecimal.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for part in [self.name, self.text].into_iter().chain(HEADERS.iter().flat_map(|(name, text)| [*name, *text])) {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        hexadecimal(&digest.finalize())
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
