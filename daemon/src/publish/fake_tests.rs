//! Publishing with brokers that misbehave. They speak just enough MQTT 3.1.1. The clock is Tokio's paused one: it jumps when nobody has
//! anything to do.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::testing::{Line, config, frame};
use super::*;
use crate::{config::MqttVersion, media::StreamId};

const CONNECT: u8 = 1;
pub(super) const PUBLISH: u8 = 3;
const PINGREQ: u8 = 12;

pub(super) struct Packet {
    pub(super) kind: u8,
    /// Of an acknowledged publish.
    pub(super) id: Option<u16>,
    pub(super) topic: String,
    pub(super) body: Vec<u8>,
}

/// The next packet; `None`: the connection is gone.
pub(super) async fn read(stream: &mut TcpStream) -> Option<Packet> {
    let first = stream.read_u8().await.ok()?;
    let mut length = 0usize;
    for shift in (0..).step_by(7) {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let kind = first >> 4;
    let (mut topic, mut id) = (String::new(), None);
    if kind == PUBLISH {
        let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        topic = String::from_utf8_lossy(&body[2..end]).into_owned();
        id = (first & 0b110 != 0).then(|| u16::from_be_bytes([body[end], body[end + 1]]));
    }
    Some(Packet { kind, id, topic, body })
}

pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let packet = read(&mut stream).await.expect("a packet");
    assert_eq!(packet.kind, CONNECT);
    stream
}

/// Serves a connection until it ends: answers pings, acknowledges what `acknowledge` says.
pub(super) async fn serve(mut stream: TcpStream, mut acknowledge: impl FnMut(u16, &str) -> bool) {
    while let Some(packet) = read(&mut stream).await {
        let answered = match (packet.kind, packet.id) {
            (PINGREQ, _) => stream.write_all(&[0xd0, 0]).await,
            (PUBLISH, Some(id)) if acknowledge(id, &packet.topic) => {
                stream.write_all(&[0x40, 2, (id >> 8) as u8, id as u8]).await
            }
            _ => Ok(()),
        };
        if answered.is_err() {
            return;
        }
    }
}

pub(super) async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// rumqtt's livelock: one identifier is never acknowledged, the client's identifiers wrap around to it, and the client waits for an
/// acknowledgement that the next session knows nothing of. Ours passes the identifier over, and sends that one message again on a new
/// connection when its time is up.
#[tokio::test(start_paused = true)]
async fn an_identifier_that_is_never_acknowledged_is_no_dead_end() {
    let (listener, port) = listen().await;
    let broker = tokio::spawn(async move {
        let mut first = accept(&listener).await;
        first.write_all(&[0x20, 2, 0, 0]).await.expect("CONNACK");
        serve(first, |id, _| id != 3).await;
        let mut tracks = 0u32;
        let mut second = accept(&listener).await;
        second.write_all(&[0x20, 2, 0, 0]).await.expect("CONNACK");
        serve(second, |_, topic| {
            tracks += u32::from(topic.contains("/track/"));
            true
        })
        .await;
        tracks
    });
    let line = Line::start(Some(config(port, MqttVersion::V311)));
    let door = StreamId::new(1, "door");
    for number in 0..300 {
        line.send(vec![frame(&door, number)]).await;
    }
    line.until("all tracks arrive on the second connection", |c| c.published(Family::Track) == 300).await;
    assert_eq!(line.counters.connects(), 2);
    assert_eq!(line.counters.failures(Failure::Timeout), 1);
    line.finish().await;
    let again = broker.await.expect("no panic");
    assert_eq!(again, 1, "only what was not acknowledged came again");
}

/// A broker that accepts and then reads nothing: the input never waits, queues stay bounded, drops are counted, and silence ends it.
#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_is_left() {
    for version in [MqttVersion::V311, MqttVersion::V5] {
        let (listener, port) = listen().await;
        let line = Line::start(Some(config(port, version)));
        let mut hung = accept(&listener).await;
        let accepted: &[u8] = if version == MqttVersion::V5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
        hung.write_all(accepted).await.expect("CONNACK");
        line.until("connected", Counters::connected).await;
        let door = StreamId::new(1, "door");
        for number in 0..20_000 {
            line.send(vec![frame(&door, number)]).await;
        }
        line.until("left", |c| !c.connected()).await;
        assert_eq!(line.counters.failures(Failure::Timeout), 1);
        assert!(line.counters.dropped(Family::Frame, DropReason::Overflow) > 0);
        assert!(line.counters.dropped(Family::Track, DropReason::Overflow) > 15_000);
        assert!(line.counters.queued() <= 512 + 4096 + 64 + 2);
        drop(hung);
        line.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_answers_without_being_a_broker_is_refused() {
    let (listener, port) = listen().await;
    let web = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let page = format!("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n{}", "<p>Bad request</p>".repeat(20));
            stream.write_all(page.as_bytes()).await.expect("an answer");
            let mut rest = [0; 256];
            while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        }
    });
    let line = Line::start(Some(config(port, MqttVersion::V5)));
    line.until("refused", |c| c.failures(Failure::Protocol) >= 2).await;
    assert_eq!(line.counters.connects(), 0);
    line.finish().await;
    web.abort();
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_unreachable() {
    let (listener, port) = listen().await;
    drop(listener);
    let line = Line::start(Some(config(port, MqttVersion::V5)));
    line.until("tried again", |c| c.failures(Failure::Unreachable) >= 5).await;
    let counters = line.finish().await;
    assert_eq!(counters.connects(), 0);
}
