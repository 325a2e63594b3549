//! The elements of a way: a decoder with its properties, and what its pictures need behind it.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{
    Decoders, Fault,
    chain::{make, single_threaded},
    way::{Family, Place, Way},
};
use crate::{config::DecoderChoice, media::Codec};

/// Surfaces that `nvv4l2decoder` adds to those that it needs for itself, at most: its own limit.
const MOST_SURFACES: u32 = 55;

/// How a camera's pictures are decoded.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// What is there.
    pub decoders: Arc<Decoders>,
    /// What was asked for.
    pub choice: DecoderChoice,
    /// Whether what looks at the pictures can read them on the device.
    pub device: bool,
    /// How many of the ways were gone and did not work.
    pub failed: usize,
    /// Pictures leave at once; breaks streams with B-frames.
    pub low_delay: bool,
    /// Pictures of the camera that the line may hold at a time.
    pub held: u32,
    /// Software: pictures need a converter.
    pub convert: bool,
}

impl Setup {
    /// The way that is gone now.
    ///
    /// # Errors
    /// [`Fault::NoDecoder`]: all have failed, or there was none.
    pub(crate) fn way(&self, codec: Codec) -> Result<Way, Fault> {
        let ways = self.decoders.ways(codec, self.choice, self.device);
        ways.get(self.failed).copied().ok_or(Fault::NoDecoder(if ways.is_empty() { "is here" } else { "works" }))
    }

    /// Whether there is a way after the one that is gone now.
    pub(crate) fn next(&self, codec: Codec) -> Option<Way> {
        self.decoders.ways(codec, self.choice, self.device).get(self.failed + 1).copied()
    }
}

/// The elements of the way, to be linked one after the other.
pub(crate) fn elements(codec: Codec, setup: &Setup) -> Result<Vec<gst::Element>, Fault> {
    let way = setup.way(codec)?;
    let decoder = make(way.element(codec))?;
    let caps = match (way.family, way.place) {
        (Family::Software, _) => {
            // One thread each: cameras run beside one another, and frame threads cost latency and CPU.
            single_threaded(&decoder);
            return Ok(vec![decoder]);
        }
        (Family::Nvv4l2, place) => {
            nvv4l2(&decoder, codec, setup)?;
            match place {
                Place::Device => "video/x-raw(memory:NVMM),format=NV12",
                Place::Host => "video/x-raw,format=NV12",
            }
        }
        (Family::Nvcodec, Place::Device) => "video/x-raw(memory:CUDAMemory),format=NV12",
        (Family::Nvcodec, Place::Host) => "video/x-raw,format=NV12",
        (Family::NvJpeg, _) => "video/x-raw,format={NV12,I420}",
    };
    let mut all = vec![decoder];
    if way == (Way { family: Family::Nvv4l2, place: Place::Host }) {
        all.push(make("nvvidconv").or_else(|_| make("nvvideoconvert"))?);
    }
    let filter = make("capsfilter")?;
    filter.set_property("caps", caps.parse::<gst::Caps>().map_err(Fault::link)?);
    all.push(filter);
    Ok(all)
}

/// Its properties differ from release to release, and between Jetsons and GPUs: each is set where it is there.
fn nvv4l2(decoder: &gst::Element, codec: Codec, setup: &Setup) -> Result<(), Fault> {
    if codec == Codec::Mjpeg && !set(decoder, "mjpeg", "true") {
        return Err(Fault::Missing("nvv4l2decoder that takes JPEG".to_owned()));
    }
    // What the line holds the decoder cannot fill meanwhile.
    set(decoder, "num-extra-surfaces", &setup.held.min(MOST_SURFACES).to_string());
    set(decoder, "enable-max-performance", "true");
    // Of a GPU's build: device memory.
    set(decoder, "cudadec-memtype", "0");
    if setup.low_delay {
        set(decoder, "disable-dpb", "true");
        set(decoder, "low-latency-mode", "true");
    }
    Ok(())
}

/// Sets a property, if it is there and takes this.
fn set(element: &gst::Element, name: &str, text: &str) -> bool {
    let Some(spec) = element.find_property(name).filter(|spec| spec.flags().contains(gst::glib::ParamFlags::WRITABLE)) else {
        return false;
    };
    gst::glib::Value::deserialize(text, spec.value_type()).is_ok_and(|value| {
        element.set_property_from_value(name, &value);
        true
    })
}

/// Keeps what a decoder cannot begin with away from it: all before the first random access point. What begins in the middle of a group of
/// pictures leaves some hardware decoders without a picture for ever.
pub(crate) fn begin_with_key(decoder: &gst::Element) {
    let Some(pad) = decoder.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| match info.buffer() {
        Some(buffer) if buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) => gst::PadProbeReturn::Drop,
        Some(_) => gst::PadProbeReturn::Remove,
        None => gst::PadProbeReturn::Ok,
    });
}
