//! Brokers that use what MQTT 5 gives them: redirects, reasons, and limits. They speak just enough of it. The clock is Tokio's paused one.

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use super::{
    fake_tests::{PUBLISH, Packet, accept, listen, read, serve},
    testing::{self, Line, config, frame, to},
};
use crate::{
    config::{BrokerConfig, MqttVersion},
    media::StreamId,
};

/// CONNACK with a reason and properties.
fn connack(code: u8, properties: &[u8]) -> Vec<u8> {
    let length = properties.len() as u8;
    [&[0x20, length + 3, 0, code, length], properties].concat()
}

fn disconnect(code: u8, properties: &[u8]) -> Vec<u8> {
    let length = properties.len() as u8;
    [&[0xe0, length + 2, code, length], properties].concat()
}

fn reference(port: u16) -> Vec<u8> {
    let server = format!("127.0.0.1:{port}");
    [&[0x1c, 0, server.len() as u8], server.as_bytes()].concat()
}

async fn say(stream: &mut TcpStream, packet: &[u8]) {
    stream.write_all(packet).await.expect("written");
}

/// Takes every connection and acknowledges what comes.
fn good(listener: TcpListener) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let mut stream = accept(&listener).await;
            say(&mut stream, &connack(0, &[])).await;
            serve(stream, |_, _| true).await;
        }
    })
}

/// Refuses every connection with this packet; how many there were comes over the channel.
fn refusing(listener: TcpListener, packet: Vec<u8>) -> (JoinHandle<()>, mpsc::Receiver<Vec<u8>>) {
    let (seen, connects) = mpsc::channel(1000);
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let Some(connect) = read(&mut stream).await else { continue };
            let _gone = stream.write_all(&packet).await;
            if seen.send(connect.body).await.is_err() {
                return;
            }
        }
    });
    (task, connects)
}

