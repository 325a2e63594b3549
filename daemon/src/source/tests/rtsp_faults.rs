//! What goes wrong with RTSP cameras becomes a typed state, and passes.

use tokio::net::TcpListener;

use super::*;
use crate::{
    sim::{Fault as SimFault, Sim, SimCamera, SimConfig},
    testing,
};

async fn state_of(config: RtspConfig, state: CameraState) -> String {
    let rig = Rig::start(&camera(SourceConfig::Rtsp(config)));
    let status = rig.state(state).await;
    rig.stop().await;
    assert!(!status.detail.is_empty());
    status.detail
}

#[tokio::test]
async fn a_refused_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/x", listener.local_addr().unwrap());
    drop(listener);
    let detail = state_of(rtsp(&url), CameraState::Unreachable).await;
    assert!(detail.contains("refused"), "{detail}");
}

#[tokio::test]
async fn an_unknown_host() {
    state_of(rtsp("rtsp://camera.invalid/x"), CameraState::Unreachable).await;
}

/// Takes connections and never says a word: retina would wait for ever.
#[tokio::test(start_paused = true)]
async fn a_host_that_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/x", listener.local_addr().unwrap());
    let detail = state_of(rtsp(&url), CameraState::Unreachable).await;
    assert_eq!(detail, "no answer to DESCRIBE within 10 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_speaks_something_else() {
    use tokio::io::AsyncWriteExt;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        }
    });
    state_of(rtsp(&url), CameraState::Unreachable).await;
    server.abort();
}

