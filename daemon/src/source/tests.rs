mod fall;
mod files;
#[cfg(feature = "sim")]
mod rtsp;
#[cfg(feature = "sim")]
mod rtsp_faults;
#[cfg(feature = "sim")]
mod rtsps;

#[cfg(feature = "sim")]
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::*;
use crate::{
    config::{DecoderChoice, RtspConfig, RtspTransport},
    gate::PictureSettings,
    media::Frame,
    status::CameraStatus,
};

const DEADLINE: Duration = Duration::from_mins(1);

#[cfg(feature = "sim")]
fn data(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("EGRET_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

fn camera(source: SourceConfig) -> CameraConfig {
    CameraConfig {
        name: "cam".into(),
        source,
        model: "demo".into(),
        classes: None,
        confidence: None,
        rules: Arc::default(),
        max_fps: None,
        idle_fps: None,
        weight: 1.0,
        key_frames_only: false,
        decoder: DecoderChoice::Auto,
        low_delay: false,
        no_data_timeout: Duration::from_secs(2),
        frozen_timeout: Duration::ZERO,
        picture: PictureSettings::default(),
        calm_interval: Duration::ZERO,
        gate: None,
        enabled: true,
    }
}

fn rtsp(url: &str) -> RtspConfig {
    RtspConfig {
        url: url.parse().unwrap(),
        credentials: None,
        transport: RtspTransport::Tcp,
        ca_file: None,
        request_timeout: Duration::from_secs(10),
        max_gop_wait: Duration::from_secs(10),
    }
}

/// Waits that do not slow the tests down.
fn hasty() -> Context {
    let backoff = BackoffLimits {
        first: Duration::from_millis(20),
        ceiling: Duration::from_millis(200),
        flapping_ceiling: Duration::from_millis(50),
        healthy: Duration::from_mins(1),
    };
    Context { backoff, ..Context::default() }
}

/// Where the frames of a camera under test arrive.
#[derive(Default)]
struct Inbox {
    frames: Mutex<Vec<Frame>>,
    came: Notify,
}

impl Inbox {
    fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn len(&self) -> usize {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A camera under test.
struct Rig {
    board: Arc<StatusBoard>,
    stream: StreamId,
    inbox: Arc<Inbox>,
    camera: Camera,
}

impl Rig {
    fn start(config: &CameraConfig) -> Self {
        Self::start_with(config, hasty())
    }

    fn start_with(config: &CameraConfig, context: Context) -> Self {
        let (board, stream, inbox) = (StatusBoard::new(), StreamId::new(1, &config.name), Arc::new(Inbox::default()));
        board.add(&stream);
        let to = Arc::clone(&inbox);
        let sink = FrameSink::new(
            move |frame| {
                let mut frames = to.frames.lock().unwrap_or_else(PoisonError::into_inner);
                frames.push(frame);
                to.came.notify_one();
                true
            },
            || (),
        );
        let camera = start(config, stream.clone(), sink, Arc::clone(&board), context);
        Self { board, stream, inbox, camera }
    }

    fn status(&self) -> CameraStatus {
        self.board.get(&self.stream).unwrap()
    }

    /// Waits until the camera's status is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&CameraStatus) -> bool) -> CameraStatus {
        let wait = async {
            loop {
                let status = self.status();
                if wanted(&status) {
                    return status;
                }
                self.board.wait().await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{what}: still {:?}", self.status()))
    }

    async fn state(&self, state: CameraState) -> CameraStatus {
        self.until(state.as_str(), |status| status.state == state).await
    }

    /// Waits for so many new frames and takes them.
    async fn frames(&self, count: usize) -> Vec<Frame> {
        self.inbox.take();
        self.frames_so_far(count).await
    }

    /// Waits until there are so many frames, and takes them.
    async fn frames_so_far(&self, count: usize) -> Vec<Frame> {
        let wait = async {
            while self.inbox.len() < count {
                self.inbox.came.notified().await;
            }
        };
        let came = tokio::time::timeout(DEADLINE, wait).await;
        assert!(came.is_ok(), "{} of {count} frames; {:?}", self.inbox.len(), self.status());
        self.inbox.take()
    }

    async fn stop(self) {
        tokio::time::timeout(DEADLINE, self.camera.stop()).await.expect("the camera stops");
    }
}

#[tokio::test]
async fn a_camera_that_is_switched_off_does_nothing() {
    let rig = Rig::start(&CameraConfig { enabled: false, ..camera(SourceConfig::Rtsp(rtsp("rtsp://127.0.0.1:1/x"))) });
    rig.state(CameraState::Disabled).await;
    assert!(rig.camera.graph().is_none());
    rig.stop().await;
}
