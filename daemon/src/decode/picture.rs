//! From a GStreamer buffer to a [`HostPicture`], without a copy.

use gstreamer as gst;
use gstreamer_video as gst_video;

use super::Fault;
use crate::media::{Color, ColorMatrix, HostPicture, Layout, PictureBytes, Plane};

/// What the caps say of the buffers that follow them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PictureFormat {
    layout: Layout,
    size: (u32, u32),
    color: Color,
    planes: [Plane; 3],
}

impl PictureFormat {
    /// Reads caps. Formats other than I420 and NV12 are [`Fault::Format`].
    pub(crate) fn from_caps(caps: &gst::CapsRef) -> Result<Self, Fault> {
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|_| Fault::Format(caps.to_string()))?;
        let layout = match info.format() {
            gst_video::VideoFormat::I420 => Layout::I420,
            gst_video::VideoFormat::Nv12 => Layout::Nv12,
            other => return Err(Fault::Format(other.to_string())),
        };
        let planes = planes(info.offset(), info.stride()).ok_or_else(|| Fault::Format(caps.to_string()))?;
        // GStreamer guesses by the size where the stream says nothing; `Color` has its own rule for that.
        let told = caps.structure(0).is_some_and(|s| s.has_field("colorimetry"));
        let color = if told { color(info.colorimetry()) } else { Color::default() };
        Ok(Self { layout, size: (info.width(), info.height()), color, planes })
    }

    /// A picture over a buffer of this format. The buffer's own [`gst_video::VideoMeta`] overrides the caps' idea of the planes.
    pub(crate) fn picture(&self, buffer: gst::Buffer) -> Result<HostPicture, Fault> {
        let planes = match buffer.meta::<gst_video::VideoMeta>() {
            Some(meta) => planes(meta.offset(), meta.stride()).ok_or_else(|| Fault::Format("negative pitch".into()))?,
            None => self.planes,
        };
        let mapped = buffer.into_mapped_buffer_readable().map_err(|_| Fault::Format("unmappable memory".into()))?;
        HostPicture::new(self.layout, self.size, self.color, planes, PictureBytes::Gst(mapped))
            .map_err(|error| Fault::Format(error.to_string()))
    }
}

fn planes(offsets: &[usize], strides: &[i32]) -> Option<[Plane; 3]> {
    let mut planes = [Plane::default(); 3];
    for ((plane, offset), stride) in planes.iter_mut().zip(offsets).zip(strides) {
        *plane = Plane { offset: *offset, stride: usize::try_from(*stride).ok()? };
    }
    Some(planes)
}

pub(super) fn color(colorimetry: gst_video::VideoColorimetry) -> Color {
    Color {
        matrix: match colorimetry.matrix() {
            gst_video::VideoColorMatrix::Bt709 => ColorMatrix::Bt709,
            _ => ColorMatrix::Bt601,
        },
        full_range: colorimetry.range() == gst_video::VideoColorRange::Range0_255,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(text: &str) -> gst::Caps {
        gst::init().unwrap();
        text.parse().unwrap()
    }

    #[test]
    fn odd_sizes_and_padded_rows_are_read_as_they_are() {
        let caps = caps("video/x-raw,format=I420,width=5,height=3,framerate=0/1,colorimetry=bt709");
        let format = PictureFormat::from_caps(&caps).unwrap();
        let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
        let picture = format.picture(gst::Buffer::with_size(info.size()).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height(), picture.layout()), (5, 3, Layout::I420));
        assert_eq!(picture.color(), Color { matrix: ColorMatrix::Bt709, full_range: false });
    }

    #[test]
    fn a_stream_that_says_nothing_of_its_colors_gets_bt601_at_any_size() {
        for size in ["width=320,height=240", "width=1920,height=1080"] {
            let format = PictureFormat::from_caps(&caps(&format!("video/x-raw,format=NV12,{size},framerate=0/1"))).unwrap();
            assert_eq!(format.color, Color::default());
        }
    }

    #[test]
    fn jpeg_colors_are_full_range() {
        let format = PictureFormat::from_caps(&caps(
            "video/x-raw,format=I420,width=16,height=16,framerate=0/1,colorimetry=(string)1:4:0:0",
        ))
        .unwrap();
        assert_eq!(format.color, Color { matrix: ColorMatrix::Bt601, full_range: true });
    }

    #[test]
    fn other_formats_ask_for_a_converter() {
        for format in ["Y42B", "RGB", "GRAY8", "I420_10LE"] {
            let caps = caps(&format!("video/x-raw,format={format},width=16,height=16,framerate=0/1"));
            assert_eq!(PictureFormat::from_caps(&caps), Err(Fault::Format(format.into())));
        }
    }

    #[test]
    fn a_buffer_too_small_for_its_caps_is_no_picture() {
        let format = PictureFormat::from_caps(&caps("video/x-raw,format=NV12,width=64,height=64,framerate=0/1")).unwrap();
        assert!(matches!(format.picture(gst::Buffer::with_size(100).unwrap()), Err(Fault::Format(_))));
    }
}
