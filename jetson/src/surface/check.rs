//! A surface that was read and found to be what it has to be.

use super::{
    SurfaceError,
    abi::{self, params, planes, surface, u32_at, u64_at},
    read::read,
};

/// How a surface's pixels are to be had: `NvBufSurfaceMemType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// The platform's own choice: a pointer, where there is one.
    Default,
    /// Page-locked host memory.
    Pinned,
    /// Device memory.
    Device,
    /// Memory that moves between device and host.
    Unified,
    /// A surface of the Jetson's hardware, reached through EGL.
    SurfaceArray,
    /// A handle of the Jetson's hardware.
    Handle,
    /// Host memory.
    System,
}

impl MemoryKind {
    fn of(number: u32) -> Result<Self, SurfaceError> {
        Ok(match number {
            0 => Self::Default,
            1 => Self::Pinned,
            2 => Self::Device,
            3 => Self::Unified,
            4 => Self::SurfaceArray,
            5 => Self::Handle,
            6 => Self::System,
            other => return Err(layout("memType", other, "at most 6")),
        })
    }
}

/// How samples are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// BT.709; else BT.601.
    pub bt709: bool,
    /// 0..255; else 16..235 for luma.
    pub full_range: bool,
}

/// What the stream's caps say of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// A plane of a surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlaneAt {
    /// From the beginning of the surface's memory.
    pub(super) offset: u32,
    /// Bytes from row to row.
    pub(super) pitch: u32,
}

/// One NV12 picture of an `NvBufSurface`, as its struct describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surface {
    pub(super) memory: MemoryKind,
    pub(super) block_linear: bool,
    pub(super) size: Expected,
    /// `None`: the surface's format says nothing.
    pub(super) colour: Option<Colour>,
    pub(super) planes: [PlaneAt; 2],
    /// The dmabuf of the buffer.
    pub(super) descriptor: u64,
    pub(super) data: u64,
    pub(super) data_bytes: u32,
    /// The address of `surfaceList[0]`.
    pub(super) params: u64,
}

fn layout(field: &'static str, found: impl Into<u64>, expected: impl Into<String>) -> SurfaceError {
    SurfaceError::Layout { field, found: found.into(), expected: expected.into() }
}

/// A field has to have one value.
fn equal(field: &'static str, found: u32, expected: u32) -> Result<(), SurfaceError> {
    if found == expected { Ok(()) } else { Err(layout(field, found, expected.to_string())) }
}

/// And at least one.
fn least(field: &'static str, found: u64, least: u64) -> Result<(), SurfaceError> {
    if found >= least { Ok(()) } else { Err(layout(field, found, format!("at least {least}"))) }
}

impl Surface {
    /// Reads what a decoder's mapped buffer of `bytes` bytes at `address` holds.
    ///
    /// # Errors
    /// [`SurfaceError`], where it is no surface of a known layout, or not of the expected pictures.
    pub fn read(address: u64, bytes: usize, expected: Expected) -> Result<Self, SurfaceError> {
        if bytes < abi::SURFACE_BYTES || !address.is_multiple_of(8) {
            return Err(SurfaceError::NoSurface("the buffer is too short"));
        }
        let header = read::<{ abi::HEADER_BYTES }>(address, "its memory is not there")?;
        let batch = u32_at(&header, surface::BATCH_SIZE);
        if !(1..=1024).contains(&batch) {
            return Err(layout("batchSize", batch, "1"));
        }
        let filled = u32_at(&header, surface::NUM_FILLED);
        if filled > batch {
            return Err(layout("numFilled", filled, "at most batchSize"));
        }
        let memory = MemoryKind::of(u32_at(&header, surface::MEM_TYPE))?;
        let list = u64_at(&header, surface::SURFACE_LIST);
        if list == 0 || !list.is_multiple_of(8) {
            return Err(layout("surfaceList", list, "an address"));
        }
        let params = read::<{ abi::PARAMS_BYTES }>(list, "surfaceList points to nothing")?;
        Self::check(memory, list, &params, expected)
    }

