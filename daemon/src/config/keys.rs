//! Every key there is, defined once: its name, kind, range, default and description. From this table come the typed structures,
//! the reading of files and environment, the did-you-means, the JSON Schema, and the test of the sample configuration.

use std::{collections::HashMap, path::PathBuf};

use serde::{Deserialize, Deserializer};

use super::{
    CpuRuntime, DecoderChoice, DeepStreamForm, DeviceChoice, FrameFormat, LogFormat, MqttVersion, RtspTransport, Secret,
    kind::{Kind, Raw, Words},
    span::Span,
};
use crate::{batch::Queues, track::associate::Kind as Tracker};

// Its macros are those of the modules below, too.
#[macro_use]
mod section;
mod shape;

pub(super) use shape::{Section, Shape};

/// A key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) doc: &'static str,
    /// What it is if it is not written.
    pub(super) default: Option<fn() -> Raw>,
    /// What it is if it is not written, where that depends on something else.
    pub(super) otherwise: Option<&'static str>,
    /// The kinds of sources (of a camera), or of rules, for which the key means something; all, if empty.
    pub(super) sources: &'static [&'static str],
}

/// The value of a choice. It was checked when it was read.
pub(super) struct Choice<T>(pub(super) T);

impl<'de, T: Words> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        T::from_word(&word).map(Self).ok_or_else(|| serde::de::Error::custom("no such choice"))
    }
}

/// A detector that needs no file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    Demo,
    Null,
}

/// What a model looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Cameras,
    Tracks,
    Frames,
}

/// Which of a camera's two streams is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Main,
    Sub,
}

words! {
    LogFormat { "auto" => Auto, "text" => Text, "json" => Json, "journald" => Journald }
    FrameFormat { "json" => Json, "cbor" => Cbor, "protobuf" => Protobuf }
    MqttVersion { "5" => V5, "3.1.1" => V311 }
    Tracker { "egret" => Egret, "sort" => Sort, "bytetrack" => ByteTrack, "ocsort" => OcSort }
    DeviceChoice { "auto" => Auto, "cpu" => Cpu, "tensorrt" => Tensorrt }
    CpuRuntime { "auto" => Auto, "onnxruntime" => OnnxRuntime, "rten" => Rten }
    DecoderChoice { "auto" => Auto, "software" => Software, "hardware" => Hardware }
    RtspTransport { "tcp" => Tcp, "udp" => Udp }
    Builtin { "demo" => Demo, "null" => Null }
    On { "cameras" => Cameras, "tracks" => Tracks, "frames" => Frames }
    Stream { "main" => Main, "sub" => Sub }
    Queues { "shared" => Shared, "per_device" => PerDevice }
    DeepStreamForm { "full" => Full, "minimal" => Minimal, "protobuf" => Protobuf }
}

section! {
    /// What stands before the first table.
    Top: Top "top" {
        /// Name of this device: a level of every topic, so unique at the broker.
        device: Name, otherwise "the host name";
        /// How long an ordered shutdown may take before the process ends anyway.
        shutdown_deadline: Span["1s" ..= "5m"] = "10s";
        /// Time zone of schedules, by its name in the IANA database.
        time_zone: Text, otherwise "the system's";
        /// Directory in which the GStreamer graph of a failing camera is written as a .dot file.
        graph_dir: Path, otherwise "no graphs are written";
    }
}

section! {
    /// Logging.
    Log: Table "log" {
        /// What is logged: a level (error, warn, info, debug, trace), or levels per module.
        filter: Text = "info";
        /// How it is written. auto: natively to journald when systemd started the process, else text.
        format: Choice[LogFormat] = "auto";
    }
}

section! {
    /// The local HTTP listener: /healthz, /readyz, /metrics.
    Http: Table "http" {
        /// Address and port. It has no authentication: keep it on loopback. Port 0: any free one, which the log names.
        listen: Text = "127.0.0.1:9180";
        /// Whether it listens at all.
        enabled: Flag = true;
    }
}