async fn told_of(line: &Line) -> Arc<BrokerCounters> {
    line.until("begun", |c| !c.brokers().is_empty()).await;
    line.counters.brokers()[0].clone()
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_at_the_door_and_from_within() {
    for code in [0x9c, 0x9d] {
        let ((door, port), (inner, inner_port), (last, last_port)) = (listen().await, listen().await, listen().await);
        let (door, _) = refusing(door, connack(code, &reference(inner_port)));
        let inner = tokio::spawn(async move {
            let mut stream = accept(&inner).await;
            say(&mut stream, &connack(0, &[])).await;
            say(&mut stream, &disconnect(code, &reference(last_port))).await;
            serve(stream, |_, _| true).await;
        });
        let last = good(last);
        let line = Line::start(Some(config(port, MqttVersion::V5)));
        let broker = told_of(&line).await;
        line.until("arrived", |c| c.connected() && c.connects() == 2).await;
        assert_eq!(broker.reasons()[&(Spoken::Connack, code)], 1);
        assert_eq!(broker.reasons()[&(Spoken::Disconnect, code)], 1);
        assert_eq!(Failure::ALL.map(|failure| broker.failures(failure)).iter().sum::<u64>(), 0, "no failure, and no pause");
        line.send(vec![frame(&StreamId::new(1, "door"), 0)]).await;
        line.until("delivered there", |c| c.published(Family::Track) == 1).await;
        line.finish().await;
        [door, inner, last].iter().for_each(JoinHandle::abort);
    }
}

/// Two brokers that send us to each other: after a few rounds that is a failure like others, with a pause.
#[tokio::test(start_paused = true)]
async fn a_round_of_redirects_ends() {
    let ((one, one_port), (two, two_port)) = (listen().await, listen().await);
    let (one, mut first) = refusing(one, connack(0x9c, &reference(two_port)));
    let (two, mut second) = refusing(two, connack(0x9c, &reference(one_port)));
    let line = Line::start(Some(config(one_port, MqttVersion::V5)));
    line.until("given up for now", |c| c.failures(Failure::Refused) == 3).await;
    let (failure, detail) = line.counters.last_failure().expect("a reason");
    assert!(failure == Failure::Refused && detail.contains("use another server") && detail.contains("in a row"), "{detail}");
    line.finish().await;
    let mut rounds = 0;
    while first.try_recv().is_ok() || second.try_recv().is_ok() {
        rounds += 1;
    }
    assert!((15..=25).contains(&rounds), "five connections for each failure: {rounds}");
    [one, two].iter().for_each(JoinHandle::abort);
}

/// What cannot be followed, and a server that is not there, lead back to the broker that is configured.
#[tokio::test(start_paused = true)]
async fn a_redirect_into_nowhere_leads_back() {
    for reference in [reference(testing::free_port()), [&[0x1c, 0, 8][..], b"http://x"].concat(), Vec::new()] {
        let (listener, port) = listen().await;
        let broker = tokio::spawn(async move {
            let mut first = accept(&listener).await;
            say(&mut first, &connack(0x9d, &reference)).await;
            drop(first);
            let mut second = accept(&listener).await;
            say(&mut second, &connack(0, &[])).await;
            serve(second, |_, _| true).await;
        });
        let line = Line::start(Some(config(port, MqttVersion::V5)));
        line.until("back", Counters::connected).await;
        assert_eq!(line.counters.failures(Failure::Unreachable) + line.counters.failures(Failure::Refused), 1);
        line.finish().await;
        broker.await.expect("no panic");
    }
}

/// A broker that knows 3.1.1 alone, as those answer that never heard of MQTT 5, and as those that did.
#[tokio::test(start_paused = true)]
async fn a_broker_of_3_1_1_is_spoken_to_as_such() {
    for answer in [vec![0x20, 2, 0, 1], connack(0x84, &[])] {
        let (listener, port) = listen().await;
        let broker = tokio::spawn(async move {
            let mut first = accept(&listener).await;
            say(&mut first, &answer).await;
            drop(first);
            let (mut second, _) = listener.accept().await.expect("a connection");
            let connect = read(&mut second).await.expect("CONNECT");
            say(&mut second, &[0x20, 2, 0, 0]).await;
            serve(second, |_, _| true).await;
            connect.body[6]
        });
        let line = Line::start(Some(config(port, MqttVersion::V5)));
        line.until("connected", Counters::connected).await;
        line.send(vec![frame(&StreamId::new(1, "door"), 0)]).await;
        line.until("delivered", |c| c.published(Family::Track) == 1).await;
        line.finish().await;
        assert_eq!(broker.await.expect("no panic"), 4, "the protocol level of 3.1.1");
    }
}

/// Receive maximum 1: there is never a second message before the first one's acknowledgement.
#[tokio::test(start_paused = true)]
async fn a_broker_that_takes_one_at_a_time_gets_one_at_a_time() {
    let (listener, port) = listen().await;
    let broker = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        say(&mut stream, &connack(0, &[0x21, 0, 1])).await;
        let (mut open, mut most, mut tracks) = (Vec::new(), 0, 0);
        loop {
            // It answers when nothing has come for a while.
            let packet = tokio::time::timeout(std::time::Duration::from_millis(50), read(&mut stream)).await;
            match packet {
                Ok(Some(Packet { kind: PUBLISH, id: Some(id), topic, .. })) => {
                    open.push(id);
                    most = most.max(open.len());
                    tracks += u32::from(topic.contains("/track/"));
                }
                Ok(Some(Packet { kind: 14, .. }) | None) => return (most, tracks),
                Ok(Some(_)) => {}
                Err(_) => {
                    for id in open.drain(..) {
                        say(&mut stream, &[0x40, 2, (id >> 8) as u8, id as u8]).await;
                    }
                }
            }
        }
    });
    let line = Line::start(Some(config(port, MqttVersion::V5)));
    line.until("connected", Counters::connected).await;
    let door = StreamId::new(1, "door");
    for number in 0..20 {
        line.send(vec![frame(&door, number)]).await;
    }
    line.until("delivered", |c| c.published(Family::Track) == 20 && c.published(Family::Frame) == 20).await;
    line.finish().await;
    assert_eq!(broker.await.expect("no panic"), (1, 20));
}

/// What is larger than the broker takes is counted, and what is not goes on.
#[tokio::test(start_paused = true)]
async fn a_packet_that_is_too_large_costs_itself_alone() {
    let (listener, port) = listen().await;
    let broker = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        // Maximum packet size 900: of a status, but not of frames with many objects.
        say(&mut stream, &connack(0, &[0x27, 0, 0, 3, 132])).await;
        serve(stream, |_, _| true).await;
    });
    let line = Line::start(Some(config(port, MqttVersion::V5)));
    line.until("connected", Counters::connected).await;
    let door = StreamId::new(1, "door");
    let mut crowded = frame(&door, 0);
    crowded.tracks.clear();
    crowded.detections = (0..20).flat_map(|_| frame(&door, 0).detections).collect();
    line.board.add(&door);
    line.send(vec![crowded; 3]).await;
    line.until("counted", |c| c.dropped(Family::Frame, DropReason::TooLarge) == 3).await;
    line.until("the rest goes on", |c| c.published(Family::CameraStatus) == 1 && c.published(Family::DeviceStatus) == 1).await;
    let counters = line.finish().await;
    assert_eq!((counters.connects(), Failure::ALL.map(|failure| counters.failures(failure)).iter().sum()), (1, 0));
    broker.await.expect("no panic");
}

