//! The listener met over real TCP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    media::StreamId,
    observe::{
        client,
        client::Reply,
        still::{Stills, tests::seen},
        tests::snapshot,
    },
};

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

    /// A desk at which `door` has a picture, `yard` has none that comes, and the askers for `gate` queue.
    fn attach_stills(&self) {
        let desk = Stills::new();
        self.panel.attach_stills(Arc::new(move |name| match name {
            "door" => {
                let (frame, tracked) = seen();
                let asked = desk.ask(&frame.stream);
                desk.deliver(frame, &tracked);
                Some(asked)
            }
            "yard" => Some(desk.ask(&StreamId::new(2, "yard"))),
            "gate" => Some(Err(StillError::Busy)),
            _ => None,
        }));
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
async fn clients_that_say_nothing_keep_nobody_out() {
    let running = Running::start().await;
    let mut silent = Vec::new();
    for i in 0..3 * CONNECTIONS {
        let mut stream = TcpStream::connect(running.address).await.expect("connected");
        if i % 2 == 0 {
            stream.write_all(b"GET /healthz HT").await.expect("half a request");
        }
        silent.push(stream);
    }
    assert_eq!(running.get("/healthz").await.status, 200);
    drop(silent);
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

#[tokio::test]
async fn a_still_is_the_next_frame_as_a_jpeg() {
    let http = Running::start().await;
    assert_eq!(http.get("/still/door").await.status, 503, "no line yet");
    http.attach_stills();
    let mut client = TcpStream::connect(http.address).await.expect("connected");
    client.write_all(b"GET /still/door HTTP/1.0\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("an answer");
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a body") + 4;
    let head = String::from_utf8_lossy(&answer[..body]);
    assert!(head.starts_with("HTTP/1.0 200") && head.contains("image/jpeg"), "{head}");
    assert_eq!(answer[body..body + 2], [0xff, 0xd8], "start of image");
    assert_eq!(http.get("/still/gate").await.status, 429);
    assert_eq!(http.get("/still/nobody").await.status, 404);
}

#[tokio::test]
async fn a_still_of_a_camera_that_is_away_is_given_up() {
    let http = Running::start().await;
    http.attach_stills();
    let mut client = TcpStream::connect(http.address).await.expect("connected");
    client.write_all(b"GET /still/yard HTTP/1.0\r\n\r\n").await.expect("sent");
    tokio::time::pause();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.0 504"), "{answer}");
}
