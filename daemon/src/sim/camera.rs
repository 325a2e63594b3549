//! What a simulated camera is.

use std::path::PathBuf;

use super::scene::SceneConfig;
use crate::{config::Secret, media::Codec};

/// One simulated camera.
#[derive(Clone, Debug)]
pub struct SimCamera {
    /// Its name, and the path of its URL: `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// What it shows.
    pub what: What,
    /// How generated pictures (webcam, scene, test picture) are coded. A file keeps its own codec.
    pub codec: Codec,
    /// Pictures per second of a test picture or a webcam.
    pub fps: u32,
    /// Of generated pictures, kbit/s. Motion JPEG ignores it.
    pub bitrate_kbit: u32,
    /// Who may watch; everyone where there are none.
    pub credentials: Option<Credentials>,
    /// Whether it sends RTCP, and with it the sender reports that tell the time of capture.
    pub sender_reports: bool,
    /// How far its clock is ahead of ours: what its sender reports claim.
    pub clock_offset_ms: i64,
}

/// What a simulated camera shows.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A video file, its coded pictures untouched, again and again.
    File(PathBuf),
    /// A video device, e.g. `/dev/video0`.
    Webcam(PathBuf),
    /// A street that egret draws, with exact ground truth. It says its own rate and size.
    Scene(SceneConfig),
    /// A test picture.
    Test {
        /// One of `videotestsrc`'s patterns, e.g. `smpte`, `ball`, `snow`.
        pattern: String,
        /// Width in pixels, even.
        width: u32,
        /// Height in pixels, even.
        height: u32,
    },
}

/// How a camera checks a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 7617: the password goes over the wire.
    Basic,
    /// RFC 2069 / 2617.
    Digest,
}

/// Who may watch a camera.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// How it is asked for.
    pub scheme: Scheme,
}

impl SimCamera {
    /// A camera with the usual settings.
    pub fn new(name: &str, what: What) -> Self {
        Self {
            name: name.into(),
            what,
            codec: Codec::H264,
            fps: 15,
            bitrate_kbit: 2000,
            credentials: None,
            sender_reports: true,
            clock_offset_ms: 0,
        }
    }

    /// A camera that shows a file.
    pub fn file(name: &str, path: impl Into<PathBuf>) -> Self {
        Self::new(name, What::File(path.into()))
    }

    /// A camera that looks at a street.
    pub fn scene(name: &str, scene: SceneConfig) -> Self {
        Self::new(name, What::Scene(scene))
    }

    /// A camera that shows a bouncing ball, 320×240.
    pub fn test(name: &str) -> Self {
        Self::new(name, What::Test { pattern: "ball".into(), width: 320, height: 240 })
    }
}

/// What is shown right now: the camera's setting with what faults made of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recipe {
    pub(super) what: What,
    /// Coded anew like this; `None`: a file's own coded pictures.
    pub(super) encode: Option<Codec>,
    /// Scaled to this width and height before coding; a scene is drawn like that.
    pub(super) size: Option<(u32, u32)>,
    pub(super) fps: u32,
    pub(super) bitrate_kbit: u32,
}

impl Recipe {
    pub(super) fn of(camera: &SimCamera) -> Self {
        Self {
            what: camera.what.clone(),
            encode: (!matches!(camera.what, What::File(_))).then_some(camera.codec),
            size: None,
            fps: if let What::Scene(scene) = &camera.what { scene.fps.max(1) } else { camera.fps },
            bitrate_kbit: camera.bitrate_kbit,
        }
    }
}
