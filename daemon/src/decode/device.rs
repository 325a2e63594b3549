//! From a decoder's buffer to a picture that stays on the device.

use std::sync::Arc;

use egret_jetson::surface::{
    Colour,
    gst::{CudaPlanes, Memory},
};
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::{Decoders, Fault, PictureFormat, picture::color};
use crate::media::{Color, ColorMatrix, DevicePixels, Downloads, Pixels};

/// What the caps say of the buffers that follow them, wherever their pictures lie.
#[derive(Clone, Debug)]
pub(super) enum Format {
    Host(PictureFormat),
    Device(DeviceFormat),
}

/// The same of pictures on a device.
#[derive(Clone, Debug)]
pub(super) struct DeviceFormat {
    caps: gst::Caps,
    memory: Memory,
    /// What the stream says of its colours.
    told: Option<Color>,
    planes: CudaPlanes,
}

impl Format {
    /// Reads caps.
    pub(super) fn from_caps(caps: &gst::Caps) -> Result<Self, Fault> {
        let memory = match Memory::of(caps) {
            Some(Memory::Host) => return PictureFormat::from_caps(caps).map(Self::Host),
            Some(memory) => memory,
            None => return Err(Fault::Format(caps.to_string())),
        };
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|_| Fault::Format(caps.to_string()))?;
        if info.format() != gst_video::VideoFormat::Nv12 {
            return Err(Fault::Format(info.format().to_string()));
        }
        let told = caps.structure(0).is_some_and(|s| s.has_field("colorimetry")).then(|| color(info.colorimetry()));
        let planes = planes(info.offset(), info.stride()).ok_or_else(|| Fault::Format(caps.to_string()))?;
        Ok(Self::Device(DeviceFormat { caps: caps.clone(), memory, told, planes }))
    }

    /// The picture of a buffer.
    pub(super) fn picture(&self, buffer: gst::Buffer, decoders: &Decoders, downloads: &Arc<Downloads>) -> Result<Pixels, Fault> {
        match self {
            Self::Host(format) => format.picture(buffer).map(Pixels::Host),
            Self::Device(format) => format.picture(buffer, decoders, downloads).map(Pixels::Device),
        }
    }
}

impl DeviceFormat {
    fn picture(&self, buffer: gst::Buffer, decoders: &Decoders, downloads: &Arc<Downloads>) -> Result<DevicePixels, Fault> {
        let Some(surfaces) = decoders.surfaces() else { return Err(Fault::Format(self.caps.to_string())) };
        let picture = match (self.memory, decoders.cuda()) {
            (Memory::Cuda, Some(cuda)) => {
                let meta = buffer.meta::<gst_video::VideoMeta>().map(|meta| planes(meta.offset(), meta.stride()));
                let planes = meta.unwrap_or(Some(self.planes)).ok_or_else(|| Fault::Format("negative pitch".into()))?;
                cuda.picture(surfaces, &self.caps, planes, buffer)
            }
            (Memory::Cuda, None) => return Err(Fault::Format(self.caps.to_string())),
            _ => surfaces.nvmm(&self.caps, buffer),
        };
        let picture = picture.map_err(|error| Fault::Surface(error.to_string()))?;
        // A format that names its colours is surer than what a decoder made of the stream; the plain one says nothing.
        let color = picture.colour().map(of_surface).or(self.told).unwrap_or_default();
        Ok(DevicePixels::new(picture, color, downloads))
    }
}

fn of_surface(colour: Colour) -> Color {
    let matrix = if colour.bt709 { ColorMatrix::Bt709 } else { ColorMatrix::Bt601 };
    Color { matrix, full_range: colour.full_range }
}

fn planes(offsets: &[usize], strides: &[i32]) -> Option<CudaPlanes> {
    let [Some(luma), Some(chroma)] = [0, 1].map(|i| Some((*offsets.get(i)? as u64, u32::try_from(*strides.get(i)?).ok()?)))
    else {
        return None;
    };
    Some(CudaPlanes { offset: [luma.0, chroma.0], pitch: [luma.1, chroma.1] })
}
