//! What the command line says over everything else.

use std::path::{Path, PathBuf};

use super::{
    Secret,
    document::Entries,
    keys::{Camera, Http, Log, Model, Mqtt, Section, Top, Track},
    kind::{LONGEST_NAME, Raw, is_name, is_of_name},
    ledger::{Ledger, Place, Spot},
    tree::{Layer, Tree},
};

/// Options that override the configuration. They may hold credentials, so they are kept as [`Secret`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Overrides {
    /// A camera: NAME=URL, e.g. door=rtsp://192.168.1.20/stream1. Repeatable.
    #[arg(long = "camera", value_name = "NAME=URL")]
    pub cameras: Vec<Secret>,
    /// The broker: `mqtt://[user:password@]host[:port][/base-topic]`, or off.
    #[arg(long, value_name = "URL")]
    pub broker: Option<Secret>,
    /// The network: an ONNX file, or stored:NAME, builtin:demo, builtin:null, scripted:FILE.
    #[arg(long, value_name = "FILE")]
    pub model: Option<String>,
    /// Name of this device.
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Log filter, e.g. debug.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Address of the HTTP listener, or off.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<String>,
    /// The tracker. An option of replays only.
    #[arg(skip)]
    pub tracker: Option<String>,
}

impl Overrides {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the options. A model named here becomes the first one: the cameras' default.
    pub(super) fn read(&self, ledger: &mut Ledger, number: usize, entries: &mut Entries) -> Tree {
        let mut layer = Layer { ledger, tree: Tree::default(), number, base: Path::new("") };
        for (section, key, option, value) in [
            (Top::SECTION, "device", "--device", &self.device),
            (Log::SECTION, "filter", "--log", &self.log),
            (Track::SECTION, "tracker", "--tracker", &self.tracker),
        ] {
            if let Some(text) = value {
                put(&mut layer, &section, None, key, &Raw::from(text.as_str()), option);
            }
        }
        match self.http.as_deref() {
            Some("off") => put(&mut layer, &Http::SECTION, None, "enabled", &Raw::from(false), "--http"),
            Some(address) => {
                put(&mut layer, &Http::SECTION, None, "enabled", &Raw::from(true), "--http");
                put(&mut layer, &Http::SECTION, None, "listen", &Raw::from(address), "--http");
            }
            None => {}
        }
        if let Some(url) = &self.broker {
            let off = url.expose() == "off";
            put(&mut layer, &Mqtt::SECTION, None, "enabled", &Raw::from(!off), "--broker");
            if !off {
                put(&mut layer, &Mqtt::SECTION, None, "url", &Raw::from(url.expose()), "--broker");
            }
        }
        if let Some(model) = &self.model {
            read_model(&mut layer, model, entries);
        }
        for camera in &self.cameras {
            read_camera(&mut layer, camera.expose(), entries);
        }
        layer.tree
    }
}

fn read_camera(layer: &mut Layer<'_>, text: &str, entries: &mut Entries) {
    let Some((name, url)) = text.split_once('=').filter(|(name, _)| is_name(name)) else {
        // What stands before the `=` may be a part of a URL with its password, or a password.
        let reason = match text.split_once('=') {
            Some((name, _)) if name.len() > LONGEST_NAME && name.bytes().all(is_of_name) => {
                format!("its name is longer than {LONGEST_NAME} characters")
            }
            _ => "it does not begin with a name and =".to_owned(),
        };
        let remedy = format!(
            "write --camera NAME=URL, e.g. --camera door=rtsp://192.168.1.20/stream1; a name has 1 to {LONGEST_NAME} characters, \
             each an ASCII letter, a digit, - or _"
        );
        layer.ledger.problem_at(Spot::Option("--camera"), "camera", None, reason, remedy);
        return;
    };
    if layer.ledger.layer(&Camera::SECTION.path(Some(name), "")) == Some(layer.number) {
        layer.ledger.problem_at(
            Spot::Option("--camera"),
            "camera",
            Some(format!("{name:?}")),
            "two cameras of this name",
            "give each a name of its own",
        );
        return;
    }
    entry(layer, &Camera::SECTION, name, "--camera");
    entries.add(&Camera::SECTION, name);
    put(layer, &Camera::SECTION, Some(name), "url", &Raw::from(url), "--camera");
}

fn read_model(layer: &mut Layer<'_>, text: &str, entries: &mut Entries) {
    let (key, value, name) = model_entry(text);
    entry(layer, &Model::SECTION, &name, "--model");
    entries.models.retain(|known| *known != name);
    entries.models.insert(0, name.clone());
    put(layer, &Model::SECTION, Some(&name), key, &Raw::from(value), "--model");
}

/// What `--model` says as key and value of a model's table, and the name that it gets.
pub(super) fn model_entry(text: &str) -> (&'static str, &str, String) {
    if let Some(builtin) = text.strip_prefix("builtin:") {
        ("builtin", builtin, builtin.to_owned())
    } else if let Some(stored) = text.strip_prefix("stored:") {
        ("stored", stored, safe(stored))
    } else if let Some(path) = text.strip_prefix("scripted:") {
        ("scripted", path, stem(path))
    } else {
        ("file", text, stem(text))
    }
}

/// A name made of a file's.
fn stem(path: &str) -> String {
    let stem = PathBuf::from(path).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    safe(&stem)
}

/// A name made of a text.
fn safe(text: &str) -> String {
    let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(64).collect();
    if name.is_empty() { "model".to_owned() } else { name }
}

fn entry(layer: &mut Layer<'_>, section: &Section, name: &str, option: &'static str) {
    layer.tree.add_entry(section, name);
    layer.ledger.place(section.path(Some(name), ""), Place { layer: layer.number, spot: Spot::Option(option), shown: None });
    put(layer, section, Some(name), "name", &Raw::from(name), option);
}

fn put(layer: &mut Layer<'_>, section: &Section, entry: Option<&str>, name: &str, raw: &Raw, option: &'static str) {
    if let Some(key) = section.key(name) {
        layer.put(section, entry, key, raw, Spot::Option(option));
    }
}
