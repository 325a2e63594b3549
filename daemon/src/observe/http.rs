//! The local HTTP listener: health, metrics, status, graph and stills. Read-only, bounded in connections and time, and without secrets.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    Snapshot, View, graph, metrics, status,
    still::{self, Seen, StillError},
};
use crate::life::Progress;

/// Connections at a time; one more ends the oldest, so that clients which say nothing cannot keep others out.
const CONNECTIONS: usize = 32;
/// A connection lives this long, idle, slow or busy.
const LIFETIME: Duration = Duration::from_secs(30);
/// A stage that has been busy with one piece of work for longer is reported by `/healthz`.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// The graph's rates are measured over this time before the answer.
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// A still waits this long for the camera's next frame.
const STILL_PATIENCE: Duration = Duration::from_secs(10);
/// What a client may still take once the daemon stops.
const FAREWELL: Duration = Duration::from_secs(1);

const INDEX: &str = "egret\n/healthz\n/readyz\n/metrics\n/status\n/graph\n/graph/line\n/graph/camera/NAME\n/still/NAME\n";

/// Asks for the next picture of the camera of this name; `None`: no such camera.
pub type AskStill = dyn Fn(&str) -> Option<Result<oneshot::Receiver<Arc<Seen>>, StillError>> + Send + Sync;

/// What the listener shows. It can listen before the line runs: `/readyz` says so.
pub struct Panel {
    progress: Arc<Progress>,
    view: OnceLock<View>,
    stills: OnceLock<Arc<AskStill>>,
    not_ready: Mutex<Option<String>>,
    stuck_after: Duration,
    rate_window: Duration,
}

impl Panel {
    /// Not ready: starting.
    pub fn new(progress: Arc<Progress>) -> Arc<Self> {
        Arc::new(Self::with(progress, STUCK_AFTER, RATE_WINDOW))
    }

    fn with(progress: Arc<Progress>, stuck_after: Duration, rate_window: Duration) -> Self {
        let not_ready = Mutex::new(Some("starting".into()));
        Self { progress, view: OnceLock::new(), stills: OnceLock::new(), not_ready, stuck_after, rate_window }
    }

    /// The line exists and can be looked at. The first call counts.
    pub fn attach(&self, view: View) {
        // A second view would be a second line in one process's daemon: there is none.
        let _ = self.view.set(view);
    }

    /// Pictures can be asked for: `/still/NAME`. The first call counts.
    pub fn attach_stills(&self, ask: Arc<AskStill>) {
        // As above.
        let _ = self.stills.set(ask);
    }

    /// Ready, or why not (`loading models`, `stopping`).
    pub fn set_ready(&self, ready: Result<(), &str>) {
        *self.not_ready.lock().unwrap_or_else(PoisonError::into_inner) = ready.err().map(str::to_owned);
    }

    fn not_ready(&self) -> Option<String> {
        self.not_ready.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn snapshot(&self) -> Snapshot {
        self.view.get().map(|view| (view.snapshot)()).unwrap_or_default()
    }
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (http.listen): {source}")]
pub struct HttpError {
    address: SocketAddr,
    source: io::Error,
}

impl HttpError {
    /// Whether it may pass without anybody changing the configuration: another process has the address (one that is just ending,
    /// perhaps), or an interface does not have it yet.
    pub fn may_pass(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
    }
}

/// A bound listener that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds. Port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken, or not one of this machine.
    pub async fn bind(address: SocketAddr) -> Result<Self, HttpError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound.await.map_err(|source| HttpError { address, source })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until cancelled.
    pub async fn serve(self, panel: Arc<Panel>, cancel: CancellationToken) {
        tracing::info!(address = %self.address, "health, metrics, status and graph are served");
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let bounded = Bounded { listener: self.listener, slots, open: VecDeque::new() };
        let farewell = cancel.clone();
        let server = axum::serve(bounded, router(panel)).with_graceful_shutdown(cancel.cancelled_owned()).into_future();
        let patience = async {
            farewell.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            ended = server => if let Err(error) = ended {
                tracing::warn!(%error, "the HTTP listener ended");
            },
            () = patience => {}
        }
    }
}

fn router(panel: Arc<Panel>) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(serve_metrics))
        .route("/status", get(serve_status))
        .route("/graph", get(serve_graph))
        .route("/graph/line", get(serve_line))
        .route("/graph/camera/{name}", get(serve_camera))
        .route("/still/{name}", get(serve_still))
        .with_state(panel)
}

