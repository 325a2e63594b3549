//! How cameras and faults are written on the command line.

use std::{str::FromStr, time::Duration};

use super::{
    camera::{Credentials, Scheme, SimCamera, What},
    fault::{self, Fault},
    scene::{SceneConfig, TimeOfDay},
};
use crate::config::Secret;

/// How cameras are written.
pub const CAMERA_GRAMMAR: &str = "NAME=WHAT[,OPTION]..., where WHAT is file:PATH, webcam:DEVICE, scene or test[:PATTERN]; \
    options of any camera: login=USER:PASSWORD, basic (with login; else digest), noreports, offset=MS; \
    of generated pictures: codec=h264|h265|mjpeg, size=WIDTHxHEIGHT, fps=N, bitrate=KBIT; \
    of a scene: seed=N, night, rain, density=N, noclock";

/// How timed faults are written.
pub const TIMED_GRAMMAR: &str = "NAME=FAULT@AFTER[+FOR], times such as 500ms, 10s or 2m";

/// A camera or a timed fault that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{reason}; write {grammar}")]
pub struct BadArgument {
    reason: String,
    grammar: &'static str,
}

/// A fault at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedFault {
    /// Whose.
    pub camera: String,
    /// What happens.
    pub fault: Fault,
    /// After the start.
    pub after: Duration,
    /// When the camera is cleared again, counted from then.
    pub lasting: Option<Duration>,
}

impl FromStr for SimCamera {
    type Err = BadArgument;

    fn from_str(text: &str) -> Result<Self, BadArgument> {
        let bad = |reason: String| BadArgument { reason, grammar: CAMERA_GRAMMAR };
        let (name, rest) = text.split_once('=').ok_or_else(|| bad(format!("{text:?} has no name")))?;
        let (what, options) = split_options(rest);
        let (kind, value) = what.split_once(':').map_or((what, None), |(kind, value)| (kind, Some(value)));
        let mut camera = match (kind, value) {
            ("file", Some(path)) => Self::file(name, path),
            ("webcam", Some(device)) => Self::new(name, What::Webcam(device.into())),
            ("scene", None) => Self::scene(name, SceneConfig::default()),
            // As it reads best: scene:seed=7,night.
            ("scene", Some(option)) => {
                let mut camera = Self::scene(name, SceneConfig::default());
                set(&mut camera, option).map_err(bad)?;
                camera
            }
            ("test", None) => Self::test(name),
            ("test", Some(pattern)) => Self::new(name, What::Test { pattern: pattern.into(), width: 320, height: 240 }),
            _ => return Err(bad(format!("{what:?} is nothing to show"))),
        };
        // `basic` is about a login, wherever it stands.
        let (last, first): (Vec<_>, Vec<_>) = options.into_iter().partition(|option| *option == "basic");
        for option in first.into_iter().chain(last) {
            set(&mut camera, option).map_err(bad)?;
        }
        Ok(camera)
    }
}

impl FromStr for TimedFault {
    type Err = BadArgument;

    fn from_str(text: &str) -> Result<Self, BadArgument> {
        let bad = |reason: String| BadArgument { reason, grammar: TIMED_GRAMMAR };
        let (camera, rest) = text.split_once('=').ok_or_else(|| bad(format!("{text:?} has no camera")))?;
        let (fault, times) = rest.rsplit_once('@').ok_or_else(|| bad(format!("{text:?} has no time")))?;
        let (after, lasting) = times.split_once('+').map_or((times, None), |(after, lasting)| (after, Some(lasting)));
        let time = |text: &str| parse_time(text).ok_or_else(|| bad(format!("{text:?} is no time")));
        Ok(Self {
            camera: camera.into(),
            fault: fault.parse().map_err(|e: fault::NoFault| bad(e.to_string()))?,
            after: time(after)?,
            lasting: lasting.map(time).transpose()?,
        })
    }
}

/// `500ms`, `10s`, `2m`.
pub fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<u32>().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number.into())),
        "s" => Some(Duration::from_secs(number.into())),
        "m" => Some(Duration::from_secs(60 * u64::from(number))),
        _ => None,
    }
}

const FLAGS: [&str; 5] = ["basic", "noreports", "night", "rain", "noclock"];
const SETTINGS: [&str; 8] = ["login", "offset", "codec", "size", "fps", "bitrate", "seed", "density"];

/// Splits the options off the end; a path may have commas of its own.
fn split_options(text: &str) -> (&str, Vec<&str>) {
    let (mut what, mut options) = (text, Vec::new());
    while let Some((rest, last)) = what.rsplit_once(',') {
        let known = FLAGS.contains(&last) || last.split_once('=').is_some_and(|(key, _)| SETTINGS.contains(&key));
        // What follows an option is one too, be it misspelt; what precedes them all may be a path.
        let scene_or_test = rest.starts_with("scene") || rest.starts_with("test");
        if !known && !scene_or_test {
            break;
        }
        options.insert(0, last);
        what = rest;
    }
    (what, options)
}

