//! Whether GStreamer has what decodes cameras.

use gstreamer as gst;

use super::{Finding, Setting};
use crate::{
    config::{DecoderChoice, SourceConfig},
    decode::{Decoders, Way, package_of},
    media::Codec,
};

const AREA: &str = "decoder";

/// A codec: its name, what takes it apart, and whether nearly every camera needs it.
struct Kind {
    codec: Codec,
    name: &'static str,
    parser: &'static str,
    common: bool,
}

const KINDS: [Kind; 3] = [
    Kind { codec: Codec::H264, name: "H.264", parser: "h264parse", common: true },
    Kind { codec: Codec::H265, name: "H.265", parser: "h265parse", common: true },
    Kind { codec: Codec::Mjpeg, name: "Motion JPEG", parser: "jpegparse", common: false },
];

/// What every pipeline is made with.
const ALWAYS: [&str; 4] = ["appsrc", "appsink", "videoconvert", "capsfilter"];

/// Whether GStreamer has an element of this name.
pub(super) fn has_element(name: &str) -> bool {
    gst::init().is_ok() && gst::ElementFactory::find(name).is_some()
}

pub(super) fn examine(setting: &Setting) -> Vec<Finding> {
    if let Err(error) = gst::init() {
        return vec![Finding::error(AREA, format!("GStreamer cannot be initialised: {error}"), "install libgstreamer1.0-0")];
    }
    let (major, minor, micro, _) = gst::version();
    let mut findings = vec![if (major, minor) < (1, 20) {
        Finding::warning("gstreamer", format!("GStreamer {major}.{minor}.{micro}"), "egret is made for 1.20 and later")
    } else {
        Finding::ok("gstreamer", format!("GStreamer {major}.{minor}.{micro}"))
    }];
    let has = |name: &str| (setting.has_element)(name);
    let needed = ALWAYS.into_iter().chain(of_sources(setting));
    findings.extend(needed.filter(|name| !has(name)).map(missing));
    // As the daemon chooses; where pictures lie is not asked here.
    let decoders = Decoders::find(&egret_jetson::probe(&setting.root), &setting.root, false, None);
    for kind in &KINDS {
        let ways = decoders.ways(kind.codec, DecoderChoice::Auto, false);
        findings.extend(kind.examine(&ways, &has));
    }
    findings
}

fn missing(element: &str) -> Finding {
    Finding::error("gstreamer", format!("element {element} is missing"), format!("install {}", package_of(element)))
}

/// What the configured cameras need besides.
fn of_sources(setting: &Setting) -> Vec<&'static str> {
    let cameras = setting.config.iter().flat_map(|config| &config.cameras);
    let mut needed: Vec<_> = cameras
        .filter_map(|camera| match camera.source {
            SourceConfig::Rtsps(_) => Some("rtspsrc"),
            SourceConfig::V4l2(_) => Some("v4l2src"),
            SourceConfig::File(_) => Some("decodebin"),
            SourceConfig::Test(_) => Some("videotestsrc"),
            SourceConfig::Rtsp(_) | SourceConfig::Gst(_) => None,
        })
        .collect();
    needed.sort_unstable();
    needed.dedup();
    needed
}

impl Kind {
    /// `ways`: as the daemon would try them, the CPU last.
    fn examine(&self, ways: &[Way], has: &impl Fn(&str) -> bool) -> Vec<Finding> {
        let bad = |says: String, element: &str| {
            let finding = if self.common { Finding::error } else { Finding::warning };
            finding(AREA, says, format!("install {}", package_of(element))).of(self.name)
        };
        if !has(self.parser) {
            return vec![bad(format!("{} is missing", self.parser), self.parser)];
        }
        let software = Way::SOFTWARE.element(self.codec);
        let mut findings = Vec::new();
        let (there, missing): (Vec<&Way>, Vec<&Way>) = ways.iter().partition(|way| has(way.element(self.codec)));
        let Some(first) = there.first() else { return vec![bad(format!("nothing decodes it: {software} is missing"), software)] };
        let names: Vec<&str> = there.iter().map(|way| way.element(self.codec)).collect();
        let kind = if first.is_hardware() { "by hardware" } else { "by software" };
        findings.push(Finding::ok(AREA, format!("{kind}: {}", names.join(", then "))).of(self.name));
        if !first.is_hardware()
            && let Some(way) = missing.iter().find(|way| way.is_hardware())
        {
            let element = way.element(self.codec);
            let says = format!("the hardware's decoder is not used: {element} is missing");
            findings.push(Finding::warning(AREA, says, format!("install {}", package_of(element))).of(self.name));
        }
        if !there.contains(&&Way::SOFTWARE) {
            let says = format!("there is nothing to fall back to: {software} is missing");
            findings.push(Finding::warning(AREA, says, format!("install {}", package_of(software))).of(self.name));
        }
        findings
    }
}
