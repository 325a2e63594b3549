//! What a track looks like at its best.

use std::{fmt, sync::OnceLock, time::SystemTime};

use bytes::Bytes;

use super::{BBox, Canvas};

/// JPEG quality, from the best that is tried.
const QUALITIES: [u8; 3] = [80, 60, 30];
/// Most bytes of a JPEG. Messages carry it, and have to fit what brokers take.
const MOST_BYTES: usize = 96 * 1024;

/// A picture of a track, with what of it nobody is to see in black.
pub struct Shot {
    /// The track's class then, an index into the model's class names.
    pub class: u16,
    /// 0..1.
    pub confidence: f32,
    /// Where it was, in pixels of the source frame.
    pub bbox: BBox,
    /// When that was captured.
    pub captured: SystemTime,
    /// The object and a little around it.
    pub canvas: Canvas,
    /// Made when it is first asked for.
    pub(crate) jpeg: OnceLock<Option<Bytes>>,
}

impl Shot {
    /// As JPEG, at most 96 KiB; `None`: no encoder makes that of it.
    pub fn jpeg(&self) -> Option<&Bytes> {
        let encode = || {
            let tries = QUALITIES.iter().map_while(|quality| self.canvas.encode(*quality).ok());
            tries.into_iter().find(|jpeg| jpeg.len() <= MOST_BYTES).map(Bytes::from)
        };
        self.jpeg.get_or_init(encode).as_ref()
    }
}

impl fmt::Debug for Shot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shot {:?} of {:?}", self.canvas.size(), self.captured)
    }
}
