//! Cameras are switched over the dialects too.

use super::*;

/// Where commands allow it, both dialects have switches: announced, heard, and nothing else taken for one.
#[test]
fn cameras_are_switched_where_that_is_allowed() {
    let config = DialectsConfig {
        frigate: Some(FrigateConfig { topic_prefix: "frigate".into() }),
        home_assistant: shots::home_assistant(false).home_assistant,
        ..DialectsConfig::default()
    };
    let mut rig = Rig::new(&config, "door", "m", &["person"]);
    assert_eq!(rig.dialects.subscriptions().collect::<Vec<_>>(), ["homeassistant/status"], "not without being told");
    rig.dialects.have_switches();
    let heard =
        ["frigate/+/enabled/set", "frigate/+/detect/set", "homeassistant/status", "homeassistant/egret_box1/+/enabled/set"];
    assert_eq!(rig.dialects.subscriptions().collect::<Vec<_>>(), heard);
    rig.state(CameraState::Online, 0);
    let said = rig.said("homeassistant/device/egret_box1_door/config");
    let config: Value = serde_json::from_str(&said[0]).expect("JSON");
    let switch = &config["cmps"]["enabled"];
    assert_eq!((&switch["p"], &switch["unique_id"]), (&Value::from("switch"), &Value::from("egret_box1_door_enabled")));
    assert_eq!(switch["state_topic"], "egret/box1/cam/door/status");
    let topic = switch["command_topic"].as_str().expect("a topic");
    let wish = |on| Some(Wish { camera: "door".into(), on });
    for topic in [topic, "frigate/door/enabled/set", "frigate/door/detect/set"] {
        assert_eq!(rig.dialects.wish(topic, b"ON"), wish(Some(true)), "{topic}");
        assert_eq!(rig.dialects.wish(topic, b"OFF"), wish(Some(false)));
        assert_eq!(rig.dialects.wish(topic, b"on\xff"), wish(None));
    }
    for topic in ["frigate/door/recordings/set", "frigate/door/enabled", "homeassistant/egret_box2/door/enabled/set", "x"] {
        assert_eq!(rig.dialects.wish(topic, b"ON"), None, "{topic}");
    }
    rig.sent.clear();
    rig.state(CameraState::Disabled, 0);
    assert_eq!(rig.said("frigate/door/enabled/state"), ["OFF"]);
}
