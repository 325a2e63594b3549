//! Decoded pictures, or rectangles of them, become slots of an input tensor: scaled, converted to RGB, normalised, padded.
//!
//! Where a picture goes, and by which coefficients, is the caller's to say ([`Window`]): the same code that tells it to the CPU's
//! letterbox. Crops of tracked objects for second stages are windows of less than the picture. Layouts are those of
//! `kernels/letterbox.cuh`.

use super::launch::{BLOCK_THREADS, Launch, Params};

/// Threads of a block along a row, the lanes of a warp.
const ACROSS: u32 = 32;
/// Rows that a thread draws: `LETTERBOX_ROWS`.
const ROWS: u32 = 4;
/// Neither pictures nor what they are scaled to are larger, in pixels: products of two stay within 64 bits, twice one within 32.
const MAX_SCALED: u32 = 1 << 30;

/// One axis of a picture on its way into the input, in pixels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// First source pixel.
    pub start: u32,
    /// Source pixels.
    pub len: u32,
    /// Pixels that they are scaled to.
    pub scaled: u32,
    /// How many of those are cut off before the first that is drawn.
    pub cut: u32,
    /// How many are drawn; the rest of the input is padding.
    pub drawn: u32,
    /// Where the first of them goes.
    pub at: u32,
}

/// From Y'CbCr to one plane of the tensor: `(y·luma + u·u + v·v) + base`, within `least..=most`; y, u and v in 1/256 of a level.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Channel {
    /// Factor of Y'.
    pub luma: f32,
    /// Factor of Cb.
    pub u: f32,
    /// Factor of Cr.
    pub v: f32,
    /// What is added.
    pub base: f32,
    /// What the sample 0 becomes.
    pub least: f32,
    /// What the sample 255 becomes.
    pub most: f32,
}

/// How a picture goes into a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// From left to right.
    pub across: Axis,
    /// From top to bottom.
    pub down: Axis,
    /// In the order of the tensor.
    pub channels: [Channel; 3],
    /// What is drawn where the picture is not, in the order of the tensor.
    pub padding: [f32; 3],
}

/// The elements of an input tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats (IEEE 754 binary16), rounded to the nearest, ties to even.
    F16,
    /// Quantised symmetrically: the value over `step`, rounded to the nearest, ties to even, saturated to −128..127.
    I8 {
        /// The value of 1, above 0.
        step: f32,
    },
    /// The value rounded, saturated to 0..255.
    U8,
}

impl Element {
    /// Bytes of one.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 { .. } | Self::U8 => 1,
        }
    }

    /// Columns that a thread draws: `per_thread`.
    fn per_thread(self) -> u32 {
        if self == Self::F32 { 1 } else { 2 }
    }
}

/// The samples of a decoded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// Y, then U and V interleaved: what NVDEC gives.
    Nv12,
    /// Y, U, V.
    I420,
}

/// A decoded picture's size and layout. Rows are `pitch` bytes apart (pitch linear).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its samples.
    pub samples: Samples,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from row to row of Y.
    pub luma_pitch: u32,
    /// Bytes from row to row of the chroma planes.
    pub chroma_pitch: u32,
}

impl Frame {
    /// Bytes of a row, and rows, of plane `plane`; nothing for a plane that it does not have.
    pub fn plane_size(&self, plane: usize) -> (usize, usize) {
        let (width, height) = (self.width as usize, self.height as usize);
        match (self.samples, plane) {
            (_, 0) => (width, height),
            (Samples::Nv12, 1) => (2 * width.div_ceil(2), height.div_ceil(2)),
            (Samples::I420, 1 | 2) => (width.div_ceil(2), height.div_ceil(2)),
            _ => (0, 0),
        }
    }

    /// Bytes that plane `plane` takes from its first to its last.
    pub fn plane_bytes(&self, plane: usize) -> usize {
        let (row, rows) = self.plane_size(plane);
        let pitch = if plane == 0 { self.luma_pitch } else { self.chroma_pitch };
        rows.saturating_sub(1) * pitch as usize + row
    }
}

/// Why a picture cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A pitch is less than a row, or the chroma of NV12 is not on whole pairs of bytes.
    #[error("a {width}x{height} picture cannot have pitches of {luma_pitch} and {chroma_pitch} bytes")]
    Pitch {
        /// Of the picture.
        width: u32,
        /// Of the picture.
        height: u32,
        /// As given.
        luma_pitch: u32,
        /// As given.
        chroma_pitch: u32,
    },
    /// An axis reaches beyond the picture or the tensor.
    #[error("{axis:?} does not fit {source_len} pixels of a picture and {side} of the tensor")]
    Axis {
        /// As given.
        axis: Axis,
        /// Pixels that there are.
        source_len: u32,
        /// Pixels of the tensor.
        side: u32,
    },
    /// More slots than the tensor has.
    #[error("{slots} pictures for a tensor of {capacity}")]
    Slots {
        /// Pictures.
        slots: usize,
        /// Slots.
        capacity: usize,
    },
}