section! {
    /// What decodes, and what runs networks.
    Runtime: Table "runtime" {
        /// Where networks run whose model names no devices. auto: on an NVIDIA device where there is one with TensorRT, else on the CPU.
        /// tensorrt: there or nowhere.
        device: Choice[DeviceChoice] = "auto";
        /// auto: ONNX Runtime where its library loads, else rten, which is slower and always there.
        cpu: Choice[CpuRuntime] = "auto";
        /// Path of libonnxruntime.so.
        onnxruntime_library: Path, otherwise "ORT_DYLIB_PATH, then beside the binary, then where the loader looks";
        /// What decodes the cameras' pictures. auto: NVIDIA's hardware where it is there and works, else the CPU; hardware: that or nothing.
        decoder: Choice[DecoderChoice] = "auto";
        /// Whether cameras are looked at less often while heat or current slows the board down: from 3/4 of their frames to 1/4.
        throttle: Flag = true;
        /// Folder of the engines that TensorRT builds here. Each is good for one device and one TensorRT: keep it over updates.
        engines: Path, otherwise "engines under STATE_DIRECTORY, /var/lib/egret, or XDG_STATE_HOME/egret";
        /// Most memory of each GPU that engines may have together, in MiB. A set that needs more is refused before it starts.
        device_memory: Count[1 ..= 1_048_576], otherwise "what the device has free at the start";
        /// Most scratch memory that a layer of an engine may ask for, in MiB.
        engine_workspace: Count[1 ..= 1_048_576], otherwise "TensorRT's own: as much as the device has";
        /// How hard TensorRT tries: higher builds longer, for faster engines.
        engine_level: Count[0 ..= 5], otherwise "TensorRT's own: 3";
        /// Whether engines may run products of 32-bit floats in TF32, which has 10 bits of mantissa.
        tf32: Flag = false;
        /// Folder of TensorRT's libraries.
        tensorrt: Path, otherwise "where the system's loader finds them";
        /// Further plugin libraries of TensorRT, for networks that use them.
        tensorrt_plugins: Texts, otherwise "none";
    }
}

section! {
    /// How the frames of several cameras are gathered into batches.
    Batch: Table "batch" {
        /// Longest time that the oldest frame of a batch waits for company.
        max_wait: Span["0s" ..= "1s"] = "30ms";
        /// A frame that waited longer than this is dropped instead of inferred (never in every-frame mode).
        staleness: Span["10ms" ..= "1m"] = "500ms";
    }
}

section! {
    /// The tracker.
    Track: Table "track" {
        /// Which tracker: egret, our own; or sort, bytetrack or ocsort as published.
        tracker: Choice[Tracker] = "egret";
        /// Detections at or above it take part in the first association; sort and ocsort look at no others.
        high_confidence: Real[0.0 ..= 1.0] = 0.5;
        /// Detections at or above it take part in the second one, which only prolongs tracks.
        low_confidence: Real[0.0 ..= 1.0] = 0.1;
        /// An unmatched detection at or above it starts a track.
        new_confidence: Real[0.0 ..= 1.0] = 0.6;
        /// Smallest overlap (IoU) of a track and its next detection.
        match_iou: Real[0.0 ..= 1.0], otherwise "0.2; with sort and ocsort 0.3";
        /// How long a lost track is remembered.
        lost_after: Span["30ms" ..= "1m"], otherwise "3s; with bytetrack and ocsort 1s, with sort 34ms";
        /// For how long an object is seen before it is announced. 0s: it is announced when it is first believed.
        confirm_after: Span["0s" ..= "10s"] = "30ms";
        /// Whether the network looks again, at full resolution, at an object that it is not sure of before it is announced.
        second_look: Flag = false;
        /// Largest cosine distance of two appearances of one object, where a step tells what tracks look like. 0: never known again.
        appearance_limit: Real[0.0 ..= 1.0] = 0.2;
        /// By how much farther off the second best candidate has to be.
        appearance_margin: Real[0.0 ..= 1.0] = 0.05;
        /// How long the appearance of an object that is gone is remembered.
        appearance_memory: Span["1s" ..= "1h"] = "2m";
        /// Of how many objects of a camera at most.
        appearance_entries: Count[1 ..= 1000] = 100;
        /// Whether the best picture of each track is kept, and told at its end and by the dialects that have one. Masks are black in it.
        best_shots: Flag = false;
        /// Its longest side in pixels.
        best_shot_size: Count[32 ..= 1024] = 320;
    }
}

