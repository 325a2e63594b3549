//! The cameras.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use super::{
    Surroundings,
    login::{self, Login},
    rule::{self, Canvas, Profiles},
};
use crate::{
    analyse::CameraRules,
    config::{
        CameraConfig, Credentials, DecoderChoice, FileConfig, GateConfig, ModelConfig, RtspConfig, SourceConfig, TestConfig,
        address::{self, password_parameter},
        document::Entries,
        fragment,
        keys::{Camera, Rule, Section, Stream},
        ledger::Ledger,
        suggest,
    },
    gate::PictureSettings,
};

/// Most cameras.
const MOST: usize = 256;
const SECTION: Section = Camera::SECTION;

/// The patterns of GStreamer's `videotestsrc` since 1.14.
const PATTERNS: [&str; 25] = [
    "smpte",
    "snow",
    "black",
    "white",
    "red",
    "green",
    "blue",
    "checkers-1",
    "checkers-2",
    "checkers-4",
    "checkers-8",
    "circular",
    "blink",
    "smpte75",
    "zone-plate",
    "gamut",
    "chroma-zone-plate",
    "solid-color",
    "ball",
    "smpte100",
    "bar",
    "pinwheel",
    "spokes",
    "gradient",
    "colors",
];

/// Checks all cameras, in the order of their names' first appearance.
pub(super) fn build(
    (mut typed, mut rules): (HashMap<String, Camera>, HashMap<String, Rule>),
    entries: &Entries,
    (models, profiles, decoder): (&[ModelConfig], &Profiles, DecoderChoice),
    ledger: &mut Ledger,
    around: &Surroundings<'_>,
) -> Vec<CameraConfig> {
    let names = &entries.cameras;
    if let Some(name) = names.get(MOST) {
        ledger.problem(&SECTION.path(Some(name), ""), format!("more than {MOST} cameras"), "split them over several devices");
    }
    // A model that is there but refused has its own problem.
    let no_model = entries.models.is_empty() && !ledger.is_spoilt("model");
    let mut missed = HashSet::new();
    let mut cameras = Vec::new();
    for name in names.iter().take(MOST) {
        let Some(camera) = typed.remove(name) else { continue };
        let mut check = Check { name, ledger, around };
        let model = check.model(camera.model.as_deref(), models, no_model, &mut missed);
        check.rates(&camera);
        let known = model.and_then(|model| models.iter().find(|known| known.name == model));
        let classes = known.and_then(|model| around.classes_of(model));
        check.classes(&camera, classes);
        let gate = check.gate(&camera);
        let of_it = entries.rules.get(name).map_or(&[][..], Vec::as_slice);
        let rules = check.rules(&camera, classes, (&mut rules, of_it), profiles);
        let source = check.source(&camera);
        // What is wrong is told; the camera itself can still be looked at.
        let model = model.or_else(|| check.ledger.has_problems().then_some(""));
        if let (Some(name), Some(source), Some(model)) = (camera.name, source, model) {
            cameras.push(CameraConfig {
                name,
                source,
                model: model.to_owned(),
                classes: camera.classes,
                confidence: camera.confidence.map(|confidence| confidence as f32),
                rules: Arc::new(rules),
                max_fps: camera.max_fps,
                idle_fps: camera.idle_fps,
                calm_interval: camera.calm_interval.0,
                gate,
                weight: camera.weight,
                key_frames_only: camera.key_frames_only,
                decoder: camera.decoder.map_or(decoder, |choice| choice.0),
                low_delay: camera.low_delay,
                no_data_timeout: camera.no_data_timeout.0,
                frozen_timeout: camera.frozen_timeout.0,
                picture: PictureSettings {
                    black: camera.black_timeout.0,
                    blurred: camera.blurred_timeout.0,
                    moved: camera.moved_timeout.0,
                },
                enabled: camera.enabled,
            });
        }
    }
    cameras
}

struct Check<'a> {
    name: &'a str,
    ledger: &'a mut Ledger,
    around: &'a Surroundings<'a>,
}

