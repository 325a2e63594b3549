//! Pictures, wherever they lie, and how their samples are to be read.

use std::fmt;

use bytes::Bytes;

use super::DevicePixels;

/// The sample layout of a picture in host memory, 8 bits a sample, chroma subsampled 2×2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Three planes: Y `[h,w]`, U `[⌈h/2⌉,⌈w/2⌉]`, V like U.
    I420,
    /// Two planes: Y `[h,w]`, UV interleaved `[⌈h/2⌉,⌈w/2⌉,2]`.
    Nv12,
}

/// The matrix that turns Y'CbCr into R'G'B'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ColorMatrix {
    /// ITU-R BT.601 (and what a stream that says nothing gets).
    #[default]
    Bt601,
    /// ITU-R BT.709.
    Bt709,
}

/// How Y'CbCr samples are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Color {
    /// The matrix.
    pub matrix: ColorMatrix,
    /// `true`: 0..255 (JPEG); `false`: 16..235 for luma, 16..240 for chroma.
    pub full_range: bool,
}

/// One plane of a host picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plane {
    /// First byte of the plane in the picture's bytes.
    pub offset: usize,
    /// Bytes from one row to the next (the pitch).
    pub stride: usize,
}

/// Bytes that a picture borrows from its decoder or owns itself.
pub enum PictureBytes {
    /// A decoder's buffer. Dropping it returns the surface to the decoder's pool.
    Gst(gstreamer::MappedBuffer<gstreamer::buffer::Readable>),
    /// Bytes of our own.
    Owned(Bytes),
}

impl AsRef<[u8]> for PictureBytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Gst(buffer) => buffer.as_slice(),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A picture in host memory.
pub struct HostPicture {
    layout: Layout,
    width: u32,
    height: u32,
    color: Color,
    planes: [Plane; 3],
    bytes: PictureBytes,
}

/// Why bytes cannot be a picture.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a {width}x{height} {layout:?} picture does not fit: plane {plane} ends at byte {needed} of {available}")]
pub struct PictureTooSmall {
    layout: Layout,
    width: u32,
    height: u32,
    plane: usize,
    needed: usize,
    available: usize,
}

impl HostPicture {
    /// A picture over `bytes`; every row of every plane is checked to lie inside them, so readers may index freely.
    pub fn new(
        layout: Layout,
        (width, height): (u32, u32),
        color: Color,
        planes: [Plane; 3],
        bytes: PictureBytes,
    ) -> Result<Self, PictureTooSmall> {
        let picture = Self { layout, width, height, color, planes, bytes };
        let available = picture.bytes.as_ref().len();
        for plane in 0..picture.plane_count() {
            let (row_bytes, rows) = picture.plane_size(plane);
            let Plane { offset, stride } = picture.planes[plane];
            let needed = (rows.saturating_sub(1))
                .checked_mul(stride)
                .and_then(|n| n.checked_add(row_bytes))
                .and_then(|n| n.checked_add(offset))
                .unwrap_or(usize::MAX);
            if needed > available || (rows > 1 && stride < row_bytes) {
                return Err(PictureTooSmall { layout, width, height, plane, needed, available });
            }
        }
        Ok(picture)
    }

    /// A tightly packed I420 picture of `width`×`height` (no padding between rows or planes).
    pub fn tight_i420((width, height): (u32, u32), bytes: Bytes) -> Result<Self, PictureTooSmall> {
        let (w, h) = (width as usize, height as usize);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let planes =
            [Plane { offset: 0, stride: w }, Plane { offset: w * h, stride: cw }, Plane { offset: w * h + cw * ch, stride: cw }];
        Self::new(Layout::I420, (width, height), Color::default(), planes, PictureBytes::Owned(bytes))
    }

    /// The sample layout.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How the samples are to be read.
    pub fn color(&self) -> Color {
        self.color
    }

    /// Three planes for I420, two for NV12.
    pub fn plane_count(&self) -> usize {
        match self.layout {
            Layout::I420 => 3,
            Layout::Nv12 => 2,
        }
    }

    /// Bytes in a row and number of rows of a plane.
    pub fn plane_size(&self, plane: usize) -> (usize, usize) {
        let (w, h) = (self.width as usize, self.height as usize);
        match (self.layout, plane) {
            (_, 0) => (w, h),
            (Layout::I420, _) => (w.div_ceil(2), h.div_ceil(2)),
            (Layout::Nv12, _) => (w.div_ceil(2) * 2, h.div_ceil(2)),
        }
    }

    /// The same picture in bytes of its own, packed tightly; `None`: it is larger than memory can be.
    pub fn copied(&self) -> Option<Self> {
        let (mut bytes, mut planes) = (Vec::new(), [Plane::default(); 3]);
        for (plane, place) in planes.iter_mut().enumerate().take(self.plane_count()) {
            let ((row, rows), (from, stride)) = (self.plane_size(plane), self.plane(plane));
            *place = Plane { offset: bytes.len(), stride: row };
            (0..rows).for_each(|y| bytes.extend_from_slice(&from[y * stride..][..row]));
        }
        Self::new(self.layout, (self.width, self.height), self.color, planes, PictureBytes::Owned(bytes.into())).ok()
    }

    /// The bytes of a plane from its first row on, and its stride. Every row of [`Self::plane_size`] lies inside.
    pub fn plane(&self, plane: usize) -> (&[u8], usize) {
        let Plane { offset, stride } = self.planes[plane];
        (&self.bytes.as_ref()[offset..], stride)
    }
}

impl fmt::Debug for HostPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}x{}", self.layout, self.width, self.height)
    }
}

/// A decoded picture, wherever it lies.
#[derive(Debug)]
pub enum Pixels {
    /// In host memory.
    Host(HostPicture),
    /// In the memory of an NVIDIA device.
    Device(DevicePixels),
    /// No picture: what the null source of the benches sends. Only the null and scripted detectors take it.
    None {
        /// Width in pixels that the frame claims.
        width: u32,
        /// Height in pixels that the frame claims.
        height: u32,
    },
}

impl Pixels {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        match self {
            Self::Host(picture) => (picture.width(), picture.height()),
            Self::Device(picture) => picture.size(),
            Self::None { width, height } => (*width, *height),
        }
    }

    /// The picture in host memory. One that lies on a device is brought here when it is first asked for; `None`: there is none, or the device
    /// does not give it.
    pub fn host(&self) -> Option<&HostPicture> {
        match self {
            Self::Host(picture) => Some(picture),
            Self::Device(picture) => picture.host(),
            Self::None { .. } => None,
        }
    }
}
