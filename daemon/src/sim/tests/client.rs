//! A client: retina, with a deadline on everything.

use std::{future::Future, sync::Arc, time::Duration};

use futures::StreamExt;
use retina::{
    client::{
        Credentials, Demuxed, PlayOptions, Session, SessionGroup, SessionOptions, SetupOptions, TcpTransportOptions, Transport,
        UdpTransportOptions,
    },
    codec::{CodecItem, FrameFormat, VideoFrame},
};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

pub(super) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(DEADLINE, what).await.expect("in time")
}

pub(super) struct Client {
    pub(super) encoding: String,
    /// From the description.
    pub(super) size: Option<(u32, u32)>,
    session: Demuxed,
    group: Arc<SessionGroup>,
    /// Frames seen.
    pub(super) count: usize,
    /// RTCP packets seen by `frame`, raw, with the time of capture they name.
    pub(super) reports: Vec<Report>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) ntp: u64,
    pub(super) rtp: u32,
}

fn options(login: Option<(&str, &str)>, group: Arc<SessionGroup>) -> SessionOptions {
    let login = login.map(|(user, password)| Credentials { username: user.into(), password: password.into() });
    SessionOptions::default().creds(login).session_group(group)
}

pub(super) async fn describe(
    url: &str,
    login: Option<(&str, &str)>,
) -> Result<Session<retina::client::Described>, retina::Error> {
    describe_in(url, login, Arc::default()).await
}

async fn describe_in(
    url: &str,
    login: Option<(&str, &str)>,
    group: Arc<SessionGroup>,
) -> Result<Session<retina::client::Described>, retina::Error> {
    soon(Session::describe(url.parse().unwrap(), options(login, group))).await
}

fn dimensions(stream: &retina::client::Stream) -> Option<(u32, u32)> {
    match stream.parameters() {
        Some(retina::codec::ParametersRef::Video(video)) => Some(video.pixel_dimensions()),
        _ => None,
    }
}

impl Client {
    pub(super) async fn tcp(url: &str) -> Result<Self, retina::Error> {
        Self::watch(url, None, Transport::Tcp(TcpTransportOptions::default())).await
    }

    pub(super) async fn udp(url: &str) -> Result<Self, retina::Error> {
        Self::watch(url, None, Transport::Udp(UdpTransportOptions::default())).await
    }

    pub(super) async fn watch(url: &str, login: Option<(&str, &str)>, transport: Transport) -> Result<Self, retina::Error> {
        let group = Arc::new(SessionGroup::default());
        let mut session = describe_in(url, login, group.clone()).await?;
        let encoding = session.streams()[0].encoding_name().to_owned();
        let size = dimensions(&session.streams()[0]);
        let setup = SetupOptions::default().transport(transport).frame_format(FrameFormat::SIMPLE);
        soon(session.setup(0, setup)).await?;
        let session = soon(session.play(PlayOptions::default())).await?.demuxed()?;
        Ok(Self { encoding, size, session, group, count: 0, reports: Vec::new() })
    }

    /// From the latest parameter sets.
    pub(super) fn size_now(&self) -> Option<(u32, u32)> {
        dimensions(&self.session.streams()[0])
    }

    /// The next frame; `None` at the end of the stream.
    pub(super) async fn try_frame(&mut self) -> Option<Result<VideoFrame, retina::Error>> {
        loop {
            match self.session.next().await? {
                Ok(CodecItem::VideoFrame(frame)) => {
                    self.count += 1;
                    return Some(Ok(frame));
                }
                Ok(CodecItem::Rtcp(packet)) => {
                    let reports = packet.pkts().filter_map(|p| p.as_sender_report().unwrap());
                    self.reports.extend(reports.map(|r| Report { ntp: r.ntp_timestamp().0, rtp: r.rtp_timestamp() }));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    pub(super) async fn frame(&mut self) -> VideoFrame {
        soon(self.try_frame()).await.expect("a frame").expect("no error")
    }

    pub(super) async fn frames(&mut self, count: usize) -> Vec<VideoFrame> {
        let mut frames = Vec::new();
        for _ in 0..count {
            frames.push(self.frame().await);
        }
        frames
    }

    /// Reads until a sender report comes.
    pub(super) async fn report(&mut self) -> Report {
        while self.reports.is_empty() {
            self.frame().await;
        }
        self.reports.remove(0)
    }

    /// Ends the session as clients should.
    pub(super) async fn leave(self) {
        let group = self.group.clone();
        drop(self);
        soon(group.await_teardown()).await.unwrap();
    }

    /// Whether the stream ends (or fails) soon.
    pub(super) async fn ends(mut self) {
        while let Some(Ok(_)) = soon(self.try_frame()).await {}
    }
}
