//! The local HTTP listener: health, metrics, status and graph. Read-only, bounded in connections and time, and without secrets.

use std::{
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
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tokio_util::sync::CancellationToken;

use super::{Snapshot, View, graph, metrics, status};
use crate::life::Progress;

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 32;
/// A connection lives this long, idle, slow or busy.
const LIFETIME: Duration = Duration::from_secs(30);
/// A stage that has been busy with one piece of work for longer is reported by `/healthz`.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// The graph's rates are measured over this time before the answer.
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// What a client may still take once the daemon stops.
const FAREWELL: Duration = Duration::from_secs(1);

const INDEX: &str = "egret\n/healthz\n/readyz\n/metrics\n/status\n/graph\n/graph/line\n/graph/camera/NAME\n";

/// What the listener shows. It can listen before the line runs: `/readyz` says so.
pub struct Panel {
    progress: Arc<Progress>,
    view: OnceLock<View>,
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
        Self { progress, view: OnceLock::new(), not_ready, stuck_after, rate_window }
    }

    /// The line exists and can be looked at. The first call counts.
    pub fn attach(&self, view: View) {
        // A second view would be a second line in one process's daemon: there is none.
        let _ = self.view.set(view);
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
        let bounded = Bounded { listener: self.listener, slots };
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
        return (StatusCode::NOT_FOUND, format!("no camera is called {name:?}\n")).into_response();
    }
    match tokio::task::spawn_blocking(move || (view.camera_graph)(&name)).await {
        Ok(Some(text)) => dot(graph::camera(&text)),
        Ok(None) => (StatusCode::NOT_FOUND, "this camera has no GStreamer pipeline now\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
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
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let slot = match self.slots.clone().acquire_owned().await {
            Ok(slot) => slot,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        };
        let (stream, peer) = axum::serve::Listener::accept(&mut self.listener).await;
        (Connection { stream, end: Box::pin(tokio::time::sleep(LIFETIME)), _slot: slot }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with an end.
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
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
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::observe::{client, client::Reply, tests::snapshot};

    struct Running {
        address: SocketAddr,
        panel: Arc<Panel>,
        progress: Arc<Progress>,
        cancel: CancellationToken,
        server: tokio::task::JoinHandle<()>,
    }

    impl Running {
        async fn start() -> Self {
            let progress = Progress::new();
            let panel = Arc::new(Panel::with(progress.clone(), Duration::ZERO, Duration::from_millis(20)));
            let server = Server::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
            let address = server.address();
            let cancel = CancellationToken::new();
            let server = tokio::spawn(server.serve(panel.clone(), cancel.clone()));
            Self { address, panel, progress, cancel, server }
        }

        fn attach(&self) {
            let graph = "digraph pipeline { a -> b; }";
            self.panel.attach(View {
                snapshot: Arc::new(snapshot),
                camera_graph: Arc::new(move |name| (name == "door").then(|| graph.to_owned())),
            });
        }

        async fn get(&self, path: &str) -> Reply {
            let url = format!("http://{}{path}", self.address).parse().expect("a URL");
            client::get(&url).await.expect("an answer")
        }
    }

    #[tokio::test]
    async fn readiness_says_why_not() {
        let http = Running::start().await;
        assert_eq!(http.get("/readyz").await.status, 503);
        http.panel.set_ready(Err("loading model yolox"));
        let reply = http.get("/readyz").await;
        assert_eq!((reply.status, reply.body.as_str()), (503, "loading model yolox\n"));
        http.panel.set_ready(Ok(()));
        assert_eq!(http.get("/readyz").await.status, 200);
    }

    #[tokio::test]
    async fn health_names_the_stage_that_is_stuck() {
        let http = Running::start().await;
        let stage = http.progress.stage("track");
        assert_eq!(http.get("/healthz").await.status, 200, "waiting is healthy");
        // In this test any time at all is too long.
        let _busy = stage.busy();
        let reply = http.get("/healthz").await;
        assert_eq!(reply.status, 503);
        assert!(reply.body.starts_with("stuck: track ("), "{}", reply.body);
    }

    #[tokio::test]
    async fn metrics_status_and_graphs_are_served() {
        let http = Running::start().await;
        assert_eq!(http.get("/graph").await.status, 503, "no line yet");
        assert!(http.get("/metrics").await.body.contains("process_resident_memory_bytes"), "metrics need no line");
        http.attach();
        http.panel.set_ready(Ok(()));
        let metrics = http.get("/metrics").await;
        assert!(metrics.body.contains("egret_frames_decoded_total{camera=\"door\"") && metrics.body.ends_with("# EOF\n"));
        assert!(metrics.headers.contains("openmetrics-text"), "{}", metrics.headers);
        let status: serde_json::Value = serde_json::from_str(&http.get("/status").await.body).expect("JSON");
        assert_eq!(status["cameras"][1]["state"], "auth_failed");
        assert_eq!(status["ready"], true);
        let frames = &status["cameras"][0]["frames"];
        let dropped: u64 = frames["dropped"].as_object().expect("an object").values().filter_map(serde_json::Value::as_u64).sum();
        let number = |name: &str| frames[name].as_u64().expect("a number");
        assert_eq!(number("decoded"), number("inferred") + number("in_flight") + dropped);
        let graph = http.get("/graph").await.body;
        assert!(graph.contains("a -> b") && graph.contains("door: GStreamer"), "{graph}");
        assert!(!http.get("/graph/line").await.body.contains("a -> b"));
        assert_eq!(http.get("/graph/camera/door").await.body, "digraph pipeline { a -> b; }\n");
        assert_eq!(http.get("/graph/camera/yard").await.status, 404, "no pipeline");
        assert_eq!(http.get("/graph/camera/no%22body").await.status, 404);
        assert_eq!(http.get("/etc/passwd").await.status, 404);
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_with_the_address() {
        let http = Running::start().await;
        let error = Server::bind(http.address).await.expect_err("taken");
        assert!(error.to_string().contains(&http.address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn it_stops_although_a_client_says_nothing() {
        let http = Running::start().await;
        let _silent = TcpStream::connect(http.address).await.expect("connected");
        assert_eq!(http.get("/").await.status, 200);
        http.cancel.cancel();
        tokio::time::timeout(FAREWELL * 5, http.server).await.expect("in time").expect("no panic");
    }

    #[tokio::test]
    async fn silent_clients_are_cut_off_and_others_wait_for_a_place() {
        let http = Running::start().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(http.address).await.expect("connected"));
        }
        let mut late = TcpStream::connect(http.address).await.expect("the kernel queues it");
        late.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("sent");
        // The clock stands still from here on and jumps whenever nothing else can happen.
        tokio::time::pause();
        let mut byte = [0];
        assert_eq!(silent[0].read(&mut byte).await.unwrap_or(0), 0, "cut off after its lifetime");
        let mut answer = String::new();
        late.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    }

    #[tokio::test]
    async fn an_endless_request_is_refused() {
        let http = Running::start().await;
        let mut client = TcpStream::connect(http.address).await.expect("connected");
        let flood = async {
            client.write_all(b"GET / HTTP/1.1\r\n").await?;
            loop {
                client.write_all(&vec![b'a'; 64 * 1024]).await?;
            }
        };
        let ended: io::Result<()> = tokio::time::timeout(LIFETIME, flood).await.expect("refused long before");
        assert!(ended.is_err());
    }
}
