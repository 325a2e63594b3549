//! The configuration that the rest of the program sees: every value is present, in range and consistent.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use super::{model::ModelConfig, mqtt::MqttConfig, secret::Secret};
use crate::{
    analyse::{CameraRules, MaskConfig, geometry::Point},
    gate::{Hidden, MotionSettings, PictureSettings, WatchSettings},
    track::associate::{Kind as Tracker, Params},
};

/// Everything that was configured, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name of this device: a topic level, `[A-Za-z0-9_-]{1,64}`. Defaults to the host name.
    pub device: String,
    /// Logging.
    pub log: LogConfig,
    /// The broker. `None`: nothing is published, the log says so.
    pub mqtt: Option<MqttConfig>,
    /// The local HTTP listener. `None`: off.
    pub http: Option<HttpConfig>,
    /// What runs the networks on a CPU.
    pub runtime: RuntimeConfig,
    /// Whether cameras are looked at less often while the board is throttled.
    pub throttle: bool,
    /// How frames of several cameras are gathered.
    pub batch: BatchConfig,
    /// The tracker.
    pub track: TrackConfig,
    /// The networks, by unique name. The first one is the default of the cameras.
    pub models: Vec<ModelConfig>,
    /// The cameras, by unique name. May be empty: cameras can come with a reload.
    pub cameras: Vec<CameraConfig>,
    /// How long an ordered shutdown may take before the process ends anyway.
    pub shutdown_deadline: Duration,
    /// Where the GStreamer graph of a failing camera is written as `dot`. `None`: nowhere.
    pub graph_dir: Option<PathBuf>,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A `tracing` filter, e.g. `info` or `info,egret::source=debug`.
    pub filter: String,
    /// How it is written.
    pub format: LogFormat,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// To journald when started by systemd with its stream, else text.
    Auto,
    /// Text to standard error.
    Text,
    /// One JSON object per line to standard error.
    Json,
    /// Native journald fields.
    Journald,
}

/// The local HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Loopback unless configured otherwise.
    pub listen: SocketAddr,
}

/// What decodes a camera's pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecoderChoice {
    /// NVIDIA's hardware where it is there and works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Software,
    /// NVIDIA's hardware or nothing.
    Hardware,
}

/// Which runtime runs networks on a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuRuntime {
    /// ONNX Runtime where its library loads, else rten.
    #[default]
    Auto,
    /// ONNX Runtime or nothing.
    OnnxRuntime,
    /// The compiled-in rten.
    Rten,
}

/// Where networks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// On an NVIDIA device where there is one with TensorRT, else on the CPU.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On an NVIDIA device or nowhere.
    Tensorrt,
}

/// What runs the networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Where those run whose model names no devices.
    pub device: DeviceChoice,
    /// On a CPU.
    pub cpu: CpuRuntime,
    /// Bytes of each GPU's memory that engines may have; `None`: what is free.
    pub device_memory: Option<u64>,
    /// Path of `libonnxruntime.so`; `None`: `ORT_DYLIB_PATH`, beside the binary, then the loader's path.
    pub onnxruntime_library: Option<PathBuf>,
    /// TensorRT and its engines.
    pub engines: EnginesConfig,
}

/// TensorRT: where it and its engines are, and how they are built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnginesConfig {
    /// The folder of the engines; `None`: `engines` in the state directory.
    pub folder: Option<PathBuf>,
    /// How they are built.
    pub flags: crate::engine::Flags,
    /// The folder of TensorRT's libraries; `None`: where the system's loader finds them.
    pub tensorrt: Option<PathBuf>,
    /// Further plugin libraries.
    pub plugins: Vec<PathBuf>,
}

/// How frames of several cameras are gathered.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchConfig {
    /// Longest time that the oldest frame waits for company.
    pub max_wait: Duration,
    /// A frame older than this at dispatch (since it was decoded) is dropped, reason `stale`. Never applied to every-frame sources.
    pub staleness: Duration,
}

