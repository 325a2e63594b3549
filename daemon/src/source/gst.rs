//! Sources that GStreamer feeds: files, devices, test pictures, the user's own fragments, and RTSP over TLS. Their frames carry the
//! time of arrival: what GStreamer knows of sender reports does not come with its pictures in the versions that devices have.

mod attach;
mod build;

use std::{io::ErrorKind, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Failure, Line, SessionEnd, build as away, tear_down};
use crate::{
    config::{RtspConfig, SourceConfig},
    decode::{Chain, End, Fault},
    file,
    status::CameraState,
};

/// RTSP over TLS, by IANA.
const RTSPS_PORT: u16 = 322;

impl Line {
    /// One run of a GStreamer source.
    pub(super) async fn gst_session(&mut self, source: &SourceConfig) -> SessionEnd {
        let plan = build::Plan {
            source: source.clone(),
            outlet: Arc::clone(&self.outlet),
            setup: self.setup.clone(),
            key_frames_only: self.camera.key_frames_only,
            media_start: self.media_end,
        };
        // GStreamer would wait for ever for whoever writes into a FIFO, and not be stopped in that.
        if let SourceConfig::File(config) = source {
            let path = config.path.clone();
            let opened = away(move || Ok(file::regular(&path))).await;
            if let Ok(Err(error)) = opened
                && error.kind() == ErrorKind::InvalidInput
            {
                return SessionEnd::Failed(Failure::new(CameraState::Unreachable, error.to_string()));
            }
        }
        let before = self.outlet.delivered();
        self.born = before;
        let chain = match away(move || build::chain(&plan)).await {
            Ok(chain) => chain,
            Err(fault) => return Self::gst_failed(fault.into(), source, false),
        };
        self.graph.set(&chain);
        let stop = self.stop.clone();
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => SessionEnd::Stopped,
            end = chain.over() => self.gst_over(end, source, &chain, before),
            failure = self.silence(&chain, source) => SessionEnd::Failed(failure),
        };
        // Hardware that takes all and gives nothing.
        let end = match (end, chain.decodes()) {
            (SessionEnd::Failed(_), Some(codec))
                if chain.last_input().is_some() && self.outlet.delivered() == before && self.fall(codec, &Fault::Silent) =>
            {
                SessionEnd::Again
            }
            (end, Some(codec)) => {
                if matches!(end, SessionEnd::Failed(_)) {
                    self.absolve(codec);
                }
                end
            }
            (end, None) => end,
        };
        if let SessionEnd::Failed(_) | SessionEnd::Finished(Some(_)) = end {
            self.keep_graph(&chain).await;
        }
        tear_down(chain).await;
        match (end, source) {
            (SessionEnd::Failed(failure), SourceConfig::Rtsps(rtsp)) => SessionEnd::Failed(tell_tls(failure, rtsp).await),
            (end, _) => end,
        }
    }

    fn gst_over(&mut self, end: End, source: &SourceConfig, chain: &Chain, before: u64) -> SessionEnd {
        let delivered = self.outlet.delivered() > before;
        match (end, source) {
            (End::Fault(fault), source) if self.gst_falls(&fault, source, chain, delivered) => SessionEnd::Again,
            (End::Fault(Fault::Format(_)), _) if !self.setup.convert => {
                self.setup.convert = true;
                SessionEnd::Again
            }
            (End::Fault(fault), _) => Self::gst_failed(fault.into(), source, delivered),
            (End::Eos, SourceConfig::File(_)) if !delivered => {
                SessionEnd::Failed(Failure::new(CameraState::DecodeError, "no picture came out of the file"))
            }
            (End::Eos, SourceConfig::File(file)) if file.repeat => {
                self.media_end = chain.media_end();
                SessionEnd::Again
            }
            (End::Eos, SourceConfig::File(_)) => SessionEnd::Finished(None),
            (End::Eos, _) => SessionEnd::Failed(Failure::new(CameraState::Connecting, "the source ended")),
        }
    }

    /// Whether another decoder takes over. Of a file that is played once no picture may have been taken.
    fn gst_falls(&mut self, fault: &Fault, source: &SourceConfig, chain: &Chain, delivered: bool) -> bool {
        let once = matches!(source, SourceConfig::File(file) if !file.repeat);
        let Some(codec) = chain.decodes().filter(|_| !(once && delivered)) else { return false };
        self.fall(codec, fault)
    }

    /// A file that is played once and broke off in the middle is not played again: its first frames were taken already.
    fn gst_failed(failure: Failure, source: &SourceConfig, delivered: bool) -> SessionEnd {
        match source {
            SourceConfig::File(file) if delivered && !file.repeat => SessionEnd::Finished(Some(failure)),
            _ => SessionEnd::Failed(failure),
        }
    }

    /// Waits until a source has been silent for too long. A file may be, once it has begun: the line holds it back.
    async fn silence(&self, chain: &Chain, source: &SourceConfig) -> Failure {
        let opening = match source {
            // DESCRIBE, two SETUPs, PLAY.
            SourceConfig::Rtsps(rtsp) => rtsp.request_timeout * 4,
            _ => Duration::ZERO,
        };
        let (timeout, started) = (self.camera.no_data_timeout, Instant::now());
        loop {
            let last = chain.last_input().map(Instant::from_std);
            if last.is_some() && matches!(source, SourceConfig::File(_)) {
                return std::future::pending().await;
            }
            let due = last.map_or(started + opening + timeout, |last| last + timeout);
            if Instant::now() < due {
                tokio::time::sleep_until(due).await;
                continue;
            }
            let seconds = timeout.as_secs_f64();
            return match (last, source) {
                (None, SourceConfig::Rtsps(_)) => Failure::timeout("the RTSP requests", opening + timeout),
                (None, SourceConfig::File(_)) => {
                    Failure::new(CameraState::DecodeError, format!("no picture came out of the file within {seconds} s"))
                }
                _ => Failure::new(CameraState::NoData, format!("no picture for {seconds} s")),
            };
        }
    }
}

/// GStreamer says `Generic error` of a host that refuses and of one that speaks no TLS: only the latter takes connections.
async fn tell_tls(failure: Failure, rtsp: &RtspConfig) -> Failure {
    if failure.state != CameraState::Unreachable || !failure.detail.contains("Generic error") {
        return failure;
    }
    let (host, port) = (rtsp.url.host_str().unwrap_or_default(), rtsp.url.port().unwrap_or(RTSPS_PORT));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::time::timeout(rtsp.request_timeout, tokio::net::TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Failure::new(CameraState::Tls, "the host takes connections, but the TLS handshake failed"),
        Ok(Err(error)) => Failure::new(CameraState::Unreachable, format!("unable to connect: {error}")),
        Err(_) => Failure::timeout("the connection", rtsp.request_timeout),
    }
}
