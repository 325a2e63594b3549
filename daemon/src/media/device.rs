//! Pictures in the memory of a device, and the one place where they come to the host.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use egret_jetson::surface::{DevicePicture, HostCopy, SurfaceError};

use super::{Color, HostPicture, Layout, PictureBytes, Plane};

/// What of a camera's pictures came to the host, for those who cannot read them where they lie.
#[derive(Debug, Default)]
pub struct Downloads {
    pictures: AtomicU64,
    rows: AtomicU64,
    failed: AtomicBool,
}

impl Downloads {
    /// Both counts.
    pub fn counts(&self) -> Downloaded {
        Downloaded { pictures: self.pictures(), rows: self.rows() }
    }

    /// Whole pictures.
    pub fn pictures(&self) -> u64 {
        self.pictures.load(Ordering::Relaxed)
    }

    /// Pictures of which some rows of the luma came.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    fn failed(&self, error: &SurfaceError) {
        // A device that fails once does so for every picture.
        if !self.failed.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "a picture does not come from the device");
        }
    }
}

/// How often something of a camera's pictures came to the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Downloaded {
    /// Whole pictures.
    pub pictures: u64,
    /// Pictures of which some rows of the luma came.
    pub rows: u64,
}

/// A decoded NV12 picture in the memory of an NVIDIA device. Dropping it returns its surface to the decoder's pool.
pub struct DevicePixels {
    picture: Arc<DevicePicture>,
    color: Color,
    host: OnceLock<Option<HostPicture>>,
    downloads: Arc<Downloads>,
}

impl fmt::Debug for DevicePixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.picture.fmt(f)
    }
}

impl DevicePixels {
    /// A picture whose samples are to be read as `color` says.
    pub fn new(picture: DevicePicture, color: Color, downloads: &Arc<Downloads>) -> Self {
        Self { picture: Arc::new(picture), color, host: OnceLock::new(), downloads: Arc::clone(downloads) }
    }

    /// Where it lies, for kernels ([`DevicePicture::frame`]).
    pub fn picture(&self) -> &Arc<DevicePicture> {
        &self.picture
    }

    /// How its samples are to be read.
    pub fn color(&self) -> Color {
        self.color
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.picture.size()
    }

    /// The picture in host memory, brought there once; `None`: the device does not give it, which the log says once for each camera.
    ///
    /// Pictures come one at a time, and each at most once, so that there is never more of them than of frames.
    pub(super) fn host(&self) -> Option<&HostPicture> {
        let bring = || match self.picture.host() {
            Ok(copy) => {
                self.downloads.pictures.fetch_add(1, Ordering::Relaxed);
                self.of(copy)
            }
            Err(error) => {
                self.downloads.failed(&error);
                None
            }
        };
        self.host.get_or_init(bring).as_ref()
    }

    fn of(&self, copy: HostCopy) -> Option<HostPicture> {
        let HostCopy { bytes, pitch: [luma, chroma], chroma: offset } = copy;
        let planes = [Plane { offset: 0, stride: luma }, Plane { offset, stride: chroma }, Plane::default()];
        HostPicture::new(Layout::Nv12, self.size(), self.color, planes, PictureBytes::Owned(bytes.into())).ok()
    }

    /// Every `every`th row of the luma from row `first` on, without padding, into `to`; how many there are. `None`: the device does not
    /// give them.
    pub fn luma(&self, first: usize, every: usize, to: &mut Vec<u8>) -> Option<usize> {
        match self.picture.luma(first, every, to) {
            Ok(rows) => {
                self.downloads.rows.fetch_add(1, Ordering::Relaxed);
                Some(rows)
            }
            Err(error) => {
                self.downloads.failed(&error);
                None
            }
        }
    }
}