/// The tracker and the parameters that can be set; what else a tracker has stands with it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackConfig {
    /// Which tracker.
    pub tracker: Tracker,
    /// Detections at or above it take part in the first association.
    pub high_confidence: f32,
    /// Detections at or above it take part in the second one.
    pub low_confidence: f32,
    /// An unmatched detection at or above it starts a track.
    pub new_confidence: f32,
    /// Smallest IoU of a match in the first association.
    pub match_iou: f32,
    /// How long a lost track is remembered.
    pub lost_after: Duration,
    /// For how long an object is seen before it is announced.
    pub confirm_after: Duration,
    /// Whether the network looks again, at source resolution, at an object that it is not sure of, before it is announced. Off by
    /// default.
    pub second_look: bool,
    /// How objects are known again by what they look like.
    pub appearance: AppearanceConfig,
    /// The longest side of the best pictures of tracks, in pixels; `None`: none are kept.
    pub best_shots: Option<u32>,
}

/// How objects that come back are known again, where a step tells what tracks look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AppearanceConfig {
    /// Largest cosine distance of two appearances of one object, 0..1. 0: no object is known again.
    pub limit: f32,
    /// The second best candidate has to be farther off by this.
    pub margin: f32,
    /// How long an object that is gone is remembered.
    pub memory: Duration,
    /// Most objects of a camera that are remembered.
    pub entries: usize,
}

impl Default for AppearanceConfig {
    fn default() -> Self {
        Self { limit: 0.2, margin: 0.05, memory: Duration::from_mins(2), entries: 100 }
    }
}

impl TrackConfig {
    /// What holds for a tracker where nothing is said.
    pub fn of(tracker: Tracker) -> Self {
        let (match_iou, lost_after) = match tracker {
            Tracker::Egret => (0.2, Duration::from_secs(3)),
            Tracker::ByteTrack => (0.2, Duration::from_secs(1)),
            Tracker::OcSort => (0.3, Duration::from_secs(1)),
            Tracker::Sort => (0.3, Duration::from_millis(34)),
        };
        Self {
            tracker,
            high_confidence: 0.5,
            low_confidence: 0.1,
            new_confidence: 0.6,
            match_iou,
            lost_after,
            confirm_after: Duration::from_millis(30),
            second_look: false,
            appearance: AppearanceConfig::default(),
            best_shots: None,
        }
    }

    /// The tracker's parameters. Those of the published trackers are in frames of 1/30 s.
    pub fn params(&self) -> Params {
        let Self { high_confidence, low_confidence, new_confidence, match_iou, lost_after, .. } = *self;
        let frames = |rate: f32| lost_after.as_secs_f32() * rate;
        let mut params = self.tracker.params();
        match &mut params {
            Params::Sort(params) => {
                (params.confidence, params.match_iou) = (high_confidence, match_iou);
                params.max_age = frames(params.frame_rate);
            }
            Params::OcSort(params) => {
                (params.confidence, params.match_iou) = (high_confidence, match_iou);
                params.max_age = frames(params.frame_rate);
            }
            Params::ByteTrack(params) => {
                (params.high_confidence, params.low_confidence) = (high_confidence, low_confidence);
                (params.new_confidence, params.match_iou) = (new_confidence, match_iou);
                params.buffer = frames(params.frame_rate);
            }
            Params::Egret(params) => {
                (params.high_confidence, params.low_confidence) = (high_confidence, low_confidence);
                (params.new_confidence, params.match_iou) = (new_confidence, match_iou);
                params.lost_after = lost_after;
            }
        }
        params
    }
}

/// Where a camera's pictures come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceConfig {
    /// RTSP through retina.
    Rtsp(RtspConfig),
    /// RTSP over TLS through GStreamer's rtspsrc, certificate verified.
    Rtsps(RtspConfig),
    /// A file.
    File(FileConfig),
    /// A Video4Linux2 device, e.g. `/dev/video0`.
    V4l2(PathBuf),
    /// GStreamer's test picture: pattern name, width, height, frames per second.
    Test(TestConfig),
    /// A GStreamer fragment of the user's own that ends in raw or encoded video.
    Gst(String),
}

/// RTSP transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtspTransport {
    /// Interleaved in the RTSP connection.
    Tcp,
    /// RTP over UDP.
    Udp,
}

