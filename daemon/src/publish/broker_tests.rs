//! Publishing with real brokers.

use std::{
    io::Write,
    process::Command,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

use super::testing::{Heard, Line, Mosquitto, PATIENCE, Subscriber, config, frame, to};
use super::*;
use crate::{
    config::{BrokerConfig, MqttVersion, Secret, TlsConfig},
    media::StreamId,
    status::CameraState,
};

const ANYBODY: &str = "allow_anonymous true";

fn is(heard: &Heard, topic: &str, key: &str, value: &str) -> bool {
    heard.topic == topic && !heard.text.is_empty() && heard.json()[key] == *value
}

/// The whole story of a device and its camera, as a subscriber hears it.
async fn tell(port: u16, version: MqttVersion) {
    let mut subscriber = Subscriber::connect_as(version, port).await;
    let line = Line::start(Some(config(port, version)));
    let heard = subscriber.next().await;
    assert!(is(&heard, "egret/box1/status", "state", "online"), "{heard:?}");
    assert_eq!(heard.json()["reason"], "started");

    let door = StreamId::new(1, "door");
    line.board.add(&door);
    let connecting = subscriber.next().await;
    assert!(is(&connecting, "egret/box1/cam/door/status", "state", "connecting"), "{connecting:?}");
    line.board.set(&door, CameraState::AuthFailed, "401 Unauthorized");
    let refused = subscriber.next().await;
    assert!(is(&refused, "egret/box1/cam/door/status", "state", "auth_failed"), "{refused:?}");

    for number in 0..100 {
        line.send(vec![frame(&door, number)]).await;
    }
    let (mut frames, mut tracks) = (0, 0);
    while frames + tracks < 200 {
        let heard = subscriber.next().await;
        let json = heard.json();
        match heard.topic.as_str() {
            "egret/box1/cam/door/frame" => {
                assert_eq!((&json["seq"], &json["frame"]), (&Value::from(frames), &Value::from(frames)));
                assert_eq!(json["objects"][0]["track"], "000000000000002a");
                assert!(json["latency_ms"].as_f64().is_some_and(|ms| (0.0..20_000.0).contains(&ms)));
                frames += 1;
            }
            "egret/box1/cam/door/track/new" | "egret/box1/cam/door/track/update" => {
                assert_eq!(json["seq"], tracks);
                assert_eq!(heard.topic.ends_with("new"), tracks == 0);
                tracks += 1;
            }
            other => panic!("{other}"),
        }
        assert!(!heard.retained);
    }

    // Whoever comes later hears what is retained, and nothing else.
    let mut late = Subscriber::connect_as(version, port).await;
    let mut statuses = [late.next().await, late.next().await];
    statuses.sort_by(|a, b| a.topic.cmp(&b.topic));
    assert!(statuses.iter().all(|heard| heard.retained));
    assert_eq!(statuses[0].json()["state"], "auth_failed");
    assert_eq!(statuses[1].json()["state"], "online");

    line.board.remove(&door);
    let cleared = subscriber.next().await;
    assert_eq!((cleared.topic.as_str(), cleared.text.as_str()), ("egret/box1/cam/door/status", ""));
    let stages = line.stages.clone();
    let counters = line.finish().await;
    let offline = subscriber.next().await;
    assert!(is(&offline, "egret/box1/status", "state", "offline"), "{offline:?}");
    assert_eq!(offline.json()["reason"], "shutdown", "an ordered end, not the will");
    assert_eq!((counters.published(Family::Frame), counters.published(Family::Track)), (100, 100));
    assert_eq!((counters.published(Family::DeviceStatus), counters.published(Family::CameraStatus)), (2, 3));
    assert_eq!((counters.frames(), counters.connects(), counters.connected(), counters.queued()), (100, 1, false, 0));
    assert!(stages.snapshot().iter().any(|stage| stage.name == "publish" && stage.count == 100));
}

#[tokio::test]
async fn mosquitto_hears_it_all_over_mqtt_5() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), ANYBODY) else { return };
    tell(broker.port, MqttVersion::V5).await;
}

