//! RTSP through retina, with what retina leaves to its user: a deadline on every request, a watchdog on the data, and what to do
//! after a loss.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use retina::{
    client::{Credentials, Described, PlayOptions, Session, SessionGroup, SessionOptions, SetupOptions, Transport},
    codec::{CodecItem, FrameFormat, ParametersRef, VideoFrame},
};
use tokio::time::Instant;

use super::{
    Failure, Line, SessionEnd, build,
    clock::{CameraClock, media_time},
    codec_of,
    failure::Phase,
    gate::{Gate, Verdict},
    tear_down,
};
use crate::{
    config::{RtspConfig, RtspTransport},
    decode::{Decoder, Fault, Place, Pushed},
    media::{AccessUnit, Codec, TimeBasis, TimeCard},
    status::CameraState,
};

/// Units that entered the decoder without a picture coming out: more than any decoder holds back.
const SILENT_UNITS: u32 = 50;
/// A camera that does not answer a TEARDOWN in this time is left: it holds up the next session, or the process's end.
const TEARDOWN: Duration = Duration::from_secs(2);
const USER_AGENT: &str = concat!("egret/", env!("CARGO_PKG_VERSION"));

impl Line {
    /// One RTSP session from DESCRIBE to TEARDOWN.
    pub(super) async fn rtsp_session(&mut self, rtsp: &RtspConfig) -> SessionEnd {
        let group = Arc::new(SessionGroup::default());
        let stop = self.stop.clone();
        let mut decoder = None;
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => SessionEnd::Stopped,
            end = self.rtsp_play(rtsp, &group, &mut decoder) => match end {
                Ok(end) => end,
                Err(failure) => SessionEnd::Failed(failure),
            },
        };
        // The session was dropped above: retina says TEARDOWN in the background.
        let teardown = tokio::time::timeout(rtsp.request_timeout.min(TEARDOWN), group.await_teardown());
        let decoder = async {
            if let Some(decoder) = decoder {
                if matches!(&end, SessionEnd::Failed(failure) if failure.state == CameraState::DecodeError) {
                    self.keep_graph(decoder.chain()).await;
                }
                tear_down(decoder).await;
            }
        };
        if let (Ok(Err(error)), ()) = tokio::join!(teardown, decoder) {
            tracing::debug!(camera = self.outlet.stream().name(), %error, "teardown");
        }
        end
    }

    async fn rtsp_play(
        &mut self,
        rtsp: &RtspConfig,
        group: &Arc<SessionGroup>,
        decoder: &mut Option<Decoder>,
    ) -> Result<SessionEnd, Failure> {
        let limit = rtsp.request_timeout;
        let options =
            SessionOptions::default().creds(credentials(rtsp)).user_agent(USER_AGENT.to_owned()).session_group(Arc::clone(group));
        let mut session = within(limit, "DESCRIBE", Session::describe(rtsp.url.clone(), options)).await?;
        let (index, codec) = choose(&session)?;
        *decoder = Some(self.decoder(codec).await?);
        let setup = SetupOptions::default().transport(transport(rtsp.transport)).frame_format(FrameFormat::SIMPLE);
        within(limit, "SETUP", session.setup(index, setup)).await?;
        let session = within(limit, "PLAY", session.play(PlayOptions::default())).await?;
        let rate_hz = session.streams()[index].clock_rate_hz();
        let demuxed = session.demuxed().map_err(|error| Failure::rtsp(&error, Phase::Opening))?;
        self.outlet.codec(codec);

        let gate = Gate::new(rtsp.max_gop_wait, self.camera.key_frames_only, self.keyless, Instant::now().into_std());
        let mut play = Playing { codec, gate, clock: CameraClock::new(rate_hz), units: 0, silent_since: (0, 0) };
        let timeout = self.camera.no_data_timeout;
        let mut last_unit = Instant::now();
        let mut demuxed = pin!(demuxed);
        let mut watchdog = pin!(tokio::time::sleep(timeout));
        loop {
            tokio::select! {
                item = demuxed.next() => match item {
                    Some(Ok(CodecItem::VideoFrame(frame))) => {
                        last_unit = Instant::now();
                        self.rtsp_frame(frame, &mut play, decoder).await?;
                    }
                    Some(Ok(CodecItem::Rtcp(packet))) => self.sender_report(&packet, &mut play),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(Failure::rtsp(&error, Phase::Playing)),
                    None => return Err(Failure::new(CameraState::Connecting, "the camera closed the connection")),
                },
                () = &mut watchdog => {
                    if last_unit.elapsed() >= timeout {
                        let seconds = timeout.as_secs_f64();
                        return Err(Failure::new(CameraState::NoData, format!("no access unit for {seconds} s")));
                    }
                    if play.is_silent(self.outlet.delivered()) {
                        self.silent(&mut play, decoder).await?;
                    }
                    watchdog.as_mut().reset(last_unit + timeout);
                }
            }
        }
    }

    /// A decoder, by the first way that can be gone.
    async fn decoder(&mut self, codec: Codec) -> Result<Decoder, Fault> {
        loop {
            let (outlet, setup) = (Arc::clone(&self.outlet), self.setup.clone());
            self.born = self.outlet.delivered();
            match build(move || Decoder::new(codec, &outlet, &setup)).await {
                Ok(decoder) => {
                    self.graph.set(decoder.chain());
                    self.decodes(codec);
                    return Ok(decoder);
                }
                Err(fault) if self.fall(codec, &fault) => {}
                Err(fault) => return Err(fault),
            }
        }
    }

    fn sender_report(&self, packet: &retina::rtcp::ReceivedCompoundPacket, play: &mut Playing) {
        let host = std::time::SystemTime::now();
        for report in packet.pkts().filter_map(|packet| packet.as_sender_report().ok().flatten()) {
            if !play.clock.report(report.ntp_timestamp().0, report.rtp_timestamp(), host) && play.clock.rejected() == 1 {
                let camera = self.outlet.stream().name();
                tracing::warn!(camera, ntp = %report.ntp_timestamp(), "the camera's clock is more than a day off: not used");
            }
        }
    }

    /// Takes one access unit through the gate into the decoder, which is rebuilt if it broke.
    async fn rtsp_frame(&mut self, frame: VideoFrame, play: &mut Playing, decoder: &mut Option<Decoder>) -> Result<(), Failure> {
        let lost = frame.loss();
        if lost > 0 {
            self.outlet.count(|status| status.packets_lost += u64::from(lost));
        }
        if !self.keyless && decoder.as_ref().is_some_and(Decoder::take_damage) {
            play.gate.shut();
        }
        match play.gate.judge(frame.is_random_access_point(), lost > 0, Instant::now().into_std()) {
            Verdict::Pass => {}
            Verdict::Unwanted => return Ok(()),
            Verdict::Skip => {
                self.skipped();
                return Ok(());
            }
            Verdict::GiveUp => {
                self.skipped();
                self.keyless |= !play.gate.seen_key();
                return Err(Failure::new(CameraState::Connecting, "the next key frame is too far away"));
            }
        }
        let unit = self.access_unit(frame, play);
        play.units += 1;
        match decoder.as_mut().map(|decoder| decoder.push(unit)) {
            Some(Pushed::Queued) | None => Ok(()),
            Some(Pushed::Full) => {
                self.skipped();
                play.gate.shut();
                Ok(())
            }
            Some(Pushed::Failed(fault)) => self.rebuild(fault, play, decoder).await,
        }
    }

    /// Replaces a broken decoder; the next random access point goes into the new one. No one else notices.
    async fn rebuild(&mut self, fault: Fault, play: &mut Playing, decoder: &mut Option<Decoder>) -> Result<(), Failure> {
        if self.fall(play.codec, &fault) {
            // Told where it was decided.
        } else if matches!(fault, Fault::Format(_)) && !self.setup.convert && !self.on_device(play.codec) {
            tracing::info!(camera = self.outlet.stream().name(), %fault, "decoding through a converter");
            self.setup.convert = true;
        } else {
            self.absolve(play.codec);
            self.outlet.count(|status| status.decode_errors += 1);
            self.outlet.show(fault.state(), &fault.to_string());
            if let Some(decoder) = decoder {
                self.keep_graph(decoder.chain()).await;
            }
        }
        self.replace(play, decoder).await
    }

    async fn replace(&mut self, play: &mut Playing, decoder: &mut Option<Decoder>) -> Result<(), Failure> {
        if let Some(broken) = decoder.take() {
            tear_down(broken).await;
        }
        *decoder = Some(self.decoder(play.codec).await?);
        self.skipped();
        play.gate.shut();
        Ok(())
    }

    /// A decoder that says nothing is replaced where another way is left; else the session is over.
    async fn silent(&mut self, play: &mut Playing, decoder: &mut Option<Decoder>) -> Result<(), Failure> {
        if !self.fall(play.codec, &Fault::Silent) {
            self.absolve(play.codec);
            return Err(Fault::Silent.into());
        }
        play.silent_since = (play.units, self.outlet.delivered());
        self.replace(play, decoder).await
    }

    fn on_device(&self, codec: Codec) -> bool {
        self.setup.way(codec).is_ok_and(|way| way.place == Place::Device)
    }

    fn skipped(&self) {
        self.outlet.count(|status| status.skipped_to_idr += 1);
    }

    fn access_unit(&self, frame: VideoFrame, play: &Playing) -> AccessUnit {
        let (time, start) = (frame.timestamp(), frame.start_ctx());
        let arrival = start.received_wall().into();
        // The low 32 bits are those of the packet.
        let rtp = time.timestamp() as u32;
        let (capture, mut times) = (play.clock.capture(rtp, arrival), TimeCard::received(start.received()));
        if capture.basis == TimeBasis::SenderReport
            && let Some(by) = play.clock.uncertainty(rtp)
        {
            times.set_uncertainty(by);
        }
        AccessUnit {
            stream: self.outlet.stream().clone(),
            codec: play.codec,
            pts: media_time(time.elapsed(), time.clock_rate().get()),
            capture,
            random_access: frame.is_random_access_point(),
            loss: frame.loss(),
            times,
            data: frame.into_data().into(),
        }
    }
}