/// 200 while no stage is stuck, 503 with their names otherwise.
async fn healthz(State(panel): State<Arc<Panel>>) -> Response {
    let stuck = panel.progress.stuck(Instant::now(), panel.stuck_after);
    if stuck.is_empty() {
        return "ok\n".into_response();
    }
    let names: Vec<_> = stuck.iter().map(|s| format!("{} ({} s)", s.stage, s.busy.as_secs())).collect();
    (StatusCode::SERVICE_UNAVAILABLE, format!("stuck: {}\n", names.join(", "))).into_response()
}

/// 200 while the line runs, 503 with the reason before and after.
async fn readyz(State(panel): State<Arc<Panel>>) -> Response {
    match panel.not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
    }
}

async fn serve_metrics(State(panel): State<Arc<Panel>>) -> Response {
    match metrics::render(panel.snapshot()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn serve_status(State(panel): State<Arc<Panel>>) -> Response {
    let json = status::json(&panel.snapshot(), panel.not_ready().as_deref());
    ([(header::CONTENT_TYPE, "application/json")], format!("{json:#}\n")).into_response()
}

async fn serve_graph(State(panel): State<Arc<Panel>>) -> Response {
    let Some(view) = panel.view.get() else { return no_line() };
    let view = view.clone();
    let names: Vec<String> = panel.snapshot().cameras.into_iter().map(|camera| camera.name).collect();
    // GStreamer takes its own locks while it draws: not on a thread that others need.
    let draw = move || {
        let graph = |name: String| (view.camera_graph)(&name).map(|dot| (name, dot));
        names.into_iter().filter_map(graph).collect::<Vec<_>>()
    };
    match tokio::task::spawn_blocking(draw).await {
        Ok(graphs) => dot(draw_line(&panel, &graphs).await),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn serve_line(State(panel): State<Arc<Panel>>) -> Response {
    if panel.view.get().is_none() { no_line() } else { dot(draw_line(&panel, &[]).await) }
}

async fn serve_camera(State(panel): State<Arc<Panel>>, Path(name): Path<String>) -> Response {
    let Some(view) = panel.view.get().cloned() else { return no_line() };
    let known = panel.snapshot().cameras.into_iter().any(|camera| camera.name == name);
    if !known {
        return no_camera(&name);
    }
    match tokio::task::spawn_blocking(move || (view.camera_graph)(&name)).await {
        Ok(Some(text)) => dot(graph::camera(&text)),
        Ok(None) => (StatusCode::NOT_FOUND, "this camera has no GStreamer pipeline now\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// The next frame of a camera that leaves tracking, with its boxes, as a JPEG.
async fn serve_still(State(panel): State<Arc<Panel>>, Path(name): Path<String>) -> Response {
    let Some(ask) = panel.stills.get() else { return no_line() };
    let asked = match ask(&name) {
        Some(Ok(asked)) => asked,
        Some(Err(error)) => return (StatusCode::TOO_MANY_REQUESTS, format!("{error}\n")).into_response(),
        None => return no_camera(&name),
    };
    // The camera may be away for long, or be removed while we wait.
    let Ok(Ok(seen)) = tokio::time::timeout(STILL_PATIENCE, asked).await else {
        return (StatusCode::GATEWAY_TIMEOUT, "no frame of this camera came in time\n").into_response();
    };
    match tokio::task::spawn_blocking(move || still::jpeg(&seen)).await {
        Ok(Ok(jpeg)) => ([(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store")], jpeg).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn no_camera(name: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("no camera is called {name:?}\n")).into_response()
}

async fn draw_line(panel: &Panel, graphs: &[(String, String)]) -> String {
    let (before, begun) = (panel.snapshot(), Instant::now());
    tokio::time::sleep(panel.rate_window).await;
    let now = panel.snapshot();
    graph::line(&graph::Rates { before: &before, now: &now, window: begun.elapsed() }, graphs)
}

fn dot(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/vnd.graphviz; charset=utf-8")], text).into_response()
}

fn no_line() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the line does not run yet\n").into_response()
}

/// Accepts no more than so many connections at a time.
struct Bounded {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    /// Ends each connection, the oldest first.
    open: VecDeque<oneshot::Sender<()>>,
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, peer) = axum::serve::Listener::accept(&mut self.listener).await;
        self.open.retain(|connection| !connection.is_closed());
        if self.slots.available_permits() == 0
            && let Some(oldest) = self.open.pop_front()
        {
            // Refused only by a connection that has just ended.
            let _ended = oldest.send(());
        }
        let slot = match self.slots.clone().acquire_owned().await {
            Ok(slot) => slot,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        };
        let (end, ended) = oneshot::channel();
        self.open.push_back(end);
        (Connection { stream, end: Box::pin(tokio::time::sleep(LIFETIME)), ended, _slot: slot }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with an end.
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    ended: oneshot::Receiver<()>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.end.as_mut().poll(cx).is_ready() || matches!(Pin::new(&mut self.ended).poll(cx), Poll::Ready(Ok(()))) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
