//! Which GStreamer elements a camera needs, and the Debian packages that hold them.

use gstreamer as gst;

use super::camera::{Recipe, What};
use crate::media::Codec;

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";

/// An element that is not installed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("GStreamer element {element} is missing: install the Debian package {package}")]
pub struct MissingElement {
    /// The element's name.
    pub element: &'static str,
    /// The package that holds it.
    pub package: &'static str,
}

pub(super) fn exists(element: &str) -> bool {
    gst::ElementFactory::find(element).is_some()
}

/// The H.264 encoder at hand: x264 where it is installed, else OpenH264.
pub(super) fn h264_encoder() -> &'static str {
    if exists("x264enc") || !exists("openh264enc") { "x264enc" } else { "openh264enc" }
}

/// Fails with the first element that a recipe needs and that is not installed. A server with a missing element would answer
/// every DESCRIBE with 503 and say nothing.
pub(super) fn check(recipe: &Recipe) -> Result<(), MissingElement> {
    let mut needed = vec![("rtpbin", GOOD), ("appsrc", BASE), ("h264parse", BAD)];
    match recipe.what {
        What::File(_) => needed.extend([("parsebin", BASE), ("qtdemux", GOOD), ("matroskademux", GOOD), ("avidemux", GOOD)]),
        What::Webcam(_) => needed.extend([("v4l2src", GOOD), ("decodebin", BASE), ("videorate", BASE)]),
        What::Scene(_) => {}
        What::Test { .. } => needed.push(("videotestsrc", BASE)),
    }
    if let Some(codec) = recipe.encode {
        needed.extend([("videoconvert", BASE), ("videoscale", BASE)]);
        needed.push(match codec {
            Codec::H264 => (h264_encoder(), UGLY),
            Codec::H265 => ("x265enc", BAD),
            Codec::Mjpeg => ("jpegenc", GOOD),
        });
        needed.extend(payloader_elements(codec));
    }
    first_missing(&needed)
}

/// The same for the elements that put a codec on the wire.
pub(super) fn check_payloader(codec: Codec) -> Result<(), MissingElement> {
    first_missing(&payloader_elements(codec))
}

fn payloader_elements(codec: Codec) -> [(&'static str, &'static str); 2] {
    match codec {
        Codec::H264 => [("h264parse", BAD), ("rtph264pay", GOOD)],
        Codec::H265 => [("h265parse", BAD), ("rtph265pay", GOOD)],
        Codec::Mjpeg => [("jpegparse", BAD), ("rtpjpegpay", GOOD)],
    }
}

fn first_missing(needed: &[(&'static str, &'static str)]) -> Result<(), MissingElement> {
    match needed.iter().find(|(element, _)| !exists(element)) {
        Some(&(element, package)) => Err(MissingElement { element, package }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_element_names_its_package() {
        gst::init().unwrap();
        let error = first_missing(&[("appsrc", BASE), ("no-such-element", UGLY)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "GStreamer element no-such-element is missing: install the Debian package gstreamer1.0-plugins-ugly"
        );
    }
}
