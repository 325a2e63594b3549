//! The keys of the dialects of `[mqtt]`.

use serde::Deserialize;

use super::{Choice, DeepStreamForm, Key, Kind, Raw, Section, Shape, Words};

section! {
    /// The topics of Frigate beside our own.
    Frigate: Under("mqtt") "frigate" {
        /// Whether they are published.
        enabled: Flag = false;
        /// First level or levels of its topics.
        topic_prefix: Text = "frigate";
    }
}

section! {
    /// Entities of Home Assistant, announced by its MQTT discovery; their states are read out of our own messages.
    HomeAssistant: Under("mqtt") "homeassistant" {
        /// Whether they are announced.
        enabled: Flag = false;
        /// First level or levels of the topics of discovery.
        discovery_prefix: Text = "homeassistant";
    }
}

section! {
    /// The messages of NVIDIA DeepStream beside our own.
    DeepStream: Under("mqtt") "deepstream" {
        /// Whether they are published.
        enabled: Flag = false;
        /// The one topic of all cameras.
        topic: Text = "deepstream";
        /// full: JSON, a message per object. minimal: JSON, a message per frame. protobuf: the same as nv.Frame.
        form: Choice[DeepStreamForm] = "minimal";
        /// Every how many frames of a camera there is one.
        frame_interval: Count[1 ..= 1000] = 1;
    }
}

section! {
    /// The events and metadata of ONVIF beside our own messages.
    Onvif: Under("mqtt") "onvif" {
        /// Whether they are published.
        enabled: Flag = false;
        /// First level or levels of its topics.
        topic_prefix: Text, otherwise "the device's name";
        /// Whether events are published on onvif-ej.
        events: Flag = true;
        /// Whether each frame's objects are published on onvif-mj.
        metadata: Flag = true;
    }
}

section! {
    /// The scene metadata of Axis cameras beside our own messages.
    Axis: Under("mqtt") "axis" {
        /// Whether they are published.
        enabled: Flag = false;
        /// First level or levels of its topics.
        topic: Text = "axis";
        /// Whether each frame's objects are published.
        frames: Flag = true;
        /// Whether each track is published when it has ended.
        tracks: Flag = true;
    }
}
