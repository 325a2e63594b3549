//! What Home Assistant is told to show.

use super::*;

#[test]
fn home_assistant_hears_of_every_entity_and_of_its_end() {
    let mut rig = rig("homeassistant");
    assert_eq!(rig.dialects.subscriptions().collect::<Vec<_>>(), ["homeassistant/status"]);
    rig.story();
    let topic = "homeassistant/device/egret_box1_door/config";
    let said = rig.said(topic);
    assert_eq!(said.len(), 4, "announced, with fewer rules, again at a birth, removed");
    let first: Value = serde_json::from_str(&said[0]).expect("JSON");
    for key in ["dev", "o", "cmps", "availability"] {
        assert!(first.get(key).is_some(), "{key} is missing");
    }
    assert_eq!(first["dev"]["via_device"], "egret_box1");
    let entities = first["cmps"].as_object().expect("an object");
    for id in ["yard_occupied", "yard__person_occupied", "yard__car_count", "gate__person_in", "bench_count", "parked_event"] {
        assert!(entities.contains_key(id), "{id} is missing");
    }
    let announced =
        |(id, entity): (&String, &Value)| ["enabled", "best_shot"].contains(&id.as_str()) || entity["unique_id"].is_string();
    assert!(entities.values().all(|entity| entity["p"].is_string()) && entities.iter().all(announced));
    assert_eq!(entities["enabled"], serde_json::json!({ "p": "switch" }), "no switch, whoever had one before");
    let fewer: Value = serde_json::from_str(&said[1]).expect("JSON");
    assert_eq!(fewer["cmps"]["yard_occupied"], serde_json::json!({ "p": "binary_sensor" }), "the platform alone removes it");
    assert_eq!((said[2].as_str(), said[3].as_str()), (said[1].as_str(), ""));
    rig.sent.clear();
    for (topic, payload) in
        [("homeassistant/status", &b"offline"[..]), ("other/status", b"online"), ("homeassistant/status", b"\xff")]
    {
        rig.dialects.heard(topic, payload, Rig::keep(&mut rig.sent));
    }
    assert!(rig.sent.is_empty());
}