#[tokio::test]
async fn mosquitto_hears_it_all_over_mqtt_3_1_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), ANYBODY) else { return };
    tell(broker.port, MqttVersion::V311).await;
}

#[tokio::test]
async fn the_broker_says_so_when_we_vanish() {
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let dir = tempfile::tempdir().expect("a directory");
        let Some(broker) = Mosquitto::start(dir.path(), ANYBODY) else { return };
        let mut subscriber = Subscriber::connect(broker.port).await;
        let line = Line::start(Some(config(broker.port, version)));
        subscriber.until(|heard| is(heard, "egret/box1/status", "state", "online")).await;
        line.task.abort();
        let will = subscriber.next().await;
        assert!(is(&will, "egret/box1/status", "state", "offline"), "{will:?}");
        assert_eq!(will.json()["reason"], "connection_lost");
    }
}

/// The broker is killed under load and comes back on the same port without any memory. The input is never held up, no track message is lost,
/// and every retained status is there again.
#[tokio::test]
async fn a_broker_that_vanishes_and_returns_misses_no_track() {
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let dir = tempfile::tempdir().expect("a directory");
        let Some(broker) = Mosquitto::start(dir.path(), ANYBODY) else { return };
        let port = broker.port;
        let line = Line::start(Some(config(port, version)));
        let door = StreamId::new(1, "door");
        line.board.add(&door);
        line.until("connected", Counters::connected).await;
        for number in 0..50 {
            line.send(vec![frame(&door, number)]).await;
        }
        // The broker has these, with or without a subscriber; from here on it is gone.
        line.until("acknowledged", |c| c.published(Family::Track) == 50).await;
        drop(broker);
        for number in 50..1000 {
            line.send(vec![frame(&door, number)]).await;
        }
        line.until("noticed", |c| !c.connected() && c.last_failure().is_some()).await;
        assert!(line.counters.dropped(Family::Frame, DropReason::Overflow) > 0);

        let broker = Mosquitto::start_on(dir.path(), port, ANYBODY).expect("the port is ours");
        let mut subscriber = Subscriber::connect(port).await;
        // Whether the subscriber or the publisher came first, all of these are heard or were acknowledged before.
        line.until("delivered", |c| c.published(Family::Track) == 1000).await;
        subscriber.until(|heard| is(heard, "egret/box1/status", "state", "online")).await;
        let mut late = Subscriber::connect(port).await;
        let mut statuses = [late.next().await.topic, late.next().await.topic];
        statuses.sort();
        assert_eq!(statuses, ["egret/box1/cam/door/status", "egret/box1/status"]);
        let counters = line.finish().await;
        assert_eq!(counters.connects(), 2);
        assert_eq!(counters.dropped(Family::Track, DropReason::Overflow), 0);
        let frames = counters.published(Family::Frame)
            + DropReason::ALL.iter().map(|reason| counters.dropped(Family::Frame, *reason)).sum::<u64>();
        assert_eq!(frames, 1000, "every frame message is accounted for");
        drop(broker);
    }
}

/// Where logs go in these tests.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn passwords(dir: &std::path::Path) -> Option<String> {
    let file = dir.join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args(["cam", "right-Pa55:w@rd/?#"]).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: mosquitto_passwd is not installed");
        return None;
    }
    // Started as root, mosquitto reads as a user of its own.
    Some(format!("allow_anonymous false\nuser root\npassword_file {}", file.display()))
}

/// Wrong and right credentials; neither is ever seen in a log, at any level.
#[tokio::test]
async fn credentials_are_refused_or_taken_and_never_shown() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let dir = tempfile::tempdir().expect("a directory");
    let Some(lines) = passwords(dir.path()) else { return };
    let Some(broker) = Mosquitto::start(dir.path(), &lines) else { return };
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let with = |password: &str| {
            to(BrokerConfig {
                username: Some("cam".into()),
                password: Some(Secret::new(password)),
                ..testing::broker(broker.port, version)
            })
        };
        let line = Line::start(Some(with("wrong-Pa55")));
        line.until("refused", |c| c.failures(Failure::AuthFailed) >= 2).await;
        assert!(!line.counters.connected() && line.counters.connects() == 0);
        let (failure, detail) = line.counters.last_failure().expect("a reason");
        assert_eq!(failure, Failure::AuthFailed);
        assert!(!detail.contains("Pa55"), "{detail}");
        line.finish().await;

        let line = Line::start(Some(with("right-Pa55:w@rd/?#")));
        line.until("connected", Counters::connected).await;
        line.finish().await;
    }
    drop(guard);
    let text = String::from_utf8_lossy(&log.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert!(text.contains("auth_failed"), "the reason is in the log: {text}");
    assert!(!text.contains("Pa55"), "a password is in the log");
}

