//! What `select_boxes` leaves of a picture.

use std::fmt;

/// Bytes before the boxes: fault, count.
pub(super) const HEADER: usize = 16;
/// Bytes of a box: edges, score, class.
pub(super) const BOX: usize = 24;

/// A box that stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found<'a> {
    /// Left, top, right, bottom in pixels of the network's input.
    pub bbox: [f32; 4],
    /// Confidence, 0..1.
    pub score: f32,
    /// Index into the class names.
    pub class: u16,
    /// What belongs to it, as [`super::More`] says, as little-endian floats.
    more: &'a [u8],
}

impl Found<'_> {
    /// What belongs to it, as [`super::More`] says.
    pub fn more(&self) -> impl Iterator<Item = f32> {
        self.more.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }
}

/// What is wrong with outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// NaN or infinity where a box or a score should be.
    NotFinite,
    /// A score outside 0..1.
    NotAProbability,
    /// All logits lie within 0..1.
    AlreadyScores,
    /// An edge or a point far outside the picture.
    FarAway,
    /// All boxes lie within a pixel of the corner.
    Normalised,
    /// A class that is none of the names.
    NoSuchClass,
    /// Rows of a batch of several pictures that do not say whose they are.
    Unattributed,
    /// A number of boxes that cannot be.
    Count,
    /// More candidates than there is room for.
    Crowded,
}

/// Why a picture has no boxes: the fault of its first row that has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecodeFault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Which output.
    pub output: usize,
    /// Which row, counted over all grids.
    pub row: usize,
    /// The value that is wrong, where there is one.
    pub value: f32,
}

impl fmt::Display for DecodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output {}, row {}: {:?} ({})", self.output, self.row, self.kind, self.value)
    }
}

impl std::error::Error for DecodeFault {}

impl DecodeFault {
    fn of(key: u64) -> Option<Self> {
        let kind = match key >> 32 & 0xf {
            1 => FaultKind::NotFinite,
            2 => FaultKind::NotAProbability,
            3 => FaultKind::AlreadyScores,
            4 => FaultKind::FarAway,
            5 => FaultKind::Normalised,
            6 => FaultKind::NoSuchClass,
            7 => FaultKind::Unattributed,
            8 => FaultKind::Count,
            9 => FaultKind::Crowded,
            _ => return None,
        };
        let (output, row) = ((key >> 36 & 0xf) as usize, (key >> 40 & 0x7f_ffff) as usize);
        Some(Self { kind, output, row, value: f32::from_bits(key as u32) })
    }
}

/// Reads a picture's result: its boxes, best first. `detections` and `more` (floats of a box) are those of its decoder.
pub(super) fn read(bytes: &[u8], detections: usize, more: usize) -> Result<impl Iterator<Item = Found<'_>>, DecodeFault> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes);
    let key = u64::from(word(0)) | u64::from(word(4)) << 32;
    if key != u64::MAX {
        // A key that means nothing was not written by the kernel.
        let unknown = DecodeFault { kind: FaultKind::NotFinite, output: 0, row: 0, value: f32::NAN };
        return Err(DecodeFault::of(key).unwrap_or(unknown));
    }
    let count = (word(8) as usize).min(detections);
    Ok((0..count).map(move |i| {
        let at = HEADER + i * BOX;
        let float = |k: usize| f32::from_bits(word(at + 4 * k));
        let first = HEADER + detections * BOX + i * more * 4;
        let more = bytes.get(first..first + more * 4).unwrap_or_default();
        Found { bbox: [float(0), float(1), float(2), float(3)], score: float(4), class: word(at + 20) as u16, more }
    }))
}
