//! What appears while a pipeline runs is linked up here: demuxed streams to their decoder, decoders to the end of the pipeline.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::{
    decode::{Chain, Fault, Setup, Tail, Watch, begin_with_key, elements, make, parser, single_threaded},
    media::Codec,
};

/// Where a found video stream goes. Holds no reference to the pipeline, whose elements hold this.
#[derive(Clone)]
pub(super) struct Attach {
    pipeline: gst::glib::WeakRef<gst::Pipeline>,
    tail: gst::glib::WeakRef<gst::Element>,
    watch: Watch,
    setup: Setup,
    found: Arc<AtomicBool>,
}

impl Attach {
    pub(super) fn new(chain: &Chain, tail: &Tail, setup: &Setup, key_frames_only: bool) -> Self {
        Self {
            pipeline: chain.pipeline().downgrade(),
            tail: tail.first().downgrade(),
            watch: chain.watch(key_frames_only),
            setup: setup.clone(),
            found: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Links a pad with encoded or raw video; the first one wins.
    fn video(&self, pad: &gst::Pad) -> Result<(), Fault> {
        let (Some(pipeline), Some(tail)) = (self.pipeline.upgrade(), self.tail.upgrade()) else { return Ok(()) };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let Some(kind) = caps.structure(0).map(|s| s.name().to_string()) else { return Ok(()) };
        if !(kind.starts_with("video/") || kind.starts_with("image/")) || self.found.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let codec = match kind.as_str() {
            "video/x-h264" => Some(Codec::H264),
            "video/x-h265" => Some(Codec::H265),
            "image/jpeg" => Some(Codec::Mjpeg),
            _ => None,
        };
        let next = match codec {
            Some(codec) => {
                self.watch.codec(codec);
                self.decoder(codec, &pipeline, &tail)?
            }
            None if kind == "video/x-raw" => tail,
            None => {
                let decoder = decodebin(&Self { found: Arc::default(), ..self.clone() })?;
                pipeline.add(&decoder).map_err(Fault::link)?;
                decoder
            }
        };
        next.sync_state_with_parent().map_err(Fault::link)?;
        let sink = next.static_pad("sink").ok_or_else(|| Fault::Stopped("no pad to link to".into()))?;
        pad.link(&sink).map_err(Fault::link)?;
        Ok(())
    }

    /// The decoder of a way, linked up to the end of the pipeline; its first element.
    fn decoder(&self, codec: Codec, pipeline: &gst::Pipeline, tail: &gst::Element) -> Result<gst::Element, Fault> {
        let (way, mut parts) = (self.setup.way(codec)?, elements(codec, &self.setup)?);
        if let Some(decoder) = parts.first() {
            self.watch.decoder(decoder);
        }
        if way.is_hardware() {
            parts.first().into_iter().for_each(begin_with_key);
            // What a container holds is no byte stream, which is all that the hardware takes.
            parts.insert(0, make(parser(codec))?);
        }
        // A pipeline with an element that does not start could not be stopped: on its way down it would start it again. Until they have
        // started, the pipeline leaves these alone.
        for part in &parts {
            part.set_locked_state(true);
        }
        pipeline.add_many(&parts).map_err(Fault::link)?;
        gst::Element::link_many(parts.iter().chain([tail])).map_err(Fault::link)?;
        // Those at the end first: data may come at once.
        if let Err(error) = parts.iter().rev().try_for_each(|part| part.set_state(gst::State::Paused).map(drop)) {
            for part in &parts {
                let _ = part.set_state(gst::State::Null);
            }
            let _ = pipeline.remove_many(&parts);
            return Err(Fault::link(error));
        }
        for part in parts.iter().rev() {
            part.set_locked_state(false);
            part.sync_state_with_parent().map_err(Fault::link)?;
        }
        self.watch.decoding(codec, way);
        parts.into_iter().next().ok_or_else(|| Fault::Stopped("no decoder".into()))
    }

    /// [`Self::video`] in a callback: what goes wrong is posted where the pipeline's own errors go.
    fn video_of(&self, element: &gst::Element, pad: &gst::Pad) {
        if let Err(fault) = self.video(pad) {
            let text = fault.to_string();
            self.watch.fail(fault);
            post(element, &text);
        }
    }
}

fn post(element: &gst::Element, text: &str) {
    gst::element_error!(element, gst::StreamError::CodecNotFound, ("{text}"));
}

/// Follows a parsebin.
pub(super) fn parsed(parser: &gst::Element, attach: &Attach) {
    let to = attach.clone();
    parser.connect_pad_added(move |parser, pad| to.video_of(parser, pad));
    // parsebin at times keeps the error of an unlinked audio stream to itself, and never says that there are no more pads.
    let to = attach.clone();
    parser.connect("drained", false, move |_| {
        if !to.found.load(Ordering::Relaxed) {
            to.watch.fail(Fault::no_video());
        }
        None
    });
}

/// A decodebin whose decoders run single-threaded and whose video goes to the end of the pipeline.
pub(super) fn decodebin(attach: &Attach) -> Result<gst::Element, Fault> {
    let decoder = make("decodebin")?;
    let to = attach.clone();
    decoder.connect_pad_added(move |decoder, pad| to.video_of(decoder, pad));
    if let Some(bin) = decoder.downcast_ref::<gst::Bin>() {
        let watch = attach.watch.clone();
        bin.connect_deep_element_added(move |_, _, element| {
            let class = element.metadata(gst::ELEMENT_METADATA_KLASS).unwrap_or_default();
            if class.contains("Decoder") && (class.contains("Video") || class.contains("Image")) {
                single_threaded(element);
                watch.decoder(element);
            }
        });
    }
    Ok(decoder)
}

/// Follows an rtspsrc: its video, and nothing else, goes through a parsebin.
pub(super) fn rtp(chain: &Chain, source: &gst::Element, attach: &Attach) {
    // Asked only when the certificate has failed verification. The answer is no; the reason goes to the status.
    let watch = attach.watch.clone();
    source.connect("accept-certificate", false, move |values| {
        let flags = values.get(3).and_then(|value| value.get::<gio::TlsCertificateFlags>().ok());
        let why = flags.map_or_else(String::new, |flags| flags.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join(", "));
        watch.fail(Fault::tls(format!("the camera's certificate is not trusted: {}", why.to_lowercase())));
        Some(false.to_value())
    });
    source.connect("select-stream", false, |values| {
        let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
        let media = caps.and_then(|caps| caps.structure(0)?.get::<String>("media").ok());
        Some((media.as_deref() == Some("video")).to_value())
    });
    let (to, pipeline) = (attach.clone(), chain.pipeline().downgrade());
    source.connect_pad_added(move |source, pad| {
        let linked = || -> Result<(), Fault> {
            let Some(pipeline) = pipeline.upgrade() else { return Ok(()) };
            let parser = make("parsebin")?;
            parsed(&parser, &to);
            pipeline.add(&parser).map_err(Fault::link)?;
            parser.sync_state_with_parent().map_err(Fault::link)?;
            let sink = parser.static_pad("sink").ok_or_else(|| Fault::Stopped("no pad to link to".into()))?;
            pad.link(&sink).map_err(Fault::link)?;
            Ok(())
        };
        if let Err(fault) = linked() {
            post(source, &fault.to_string());
        }
    });
}
