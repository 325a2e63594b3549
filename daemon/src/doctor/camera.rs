//! Whether a camera answers, and what it offers.

use std::{path::Path, time::Duration};

use gstreamer as gst;
use rustix::fs::{Access, access};

use super::Finding;
use crate::{
    config::{CameraConfig, RtspConfig, SourceConfig},
    file,
    media::Codec,
    publish::{self, Failure as TlsFailure},
    source::{self, Failure},
    status::CameraState,
};

pub(super) const AREA: &str = "camera";
/// RTSP's port over TLS (RFC 7826, section 19.1).
const RTSPS: u16 = 322;

pub(super) async fn examine(camera: &CameraConfig, limit: Duration) -> Vec<Finding> {
    let found = if camera.enabled {
        match &camera.source {
            SourceConfig::Rtsp(rtsp) => describe(rtsp, limit).await,
            SourceConfig::Rtsps(rtsp) => shake_hands(rtsp, limit).await,
            SourceConfig::File(config) => file(&config.path),
            SourceConfig::V4l2(path) => device(path),
            SourceConfig::Test(_) => Finding::ok(AREA, "a test picture"),
            SourceConfig::Gst(fragment) => fragment_parses(fragment),
        }
    } else {
        Finding::note(AREA, "switched off")
    };
    vec![found.of(&camera.name)]
}

async fn describe(rtsp: &RtspConfig, limit: Duration) -> Finding {
    let at = place(rtsp);
    let rtsp = RtspConfig { request_timeout: rtsp.request_timeout.min(limit), ..rtsp.clone() };
    match source::describe(&rtsp).await {
        Ok(offer) => {
            let size = offer.size.map_or_else(String::new, |(width, height)| format!(" {width}x{height}"));
            let codec = match offer.codec {
                Codec::H264 => "H.264",
                Codec::H265 => "H.265",
                Codec::Mjpeg => "Motion JPEG",
            };
            Finding::ok(AREA, format!("{at} offers {codec}{size}"))
        }
        Err(Failure { state, detail }) => Finding::error(AREA, format!("{at}: {}: {detail}", state.as_str()), remedy(state)),
    }
}

fn remedy(state: CameraState) -> &'static str {
    match state {
        CameraState::AuthFailed => "correct the camera's user name and password (credentials)",
        CameraState::NotFound => "correct the path of its url: the camera has no such stream",
        CameraState::UnsupportedCodec => "let the camera send H.264, H.265 or Motion JPEG",
        CameraState::Tls => "see its certificate and ca_file",
        _ => "see that it has power and network, and that the address of its url is right",
    }
}

fn place(rtsp: &RtspConfig) -> String {
    let port = rtsp.url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}{port}", rtsp.url.host_str().unwrap_or_default())
}

/// GStreamer takes these as a whole: here only that something answers, with a certificate that is taken.
async fn shake_hands(rtsp: &RtspConfig, limit: Duration) -> Finding {
    let at = place(rtsp);
    let (host, port) = (rtsp.url.host_str().unwrap_or_default(), rtsp.url.port().unwrap_or(RTSPS));
    match tokio::time::timeout(limit, publish::shake_hands(host, port, rtsp.ca_file.as_deref())).await {
        Ok(Ok(())) => Finding::ok(AREA, format!("{at} answers by TLS (its stream was not asked for)")),
        Ok(Err((failure, detail))) => {
            let state = if failure == TlsFailure::Tls { CameraState::Tls } else { CameraState::Unreachable };
            Finding::error(AREA, format!("{at}: {}: {detail}", state.as_str()), remedy(state))
        }
        Err(_) => {
            let says = format!("{at}: no answer within {} s", limit.as_secs_f64());
            Finding::error(AREA, says, remedy(CameraState::Unreachable))
        }
    }
}

fn file(path: &Path) -> Finding {
    match file::regular(path) {
        Ok(_) => Finding::ok(AREA, format!("{} can be read", path.display())),
        Err(error) => Finding::error(AREA, format!("{}: {error}", path.display()), "correct its path, or let the daemon read it"),
    }
}

fn device(path: &Path) -> Finding {
    match access(path, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => Finding::ok(AREA, format!("{} can be used", path.display())),
        Err(error) if path.exists() => {
            Finding::error(AREA, format!("{}: {error}", path.display()), "usermod -aG video egret, then start it anew")
        }
        Err(error) => Finding::error(
            AREA,
            format!("{}: {error}", path.display()),
            "plug it in; v4l2-ctl --list-devices lists what there is",
        ),
    }
}

fn fragment_parses(fragment: &str) -> Finding {
    let parsed = gst::init()
        .map_err(|error| error.to_string())
        .and_then(|()| gst::parse::bin_from_description(fragment, false).map_err(|error| error.message().to_owned()));
    match parsed {
        Ok(_) => Finding::ok(AREA, "its GStreamer fragment can be made"),
        Err(error) => Finding::error(AREA, format!("its GStreamer fragment: {error}"), "correct it, or install the plug-in"),
    }
}
