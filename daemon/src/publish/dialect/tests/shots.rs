//! Pictures of tracks.

use std::sync::OnceLock;

use super::*;
use crate::{
    config::HomeAssistantConfig,
    media::{Canvas, Shot},
};

pub(super) fn home_assistant(best_shots: bool) -> DialectsConfig {
    let config = HomeAssistantConfig { discovery_prefix: "homeassistant".into(), best_shots };
    DialectsConfig { home_assistant: Some(config), ..DialectsConfig::default() }
}

/// A camera on which a person begins and ends, with a picture each time, and which is removed then: what was sent in the meantime.
fn life(config: &DialectsConfig) -> Vec<Sent> {
    let mut rig = Rig::new(config, "door", "street", &["big/person", "car"]);
    rig.state(CameraState::Online, 0);
    for (phase, ms) in [(TrackPhase::New, 100), (TrackPhase::Update, 200), (TrackPhase::End, 900)] {
        let mut tracked = rig.tracked(rig.track(phase, ms), Verdicts::default(), ms);
        if phase != TrackPhase::Update {
            let side = if phase == TrackPhase::New { 8 } else { 16 };
            let shot = Shot {
                class: 0,
                confidence: 0.9,
                bbox: BBox::new(0.0, 0.0, 8.0, 8.0),
                captured: wall(ms),
                canvas: Canvas::black((side, side)),
                jpeg: OnceLock::new(),
            };
            tracked.shots = vec![(PERSON, Arc::new(shot))];
        }
        rig.frame(&tracked);
    }
    let Rig { dialects, stream, sent, .. } = &mut rig;
    dialects.removed(stream, Rig::keep(sent));
    rig.sent
}

/// Width and height in its frame header (ITU-T T.81, B.2.2).
fn size(jpeg: &[u8]) -> (u16, u16) {
    let at = jpeg.windows(2).position(|marker| marker[0] == 0xff && (0xc0..0xc3).contains(&marker[1])).expect("a frame header");
    let word = |i: usize| u16::from_be_bytes([jpeg[at + i], jpeg[at + i + 1]]);
    (word(7), word(5))
}

#[test]
fn a_retained_picture_when_it_begins_and_when_it_ends_and_none_once_the_camera_is_gone() {
    let frigate = DialectsConfig { frigate: Some(FrigateConfig { topic_prefix: "f".into() }), ..DialectsConfig::default() };
    for (config, topic) in [(frigate, "f/door/big_person/snapshot"), (home_assistant(true), "egret/box1/cam/door/best_shot")] {
        let sent = life(&config);
        let pictures: Vec<&Sent> = sent.iter().filter(|(_, to, _)| to == topic).collect();
        assert_eq!(pictures.len(), 3, "{topic} of {:?}", sent.iter().map(|(_, to, _)| to).collect::<Vec<_>>());
        assert!(pictures.iter().all(|(family, ..)| *family == Family::DialectState));
        assert_eq!((size(&pictures[0].2), size(&pictures[1].2), pictures[2].2.len()), ((8, 8), (16, 16), 0));
    }
}

#[test]
fn home_assistant_hears_of_the_image_where_there_is_one() {
    for best_shots in [true, false] {
        let sent = life(&home_assistant(best_shots));
        let (.., device) = sent.iter().find(|(_, to, _)| to == "homeassistant/device/egret_box1_door/config").expect("announced");
        let device: Value = serde_json::from_slice(device).expect("JSON");
        let image = &device["cmps"]["best_shot"];
        // With its platform alone it is removed, in case it was announced before.
        let topic = if best_shots { "egret/box1/cam/door/best_shot".into() } else { Value::Null };
        assert_eq!((&image["p"], &image["image_topic"]), (&"image".into(), &topic));
    }
}
