//! The pipelines of the GStreamer sources.

use std::{sync::Arc, time::Duration};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::attach::{self, Attach};
use crate::{
    config::{FileConfig, RtspConfig, RtspTransport, SourceConfig, TestConfig},
    decode::{Chain, Fault, Outlet, Setup, Tail, make},
};

/// What to build.
pub(super) struct Plan {
    pub(super) source: SourceConfig,
    pub(super) outlet: Arc<Outlet>,
    pub(super) setup: Setup,
    pub(super) key_frames_only: bool,
    pub(super) media_start: Duration,
}

/// A running pipeline.
pub(super) fn chain(plan: &Plan) -> Result<Chain, Fault> {
    let chain = Chain::new(&plan.outlet)?;
    chain.set_media_start(plan.media_start);
    let paced = matches!(&plan.source, SourceConfig::File(FileConfig { realtime: true, .. }));
    let tail = Tail::new(&chain, &plan.setup, paced)?;
    chain.share(&plan.setup.decoders);
    let attach = Attach::new(&chain, &tail, &plan.setup, plan.key_frames_only);
    match &plan.source {
        SourceConfig::File(file) => self::file(&chain, file, &attach)?,
        SourceConfig::V4l2(device) => {
            let source = make("v4l2src")?;
            source.set_property("device", device.display().to_string());
            decodebin(&chain, &source, &attach)?;
        }
        SourceConfig::Test(test) => {
            let source = fragment(&chain, &test_picture(test))?;
            source.link(tail.first()).map_err(Fault::link)?;
        }
        SourceConfig::Gst(text) => {
            let source = fragment(&chain, text)?;
            decodebin_after(&chain, &source, &attach)?;
        }
        SourceConfig::Rtsps(rtsp) => rtsps(&chain, rtsp, &attach)?,
        SourceConfig::Rtsp(_) => return Err(Fault::Stopped("RTSP does not go through GStreamer".into())),
    }
    chain.play()?;
    Ok(chain)
}

/// `filesrc ! parsebin ! decoder`: no queues and no threads beyond the demuxer's, in which the decoder then runs.
fn file(chain: &Chain, file: &FileConfig, attach: &Attach) -> Result<(), Fault> {
    let (source, parser) = (make("filesrc")?, make("parsebin")?);
    source.set_property("location", file.path.display().to_string());
    chain.pipeline().add_many([&source, &parser]).map_err(Fault::link)?;
    source.link(&parser).map_err(Fault::link)?;
    attach::parsed(&parser, attach);
    Ok(())
}

fn decodebin(chain: &Chain, source: &gst::Element, attach: &Attach) -> Result<(), Fault> {
    chain.pipeline().add(source).map_err(Fault::link)?;
    decodebin_after(chain, source, attach)
}

fn decodebin_after(chain: &Chain, source: &gst::Element, attach: &Attach) -> Result<(), Fault> {
    let decoder = attach::decodebin(attach)?;
    chain.pipeline().add(&decoder).map_err(Fault::link)?;
    source.link(&decoder).map_err(Fault::link)
}

/// The user's own elements as one, with the open end as its pad.
fn fragment(chain: &Chain, text: &str) -> Result<gst::Element, Fault> {
    // A description may not end in caps; one element more and it may.
    let bin = gst::parse::bin_from_description(text, true)
        .or_else(|error| gst::parse::bin_from_description(&format!("{text} ! capsfilter"), true).map_err(|_| error))
        .map_err(|error| Fault::description(&error))?;
    if bin.static_pad("src").is_none() {
        return Err(Fault::Stopped("the GStreamer fragment has no open end to take video from".into()));
    }
    chain.pipeline().add(&bin).map_err(Fault::link)?;
    Ok(bin.upcast())
}

fn test_picture(test: &TestConfig) -> String {
    let pattern: String = test.pattern.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let TestConfig { width, height, fps, .. } = test;
    format!(
        "videotestsrc is-live=true pattern={pattern} ! video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"
    )
}

/// RTSP over TLS. retina speaks none, so GStreamer's client does, with the certificate verified.
fn rtsps(chain: &Chain, rtsp: &RtspConfig, attach: &Attach) -> Result<(), Fault> {
    let source = make("rtspsrc")?;
    source.set_property("location", rtsp.url.as_str());
    source.set_property_from_str("tls-validation-flags", "validate-all");
    source.set_property_from_str("protocols", if rtsp.transport == RtspTransport::Tcp { "tcp" } else { "udp" });
    source.set_property("tcp-timeout", rtsp.request_timeout.as_micros() as u64);
    // Pictures leave as soon as they are decoded; this is only how long a packet may be late.
    source.set_property("latency", 200_u32);
    if let Some(credentials) = &rtsp.credentials {
        source.set_property("user-id", &credentials.username);
        source.set_property("user-pw", credentials.password.expose());
    }
    if let Some(file) = &rtsp.ca_file {
        let database = gio::TlsFileDatabase::new(file).map_err(|error| Fault::tls(format!("{}: {error}", file.display())))?;
        source.set_property("tls-database", database);
    }
    chain.pipeline().add(&source).map_err(Fault::link)?;
    attach::rtp(chain, &source, attach);
    Ok(())
}
