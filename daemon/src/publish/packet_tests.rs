//! Bytes as the standards show them, and whatever else may come.

use proptest::prelude::*;

use super::{
    super::{counters::BrokerCounters, outbox::Outbox, topics::Family},
    *,
};

fn decode(version: MqttVersion, bytes: &[u8]) -> Result<Option<Came>, LinkError> {
    Codec::new(version, FrameFormat::Json, Purpose::Publish { retains: true }).decode(&mut BytesMut::from(bytes))
}

#[test]
fn terms_of_the_broker() {
    let accepted =
        |window, largest, keep_alive, aliases| Came::Accepted(Terms { window, largest, keep_alive, aliases, retains: true });
    let plain = decode(MqttVersion::V5, &[0x20, 3, 0, 0, 0]).expect("MQTT");
    assert_eq!(plain, Some(accepted(WINDOW, MAX_OUTGOING - OVERHEAD, None, 0)));
    // Receive maximum 7, maximum packet size 1000, server keep alive 9 s, topic alias maximum 10.
    let strict = [0x20, 17, 0, 0, 14, 0x21, 0, 7, 0x27, 0, 0, 3, 232, 0x13, 0, 9, 0x22, 0, 10];
    let strict = decode(MqttVersion::V5, &strict).expect("MQTT");
    assert_eq!(strict, Some(accepted(7, 1000 - OVERHEAD, Some(Duration::from_secs(9)), 10)));
    let old = decode(MqttVersion::V311, &[0x20, 2, 0, 0]).expect("MQTT");
    assert_eq!(old, Some(accepted(WINDOW, MAX_OUTGOING - OVERHEAD, None, 0)));
}

#[test]
fn a_broker_that_retains_nothing_is_asked_for_nothing_of_that_kind() {
    // Retain available 0; the refusal of a will that is retained, and a disconnection for that reason.
    let Ok(Some(Came::Accepted(terms))) = decode(MqttVersion::V5, &[0x20, 5, 0, 0, 2, 0x25, 0]) else { panic!("no CONNACK") };
    assert!(!terms.retains);
    for bytes in [&[0x20, 3, 0, 0x9a, 0][..], &[0xe0, 2, 0x9a, 0]] {
        assert_eq!(decode(MqttVersion::V5, bytes).expect_err("refused").turn, Some(Turn::NothingRetained));
    }
    let mut outbox = Outbox::default();
    outbox.push(&"a".into(), Bytes::from_static(b"1"), Family::CameraStatus, &BrokerCounters::default());
    let message = outbox.pop(true).expect("one");
    for version in [MqttVersion::V311, MqttVersion::V5] {
        let mut codec = Codec::new(version, FrameFormat::Json, Purpose::Publish { retains: true });
        let mut first_byte = || {
            let mut out = BytesMut::new();
            codec.publish(&message, 7, &mut out).expect("written");
            codec.accepted(terms);
            out[0]
        };
        assert_eq!([first_byte(), first_byte()], [0x33, 0x32]);
    }
}

#[test]
fn refusals_and_farewells_have_their_reason() {
    let failure = |version, bytes: &[u8]| decode(version, bytes).expect_err("refused").failure;
    assert_eq!(failure(MqttVersion::V5, &[0x20, 3, 0, 0x86, 0]), Failure::AuthFailed);
    assert_eq!(failure(MqttVersion::V5, &[0x20, 3, 0, 0x97, 0]), Failure::Refused);
    assert_eq!(failure(MqttVersion::V311, &[0x20, 2, 0, 5]), Failure::AuthFailed);
    assert_eq!(failure(MqttVersion::V311, &[0x20, 2, 0, 3]), Failure::Refused);
    assert_eq!(failure(MqttVersion::V5, &[0xe0, 0]), Failure::Closed);
    assert_eq!(failure(MqttVersion::V5, &[0xe0, 2, 0x8b, 0]), Failure::Closed);
    assert_eq!(failure(MqttVersion::V5, &[0xe0, 1, 0x87]), Failure::AuthFailed, "without properties");
    assert_eq!(failure(MqttVersion::V5, &[0xe0, 1, 0x42]), Failure::Closed, "for a reason that nobody knows");
    let old = decode(MqttVersion::V5, &[0x20, 2, 0, 1]).expect_err("no MQTT 5");
    assert_eq!((old.failure, old.turn), (Failure::Refused, Some(Turn::OlderVersion)));
    let moved = [&[0x20, 10, 0, 0x9d, 7, 0x1c, 0, 4][..], b"b:18"].concat();
    let moved = decode(MqttVersion::V5, &moved).expect_err("moved");
    assert_eq!(moved.turn, Some(Turn::Elsewhere { servers: "b:18".into(), for_good: true }));
    assert_eq!(moved.code, Some((Spoken::Connack, 0x9d)));
    assert_eq!(failure(MqttVersion::V5, &b"HTTP/1.1 400 Bad Request\r\n".repeat(4)), Failure::Protocol);
    assert_eq!(failure(MqttVersion::V311, &[0x30, 0xff, 0xff, 0xff, 0x7f]), Failure::Protocol, "256 MB are not awaited");
}

