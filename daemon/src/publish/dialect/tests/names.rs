//! Whatever things are called, and wherever they are, messages are sound.

use proptest::prelude::*;

use super::*;

/// A protobuf message as its fields; `None`: it is none.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Vec<u8>)>> {
    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let length = match tag & 7 {
            0 => {
                fields.push((tag >> 3, varint(&mut bytes)?.to_le_bytes().to_vec()));
                continue;
            }
            2 => varint(&mut bytes)? as usize,
            5 => 4,
            _ => return None,
        };
        fields.push((tag >> 3, bytes.get(..length)?.to_vec()));
        bytes = &bytes[length..];
    }
    Some(fields)
}

/// Every name is one level, and every payload what it claims to be, whatever names there are.
fn sound(dialect: &str, (family, topic, payload): &Sent) {
    assert!(!topic.contains(['#', '+']) && !topic.contains(char::is_control), "{dialect}: {topic:?}");
    assert!(topic.split('/').all(|level| !level.is_empty()), "{dialect}: {topic:?}");
    let levels = topic.split('/').count();
    match dialect {
        "frigate" => assert!(levels <= 4, "{topic:?}"),
        "homeassistant" => assert_eq!(levels, 4),
        "axis" => assert_eq!(levels, 3),
        "onvif" => assert!(levels <= 8, "{topic:?}"),
        _ => assert_eq!(topic, "deepstream"),
    }
    let bare = dialect == "frigate" && !matches!(topic.as_str(), "frigate/events" | "frigate/stats");
    if dialect == "deepstream_protobuf" {
        let fields = fields(payload).expect("protobuf");
        assert!(fields.iter().filter(|(field, _)| *field == 5).all(|(_, object)| self::fields(object).is_some()));
    } else if !(bare || payload.is_empty() && family.retained()) {
        serde_json::from_slice::<Value>(payload).unwrap_or_else(|error| panic!("{dialect}: {error}: {}", shown(payload)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_name_makes_sound_messages(camera in "\\PC{1,12}|[a-z/#+$|\"\\\\]{1,8}", model in "\\PC{0,12}|[a-z/#+\u{0}\n]{0,8}", class in "\\PC{0,16}|[a-z/#+|&\\\\\"'{}%]{0,16}") {
        for (dialect, config) in configs() {
            let mut rig = Rig::new(&config, &camera, &model, &[&class, &class]);
            rig.story();
            for sent in &rig.sent {
                sound(dialect, sent);
            }
        }
    }

    /// Boxes that are nowhere are no reason for numbers that are none.
    #[test]
    fn any_box_makes_sound_messages(x1 in any::<f32>(), y1 in any::<f32>(), x2 in any::<f32>(), y2 in any::<f32>(), confidence in any::<f32>(), size in (0..9000_u32, 0..9000_u32)) {
        for (dialect, config) in configs() {
            let mut rig = Rig::new(&config, "door", "street", &["person", "car"]);
            let track = Track { bbox: BBox::new(x1, y1, x2, y2), confidence, ..rig.track(TrackPhase::New, 0) };
            let mut tracked = rig.tracked(track, Verdicts::default(), 0);
            tracked.size = size;
            rig.frame(&tracked);
            tracked.tracks[0].phase = TrackPhase::End;
            rig.frame(&tracked);
            for sent in &rig.sent {
                sound(dialect, sent);
            }
        }
    }
}
