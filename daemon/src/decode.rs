//! Decoding: one GStreamer pipeline per camera, `appsrc ! parser ! decoder ! appsink`.
//!
//! Only the decoder element and the memory differ between machines ([`Way`]). A picture goes from the decoder to the batcher on the decoder's own thread,
//! in the decoder's own buffer: nothing is copied and no thread is woken in between.

mod chain;
mod device;
mod fault;
mod freeze;
mod machine;
mod outlet;
mod parts;
mod pending;
mod picture;
mod way;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

pub use chain::Chain;
pub(crate) use chain::{End, Tail, Watch, draw, make, single_threaded};
pub use fault::Fault;
pub(crate) use fault::{package_of, redact};
pub use machine::Decoders;
pub use outlet::{FrameSink, Outlet};
pub use parts::Setup;
pub(crate) use parts::{begin_with_key, elements};
pub(crate) use pending::Card;
use pending::Keys;
pub(crate) use picture::PictureFormat;
pub use way::{Family, Machine, Place, Way};

use crate::media::{AccessUnit, Codec};

/// Access units that may wait before the decoder: about two seconds of a camera.
pub const QUEUE: usize = 60;

/// What became of an access unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Pushed {
    /// It waits for the decoder.
    Queued,
    /// The decoder is too far behind: it was dropped, and so must be all up to the next random access point.
    Full,
    /// The decoder is broken and must be rebuilt.
    Failed(Fault),
}

/// The decoder of one camera's session. Dropping it stops its threads (a moment's block: not on an async worker).
pub struct Decoder {
    codec: Codec,
    source: gst_app::AppSrc,
    queued: Arc<AtomicUsize>,
    keys: Keys,
    chain: Chain,
}

impl Decoder {
    /// A running decoder for `codec` whose pictures go to `outlet`, as `setup` says; with a converter where [`Fault::Format`] came back
    /// before.
    pub fn new(codec: Codec, outlet: &Arc<Outlet>, setup: &Setup) -> Result<Self, Fault> {
        let chain = Chain::new(outlet)?;
        let source = gst_app::AppSrc::builder()
            .caps(&caps(codec))
            .format(gst::Format::Time)
            .stream_type(gst_app::AppStreamType::Stream)
            .is_live(true)
            .max_bytes(0)
            .property("emit-signals", false)
            .build();
        let parser = make(parser(codec))?;
        let parts = elements(codec, setup)?;
        let tail = Tail::new(&chain, setup, false)?;
        chain.share(&setup.decoders);
        let line = [source.upcast_ref(), &parser].into_iter().chain(&parts);
        chain.pipeline().add_many(line.clone()).map_err(Fault::link)?;
        gst::Element::link_many(line.chain([tail.first()])).map_err(Fault::link)?;
        let queued = Arc::new(AtomicUsize::new(0));
        let leaving = Arc::clone(&queued);
        if let Some(pad) = source.static_pad("src") {
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                leaving.fetch_sub(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        }
        chain.play()?;
        Ok(Self { codec, source, queued, keys: Keys::default(), chain })
    }

    /// What it decodes.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Hands over an access unit; never blocks.
    pub fn push(&mut self, unit: AccessUnit) -> Pushed {
        if let Some(fault) = self.chain.fault() {
            return Pushed::Failed(fault);
        }
        if self.queued.load(Ordering::Relaxed) >= QUEUE {
            return Pushed::Full;
        }
        let key = self.keys.key(unit.pts);
        let at = gst::ClockTime::from_nseconds(key);
        let delta = !unit.random_access;
        self.chain.expect(Card { key, pts: Some(unit.pts), capture: unit.capture, times: unit.times });
        let mut buffer = gst::Buffer::from_slice(unit.data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(at);
            if delta {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.queued.fetch_add(1, Ordering::Relaxed);
        match self.source.push_buffer(buffer) {
            Ok(_) => Pushed::Queued,
            Err(flow) => Pushed::Failed(self.chain.fault().unwrap_or_else(|| Fault::stopped(flow))),
        }
    }

    /// Whether a picture came out damaged since the last call: better wait for a random access point.
    pub fn take_damage(&self) -> bool {
        self.chain.take_damage()
    }

    /// What broke it, if something did.
    pub fn fault(&self) -> Option<Fault> {
        self.chain.fault()
    }

    /// Ends the stream and waits until every picture has come out; `false` if that took longer than `deadline`.
    pub fn drain(&self, deadline: Duration) -> bool {
        self.source.end_of_stream().is_ok() && self.chain.wait_for_end(deadline)
    }

    /// The pipeline.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
}

/// The element that takes a stream apart into pictures.
pub(crate) fn parser(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "h264parse",
        Codec::H265 => "h265parse",
        Codec::Mjpeg => "jpegparse",
    }
}

fn caps(codec: Codec) -> gst::Caps {
    match codec {
        Codec::H264 => gst::Caps::builder("video/x-h264").field("stream-format", "byte-stream").field("alignment", "au").build(),
        Codec::H265 => gst::Caps::builder("video/x-h265").field("stream-format", "byte-stream").field("alignment", "au").build(),
        Codec::Mjpeg => gst::Caps::builder("image/jpeg").build(),
    }
}

#[cfg(test)]
mod tests;