/// What the kernel reads of one slot: `Slot`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slot {
    planes: [u64; 3],
    luma_pitch: u32,
    chroma_pitch: u32,
    across: Axis,
    down: Axis,
    channels: [Channel; 3],
    padding: [f32; 3],
    pad: u32,
}

impl Slot {
    /// Its bytes, as they are copied to a device.
    pub(super) fn as_bytes(&self) -> &[u8] {
        // SAFETY: `repr(C)` without padding (24 + 8 + 48 + 72 + 12 + 4 bytes, see below), and plain numbers.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}

// No byte of a slot is left unwritten.
const _: () = assert!(size_of::<Slot>() == 24 + 8 + 48 + 72 + 12 + 4);

/// What the kernel is given: `Letterbox`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LetterboxParams {
    slots: u64,
    out: u64,
    width: u32,
    height: u32,
    quantum: f32,
    reserved: u32,
}

const _: () = assert!(size_of::<LetterboxParams>() == 32);

// SAFETY: `repr(C)`, and the fields are those of `Letterbox` in `kernels/letterbox.cuh`.
unsafe impl Params for LetterboxParams {}

/// An input tensor, `[N,3,H,W]` or `[N,H,W,3]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor {
    /// W in pixels.
    pub width: u32,
    /// H in pixels.
    pub height: u32,
    /// Its elements.
    pub element: Element,
    /// Whether the colours of a pixel lie together: `[N,H,W,3]`.
    pub interleaved: bool,
}

impl Tensor {
    /// Elements of a slot: `3·H·W`.
    pub fn slot_len(&self) -> usize {
        3 * self.width as usize * self.height as usize
    }

    /// The slot that a window of a picture fills; `planes` are addresses where the kernel runs. The padding is written with `pad`;
    /// without, it has to be there already.
    ///
    /// # Errors
    /// [`WindowError::Pitch`] and [`WindowError::Axis`]: the kernel would read or write elsewhere.
    pub fn slot(&self, frame: &Frame, planes: [u64; 3], window: &Window, pad: bool) -> Result<Slot, WindowError> {
        let Frame { samples, width, height, luma_pitch, chroma_pitch } = *frame;
        let rows = [0, 1].map(|plane| frame.plane_size(plane).0);
        let paired = samples == Samples::I420 || (chroma_pitch.is_multiple_of(2) && planes[1].is_multiple_of(2));
        if rows[0] > luma_pitch as usize || rows[1] > chroma_pitch as usize || !paired {
            return Err(WindowError::Pitch { width, height, luma_pitch, chroma_pitch });
        }
        check(window.across, width, self.width)?;
        check(window.down, height, self.height)?;
        let Window { across, down, channels, padding } = *window;
        let planes = if samples == Samples::Nv12 { [planes[0], planes[1], 0] } else { planes };
        Ok(Slot { planes, luma_pitch, chroma_pitch, across, down, channels, padding, pad: u32::from(pad) })
    }

    /// The launch that fills the first `count` slots of the tensor at `out` from the array of [`Slot`]s at `slots`.
    pub fn launch(&self, slots: u64, out: u64, count: u32) -> Launch<LetterboxParams> {
        let Self { width, height, element, interleaved } = *self;
        let entry = match (interleaved, element) {
            (false, Element::F32) => "letterbox_planar_f32",
            (false, Element::F16) => "letterbox_planar_f16",
            (false, Element::I8 { .. }) => "letterbox_planar_i8",
            (false, Element::U8) => "letterbox_planar_u8",
            (true, Element::F32) => "letterbox_interleaved_f32",
            (true, Element::F16) => "letterbox_interleaved_f16",
            (true, Element::I8 { .. }) => "letterbox_interleaved_i8",
            (true, Element::U8) => "letterbox_interleaved_u8",
        };
        let quantum = if let Element::I8 { step } = element { step } else { 1.0 };
        let block = [ACROSS, BLOCK_THREADS / ACROSS, 1];
        let grid = [width.div_ceil(ACROSS * element.per_thread()), height.div_ceil(ROWS * block[1]), count];
        Launch { entry, grid, block, params: LetterboxParams { slots, out, width, height, quantum, reserved: 0 } }
    }
}

fn check(axis: Axis, source_len: u32, side: u32) -> Result<(), WindowError> {
    let Axis { start, len, scaled, cut, drawn, at } = axis;
    // A slot that shows nothing is padding, and its source is not looked at.
    let nothing = drawn == 0 && at == 0;
    let within = |first: u32, count: u32, of: u32| first.checked_add(count).is_some_and(|end| end <= of);
    let sound =
        len > 0 && within(start, len, source_len) && scaled < MAX_SCALED && within(cut, drawn, scaled) && within(at, drawn, side);
    if nothing || sound { Ok(()) } else { Err(WindowError::Axis { axis, source_len, side }) }
}