    fn check(memory: MemoryKind, at: u64, bytes: &[u8], expected: Expected) -> Result<Self, SurfaceError> {
        equal("width", u32_at(bytes, params::WIDTH), expected.width)?;
        equal("height", u32_at(bytes, params::HEIGHT), expected.height)?;
        let (block_linear, colour) = (arrangement(u32_at(bytes, params::LAYOUT))?, format(u32_at(bytes, params::COLOR_FORMAT))?);
        let data_bytes = u32_at(bytes, params::DATA_SIZE);
        let of = &bytes[params::PLANES..];
        equal("planeParams.num_planes", u32_at(of, planes::COUNT), 2)?;
        let all = [0, 1].map(|plane| self::plane(of, plane, expected, block_linear, data_bytes));
        let [luma, chroma] = all;
        let planes = [luma?, chroma?];
        equal("pitch", u32_at(bytes, params::PITCH), planes[0].pitch)?;
        equal("planeParams.pitch", planes[1].pitch, planes[0].pitch)?;
        if !block_linear {
            let end = u64::from(planes[0].offset) + u64::from(planes[0].pitch) * u64::from(expected.height);
            least("planeParams.offset[1]", u64::from(planes[1].offset), end)?;
        }
        Ok(Self {
            memory,
            block_linear,
            size: expected,
            colour,
            planes,
            descriptor: u64_at(bytes, params::BUFFER_DESC),
            data: u64_at(bytes, params::DATA_PTR),
            data_bytes,
            params: at,
        })
    }

    /// How its pixels are to be had.
    pub fn memory(&self) -> MemoryKind {
        self.memory
    }

    /// What its format says of its colours, if anything.
    pub fn colour(&self) -> Option<Colour> {
        self.colour
    }
}

fn arrangement(layout_number: u32) -> Result<bool, SurfaceError> {
    match layout_number {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(layout("layout", other, "0 or 1")),
    }
}

/// The four NV12 formats of 8 bits; the plain one says nothing of the colours.
fn format(number: u32) -> Result<Option<Colour>, SurfaceError> {
    match number {
        6 => Ok(None),
        7 => Ok(Some(Colour { bt709: false, full_range: true })),
        33 => Ok(Some(Colour { bt709: true, full_range: false })),
        34 => Ok(Some(Colour { bt709: true, full_range: true })),
        other => Err(SurfaceError::Format(other)),
    }
}

/// Plane 0 has a byte per pixel, plane 1 pairs of them at half the size.
fn plane(of: &[u8], plane: usize, size: Expected, block_linear: bool, data_bytes: u32) -> Result<PlaneAt, SurfaceError> {
    let field = |array: usize| u32_at(of, array + 4 * plane);
    let (width, height) = if plane == 0 { (size.width, size.height) } else { (size.width.div_ceil(2), size.height.div_ceil(2)) };
    let sample = plane as u32 + 1;
    equal("planeParams.bytesPerPix", field(planes::BYTES_PER_PIXEL), sample)?;
    // Odd sizes: NVIDIA's library rounds the chroma down in some releases; the picture is not readable to its edge then.
    equal("planeParams.width", field(planes::WIDTH), width)?;
    equal("planeParams.height", field(planes::HEIGHT), height)?;
    let (pitch, offset, bytes) = (field(planes::PITCH), field(planes::OFFSET), field(planes::BYTES));
    let row = u64::from(width) * u64::from(sample);
    least("planeParams.pitch", u64::from(pitch), row)?;
    // Within a plane of blocks rows are not one after the other: all that can be said is that there is room for them.
    let needed =
        if block_linear { row * u64::from(height) } else { u64::from(pitch) * u64::from(height.saturating_sub(1)) + row };
    least("planeParams.psize", u64::from(bytes), needed)?;
    least("dataSize", u64::from(data_bytes), u64::from(offset) + needed)?;
    Ok(PlaneAt { offset, pitch })
}