fn openssl(dir: &std::path::Path, arguments: &[&str]) -> bool {
    Command::new("openssl").current_dir(dir).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A certificate of an authority of our own, for this address.
pub(super) fn certificates(dir: &std::path::Path) -> bool {
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost").expect("written");
    let key = ["-newkey", "rsa:2048", "-nodes"];
    let made =
        openssl(
            dir,
            &[&["req", "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"][..], &key]
                .concat(),
        ) && openssl(dir, &[&["req", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem"][..], &key].concat())
            && openssl(
                dir,
                &[
                    "x509",
                    "-req",
                    "-in",
                    "request.pem",
                    "-CA",
                    "ca.pem",
                    "-CAkey",
                    "ca.key",
                    "-CAcreateserial",
                    "-days",
                    "2",
                    "-extfile",
                    "names",
                    "-out",
                    "cert.pem",
                ],
            );
    if !made {
        eprintln!("SKIPPED: openssl is not installed or makes no certificates");
    }
    made
}

#[tokio::test]
async fn tls_is_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    if !certificates(dir.path()) {
        return;
    }
    let at = |name: &str| dir.path().join(name).display().to_string();
    let lines = format!("allow_anonymous true\nuser root\ncertfile {}\nkeyfile {}", at("cert.pem"), at("key.pem"));
    let Some(broker) = Mosquitto::start(dir.path(), &lines) else { return };
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let trusting = |ca_file| {
            to(BrokerConfig { tls: Some(TlsConfig { ca_file, ..TlsConfig::default() }), ..testing::broker(broker.port, version) })
        };
        let line = Line::start(Some(trusting(Some(dir.path().join("ca.pem")))));
        line.until("connected over TLS", Counters::connected).await;
        line.finish().await;
        // The system knows nothing of this authority; and a file that is not there trusts nobody.
        for ca_file in [None, Some(dir.path().join("missing.pem"))] {
            let line = Line::start(Some(trusting(ca_file)));
            line.until("refused", |c| c.failures(Failure::Tls) >= 1).await;
            assert_eq!(line.counters.connects(), 0);
            line.finish().await;
        }
    }
}

#[tokio::test]
async fn without_a_broker_frames_are_counted_and_nothing_else() {
    let line = Line::start(None);
    let door = StreamId::new(1, "door");
    line.board.add(&door);
    for number in 0..10 {
        line.send(vec![frame(&door, number), frame(&door, number)]).await;
    }
    let stages = line.stages.clone();
    let counters = line.finish().await;
    assert_eq!((counters.frames(), counters.published(Family::Frame), counters.connects()), (20, 0, 0));
    assert!(stages.snapshot().iter().any(|stage| stage.name == "publish" && stage.count == 20));
}

#[tokio::test]
async fn cancelled_it_ends_though_the_input_stays_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), ANYBODY) else { return };
    let mut subscriber = Subscriber::connect(broker.port).await;
    let line = Line::start(Some(config(broker.port, MqttVersion::V5)));
    subscriber.until(|heard| is(heard, "egret/box1/status", "state", "online")).await;
    line.cancel.cancel();
    line.send(vec![frame(&StreamId::new(1, "door"), 0)]).await;
    subscriber.until(|heard| heard.topic.ends_with("/frame")).await;
    let offline = subscriber.until(|heard| is(heard, "egret/box1/status", "state", "offline")).await;
    assert_eq!(offline.json()["reason"], "shutdown");
    tokio::time::timeout(PATIENCE, line.task).await.expect("ends in time").expect("no panic");
}

