//! Bytes on the wire, as a broker receives them.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    contract_tests::scene,
    message::Compact,
    testing::{Line, PATIENCE, broker, to},
};
use crate::{
    config::{BrokerConfig, FrameFormat, MqttVersion},
    media::{Mark, TimeCard, Tracked},
};

/// One packet with its header.
pub(super) async fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut packet = vec![stream.read_u8().await.expect("a packet")];
    let mut length = 0usize;
    for shift in (0..28).step_by(7) {
        let byte = stream.read_u8().await.expect("its length");
        packet.push(byte);
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let head = packet.len();
    packet.resize(head + length, 0);
    stream.read_exact(&mut packet[head..]).await.expect("the rest of it");
    packet
}

/// Three frames as they come to a broker that takes so many topic aliases.
async fn captured(format: FrameFormat, aliases: u8, frame: &Tracked) -> Vec<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let line = Line::start(Some(to(BrokerConfig { frame_format: format, ..broker(port, MqttVersion::V5) })));
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        packet(&mut stream).await;
        stream.write_all(&[0x20, 6, 0, 0, 3, 0x22, 0, aliases]).await.expect("CONNACK");
        let mut frames = Vec::new();
        for number in 0..3 {
            let mut times = TimeCard::received(std::time::Instant::now());
            times.stamp(Mark::Tracked, std::time::Instant::now());
            times.set_uncertainty(std::time::Duration::from_micros(1511));
            let capture = crate::media::Capture { wall: std::time::SystemTime::now(), ..frame.capture };
            line.send(vec![Tracked { frame_seq: 100_000 + number, times, capture, ..frame.clone() }]).await;
            // Frames are the only ones with QoS 0 that are not retained.
            loop {
                let packet = packet(&mut stream).await;
                if packet[0] == 0x30 {
                    frames.push(packet);
                    break;
                }
            }
        }
        frames
    };
    let frames = timeout(PATIENCE, serving).await.expect("in time");
    line.task.abort();
    frames
}

/// A frame's packet taken apart by the letter of the standard (MQTT 5, 3.3): topic, properties, payload.
fn parts(packet: &[u8]) -> (&str, &[u8], &[u8]) {
    let head = 1 + packet[1..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let body = &packet[head..];
    let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let (name, rest) = body[2..].split_at(topic);
    let properties = usize::from(rest[0]);
    assert!(properties < 0x80, "one byte of length");
    (std::str::from_utf8(name).expect("UTF-8"), &rest[1..=properties], &rest[1 + properties..])
}

/// The same objects as DeepStream's minimal schema says them, one string each (gst-nvmsgconv, `deepstream_schema` 4.0).
fn deepstream_minimal(frame: &Tracked) -> usize {
    let objects: Vec<String> = frame
        .detections
        .iter()
        .map(|seen| {
            let (bbox, class) = (seen.detection.bbox, &frame.model.classes[usize::from(seen.detection.class)]);
            let id = seen.track.map_or(0, |track| track.0);
            format!(
                "{id}|{:.2}|{:.2}|{:.2}|{:.2}|{class}|#|||||||{:.6}",
                bbox.x1, bbox.y1, bbox.x2, bbox.y2, seen.detection.confidence
            )
        })
        .collect();
    let said = serde_json::json!({
        "version": "4.0", "id": frame.frame_seq.to_string(), "@timestamp": "2026-11-21T02:03:04.415Z", "sensorId": "door", "objects": objects,
    });
    said.to_string().len()
}

/// Prints the table: `cargo nextest run -p egret --lib bytes_of_a_frame --no-capture`
#[tokio::test]
async fn bytes_of_a_frame_with_ten_objects() {
    let frame = scene(10);
    eprintln!("a frame with 10 objects           payload  packet  per object");
    let row = |name: &str, payload: usize, packet: usize| {
        eprintln!("{name:34}{payload:7}{packet:8}{:12.1}", packet as f64 / 10.0);
        packet
    };
    for (name, format, aliases) in [
        ("JSON", FrameFormat::Json, 0),
        ("JSON, topic alias", FrameFormat::Json, 10),
        ("CBOR", FrameFormat::Cbor, 0),
        ("CBOR, topic alias", FrameFormat::Cbor, 10),
        ("Protobuf", FrameFormat::Protobuf, 0),
        ("Protobuf, topic alias", FrameFormat::Protobuf, 10),
    ] {
        let frames = captured(format, aliases, &frame).await;
        let (topic, properties, payload) = parts(&frames[2]);
        let bytes = row(name, payload.len(), frames[2].len());
        assert_eq!(topic.is_empty(), aliases > 0);
        // Topic alias (0x23) 2: the first one went to the device's status.
        assert_eq!(properties.windows(3).any(|property| property == [0x23, 0, 2]), aliases > 0, "{properties:?}");
        let content_type = format.content_type().as_bytes();
        assert!(properties.windows(content_type.len()).any(|property| property == content_type));
        let read = match format {
            FrameFormat::Json => continue,
            FrameFormat::Cbor => Compact::from_cbor(payload),
            FrameFormat::Protobuf => Compact::from_protobuf(payload),
        };
        assert_eq!(read.expect("a frame").track.len(), 10);
        assert!(aliases == 0 || bytes <= 400, "40 bytes for each object");
    }
    let minimal = deepstream_minimal(&frame);
    row("DeepStream minimal, payload alone", minimal, minimal);
    eprintln!("published: DeepStream minimal 54 and full 1,400 for each object; Frigate 2,024 for each update of one object");
}

#[tokio::test]
async fn the_first_message_of_a_topic_introduces_its_alias() {
    let frames = captured(FrameFormat::Json, 1, &scene(1)).await;
    let topics: Vec<&str> = frames.iter().map(|packet| parts(packet).0).collect();
    // The only alias is the device status' own at first; the camera's frames take it over.
    assert!(
        topics[0] == "egret/box1/cam/door/frame" && topics.iter().all(|topic| topic.is_empty() || *topic == topics[0]),
        "{topics:?}"
    );
}
