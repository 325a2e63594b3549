//! Where frames come from: RTSP, files, devices, test pictures.
//!
//! One task per camera runs one session after the other for as long as the camera is configured. Nothing that goes wrong with a
//! camera ends its task: it becomes a state on the status board, a wait, and another attempt.

mod backoff;
mod clock;
mod failure;
mod fall;
mod gate;
mod graph;
mod gst;
mod rtsp;

use std::{
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

pub use backoff::{Backoff, BackoffLimits};
pub(crate) use failure::Failure;
use graph::GraphHandle;
pub(crate) use rtsp::describe;

use crate::{
    batch::Slot,
    config::{CameraConfig, SourceConfig},
    decode::{Chain, Decoders, Fault, FrameSink, Outlet, Setup},
    media::{Codec, Downloads, StreamId},
    status::{CameraState, StatusBoard},
};

impl From<Slot> for FrameSink {
    fn from(slot: Slot) -> Self {
        let slot = Arc::new(slot);
        let interrupts = Arc::clone(&slot);
        Self::watched(move |frame, still| slot.offer_seen(frame, still), move || interrupts.interrupt())
    }
}

/// What all cameras of a process share.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Where the GStreamer graph of a failing camera is written. `None`: nowhere.
    pub graph_dir: Option<PathBuf>,
    /// How long to wait between sessions.
    pub backoff: BackoffLimits,
    /// What decodes here.
    pub decoders: Arc<Decoders>,
    /// Whether what looks at the pictures can read them on the device.
    pub device: bool,
    /// Pictures of a camera that the line may hold at a time.
    pub held: u32,
}

/// A running camera.
pub struct Camera {
    outlet: Arc<Outlet>,
    stop: CancellationToken,
    ended: CancellationToken,
    graph: GraphHandle,
    task: JoinHandle<()>,
}

/// Starts a camera that is on the board; its decoded frames go to `frames`. Expects to be called on a tokio runtime.
pub fn start(
    camera: &CameraConfig,
    stream: StreamId,
    frames: impl Into<FrameSink>,
    board: Arc<StatusBoard>,
    context: Context,
) -> Camera {
    let outlet = Outlet::new(stream, frames.into(), board, camera.frozen_timeout);
    outlet.watch(camera.watch());
    outlet.hide(camera.hidden());
    let (stop, ended, graph) = (CancellationToken::new(), CancellationToken::new(), GraphHandle::default());
    let line = Line {
        backoff: Backoff::new(context.backoff),
        camera: camera.clone(),
        outlet: Arc::clone(&outlet),
        stop: stop.clone(),
        graph: graph.clone(),
        setup: Setup {
            decoders: Arc::clone(&context.decoders),
            choice: camera.decoder,
            device: context.device,
            failed: 0,
            low_delay: camera.low_delay,
            held: context.held,
            convert: false,
        },
        born: 0,
        keyless: false,
        media_end: Duration::ZERO,
        context,
    };
    let task = tokio::spawn(line.run(ended.clone()));
    Camera { outlet, stop, ended, graph, task }
}

impl Camera {
    /// Whose it is.
    pub fn stream(&self) -> &StreamId {
        self.outlet.stream()
    }

    /// What its pictures are watched for, from the next one on. `masks`: its masks are others, too.
    pub fn watch(&self, camera: &CameraConfig, masks: bool) {
        self.outlet.watch(camera.watch());
        if masks {
            self.outlet.hide(camera.hidden());
        }
    }

    /// Stops it: the session is torn down, the decoder's threads are gone, the slot is given back.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.outlet.interrupt();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(camera = self.outlet.stream().name(), %error, "the camera's task ended by itself");
        }
    }

    /// What of its pictures came to the host from a device.
    pub fn downloads(&self) -> &Arc<Downloads> {
        self.outlet.downloads()
    }

    /// The GStreamer graph of its current session as dot, without properties (they may hold credentials).
    pub fn graph(&self) -> Option<String> {
        self.graph.draw()
    }

    /// Draws [`Self::graph`] for somebody who does not hold the camera.
    pub fn graph_source(&self) -> Arc<dyn Fn() -> Option<String> + Send + Sync> {
        let graph = self.graph.clone();
        Arc::new(move || graph.draw())
    }

    /// Waits until a file that is played once has been played: all its frames were offered. The board says `ended`, or what broke
    /// it in mid-file. Cameras never end.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.ended.clone().cancelled_owned()
    }

    /// Whether a file that is played once has been played.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.cancel();
        self.outlet.interrupt();
    }
}

