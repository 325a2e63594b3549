//! Pictures of the host on their way to the device.

use std::sync::Arc;

use cudarc::driver::{CudaStream, result};

use super::LineError;
use crate::{
    kernels::{
        device::{DeviceError, DeviceFrame, Kernels},
        letterbox::{Frame, Samples, WindowError},
    },
    memory::{DeviceMemory, Memory, failed},
    pinned::Pinned,
};

/// A decoded picture in host memory.
#[derive(Clone, Copy, Debug)]
pub struct HostPicture<'a> {
    /// Its samples.
    pub samples: Samples,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Its planes, two of NV12 and three of I420: the bytes from the first row on, and from row to row.
    pub planes: [(&'a [u8], usize); 3],
}

/// Where a picture is.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// In host memory: it is copied. Several windows of one picture, given after each other, are copied once.
    Host(HostPicture<'a>),
    /// On the device already.
    Device(&'a DeviceFrame),
}

/// Planes begin at multiples of this, on the device and in staging memory.
const ALIGNED: usize = 256;
/// More bytes between rows than this are left behind.
const SLACK: usize = 512;

/// How a picture lies in staging memory, and so on the device.
struct Laid {
    frame: Frame,
    offsets: [usize; 3],
    bytes: usize,
}

impl Laid {
    fn of(picture: &HostPicture<'_>) -> Result<Self, LineError> {
        let HostPicture { samples, width, height, planes } = *picture;
        let tight = Frame { samples, width, height, luma_pitch: 0, chroma_pitch: 0 };
        let rows = [0, 1, 2].map(|plane| tight.plane_size(plane).0);
        let kept = |plane: usize| {
            let (row, stride) = (rows[plane], planes[plane].1);
            (row..=row + SLACK).contains(&stride) && stride.is_multiple_of(2)
        };
        let pitch = |plane: usize| if kept(plane) { planes[plane].1 } else { rows[plane].next_multiple_of(64) };
        // Both chroma planes have one pitch.
        let alike = samples == Samples::Nv12 || planes[1].1 == planes[2].1;
        let chroma = if alike { pitch(1) } else { rows[1].next_multiple_of(64) };
        let frame = Frame { luma_pitch: pitch(0) as u32, chroma_pitch: chroma as u32, ..tight };
        let mut bytes = 0;
        let mut offsets = [0; 3];
        for (plane, offset) in offsets.iter_mut().enumerate() {
            *offset = bytes;
            bytes += frame.plane_bytes(plane).next_multiple_of(ALIGNED);
            let (row, rows) = frame.plane_size(plane);
            let needed = if rows == 0 { 0 } else { (rows - 1) * planes[plane].1 + row };
            let short = planes[plane].0.len() < needed || (rows > 1 && planes[plane].1 < row);
            if short {
                let [luma_pitch, chroma_pitch] = [planes[0].1 as u32, planes[1].1 as u32];
                return Err(DeviceError::from(WindowError::Pitch { width, height, luma_pitch, chroma_pitch }).into());
            }
        }
        Ok(Self { frame, offsets, bytes })
    }

    /// Writes the planes as they are to lie.
    fn write(&self, picture: &HostPicture<'_>, to: &mut [u8]) {
        for (plane, (from, stride)) in picture.planes.iter().enumerate() {
            let ((row, rows), pitch) = (self.frame.plane_size(plane), self.pitch(plane));
            let to = &mut to[self.offsets[plane]..][..self.frame.plane_bytes(plane)];
            if pitch == *stride {
                to.copy_from_slice(&from[..to.len()]);
                continue;
            }
            for y in 0..rows {
                to[y * pitch..][..row].copy_from_slice(&from[y * stride..][..row]);
            }
        }
    }

    fn pitch(&self, plane: usize) -> usize {
        if plane == 0 { self.frame.luma_pitch as usize } else { self.frame.chroma_pitch as usize }
    }
}

/// Staging memory and its like on the device, for the host's pictures of one batch. Grows when larger pictures come than were there
/// before, and stays as it is from then on.
pub(super) struct Upload {
    staging: Pinned,
    memory: Arc<DeviceMemory>,
    /// Of the pictures that are under way.
    used: usize,
}

impl Upload {
    pub(super) fn new(kernels: &Kernels) -> Result<Self, LineError> {
        let context = kernels.context();
        Ok(Self { staging: Pinned::new(context, 0)?, memory: Arc::new(DeviceMemory::new(context, 0)?), used: 0 })
    }

    /// Makes room for the pictures of a batch; nothing of the batch before may be under way.
    pub(super) fn begin(
        &mut self,
        kernels: &Kernels,
        pictures: &[(Source<'_>, crate::kernels::letterbox::Window)],
    ) -> Result<(), LineError> {
        let mut needed = 0;
        let mut last = None;
        for (source, _) in pictures {
            if let Source::Host(picture) = source
                && !last.is_some_and(|last| same(last, picture))
            {
                needed += Laid::of(picture)?.bytes;
                last = Some(picture);
            }
        }
        self.used = 0;
        if needed as u64 > self.memory.bytes() {
            let context = kernels.context();
            self.memory = Arc::new(DeviceMemory::new(context, needed as u64)?);
            self.staging = Pinned::new(context, needed)?;
        }
        Ok(())
    }

    /// Copies a picture to staging memory, and puts on the stream what brings it to the device.
    ///
    /// # Errors
    /// Copies of earlier pictures may be under way then.
    pub(super) fn add(&mut self, stream: &CudaStream, picture: &HostPicture<'_>) -> Result<DeviceFrame, LineError> {
        let laid = Laid::of(picture)?;
        let (at, bytes) = (self.used, laid.bytes);
        let Some(staging) =
            self.staging.bytes_mut().get_mut(at..at + bytes).filter(|_| (at + bytes) as u64 <= self.memory.bytes())
        else {
            let (found, needed) = (self.memory.bytes(), (at + bytes) as u64);
            return Err(DeviceError::Size { what: "staging memory", found, needed }.into());
        };
        laid.write(picture, staging);
        // SAFETY: the device's memory is as large (checked above). Neither is touched before the stream has been waited for: the lane
        // begins no batch before that, and waits when it goes.
        unsafe { result::memcpy_htod_async(self.memory.address() + at as u64, staging, stream.cu_stream()) }
            .map_err(failed("cuMemcpyHtoDAsync"))?;
        self.used = at + bytes;
        let plane = |plane: usize| (Arc::clone(&self.memory) as Arc<dyn Memory>, (at + laid.offsets[plane]) as u64);
        Ok(DeviceFrame::new(laid.frame, [0, 1, 2].map(plane))?)
    }
}

/// Whether two pictures are the same bytes.
pub(super) fn same(a: &HostPicture<'_>, b: &HostPicture<'_>) -> bool {
    let head = |p: &HostPicture<'_>| (p.samples, p.width, p.height, p.planes.map(|(bytes, stride)| (bytes.as_ptr(), stride)));
    head(a) == head(b)
}