/// What a camera offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) codec: Codec,
    /// Width and height in pixels, where it says so before it plays.
    pub(crate) size: Option<(u32, u32)>,
}

/// Asks a camera what it offers, with its credentials, and no more: nothing is set up and nothing plays.
pub(crate) async fn describe(rtsp: &RtspConfig) -> Result<Offer, Failure> {
    let options = SessionOptions::default().creds(credentials(rtsp)).user_agent(USER_AGENT.to_owned());
    let session = within(rtsp.request_timeout, "DESCRIBE", Session::describe(rtsp.url.clone(), options)).await?;
    let (index, codec) = choose(&session)?;
    let size = match session.streams()[index].parameters() {
        Some(ParametersRef::Video(video)) => Some(video.pixel_dimensions()),
        _ => None,
    };
    Ok(Offer { codec, size })
}

/// What one session needs to remember.
struct Playing {
    codec: Codec,
    gate: Gate,
    clock: CameraClock,
    /// Units that entered the decoder.
    units: u32,
    /// Units and pictures at the last look.
    silent_since: (u32, u64),
}

impl Playing {
    /// Data that goes in and never becomes a picture: the decoder makes nothing of it and does not even say so.
    fn is_silent(&mut self, delivered: u64) -> bool {
        if delivered != self.silent_since.1 {
            self.silent_since = (self.units, delivered);
        }
        self.units.saturating_sub(self.silent_since.0) >= SILENT_UNITS
    }
}