#[test]
fn a_subscription_asks_for_qos_0_and_brings_what_is_said() {
    let mut out = BytesMut::new();
    Codec::new(MqttVersion::V311, FrameFormat::Json, Purpose::Publish { retains: true }).subscribe(7, &["ha/status"], &mut out);
    assert_eq!(&out[..], b"\x82\x0e\x00\x07\x00\x09ha/status\x00");
    out.clear();
    Codec::new(MqttVersion::V5, FrameFormat::Json, Purpose::Publish { retains: true }).subscribe(7, &["ha/status"], &mut out);
    assert_eq!(&out[..], b"\x82\x0f\x00\x07\x00\x00\x09ha/status\x08", "retained as published");
    let online = Said { topic: "a/b".into(), payload: Bytes::from_static(b"online"), ..Said::default() };
    let said = Some(Came::Heard(online.clone()));
    assert_eq!(decode(MqttVersion::V311, b"\x30\x0b\x00\x03a/bonline").expect("MQTT"), said);
    assert_eq!(decode(MqttVersion::V5, b"\x30\x0c\x00\x03a/b\x00online").expect("MQTT"), said);
    let retained = Some(Came::Heard(Said { retained: true, ..online.clone() }));
    assert_eq!(decode(MqttVersion::V311, b"\x31\x0b\x00\x03a/bonline").expect("MQTT"), retained);
    let asked = Said { response_topic: Some("r".into()), correlation: Some(Bytes::from_static(b"7")), ..online };
    let bytes = b"\x30\x14\x00\x03a/b\x08\x08\x00\x01r\x09\x00\x017online";
    assert_eq!(decode(MqttVersion::V5, bytes).expect("MQTT"), Some(Came::Heard(asked)));
    let subscribed = |refused: &[usize]| Some(Came::Subscribed { refused: refused.to_vec() });
    assert_eq!(decode(MqttVersion::V311, b"\x90\x03\x00\x07\x00").expect("MQTT"), subscribed(&[]));
    assert_eq!(decode(MqttVersion::V311, b"\x90\x04\x00\x07\x00\x80").expect("MQTT"), subscribed(&[1]));
    assert_eq!(decode(MqttVersion::V5, b"\x90\x04\x00\x07\x00\x87").expect("MQTT"), subscribed(&[0]));
}

#[test]
fn packets_are_taken_one_by_one_and_only_whole() {
    let mut input = BytesMut::from(&[0xd0, 0, 0x40, 2, 1][..]);
    let codec = Codec::new(MqttVersion::V311, FrameFormat::Json, Purpose::Publish { retains: true });
    assert_eq!(codec.decode(&mut input).expect("MQTT"), Some(Came::Pong));
    assert_eq!(codec.decode(&mut input).expect("MQTT"), None);
    input.extend_from_slice(&[2]);
    assert_eq!(codec.decode(&mut input).expect("MQTT"), Some(Came::Acknowledged { id: 258, refused: None }));
    assert!(input.is_empty());
}

proptest! {
    /// Whatever a broker sends: an answer, no panic, and always less input or a wait for more.
    #[test]
    fn anything_may_come(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..16_u8, fits in any::<bool>()) {
        if fits && bytes.len() >= 2 {
            bytes[0] = kind << 4;
            bytes[1] = (bytes.len() - 2).min(127) as u8;
        }
        for version in [MqttVersion::V5, MqttVersion::V311] {
            let codec = Codec::new(version, FrameFormat::Json, Purpose::Publish { retains: true });
            let mut input = BytesMut::from(&bytes[..]);
            let mut left = input.len() + 1;
            while left > input.len() {
                left = input.len();
                if !matches!(codec.decode(&mut input), Ok(Some(_))) {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_listener_asks_for_qos_1_and_acknowledges() {
    for (version, asked) in
        [(MqttVersion::V311, &b"\x82\x08\x00\x01\x00\x03a/b\x01"[..]), (MqttVersion::V5, b"\x82\x09\x00\x01\x00\x00\x03a/b\x01")]
    {
        let (codec, mut out) = (Codec::new(version, FrameFormat::Json, Purpose::Listen(1 << 20)), BytesMut::new());
        codec.subscribe(1, &["a/b"], &mut out);
        assert_eq!(&out[..], asked, "what is retained says so, and what is new does not");
    }
    let acknowledged = decode(MqttVersion::V311, b"\x32\x0d\x00\x03a/b\x01\x02online").expect("MQTT");
    let Some(Came::Heard(said)) = acknowledged else { panic!("{acknowledged:?}") };
    assert_eq!((said.id, &said.payload[..]), (258, &b"online"[..]));
    let mut out = BytesMut::new();
    Codec::acknowledge(said.id, &mut out);
    assert_eq!(&out[..], b"\x40\x02\x01\x02");
    // Larger packets than a daemon takes.
    let mut large = BytesMut::from(&b"\x30\x85\x80\x08\x00\x03a/b"[..]);
    large.resize(large.len() + (128 << 10), b'x');
    let codec = |purpose| Codec::new(MqttVersion::V311, FrameFormat::Json, purpose);
    assert!(codec(Purpose::Publish { retains: true }).decode(&mut large.clone()).is_err());
    assert!(matches!(codec(Purpose::Listen(1 << 20)).decode(&mut large), Ok(Some(Came::Heard(_)))));
}