/// Prints the cost of a frame from the channel to a real broker, everything on this thread included. `cargo test --release -p egret --lib
/// cost_of_publishing -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement, of use in a release build only"]
async fn cost_of_publishing() {
    let cpu_ns = || -> u64 {
        let book = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        book.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
    };
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), ANYBODY) else { return };
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let line = Line::start(Some(config(broker.port, version)));
        line.until("connected", Counters::connected).await;
        let door = StreamId::new(1, "door");
        let mut scene = frame(&door, 1);
        scene.tracks.clear();
        scene.detections = (0..10).flat_map(|_| frame(&door, 1).detections).collect();
        let batches = 5_000;
        let before = cpu_ns();
        for _ in 0..batches {
            line.send(vec![scene.clone(); 8]).await;
        }
        let counters = line.finish().await;
        let spent = cpu_ns() - before;
        let (written, frames) = (counters.published(Family::Frame), counters.frames());
        eprintln!("{version:?}: {:.2} us of CPU per frame, {written} of {frames} written", spent as f64 / frames as f64 / 1000.0);
    }
}

#[cfg(feature = "demo")]
mod embedded {
    use std::{collections::HashMap, net::SocketAddr, thread};

    use rumqttd::{Broker, ConnectionSettings, RouterConfig, ServerSettings};

    use super::*;
    use crate::publish::testing::free_port;

    fn server(name: &str, port: u16) -> ServerSettings {
        ServerSettings {
            name: name.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], port)),
            tls: None,
            next_connection_delay_ms: 1,
            connections: ConnectionSettings {
                connection_timeout_ms: 10_000,
                max_payload_size: 1 << 20,
                max_inflight_count: 100,
                auth: None,
                external_auth: None,
                dynamic_filters: true,
            },
        }
    }

    /// The broker of the demo, with one listener for each version. It has no way to end, and ends with the process.
    fn rumqttd() -> (u16, u16) {
        let (v4, v5) = (free_port(), free_port());
        let router = RouterConfig {
            max_connections: 100,
            max_outgoing_packet_count: 1000,
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..RouterConfig::default()
        };
        let config = rumqttd::Config {
            router,
            v4: Some(HashMap::from([("v4".to_owned(), server("v4", v4))])),
            v5: Some(HashMap::from([("v5".to_owned(), server("v5", v5))])),
            ..rumqttd::Config::default()
        };
        thread::spawn(move || drop(Broker::new(config).start()));
        for port in [v4, v5] {
            let deadline = Instant::now() + PATIENCE;
            while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(Instant::now() < deadline, "the broker listens in time");
                thread::yield_now();
            }
        }
        (v4, v5)
    }

    // Each version by itself: rumqttd 0.20 panics when it hands a message with MQTT 5 properties to a subscriber of 3.1.1.

    #[tokio::test]
    async fn the_embedded_broker_hears_it_all_over_mqtt_5() {
        tell(rumqttd().1, MqttVersion::V5).await;
    }

    #[tokio::test]
    async fn the_embedded_broker_hears_it_all_over_mqtt_3_1_1() {
        tell(rumqttd().0, MqttVersion::V311).await;
    }
}

/// States and the last will reach a broker that keeps none of them; only that it does not keep them is different.
#[tokio::test]
async fn a_broker_that_retains_nothing_hears_it_all_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), "allow_anonymous true\nretain_available false") else { return };
    let mut subscriber = Subscriber::connect_as(MqttVersion::V5, broker.port).await;
    let line = Line::start(Some(config(broker.port, MqttVersion::V5)));
    let state = async |subscriber: &mut Subscriber| {
        let heard = subscriber.until(|heard| heard.topic == "egret/box1/status").await;
        heard.json()["state"].as_str().expect("a word").to_owned()
    };
    assert_eq!(state(&mut subscriber).await, "online");
    line.board.add(&StreamId::new(1, "door"));
    subscriber.until(|heard| heard.topic == "egret/box1/cam/door/status").await;
    assert_eq!(line.counters.connects(), 1, "the first word of the broker was enough");
    line.task.abort();
    assert!(line.task.await.is_err(), "it is gone without a word");
    assert_eq!(state(&mut subscriber).await, "offline");
}