/// An RTSP camera.
#[derive(Clone, Debug, PartialEq)]
pub struct RtspConfig {
    /// Without credentials: these were split off.
    pub url: url::Url,
    /// Credentials.
    pub credentials: Option<Credentials>,
    /// Transport.
    pub transport: RtspTransport,
    /// PEM file with the authorities to trust (`rtsps` only).
    pub ca_file: Option<PathBuf>,
    /// Deadline of each RTSP request.
    pub request_timeout: Duration,
    /// Reconnect instead of waiting for the next IDR when the last one is longer ago than this.
    pub max_gop_wait: Duration,
}

/// A user name and a password for a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// A video file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileConfig {
    /// Path.
    pub path: PathBuf,
    /// Start again at the end, with continuous time.
    pub repeat: bool,
    /// By the file's clock (`true`), or as fast as it goes.
    pub realtime: bool,
    /// Every frame with back-pressure, nothing replaced; else the newest frame wins as with a camera.
    pub every_frame: bool,
}

/// GStreamer's `videotestsrc`.
#[derive(Clone, Debug, PartialEq)]
pub struct TestConfig {
    /// Its `pattern` property.
    pub pattern: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
}

/// What makes a frame still, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateConfig {
    /// Least change of a part of the picture that can be motion, in multiples of what it usually changes by.
    pub threshold: f32,
    /// For so long after motion, frames are not still.
    pub hold: Duration,
    /// Whether still frames are looked at while anything that is tracked moves, and once a second while it stands.
    pub tracks: bool,
    /// A still frame so often is looked at all the same.
    pub interval: Duration,
}

/// One camera.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraConfig {
    /// Unique name, a topic level: `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// Where its pictures come from.
    pub source: SourceConfig,
    /// Name of its model.
    pub model: String,
    /// Class names to keep; `None`: all.
    pub classes: Option<Vec<String>>,
    /// Detections below it are not kept; `None`: all that the model tells are.
    pub confidence: Option<f32>,
    /// What it is watched for.
    pub rules: Arc<CameraRules>,
    /// Cap on inferred frames per second.
    pub max_fps: Option<f64>,
    /// Cap while nothing is tracked in its picture (fed back by the tracker); `None`: as `max_fps`.
    pub idle_fps: Option<f64>,
    /// Shortest time between two inferred frames while all that is tracked moves as foreseen. Zero: none.
    pub calm_interval: Duration,
    /// Frames in which nothing moves are left out; `None`: they are not.
    pub gate: Option<GateConfig>,
    /// Share of the engine under overload, relative to the other cameras.
    pub weight: f64,
    /// Decode key frames only.
    pub key_frames_only: bool,
    /// What decodes its pictures.
    pub decoder: DecoderChoice,
    /// NVIDIA's decoder gives each picture out at once; breaks streams with B-frames.
    pub low_delay: bool,
    /// No access unit for this long: state `no_data` and a reconnect.
    pub no_data_timeout: Duration,
    /// Pictures identical for this long: state `frozen`. Zero: never.
    pub frozen_timeout: Duration,
    /// How long other faults of the pictures last before they are a state.
    pub picture: PictureSettings,
    /// Whether it runs.
    pub enabled: bool,
}

impl CameraConfig {
    /// What its pictures are watched for.
    pub fn watch(&self) -> WatchSettings {
        let motion = self.gate.map(|gate| MotionSettings { threshold: gate.threshold, hold: gate.hold });
        WatchSettings { motion, picture: self.picture }
    }

    /// The parts of its pictures that nobody is to look at: masks of all classes and all times.
    pub fn hidden(&self) -> Option<Hidden> {
        let always = |mask: &&MaskConfig| mask.classes.is_none() && mask.schedule.is_none();
        let zones: Vec<_> = self.rules.masks.iter().filter(always).map(|mask| mask.zone.clone()).collect();
        (!zones.is_empty()).then(|| Arc::new(move |x, y| zones.iter().any(|zone| zone.contains(Point::new(x, y)))) as Hidden)
    }
}