/// Answers every DESCRIBE with a description.
async fn describing(sdp: &'static str) -> (String, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            let answer = format!(
                "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                sdp.len()
            );
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    (url, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptions_without_a_usable_video() {
    for (sdp, words) in [
        (
            "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\n",
            "the camera offers mp4v-es",
        ),
        ("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n", "no video"),
        ("this is no description", "200"),
    ] {
        let (url, server) = describing(sdp).await;
        let detail = state_of(rtsp(&url), CameraState::UnsupportedCodec).await;
        assert!(detail.contains(words), "{detail}");
        server.abort();
    }
}

/// Answers as a camera does, and sends what is no RTSP once it plays.
async fn babbling() -> (String, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/x", listener.local_addr().unwrap());
    let sdp =
        "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:0\r\n";
    let server = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (from, mut to) = connection.into_split();
            let mut lines = BufReader::new(from).lines();
            let (mut method, mut sequence) = (String::new(), String::new());
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(number) = line.strip_prefix("CSeq: ") {
                    sequence = number.to_owned();
                } else if method.is_empty() {
                    method = line.split(' ').next().unwrap_or_default().to_owned();
                } else if line.is_empty() {
                    let rest = match method.as_str() {
                        "DESCRIBE" => format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()),
                        "SETUP" => "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n".to_owned(),
                        "PLAY" => "Session: 1\r\n\r\nthis is no RTSP\r\n\r\n".to_owned(),
                        _ => "\r\n".to_owned(),
                    };
                    let _ = to.write_all(format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{rest}").as_bytes()).await;
                    method.clear();
                }
            }
        }
    });
    (url, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_apart_counts_as_not_decoded() {
    let (url, server) = babbling().await;
    let rig = Rig::start(&camera(SourceConfig::Rtsp(rtsp(&url))));
    let status = rig.state(CameraState::DecodeError).await;
    assert!(status.decode_errors > 0 && status.detail.contains("RTSP"), "{status:?}");
    rig.stop().await;
    server.abort();
}

fn simulated() -> (Sim, Rig) {
    let sim = Sim::start(SimConfig::new(vec![SimCamera::test("door")])).unwrap();
    let config = RtspConfig { request_timeout: Duration::from_secs(1), ..rtsp(&sim.url("door").unwrap()) };
    let rig = Rig::start(&CameraConfig { no_data_timeout: Duration::from_secs(1), ..camera(SourceConfig::Rtsp(config)) });
    (sim, rig)
}

/// A fault, the state it leads to, and back to `online` when it has passed.
async fn fault_and_recovery(fault: SimFault, state: CameraState) {
    let (sim, rig) = simulated();
    rig.frames(3).await;
    sim.fault("door", fault).unwrap();
    rig.state(state).await;
    sim.clear("door").unwrap();
    rig.frames(3).await;
    let status = rig.state(CameraState::Online).await;
    assert!(status.reconnects > 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_camera() {
    fault_and_recovery(SimFault::Stall, CameraState::NoData).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_camera() {
    fault_and_recovery(SimFault::Silent, CameraState::NoData).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_goes_away() {
    fault_and_recovery(SimFault::Away, CameraState::Unreachable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connection() {
    if !testing::alone() {
        return;
    }
    let (sim, rig) = simulated();
    let mut counts = Vec::new();
    for round in 1..=20 {
        rig.frames(1).await;
        sim.fault("door", SimFault::Drop).unwrap();
        while rig.status().reconnects < round {
            rig.frames(1).await;
        }
        counts.push(testing::held());
    }
    rig.stop().await;
    let most_files = |counts: &[(usize, usize)]| counts.iter().map(|(_, files)| *files).max();
    let most_threads = |counts: &[(usize, usize)]| counts.iter().map(|(threads, _)| *threads).max();
    // The simulator, in this process too, has threads and files of its own that come and go: one session's worth is noise.
    assert!(most_threads(&counts[10..]) <= most_threads(&counts[..10]).map(|n| n + 2), "{counts:?}");
    assert!(most_files(&counts[10..]) <= most_files(&counts[..10]).map(|n| n + 6), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_and_paths_refused_after_a_while() {
    for (fault, state) in [(SimFault::Refuse, CameraState::AuthFailed), (SimFault::NotFound, CameraState::NotFound)] {
        let (sim, rig) = simulated();
        rig.frames(3).await;
        sim.fault("door", fault).unwrap();
        sim.fault("door", SimFault::Drop).unwrap();
        rig.state(state).await;
        sim.clear("door").unwrap();
        rig.state(CameraState::Online).await;
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_in_mid_stream_needs_no_new_session() {
    let (sim, rig) = simulated();
    rig.frames(3).await;
    sim.fault("door", SimFault::Size { width: 640, height: 352 }).unwrap();
    let status = rig.until("640x352", |status| status.size == Some((640, 352))).await;
    assert_eq!((status.reconnects, status.state), (0, CameraState::Online));
    sim.clear("door").unwrap();
    rig.until("320x240", |status| status.size == Some((320, 240))).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_codec_by_a_new_description() {
    let (sim, rig) = simulated();
    rig.frames(3).await;
    sim.fault("door", SimFault::Codec(Codec::H265)).unwrap();
    rig.until("H.265", |status| status.codec == Some(Codec::H265)).await;
    rig.frames(3).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_altered_and_cut_packets() {
    for fault in [
        SimFault::Lose { rate: 0.05, seed: 1 },
        SimFault::Alter { rate: 0.05, seed: 2 },
        SimFault::Cut { rate: 0.05, seed: 3 },
        SimFault::Alter { rate: 1.0, seed: 4 },
    ] {
        let (sim, rig) = simulated();
        rig.frames(3).await;
        sim.fault("door", fault).unwrap();
        if matches!(fault, SimFault::Lose { .. }) {
            while rig.status().packets_lost == 0 || rig.status().skipped_to_idr == 0 {
                rig.frames(1).await;
            }
        } else {
            // Time for some hundred damaged packets; what state they lead to is theirs.
            let _ = tokio::time::timeout(Duration::from_secs(3), rig.camera.ended()).await;
        }
        sim.clear("door").unwrap();
        rig.until("online again", |status| status.state == CameraState::Online).await;
        rig.frames(10).await;
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_a_camera_that_does_not_answer_is_quick() {
    let (sim, rig) = simulated();
    rig.frames(3).await;
    sim.fault("door", SimFault::Stall).unwrap();
    let started = Instant::now();
    rig.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
