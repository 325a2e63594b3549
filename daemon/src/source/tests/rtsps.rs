//! RTSP over TLS, the certificate verified.

use std::{path::Path, process::Command, sync::mpsc, thread};

use gstreamer as gst;
use gstreamer::glib;
use gstreamer_rtsp_server as server;
use gstreamer_rtsp_server::prelude::*;

use super::*;
use crate::config::{Credentials, Secret};

/// A certificate for `localhost` that signs itself; `None`, said loudly, without OpenSSL's tool.
fn certificate(dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("SKIPPED: no openssl to make a certificate with");
        return None;
    }
    Some((certificate, key))
}

/// A GStreamer RTSP server in a thread of its own.
struct Server {
    main_loop: glib::MainLoop,
    context: glib::MainContext,
    thread: Option<thread::JoinHandle<()>>,
    port: i32,
}

impl Server {
    fn start(certificate: &Path, key: &Path) -> Self {
        gst::init().unwrap();
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let (ready, port) = mpsc::sync_channel(1);
        let (inner_context, inner_loop) = (context.clone(), main_loop.clone());
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let thread = thread::spawn(move || {
            inner_context
                .with_thread_default(|| {
                    let rtsp = serve(&gio::TlsCertificate::from_files(certificate, key).unwrap());
                    let _source = rtsp.attach(Some(&inner_context)).unwrap();
                    ready.send(rtsp.bound_port()).unwrap();
                    inner_loop.run();
                })
                .unwrap();
        });
        Self { port: port.recv().unwrap(), main_loop, context, thread: Some(thread) }
    }

    fn url(&self, path: &str) -> String {
        format!("rtsps://localhost:{}/{path}", self.port)
    }
}

fn serve(certificate: &gio::TlsCertificate) -> server::RTSPServer {
    let rtsp = server::RTSPServer::new();
    rtsp.set_address("127.0.0.1");
    rtsp.set_service("0");
    let auth = server::RTSPAuth::new();
    auth.set_tls_certificate(Some(certificate));
    let token = server::RTSPToken::builder().field("media.factory.role", "admin").build();
    auth.add_basic(&server::RTSPAuth::make_basic("admin", "p@ss:w/ord"), &token);
    rtsp.set_auth(Some(&auth));
    let factory = server::RTSPMediaFactory::new();
    factory.set_launch(
        "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=15/1 ! \
         x264enc tune=zerolatency key-int-max=15 ! rtph264pay name=pay0 pt=96 )",
    );
    factory.set_shared(true);
    let role =
        gst::Structure::builder("admin").field("media.factory.access", true).field("media.factory.construct", true).build();
    factory.add_role_from_structure(&role);
    if let Some(mounts) = rtsp.mount_points() {
        mounts.add_factory("/door", factory);
    }
    rtsp
}

impl Drop for Server {
    fn drop(&mut self) {
        let main_loop = self.main_loop.clone();
        self.context.invoke(move || main_loop.quit());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn secured(url: &str, ca_file: Option<&Path>, password: &str) -> CameraConfig {
    let credentials = Some(Credentials { username: "admin".into(), password: Secret::new(password) });
    let ca_file = ca_file.map(Path::to_owned);
    camera(SourceConfig::Rtsps(RtspConfig { credentials, ca_file, ..rtsp(url) }))
}

async fn failure_of(config: &CameraConfig) -> CameraStatus {
    let rig = Rig::start(config);
    let status = rig.until("a failure", |status| status.state != CameraState::Connecting).await;
    rig.stop().await;
    assert!(!status.detail.contains("p@ss"), "{}", status.detail);
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_watched_over_tls_only_if_its_certificate_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let Some((pem, key)) = certificate(dir.path()) else { return };
    let server = Server::start(&pem, &key);

    let rig = Rig::start(&secured(&server.url("door"), Some(&pem), "p@ss:w/ord"));
    rig.frames(5).await;
    let status = rig.status();
    assert_eq!((status.state, status.codec, status.size), (CameraState::Online, Some(Codec::H264), Some((320, 240))));
    assert!(!rig.camera.graph().unwrap().contains("p@ss"));
    rig.stop().await;

    let untrusted = failure_of(&secured(&server.url("door"), None, "p@ss:w/ord")).await;
    assert_eq!(untrusted.state, CameraState::Tls, "{untrusted:?}");
    let no_file = failure_of(&secured(&server.url("door"), Some(&dir.path().join("absent.pem")), "p@ss:w/ord")).await;
    assert_eq!(no_file.state, CameraState::Tls, "{no_file:?}");
    let elsewhere = server.url("door").replace("localhost", "127.0.0.1");
    let wrong_name = failure_of(&secured(&elsewhere, Some(&pem), "p@ss:w/ord")).await;
    assert_eq!(wrong_name.state, CameraState::Tls, "{wrong_name:?}");
    let wrong_password = failure_of(&secured(&server.url("door"), Some(&pem), "hunter2")).await;
    assert_eq!(wrong_password.state, CameraState::AuthFailed, "{wrong_password:?}");
    let wrong_path = failure_of(&secured(&server.url("window"), Some(&pem), "p@ss:w/ord")).await;
    assert_eq!(wrong_path.state, CameraState::NotFound, "{wrong_path:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_speak_no_tls_or_do_not_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsps://127.0.0.1:{}/door", listener.local_addr().unwrap().port());
    let plain = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.write_all(b"RTSP/1.0 400 Bad Request\r\n\r\n").await;
        }
    });
    let status = failure_of(&secured(&url, None, "x")).await;
    assert_eq!(status.state, CameraState::Tls, "{status:?}");
    plain.abort();
    let _ = plain.await;
    let status = failure_of(&secured(&url, None, "x")).await;
    assert_eq!(status.state, CameraState::Unreachable, "{status:?}");
}
