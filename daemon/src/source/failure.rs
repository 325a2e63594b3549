//! What went wrong with a camera, as a state and words for people.

use std::time::Duration;

use crate::{decode::Fault, status::CameraState};

/// Why a session ended, or never began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) state: CameraState,
    pub(crate) detail: String,
}

/// How far an RTSP session had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connecting, describing, setting up, starting.
    Opening,
    /// Media was playing.
    Playing,
}

impl Failure {
    pub(crate) fn new(state: CameraState, detail: impl Into<String>) -> Self {
        Self { state, detail: detail.into() }
    }

    /// A request got no answer in time.
    pub(crate) fn timeout(request: &str, limit: Duration) -> Self {
        Self::new(CameraState::Unreachable, format!("no answer to {request} within {} s", limit.as_secs_f64()))
    }

    /// From an error of retina's.
    pub(crate) fn rtsp(error: &retina::Error, phase: Phase) -> Self {
        classify(error.status_code(), &error.to_string(), phase)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(fault.state(), fault.to_string())
    }
}

/// retina's errors are opaque but for the RTSP status: the kind is told by the beginning of the text (`retina::error::ErrorInt`,
/// 0.4.21). The first line is for people; what follows is packet context.
fn classify(status: Option<u16>, text: &str, phase: Phase) -> Failure {
    let line = text.lines().next().unwrap_or_default().trim();
    let state = match status {
        Some(401 | 403) => CameraState::AuthFailed,
        Some(404 | 410) => CameraState::NotFound,
        // A good answer whose body makes no sense, or a format that cannot be taken apart.
        Some(200..=299 | 415) => CameraState::UnsupportedCodec,
        Some(_) => CameraState::Unreachable,
        None => from_words(line, phase),
    };
    Failure::new(state, line)
}

fn from_words(line: &str, phase: Phase) -> CameraState {
    let starts = |words: &[&str]| words.iter().any(|w| line.starts_with(w));
    if starts(&["Unable to connect to RTSP server", "Timeout", "Invalid argument"]) {
        return CameraState::Unreachable;
    }
    if starts(&["Unsupported"]) {
        return CameraState::UnsupportedCodec;
    }
    match phase {
        // Not an RTSP server, or one that hung up.
        Phase::Opening => CameraState::Unreachable,
        Phase::Playing
            if starts(&["Error reading from RTSP peer", "Error writing to RTSP peer", "Error receiving UDP packet"]) =>
        {
            CameraState::Connecting
        }
        // RTSP framing, RTP packets or NAL units that cannot be.
        Phase::Playing => CameraState::DecodeError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts as retina 0.4.21 wrote them here.
    const SEEN: [(Option<u16>, &str, Phase, CameraState); 9] = [
        (None, "Unable to connect to RTSP server: Connection refused (os error 111)", Phase::Opening, CameraState::Unreachable),
        (
            None,
            "Unable to connect to RTSP server: failed to lookup address information: Name or service not known",
            Phase::Opening,
            CameraState::Unreachable,
        ),
        (
            Some(401),
            "401 Unauthorized response to DESCRIBE CSeq=2: Received Unauthorized after trying digest auth\n\nconn: x",
            Phase::Opening,
            CameraState::AuthFailed,
        ),
        (
            Some(404),
            "404 Not Found response to DESCRIBE CSeq=1: Unexpected RTSP response status",
            Phase::Opening,
            CameraState::NotFound,
        ),
        (Some(503), "503 Service Unavailable response to DESCRIBE CSeq=1: x", Phase::Opening, CameraState::Unreachable),
        (Some(200), "200 OK response to DESCRIBE CSeq=1: Unable to parse SDP", Phase::Opening, CameraState::UnsupportedCodec),
        (
            None,
            "Error reading from RTSP peer: EOF while expecting response to DESCRIBE CSeq 1\n\nconn: x",
            Phase::Opening,
            CameraState::Unreachable,
        ),
        (None, "Error reading from RTSP peer: Connection reset by peer (os error 104)", Phase::Playing, CameraState::Connecting),
        (None, "RTSP framing error: Invalid RTSP message: x\n\nconn: y\nmsg: z", Phase::Playing, CameraState::DecodeError),
    ];

    #[test]
    fn errors_become_states_and_one_line() {
        for (status, text, phase, expected) in SEEN {
            let failure = classify(status, text, phase);
            assert_eq!(failure.state, expected, "{text}");
            assert!(!failure.detail.contains('\n') && !failure.detail.is_empty());
        }
    }
}
