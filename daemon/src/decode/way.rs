//! Which decoder a camera gets, and what comes after it where that one does not work.

use std::fmt;

use crate::{config::DecoderChoice, media::Codec};

/// A family of decoder elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// libav and libjpeg, on the CPU.
    Software,
    /// NVIDIA's decoder for Jetsons, and DeepStream's.
    Nvv4l2,
    /// GStreamer's own for NVIDIA's devices.
    Nvcodec,
    /// NVIDIA's JPEG decoder.
    NvJpeg,
}

/// Where its pictures lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In host memory.
    Host,
    /// On the device, where the decoder left them.
    Device,
}

/// A decoder, and where its pictures are to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Its family.
    pub family: Family,
    /// Where its pictures lie.
    pub place: Place,
}

impl Way {
    /// On the CPU.
    pub const SOFTWARE: Self = Self { family: Family::Software, place: Place::Host };

    /// Whether it is NVIDIA's hardware that decodes.
    pub fn is_hardware(self) -> bool {
        self.family != Family::Software
    }

    /// The element that decodes.
    pub fn element(self, codec: Codec) -> &'static str {
        match (self.family, codec) {
            (Family::Software, Codec::H264) => "avdec_h264",
            (Family::Software, Codec::H265) => "avdec_h265",
            (Family::Software, Codec::Mjpeg) => "jpegdec",
            (Family::Nvv4l2, _) => "nvv4l2decoder",
            (Family::Nvcodec, Codec::H264) => "nvh264dec",
            (Family::Nvcodec, Codec::H265) => "nvh265dec",
            (Family::NvJpeg, _) | (Family::Nvcodec, Codec::Mjpeg) => "nvjpegdec",
        }
    }

    /// For people.
    pub fn describe(self, codec: Codec) -> impl fmt::Display {
        let place = match self.place {
            Place::Host => "host",
            Place::Device => "device",
        };
        format!("{} ({place} memory)", self.element(codec))
    }
}

/// What a machine has to decode with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Machine {
    /// Nothing of NVIDIA.
    #[default]
    Plain,
    /// A GPU with NVIDIA's driver.
    Gpu,
    /// A Jetson whose decoder gives surfaces of its own: Orin and those before it.
    Jetson,
    /// A Jetson Thor, which is more like a GPU.
    Thor,
}

impl Machine {
    /// The ways of a camera, the best one first, each to be gone where the one before it does not work. `device`: whether what looks at the
    /// pictures can read them on the device. Empty: what was asked for is not there.
    pub fn ways(self, codec: Codec, choice: DecoderChoice, device: bool) -> Vec<Way> {
        let mut families = match self {
            Self::Plain => vec![],
            Self::Gpu | Self::Thor => vec![Family::Nvcodec, Family::Nvv4l2],
            Self::Jetson => vec![Family::Nvv4l2],
        };
        if codec == Codec::Mjpeg {
            // nvv4l2decoder takes JPEG on Jetsons, but not on Thor.
            families.retain(|family| *family == Family::Nvv4l2 && self == Self::Jetson);
            if self != Self::Plain {
                families.push(Family::NvJpeg);
            }
        }
        let places = |family| {
            let on_device = device && family != Family::NvJpeg;
            [Place::Device, Place::Host].into_iter().filter(move |place| on_device || *place == Place::Host)
        };
        let hardware = families.into_iter().flat_map(|family| places(family).map(move |place| Way { family, place }));
        match choice {
            DecoderChoice::Software => vec![Way::SOFTWARE],
            DecoderChoice::Hardware => hardware.collect(),
            DecoderChoice::Auto => hardware.chain([Way::SOFTWARE]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(machine: Machine, codec: Codec, choice: DecoderChoice, device: bool) -> Vec<String> {
        machine.ways(codec, choice, device).into_iter().map(|way| way.describe(codec).to_string()).collect()
    }

    #[test]
    fn the_best_way_comes_first_and_the_cpu_last() {
        use DecoderChoice::{Auto, Hardware, Software};
        let v4l2 = ["nvv4l2decoder (device memory)", "nvv4l2decoder (host memory)", "avdec_h264 (host memory)"];
        assert_eq!(names(Machine::Jetson, Codec::H264, Auto, true), v4l2);
        assert_eq!(names(Machine::Jetson, Codec::H264, Auto, false), v4l2[1..]);
        assert_eq!(names(Machine::Jetson, Codec::H264, Hardware, true), v4l2[..2]);
        assert_eq!(names(Machine::Jetson, Codec::H264, Software, true), v4l2[2..]);
        let thor = names(Machine::Thor, Codec::H265, Auto, true);
        assert_eq!(thor[..2], ["nvh265dec (device memory)", "nvh265dec (host memory)"]);
        assert_eq!(thor.last().map(String::as_str), Some("avdec_h265 (host memory)"));
        assert_eq!(names(Machine::Gpu, Codec::Mjpeg, Auto, true), ["nvjpegdec (host memory)", "jpegdec (host memory)"]);
        assert_eq!(
            names(Machine::Jetson, Codec::Mjpeg, Hardware, false),
            ["nvv4l2decoder (host memory)", "nvjpegdec (host memory)"]
        );
        for codec in [Codec::H264, Codec::H265, Codec::Mjpeg] {
            assert_eq!(Machine::Plain.ways(codec, Auto, true), [Way::SOFTWARE]);
            assert_eq!(Machine::Plain.ways(codec, Hardware, true), []);
        }
    }
}