/// A broker whose quota is used up says so of each message: counted by its code, and the connection goes on.
#[tokio::test(start_paused = true)]
async fn refusals_of_messages_are_counted_by_their_reason() {
    let (listener, port) = listen().await;
    let broker = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        say(&mut stream, &connack(0, &[])).await;
        while let Some(packet) = read(&mut stream).await {
            if let Some(id) = packet.id {
                let answer = if packet.topic.contains("/track/") {
                    [0x40, 3, (id >> 8) as u8, id as u8, 0x97]
                } else {
                    [0x40, 3, (id >> 8) as u8, id as u8, 0]
                };
                say(&mut stream, &answer).await;
            }
        }
    });
    let line = Line::start(Some(config(port, MqttVersion::V5)));
    let counts = told_of(&line).await;
    line.until("connected", Counters::connected).await;
    let door = StreamId::new(1, "door");
    for number in 0..5 {
        line.send(vec![frame(&door, number)]).await;
    }
    line.until("refused", |c| c.dropped(Family::Track, DropReason::Refused) == 5).await;
    assert_eq!(counts.reasons()[&(Spoken::Puback, 0x97)], 5);
    assert!(counts.connected() && counts.published(Family::DeviceStatus) == 1);
    line.finish().await;
    broker.await.expect("no panic");
}

/// Each ending has its reason in status and metrics.
#[tokio::test(start_paused = true)]
async fn a_broker_that_ends_the_connection_says_why() {
    for (code, failure, part) in [
        (0x8b, Failure::Closed, "shutting down"),
        (0x8e, Failure::Closed, "client_id of its own"),
        (0x97, Failure::Refused, "quota exceeded"),
        (0x87, Failure::AuthFailed, "not authorized"),
        (0x8d, Failure::Timeout, "keep-alive"),
    ] {
        let (listener, port) = listen().await;
        let broker = tokio::spawn(async move {
            let mut stream = accept(&listener).await;
            say(&mut stream, &connack(0, &[])).await;
            say(&mut stream, &disconnect(code, b"\x1f\x00\x02so")).await;
            // No second one: the first reason is to be seen.
            std::future::pending::<()>().await;
        });
        let line = Line::start(Some(config(port, MqttVersion::V5)));
        let counts = told_of(&line).await;
        line.until("ended", |c| c.failures(failure) == 1).await;
        let (_, detail) = counts.last_failure().expect("a reason");
        assert!(detail.contains(part) && detail.ends_with("\"so\""), "{detail}");
        assert_eq!(counts.reasons()[&(Spoken::Disconnect, code)], 1);
        line.task.abort();
        broker.abort();
    }
}

/// A broker that closes at once, one that never answers, and one that answers the wrong thing: each again and again, and never in haste.
#[tokio::test(start_paused = true)]
async fn brokers_that_do_nothing_right_are_tried_again_with_pauses() {
    let (closing, port) = listen().await;
    let closing = tokio::spawn(async move {
        loop {
            drop(closing.accept().await.expect("a connection"));
        }
    });
    let start = tokio::time::Instant::now();
    let line = Line::start(Some(config(port, MqttVersion::V5)));
    line.until("closed", |c| c.failures(Failure::Closed) + c.failures(Failure::Unreachable) >= 6).await;
    assert!(start.elapsed() >= std::time::Duration::from_secs(3), "pauses grow, by the clock of the test");
    line.finish().await;
    closing.abort();

    let (silent, port) = listen().await;
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(silent.accept().await.expect("a connection"));
        }
    });
    let line = Line::start(Some(to(BrokerConfig { ..testing::broker(port, MqttVersion::V311) })));
    line.until("not waited for", |c| c.failures(Failure::Unreachable) >= 1).await;
    assert!(line.counters.last_failure().is_some_and(|(_, detail)| detail.contains("no answer within 10 s")));
    line.finish().await;
    silent.abort();
}