impl Check<'_> {
    fn path(&self, key: &str) -> String {
        SECTION.path(Some(self.name), key)
    }

    /// The camera's model: the one it names, else the first. That there is none, or none of a name, is said of the first camera only.
    fn model<'m>(
        &mut self,
        named: Option<&'m str>,
        models: &'m [ModelConfig],
        no_model: bool,
        missed: &mut HashSet<String>,
    ) -> Option<&'m str> {
        if let Some(named) = named {
            if let Some(model) = models.iter().find(|model| model.name == named) {
                if model.step.is_some() {
                    let remedy = "name the model whose tracks or frames it looks at, or write on = \"cameras\" there";
                    self.ledger.problem(&self.path("model"), "this model looks at what another one has seen", remedy);
                    return None;
                }
                return Some(named);
            }
            if !self.ledger.is_set(&format!("model.{named}.name")) {
                self.no_such_model(named, models, missed);
            }
            return None;
        }
        if no_model && missed.insert(String::new()) {
            let remedy = "name an ONNX detector: [[model]] with name = \"yolox\" and file = \"/path/of/yolox_nano.onnx\", or --model FILE. \
                          To try egret without one: egret demo";
            self.ledger.missing(&self.path(""), "model", "there is a camera but no model that looks at its pictures", remedy);
        }
        models.iter().find(|model| model.step.is_none()).map(|model| model.name.as_str())
    }

    fn no_such_model(&mut self, named: &str, models: &[ModelConfig], missed: &mut HashSet<String>) {
        let (path, reason) = (self.path("model"), "no model has this name");
        if let Some(near) = suggest::nearest(named, models.iter().map(|model| model.name.as_str())) {
            self.ledger.problem(&path, reason, format!("did you mean {near}?"));
        } else if !self.ledger.is_spoilt("model") && missed.insert(named.to_owned()) {
            let remedy = format!("define it: [[model]] with name = {named:?} and file = \"/path/of/model.onnx\"");
            self.ledger.unresolved(&path, reason, remedy);
        }
    }

    fn rates(&mut self, camera: &Camera) {
        if let (Some(idle), Some(max)) = (camera.idle_fps, camera.max_fps)
            && idle > max
        {
            self.ledger.problem(
                &self.path("idle_fps"),
                "an idle camera would be looked at more often than a busy one",
                "make it at most max_fps",
            );
        }
    }

    fn gate(&mut self, camera: &Camera) -> Option<GateConfig> {
        if !camera.motion_gate {
            for key in ["motion_threshold", "motion_hold", "motion_tracks", "still_interval"] {
                // Whoever switches a gate off over a file need not take its settings away.
                let path = self.path(key);
                if self.ledger.is_set(&path) && self.ledger.layer(&path) >= self.ledger.layer(&self.path("motion_gate")) {
                    self.ledger.problem(&path, "it means nothing without the gate", "write motion_gate = true, or remove it");
                }
            }
            return None;
        }
        Some(GateConfig {
            threshold: camera.motion_threshold as f32,
            hold: camera.motion_hold.0,
            tracks: camera.motion_tracks,
            interval: camera.still_interval.0,
        })
    }

    fn classes(&mut self, camera: &Camera, known: Option<&[String]>) {
        let (Some(wanted), Some(known)) = (&camera.classes, known) else { return };
        for class in wanted.iter().filter(|class| !known.contains(class)) {
            let remedy = match suggest::nearest(class, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("it knows {}", known.iter().take(20).cloned().collect::<Vec<_>>().join(", ")),
            };
            self.ledger.problem(&self.path("classes"), format!("the camera's model knows no class {class:?}"), remedy);
        }
    }

    /// What it is watched for.
    fn rules(
        &mut self,
        camera: &Camera,
        known: Option<&[String]>,
        (typed, entries): (&mut HashMap<String, Rule>, &[String]),
        profiles: &Profiles,
    ) -> CameraRules {
        let path = |key: &str| SECTION.path(Some(self.name), key);
        let mut canvas = Canvas::Fractions;
        if let Some(text) = &camera.picture_size {
            match Canvas::parse(text) {
                Some(size) => canvas = size,
                None => self.ledger.problem(&path("picture_size"), "no size of a picture", "write \"1920x1080\""),
            }
        }
        let ground = rule::ground(camera, canvas, path, self.ledger);
        // One that was refused has its own problem.
        let has_ground = ground.is_some() || self.ledger.is_set(&path("ground"));
        let kept = camera.classes.as_deref();
        let around = rule::Around { camera: self.name, canvas, known, kept, profiles, has_ground };
        let (rules, masks) = rule::build(typed, entries, &around, self.ledger);
        CameraRules { rules, masks, ground }
    }

    fn source(&mut self, camera: &Camera) -> Option<SourceConfig> {
        let (key, url) = match camera.stream.0 {
            Stream::Sub if camera.sub_stream_url.is_none() => {
                let url = self.path("sub_stream_url");
                if !self.ledger.is_set(&url) && !self.ledger.is_spoilt(&url) {
                    self.ledger.problem(
                        &self.path("stream"),
                        "there is no sub_stream_url",
                        "write sub_stream_url, or stream = \"main\"",
                    );
                }
                return None;
            }
            Stream::Sub => ("sub_stream_url", camera.sub_stream_url.as_ref()?),
            Stream::Main => (
                "url",
                camera.url.as_ref().or_else(|| {
                    if !self.ledger.is_set(&self.path("url")) && !self.ledger.is_spoilt(&self.path("stream")) {
                        let remedy = "write url = \"rtsp://…\"";
                        self.ledger.missing(
                            &self.path(""),
                            &self.path("url"),
                            "nothing says where the pictures come from",
                            remedy,
                        );
                    }
                    None
                })?,
            ),
        };
        let text = url.expose();
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        let scheme = scheme.to_ascii_lowercase();
        self.foreign_keys(&scheme);
        match scheme.as_str() {
            "rtsp" | "rtsps" => self.rtsp(camera, key, text),
            "file" => Some(self.file(camera, rest)),
            "v4l2" => self.device(rest),
            "test" => self.test(camera, rest),
            "gst" => self.fragment(rest),
            _ => {
                let remedy = "write rtsp://, rtsps://, file:PATH, v4l2:/dev/video0, test:smpte or gst:FRAGMENT";
                self.ledger.problem(&self.path(key), "no such kind of source", remedy);
                None
            }
        }
    }

    /// Keys that mean nothing for this kind of source.
    fn foreign_keys(&mut self, scheme: &str) {
        const KINDS: [&str; 6] = ["rtsp", "rtsps", "file", "v4l2", "test", "gst"];
        for key in
            SECTION.keys.iter().filter(|key| !key.sources.is_empty() && KINDS.contains(&scheme) && !key.sources.contains(&scheme))
        {
            if self.ledger.is_set(&self.path(key.name)) {
                let reason = format!("it means nothing for {scheme}: only for {}", key.sources.join(": and "));
                self.ledger.problem(&self.path(key.name), reason, "remove it");
            }
        }
    }

    fn rtsp(&mut self, camera: &Camera, key: &'static str, text: &str) -> Option<SourceConfig> {
        let path = self.path(key);
        let address = match address::parse(text, &["rtsp", "rtsps"]) {
            Ok(address) => address,
            Err(reason) => {
                let remedy = "write rtsp://host:554/path; the user name and password in username and password_file";
                self.ledger.problem(&path, reason, remedy);
                return None;
            }
        };
        if address.stray_at {
            let remedy = "if it belongs to the password, write %40 for @ and %2F for /, or use username and password_file";
            self.ledger.advise(&path, "an @ stands after the host and is taken as part of the path", remedy);
        }
        if password_parameter(address.url.as_str()).is_some() {
            let remedy = "give this camera a password of its own, and let it ask for it (RTSP authentication) if it can";
            self.ledger.advise(&path, "the path holds a password, which cannot be told from the rest and may be shown", remedy);
        }
        let table = self.path("");
        let login = Login {
            table: &table,
            url_key: key,
            username: camera.username.clone(),
            password: camera.password.clone(),
            password_file: camera.password_file.clone(),
            password_env: camera.password_env.clone(),
            password_credential: camera.password_credential.clone(),
        };
        let credentials = match login.resolve(&address, self.ledger, self.around) {
            (Some(username), password) => Some(Credentials { username, password: password.unwrap_or_default() }),
            (None, Some(_)) => {
                self.ledger.missing(
                    &table,
                    &self.path("username"),
                    "there is a password but no user name",
                    "write username = \"…\"",
                );
                None
            }
            (None, None) => None,
        };
        let secure = address.url.scheme() == "rtsps";
        if secure {
            login::check_ca(&self.path("ca_file"), camera.ca_file.as_deref(), self.ledger);
        }
        let config = RtspConfig {
            url: address.url,
            credentials,
            transport: camera.transport.0,
            ca_file: camera.ca_file.clone(),
            request_timeout: camera.request_timeout.0,
            max_gop_wait: camera.max_gop_wait.0,
        };
        Some(if secure { SourceConfig::Rtsps(config) } else { SourceConfig::Rtsp(config) })
    }

    fn file(&mut self, camera: &Camera, rest: &str) -> SourceConfig {
        let path = self.relative(rest);
        if !path.exists() {
            let reason = format!("there is no file {} (yet)", path.display());
            self.ledger.advise(&self.path("url"), reason, "until there is, the camera is not_found");
        } else if !path.is_file() {
            let reason = format!("{} is no regular file", path.display());
            self.ledger.advise(&self.path("url"), reason, "as long as it is none, the camera is unreachable; name a video file");
        }
        SourceConfig::File(FileConfig { path, repeat: camera.repeat, realtime: camera.realtime, every_frame: camera.every_frame })
    }

    /// `file:///a%20b` is a URL, anything else a path, relative to the file that it is written in.
    fn relative(&self, rest: &str) -> PathBuf {
        if rest.starts_with("//")
            && let Some(path) = url::Url::parse(&format!("file:{rest}")).ok().and_then(|url| url.to_file_path().ok())
        {
            return path;
        }
        self.ledger.base(&self.path("url")).join(rest)
    }

    fn device(&mut self, rest: &str) -> Option<SourceConfig> {
        if !rest.starts_with('/') {
            self.ledger.problem(&self.path("url"), "no path of a device", "write v4l2:/dev/video0");
            return None;
        }
        Some(SourceConfig::V4l2(PathBuf::from(rest)))
    }

    fn test(&mut self, camera: &Camera, rest: &str) -> Option<SourceConfig> {
        let pattern = if rest.is_empty() { "smpte" } else { rest };
        if !PATTERNS.contains(&pattern) {
            let remedy = match suggest::nearest(pattern, PATTERNS) {
                Some(near) => format!("did you mean test:{near}?"),
                None => format!("known: {}", PATTERNS.join(", ")),
            };
            self.ledger.problem(&self.path("url"), "GStreamer's videotestsrc has no such pattern", remedy);
            return None;
        }
        let (width, height, fps) = (camera.width as u32, camera.height as u32, camera.fps as u32);
        Some(SourceConfig::Test(TestConfig { pattern: pattern.to_owned(), width, height, fps }))
    }

    fn fragment(&mut self, rest: &str) -> Option<SourceConfig> {
        let fragment = rest.trim();
        if fragment.is_empty() || fragment.starts_with('!') || fragment.ends_with('!') {
            self.ledger.problem(
                &self.path("url"),
                "no GStreamer fragment",
                "write elements separated by !, e.g. gst:libcamerasrc ! videoconvert",
            );
            return None;
        }
        if fragment::secrets(fragment).next().is_some() {
            let remedy = "write rtsp:// with username and password_file where the camera speaks RTSP; else give it an account of its own for this";
            self.ledger.advise(&self.path("url"), "a password in a GStreamer fragment is easily seen by others", remedy);
        }
        Some(SourceConfig::Gst(fragment.to_owned()))
    }
}