fn set(camera: &mut SimCamera, option: &str) -> Result<(), String> {
    let (key, value) = option.split_once('=').map_or((option, ""), |(key, value)| (key, value));
    let no = |reason: &str| format!("{option:?}: {reason}");
    let number = || value.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(|| no("a whole number above 0"));
    match (key, &mut camera.what) {
        ("login", _) => {
            let (user, password) = value.split_once(':').ok_or_else(|| no("login=USER:PASSWORD"))?;
            camera.credentials = Some(Credentials { user: user.into(), password: Secret::new(password), scheme: Scheme::Digest });
        }
        ("basic", _) => camera.credentials.as_mut().ok_or_else(|| no("there is no login"))?.scheme = Scheme::Basic,
        ("noreports", _) => camera.sender_reports = false,
        ("offset", _) => camera.clock_offset_ms = value.parse().map_err(|_| no("milliseconds, forward or back"))?,
        (_, What::File(_)) => return Err(no("a file is shown as it is")),
        ("codec", _) => camera.codec = fault::parse_codec(value).map_err(no)?,
        ("bitrate", _) => camera.bitrate_kbit = number()?,
        ("fps", What::Scene(scene)) => scene.fps = number()?,
        ("fps", _) => camera.fps = number()?,
        ("size", What::Scene(SceneConfig { width, height, .. }) | What::Test { width, height, .. }) => {
            (*width, *height) = fault::parse_size(value).map_err(no)?;
        }
        ("seed", What::Scene(scene)) => scene.seed = value.parse().map_err(|_| no("a whole number"))?,
        ("night", What::Scene(scene)) => scene.time = TimeOfDay::Night,
        ("rain", What::Scene(scene)) => scene.rain = true,
        ("noclock", What::Scene(scene)) => scene.clock = false,
        ("density", What::Scene(scene)) => {
            scene.density = value.parse().ok().filter(|d| (0.0..=10.0).contains(d)).ok_or_else(|| no("from 0 to 10"))?;
        }
        _ => return Err(no("unknown here")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Codec;

    #[test]
    fn cameras_are_read() {
        let camera: SimCamera = "street=file:/tmp/a,b=c.mp4,offset=-500,login=me:a:b=c,basic".parse().unwrap();
        assert_eq!((camera.name.as_str(), &camera.what), ("street", &What::File("/tmp/a,b=c.mp4".into())));
        let login = camera.credentials.unwrap();
        assert_eq!((login.password.expose(), login.scheme, camera.clock_offset_ms), ("a:b=c", Scheme::Basic, -500));

        let camera: SimCamera = "s=scene:seed=7,night,size=320x180,fps=10,codec=h265,noreports".parse().unwrap();
        let scene = SceneConfig { seed: 7, time: TimeOfDay::Night, width: 320, height: 180, fps: 10, ..SceneConfig::default() };
        assert_eq!((camera.what, camera.codec, camera.sender_reports), (What::Scene(scene), Codec::H265, false));

        let camera: SimCamera = "t=test:snow,size=64x48,fps=5,bitrate=100".parse().unwrap();
        assert_eq!(camera.what, What::Test { pattern: "snow".into(), width: 64, height: 48 });
        assert_eq!((camera.fps, camera.bitrate_kbit), (5, 100));
        assert_eq!("s=scene".parse::<SimCamera>().unwrap().what, What::Scene(SceneConfig::default()));
    }

    #[test]
    fn timed_faults_are_read() {
        let fault: TimedFault = "street=alter:0.1:7@1500ms+2m".parse().unwrap();
        assert_eq!((fault.camera.as_str(), fault.fault), ("street", Fault::Alter { rate: 0.1, seed: 7 }));
        assert_eq!((fault.after, fault.lasting), (Duration::from_millis(1500), Some(Duration::from_mins(2))));
        assert_eq!("a=drop@10s".parse::<TimedFault>().unwrap().lasting, None);
    }

    #[test]
    fn rubbish_is_refused() {
        for text in [
            "street",
            "a=film:x",
            "a=file",
            "a=scene:speed=7",
            "a=scene,nite",
            "a=test,seed=1",
            "a=file:x,fps=5",
            "a=test,basic",
            "a=test,login=me",
            "a=test,size=7x7",
            "a=test,fps=0",
            "a=scene,density=99",
            "a=webcam:/dev/video0,night",
            "a=test,codec=vp9",
        ] {
            assert!(text.parse::<SimCamera>().is_err(), "{text}");
        }
        for text in ["stall@1s", "a=stall", "a=stall@1", "a=stall@1s+x", "a=burn@1s", "a=stall@99999999999s"] {
            assert!(text.parse::<TimedFault>().is_err(), "{text}");
        }
    }
}