section! {
    /// A network. The first one is the default of the cameras.
    Model: List "model" {
        /// Its name.
        name: Name;
        /// ONNX file.
        file: Path;
        /// Name of a model in the store (egret model list).
        stored: Text;
        /// A detector that comes with egret. demo: knows only the simulator's streets. null: sees nothing.
        builtin: Choice[Builtin];
        /// JSON-lines file of detections that are replayed instead of inferred, for tests.
        scripted: Path;
        /// Class names in the order of the network's outputs.
        classes: Texts, otherwise "those that come with the model, else COCO's 80";
        /// The same as a file, one name per line.
        classes_file: Path;
        /// Smallest confidence that counts as a detection, or that a label needs to be told.
        confidence: Real[0.0 ..= 1.0], otherwise "the manifest's, else 0.3";
        /// Other confidences for some classes: NAME=CONFIDENCE.
        class_confidence: Texts, otherwise "the manifest's, else none";
        /// Overlap (IoU) above which the lesser of two boxes of one class is suppressed.
        nms_iou: Real[0.0 ..= 1.0], otherwise "the manifest's, else 0.45";
        /// Whether boxes of different classes suppress each other too.
        class_agnostic: Flag, otherwise "the manifest's, else false";
        /// Only so many candidates with the highest scores take part in the suppression (pre-NMS top-k).
        max_candidates: Count[1 ..= 30000], otherwise "the manifest's, else 1000";
        /// At most so many boxes of a frame remain.
        max_detections: Count[1 ..= 1000], otherwise "the manifest's, else 300";
        /// Largest batch.
        max_batch: Count[1 ..= 64] = 8;
        /// Engine instances on the CPU, one thread each.
        workers: Count[1 ..= 256], otherwise "one per CPU core";
        /// What its instances run on, an entry for each: cpu, gpu (gpu:1 …), dla:0, dla:1. All take from the same cameras.
        devices: Processors, otherwise "as runtime.device says: one instance on the first GPU, or workers of them on the CPU";
        /// shared: a free instance takes the frames of all cameras. per_device: each camera is one device's.
        queues: Choice[Queues] = "shared";
        /// Large frames in overlapping tiles: how many side by side. What is seen in several of them is told once.
        tile_columns: Count[1 ..= 8] = 1;
        /// How many one above the other.
        tile_rows: Count[1 ..= 8] = 1;
        /// Share of a tile that it has in common with its neighbour. Best larger than the largest object is in a tile.
        tile_overlap: Real[0.0 ..= 0.5] = 0.2;
        /// Whether the whole frame is looked at besides, for objects that no tile holds.
        tile_whole: Flag = true;
        /// cameras: frames of the cameras that name it. tracks: what another model follows, cut out. frames: its whole frames.
        on: Choice[On] = "cameras";
        /// tracks, frames: which model's.
        of: Name, otherwise "the first model that looks at cameras";
        /// tracks: classes of that model. Others are not looked at.
        of_classes: Texts, otherwise "all";
        /// tracks: shortest time between two looks at one track; frames: at one camera.
        every: Span["0s" ..= "1h"] = "1s";
        /// tracks: boxes with a shorter side in pixels are not looked at.
        min_size: Count[1 ..= 4096] = 16;
        /// Networks that take clips: how many are spread over a span and looked at together.
        clips: Count[1 ..= 16] = 1;
        /// Networks that take clips: the span.
        span: Span["100ms" ..= "10m"] = "2s";
        /// Whether messages carry whole vectors and whole masks, those of the objects of an instance segmentation too.
        details: Flag = false;
    }
}