/// How a session ended.
#[derive(Debug)]
enum SessionEnd {
    /// The camera is being stopped.
    Stopped,
    /// A finite source is through; `Some`: it broke off.
    Finished(Option<Failure>),
    /// Once more, at once.
    Again,
    /// It failed, or the camera hung up.
    Failed(Failure),
}

/// One camera's task.
struct Line {
    camera: CameraConfig,
    outlet: Arc<Outlet>,
    context: Context,
    stop: CancellationToken,
    graph: GraphHandle,
    backoff: Backoff,
    /// How its pictures are decoded.
    setup: Setup,
    /// Pictures that had come when its decoder was made.
    born: u64,
    /// The camera sends no random access points.
    keyless: bool,
    /// Media time at which a repeated file goes on.
    media_end: Duration,
}

impl Line {
    async fn run(mut self, ended: CancellationToken) {
        if !self.camera.enabled {
            self.outlet.show(CameraState::Disabled, "");
            return;
        }
        let mut last: Option<Failure> = None;
        while !self.stop.is_cancelled() {
            let (started, before) = (Instant::now(), self.outlet.delivered());
            if self.media_end.is_zero() {
                self.outlet.begin_session();
            }
            let end = match self.camera.source.clone() {
                SourceConfig::Rtsp(rtsp) => self.rtsp_session(&rtsp).await,
                source => self.gst_session(&source).await,
            };
            if let SessionEnd::Failed(failure) | SessionEnd::Finished(Some(failure)) = &end
                && failure.state == CameraState::DecodeError
            {
                // Whoever found it: the decoder, or before it the one that takes packets apart.
                self.outlet.count(|status| status.decode_errors += 1);
            }
            let pictures = (self.outlet.delivered() > before).then(|| started.elapsed());
            match end {
                SessionEnd::Stopped => return,
                SessionEnd::Again => {}
                SessionEnd::Finished(failure) => {
                    let Failure { state, detail } = failure.unwrap_or_else(|| Failure::new(CameraState::Ended, ""));
                    self.outlet.show(state, &detail);
                    ended.cancel();
                    return;
                }
                SessionEnd::Failed(failure) => {
                    self.outlet.show(failure.state, &failure.detail);
                    let wait = self.backoff.after(pictures, luck());
                    self.log(&failure, last.as_ref() == Some(&failure) && pictures.is_none(), wait);
                    last = Some(failure);
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Says it once; the same failure again is only of interest to those who look closely.
    fn log(&self, failure: &Failure, again: bool, wait: Duration) {
        let (camera, state, wait_ms) = (self.outlet.stream().name(), failure.state.as_str(), wait.as_millis() as u64);
        if again {
            tracing::debug!(camera, state, detail = failure.detail, wait_ms, "camera still down");
        } else {
            tracing::warn!(camera, state, detail = failure.detail, wait_ms, "camera down, trying again");
        }
    }

    /// Writes a failing pipeline's graph.
    async fn keep_graph(&self, chain: &Chain) {
        let Some(dir) = self.context.graph_dir.clone() else { return };
        let (camera, dot) = (self.outlet.stream().name().to_owned(), chain.graph());
        let written = tokio::task::spawn_blocking(move || graph::write(&dir, &camera, &dot)).await;
        let camera = self.outlet.stream().name();
        match written {
            Ok(Ok(path)) => tracing::info!(camera, path = %path.display(), "graph of the failed pipeline written"),
            Ok(Err(error)) => tracing::warn!(camera, %error, "graph of the failed pipeline not written"),
            Err(error) => tracing::error!(camera, %error, "writing the graph panicked"),
        }
    }
}

/// Builds something of GStreamer's away from the async workers: loading plug-ins and changing states takes milliseconds.
async fn build<T: Send + 'static>(make: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(make).await.unwrap_or_else(|error| Err(Fault::Stopped(error.to_string())))
}

/// Tears something of GStreamer's down, away from the async workers: its threads are joined.
async fn tear_down<T: Send + 'static>(thing: T) {
    if let Err(error) = tokio::task::spawn_blocking(move || drop(thing)).await {
        tracing::error!(%error, "a pipeline's end panicked");
    }
}

/// A number in `0..1` that differs from camera to camera and from call to call.
fn luck() -> f64 {
    (RandomState::new().build_hasher().finish() >> 11) as f64 / (1_u64 << 53) as f64
}

/// What the board calls an encoding.
fn codec_of(encoding: &str) -> Option<Codec> {
    match encoding {
        "h264" => Some(Codec::H264),
        "h265" => Some(Codec::H265),
        "jpeg" => Some(Codec::Mjpeg),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
