//! Whether GStreamer has what decodes cameras.

use gstreamer as gst;

use super::{Finding, Setting};
use crate::{config::SourceConfig, decode::package_of};

const AREA: &str = "decoder";

/// A codec: its name, what takes it apart, and what decodes it, hardware first.
struct Codec {
    name: &'static str,
    parser: &'static str,
    hardware: [&'static str; 2],
    software: &'static str,
    /// Whether nearly every camera needs it.
    common: bool,
}

const CODECS: [Codec; 3] = [
    Codec { name: "H.264", parser: "h264parse", hardware: ["nvv4l2decoder", "nvh264dec"], software: "avdec_h264", common: true },
    Codec { name: "H.265", parser: "h265parse", hardware: ["nvv4l2decoder", "nvh265dec"], software: "avdec_h265", common: true },
    Codec { name: "Motion JPEG", parser: "jpegparse", hardware: ["nvjpegdec", ""], software: "jpegdec", common: false },
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
    findings.extend(CODECS.iter().map(|codec| codec.examine(&has)));
    if setting.root.join("dev/v4l2-nvdec").exists() && !has("nvv4l2decoder") {
        let remedy = "install nvidia-l4t-gstreamer (JetPack) or gstreamer1.0-plugins-nvvideo4linux2 (Yocto)";
        findings.push(Finding::warning(AREA, "there is a hardware decoder, and GStreamer has no nvv4l2decoder", remedy));
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

impl Codec {
    fn examine(&self, has: &impl Fn(&str) -> bool) -> Finding {
        let bad = if self.common { Finding::error } else { Finding::warning };
        if !has(self.parser) {
            let says = format!("{}: {} is missing", self.name, self.parser);
            return bad(AREA, says, format!("install {}", package_of(self.parser))).of(self.name);
        }
        let hardware: Vec<&str> = self.hardware.into_iter().filter(|name| !name.is_empty() && has(name)).collect();
        let software = has(self.software);
        match (hardware.as_slice(), software) {
            ([], false) => {
                let says = format!("nothing decodes {}: {} is missing", self.name, self.software);
                bad(AREA, says, format!("install {}", package_of(self.software))).of(self.name)
            }
            ([], true) => Finding::ok(AREA, format!("{}, by software", self.software)).of(self.name),
            (some, false) => {
                let says = format!("{}, and no software decoder to fall back to", some.join(", "));
                Finding::warning(AREA, says, format!("install {}", package_of(self.software))).of(self.name)
            }
            (some, true) => Finding::ok(AREA, format!("{}; {} to fall back to", some.join(", "), self.software)).of(self.name),
        }
    }
}