section! {
    /// A camera.
    Camera: List "camera" {
        /// Its name: a level of its topics.
        name: Name;
        /// Where its pictures come from: rtsp://, rtsps:// (certificate verified), file:PATH, v4l2:/dev/video0,
        /// test:PATTERN (GStreamer's videotestsrc), or gst:FRAGMENT (GStreamer elements that end in video).
        url: Url;
        /// A second, smaller stream of the same camera.
        sub_stream_url: Url, for "rtsp" "rtsps";
        /// Which of the two is used.
        stream: Choice[Stream] = "main", for "rtsp" "rtsps";
        /// User name at the camera.
        username: Text, for "rtsp" "rtsps";
        /// File that holds the password.
        password_file: Path, for "rtsp" "rtsps";
        /// Environment variable that holds the password.
        password_env: Text, for "rtsp" "rtsps";
        /// systemd credential that holds the password (LoadCredential= in the unit).
        password_credential: Text, for "rtsp" "rtsps";
        /// The password itself. Better one of the three above.
        password: Hidden, for "rtsp" "rtsps";
        /// How RTP travels: inside the RTSP connection, or over UDP.
        transport: Choice[RtspTransport] = "tcp", for "rtsp" "rtsps";
        /// PEM file with the authorities that the camera's certificate is checked against.
        ca_file: Path, otherwise "the system's authorities", for "rtsps";
        /// Deadline of each RTSP request.
        request_timeout: Span["1s" ..= "2m"] = "10s", for "rtsp" "rtsps";
        /// After a loss: reconnect instead of waiting for the next key frame when the last one is longer ago than this.
        max_gop_wait: Span["1s" ..= "10m"] = "10s", for "rtsp" "rtsps";
        /// Start the file again at its end, with continuous time.
        repeat: Flag = false, for "file";
        /// Play at the file's own pace; false: as fast as it goes.
        realtime: Flag = true, for "file";
        /// Take every frame, in order, and let the file wait; false: the newest frame wins, as with a camera.
        every_frame: Flag = false, for "file";
        /// Width in pixels.
        width: Count[16 ..= 7680] = 640, for "test";
        /// Height in pixels.
        height: Count[16 ..= 4320] = 360, for "test";
        /// Frames per second.
        fps: Count[1 ..= 240] = 15, for "test";
        /// Name of its model.
        model: Name, otherwise "the first model";
        /// Class names to keep.
        classes: Texts, otherwise "all";
        /// Smallest confidence of a detection that is kept. What is below the model's own does not come this far.
        confidence: Real[0.0 ..= 1.0], otherwise "the model's";
        /// Width and height of the picture in which zones, lines and the ground are measured, in pixels: WIDTHxHEIGHT. The
        /// stream may have another size.
        picture_size: Text, otherwise "they are fractions of the picture's width and height, 0 to 1";
        /// Ground plane: four places in the picture, in order around.
        ground: Points, otherwise "distances are measured in the heights of boxes";
        /// Ground plane: where these are, in metres from any origin.
        ground_metres: Points;
        /// Most frames per second that are inferred.
        max_fps: Positive[1000.0], otherwise "no cap";
        /// The same while nothing is tracked in its picture. With motion_gate, motion lifts it at once.
        idle_fps: Positive[1000.0], otherwise "as max_fps";
        /// Shortest time between two inferred frames while everything that is tracked in its picture moves as foreseen.
        calm_interval: Span["0s" ..= "10s"] = "0s";
        /// Whether frames in which nothing moves are left out.
        motion_gate: Flag = false;
        /// motion_gate: least change of a part of the picture that can be motion, in multiples of what it usually changes by.
        motion_threshold: Real[1.0 ..= 64.0] = 5.0;
        /// motion_gate: for so long after motion, frames go on.
        motion_hold: Span["0s" ..= "1h"] = "1s";
        /// motion_gate: whether frames go on while anything tracked moves, and once a second while it stands.
        motion_tracks: Flag = true;
        /// motion_gate: a frame so often is inferred all the same.
        still_interval: Span["100ms" ..= "1h"] = "5s";
        /// Its share of the engine under overload, relative to the other cameras.
        weight: Positive[1000.0] = 1.0;
        /// Decode key frames only.
        key_frames_only: Flag = false;
        /// What decodes its pictures: auto, software or hardware.
        decoder: Choice[DecoderChoice], otherwise "as runtime.decoder";
        /// NVIDIA's decoder gives each picture out at once. Breaks streams with B-frames.
        low_delay: Flag = false;
        /// No data for this long: status no_data, and a new connection.
        no_data_timeout: Span["1s" ..= "1h"] = "10s";
        /// Identical pictures for this long: status frozen. 0s: never.
        frozen_timeout: Span["0s" ..= "24h"] = "0s";
        /// Black pictures for this long: status black. 0s: never.
        black_timeout: Span["0s" ..= "24h"] = "0s";
        /// Pictures far less sharp than usual for this long: status blurred. 0s: never.
        blurred_timeout: Span["0s" ..= "24h"] = "0s";
        /// Another view than usual for this long: status moved. 0s: never.
        moved_timeout: Span["0s" ..= "24h"] = "0s";
        /// Whether it runs.
        enabled: Flag = true;
    }
}

