//! Why a GStreamer pipeline stopped, in words that a camera's status can carry.

use gstreamer as gst;

use crate::status::CameraState;

/// Why a pipeline cannot be built or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A GStreamer plug-in is not installed.
    #[error("GStreamer element `{0}` is missing: install its plug-in ({package})", package = package_of(.0))]
    Missing(String),
    /// No decoder is left.
    #[error("no decoder of NVIDIA's hardware {0}: write decoder = \"auto\", and the CPU decodes")]
    NoDecoder(&'static str),
    /// Pictures cannot be read where the decoder leaves them.
    #[error("pictures cannot be read where the decoder leaves them: {0}")]
    Surface(String),
    /// Data goes in and no picture comes out.
    #[error("data arrives, but no picture comes out of it")]
    Silent,
    /// Pictures come in a layout that needs a converter.
    #[error("pictures come as {0}")]
    Format(String),
    /// An element reported an error.
    #[error("{text}")]
    Element {
        /// The camera state that fits.
        state: CameraState,
        /// What the element said, without credentials.
        text: String,
    },
    /// It stopped without a word.
    #[error("the pipeline stopped: {0}")]
    Stopped(String),
}

impl Fault {
    /// An error message from the bus.
    pub(crate) fn from_message(error: &gst::message::Error) -> Self {
        let (cause, debug) = (error.error(), error.debug());
        let detail = debug.as_deref().and_then(|d| d.lines().last()).map(str::trim).filter(|d| !d.is_empty());
        let text = redact(&detail.map_or_else(|| cause.message().to_owned(), |d| format!("{} {d}", cause.message())));
        if text.contains("reason not-linked") {
            // Nothing in it was taken up.
            return Self::no_video();
        }
        Self::Element { state: state_of(&cause, &text), text }
    }

    pub(crate) fn link(error: impl std::fmt::Display) -> Self {
        Self::Stopped(redact(&error.to_string()))
    }

    /// A GStreamer description that does not parse, or names what is not installed.
    pub(crate) fn description(error: &gst::glib::Error) -> Self {
        let missing = error.kind::<gst::ParseError>() == Some(gst::ParseError::NoSuchElement);
        let state = if missing { CameraState::UnsupportedCodec } else { CameraState::NotFound };
        Self::Element { state, text: redact(&format!("the GStreamer fragment: {}", error.message())) }
    }

    /// A file or a stream of something else.
    pub(crate) fn no_video() -> Self {
        Self::Element { state: CameraState::UnsupportedCodec, text: "there is no video in it".into() }
    }

    /// TLS cannot even begin.
    pub(crate) fn tls(text: String) -> Self {
        Self::Element { state: CameraState::Tls, text }
    }

    pub(crate) fn stopped(flow: gst::FlowError) -> Self {
        Self::Stopped(flow.to_string())
    }

    /// The camera state that fits.
    pub fn state(&self) -> CameraState {
        match self {
            Self::Missing(_) | Self::NoDecoder(_) => CameraState::UnsupportedCodec,
            Self::Format(_) | Self::Stopped(_) | Self::Surface(_) | Self::Silent => CameraState::DecodeError,
            Self::Element { state, .. } => *state,
        }
    }
}

/// The camera state that fits an element's error.
fn state_of(error: &gst::glib::Error, text: &str) -> CameraState {
    if error.domain().as_str() == "g-tls-error-quark" {
        return CameraState::Tls;
    }
    if let Some(kind) = error.kind::<gst::ResourceError>() {
        return match kind {
            gst::ResourceError::NotFound => CameraState::NotFound,
            gst::ResourceError::NotAuthorized => CameraState::AuthFailed,
            gst::ResourceError::OpenReadWrite if text.contains("TLS") || text.contains("certificate") => CameraState::Tls,
            _ => CameraState::Unreachable,
        };
    }
    if error.kind::<gst::CoreError>() == Some(gst::CoreError::MissingPlugin) {
        return CameraState::UnsupportedCodec;
    }
    match error.kind::<gst::StreamError>() {
        Some(
            gst::StreamError::CodecNotFound
            | gst::StreamError::TypeNotFound
            | gst::StreamError::WrongType
            | gst::StreamError::NotImplemented,
        ) => CameraState::UnsupportedCodec,
        _ => CameraState::DecodeError,
    }
}

/// Debian's name of the package that has an element.
pub(crate) fn package_of(element: &str) -> &'static str {
    match element {
        e if e.starts_with("avdec") => "gstreamer1.0-libav",
        e if e.starts_with("nvv") => "nvidia-l4t-gstreamer",
        "h264parse" | "h265parse" | "nvh264dec" | "nvh265dec" | "nvjpegdec" => "gstreamer1.0-plugins-bad",
        "capsfilter" => "libgstreamer1.0-0",
        "jpegdec" | "jpegparse" | "rtspsrc" | "v4l2src" => "gstreamer1.0-plugins-good",
        _ => "gstreamer1.0-plugins-base",
    }
}

/// Takes the credentials out of every URL in a text: `scheme://user:password@host` loses all between `//` and the last `@`.
pub(crate) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')).unwrap_or(tail.len());
        let (url, after) = tail.split_at(end);
        out.push_str(url.rsplit_once('@').map_or(url, |(_, host)| host));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_url_keeps_its_credentials() {
        for (text, expected) in [
            (
                "Could not open rtsp://admin:p@ss/w:rd@10.0.0.1/a?b=c for reading",
                "Could not open rtsp://10.0.0.1/a?b=c for reading",
            ),
            ("\"http://u@h\" and 'rtsps://x:y@z/1'", "\"http://h\" and 'rtsps://z/1'"),
            ("nothing here", "nothing here"),
            ("rtsp://host/path", "rtsp://host/path"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn errors_become_states() {
        gst::init().unwrap();
        let state = |kind, text: &str| state_of(&gst::glib::Error::new::<gst::ResourceError>(kind, text), text);
        assert_eq!(state(gst::ResourceError::NotFound, "No such file"), CameraState::NotFound);
        assert_eq!(state(gst::ResourceError::NotAuthorized, "Unauthorized"), CameraState::AuthFailed);
        assert_eq!(state(gst::ResourceError::OpenReadWrite, "refused"), CameraState::Unreachable);
        assert_eq!(state(gst::ResourceError::OpenReadWrite, "Unacceptable TLS certificate"), CameraState::Tls);
        let stream = |kind| state_of(&gst::glib::Error::new::<gst::StreamError>(kind, ""), "");
        assert_eq!(stream(gst::StreamError::CodecNotFound), CameraState::UnsupportedCodec);
        assert_eq!(stream(gst::StreamError::Decode), CameraState::DecodeError);
    }
}