/// A request with its deadline: retina has none.
async fn within<T>(limit: Duration, request: &str, answer: impl Future<Output = Result<T, retina::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(|error| Failure::rtsp(&error, Phase::Opening)),
        Err(_) => Err(Failure::timeout(request, limit)),
    }
}

/// The first video stream that can be decoded.
fn choose(session: &Session<Described>) -> Result<(usize, Codec), Failure> {
    let video = || session.streams().iter().enumerate().filter(|(_, stream)| matches!(stream.media(), "video" | "image"));
    let found = video().find_map(|(index, stream)| Some((index, codec_of(stream.encoding_name())?)));
    found.ok_or_else(|| {
        let offers: Vec<&str> = video().map(|(_, stream)| stream.encoding_name()).collect();
        let detail = match offers[..] {
            [] => "the camera offers no video".to_owned(),
            _ => format!("the camera offers {}; egret takes H.264, H.265 and Motion JPEG", offers.join(", ")),
        };
        Failure::new(CameraState::UnsupportedCodec, detail)
    })
}

/// Made here and handed over at once: retina's type shows its password in `Debug`.
fn credentials(rtsp: &RtspConfig) -> Option<Credentials> {
    let credentials = rtsp.credentials.as_ref()?;
    Some(Credentials { username: credentials.username.clone(), password: credentials.password.expose().to_owned() })
}

fn transport(transport: RtspTransport) -> Transport {
    match transport {
        RtspTransport::Tcp => Transport::Tcp(retina::client::TcpTransportOptions::default()),
        RtspTransport::Udp => Transport::Udp(retina::client::UdpTransportOptions::default()),
    }
}