mod commands;
mod dialects;
mod mqtt;
mod queue;
mod rule;
pub(super) use commands::Commands;
pub(super) use dialects::{Axis, DeepStream, Frigate, HomeAssistant, Onvif};
pub(super) use mqtt::{Broker, Mqtt};
pub(super) use queue::Queue;
pub(super) use rule::{Anchor, Direction, Profile, Rule, RuleWord, Strictness};

/// All sections, in the order of the sample configuration.
pub(super) const SECTIONS: &[Section] = &[
    Top::SECTION,
    Log::SECTION,
    Mqtt::SECTION,
    Broker::SECTION,
    Commands::SECTION,
    Queue::SECTION,
    Frigate::SECTION,
    HomeAssistant::SECTION,
    DeepStream::SECTION,
    Onvif::SECTION,
    Axis::SECTION,
    Http::SECTION,
    Runtime::SECTION,
    Batch::SECTION,
    Track::SECTION,
    Model::SECTION,
    Profile::SECTION,
    Camera::SECTION,
    Rule::SECTION,
];

/// The typed step: everything that was written, over the defaults, each value readable by itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Typed {
    pub(super) top: Top,
    pub(super) log: Log,
    pub(super) mqtt: Mqtt,
    #[serde(default)]
    pub(super) broker: HashMap<String, Broker>,
    pub(super) commands: Commands,
    pub(super) queue: Queue,
    pub(super) frigate: Frigate,
    pub(super) homeassistant: HomeAssistant,
    pub(super) deepstream: DeepStream,
    pub(super) onvif: Onvif,
    pub(super) axis: Axis,
    pub(super) http: Http,
    pub(super) runtime: Runtime,
    pub(super) batch: Batch,
    pub(super) track: Track,
    #[serde(default)]
    pub(super) model: HashMap<String, Model>,
    #[serde(default)]
    pub(super) profile: HashMap<String, Profile>,
    #[serde(default)]
    pub(super) camera: HashMap<String, Camera>,
    /// By camera and name: `camera/name`.
    #[serde(default)]
    pub(super) rule: HashMap<String, Rule>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::span;

    #[test]
    fn every_default_and_limit_is_in_range() {
        for section in SECTIONS {
            for key in section.keys {
                if let Kind::Span(low, high) = key.kind {
                    assert!(span::parse(low).expect(key.name) <= span::parse(high).expect(key.name));
                }
                if let Some(default) = key.default {
                    assert!(key.kind.read(&default(), Path::new("")).is_ok(), "{}.{}", section.name, key.name);
                    assert_eq!(key.otherwise, None);
                }
                assert!(key.doc.trim().ends_with('.'), "{}.{} has no sentence", section.name, key.name);
            }
        }
    }

    #[test]
    fn every_word_stands_for_something() {
        fn all<T: Words>() {
            assert!(T::WORDS.iter().all(|word| T::from_word(word).is_some()));
            assert!(T::from_word("").is_none());
        }
        all::<LogFormat>();
        all::<MqttVersion>();
        all::<FrameFormat>();
        all::<Tracker>();
        all::<CpuRuntime>();
        all::<DeviceChoice>();
        all::<RtspTransport>();
        all::<Builtin>();
        all::<On>();
        all::<Stream>();
        all::<DeepStreamForm>();
        all::<RuleWord>();
        all::<Anchor>();
        all::<Direction>();
        all::<Strictness>();
    }
}
