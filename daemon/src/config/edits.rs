//! What commands have changed: one more document over everything that was written, and the cameras that it takes away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use toml::{Table, Value};

use super::{
    document::{self, Entries},
    keys::{Camera, Log},
    ledger::Ledger,
    tree::Tree,
};

/// Where problems of the edits are said to stand.
const NAME: &str = "commands";

/// Keys of a camera that can be set while it runs without a new connection to it.
pub const LIVE_KEYS: [&str; 14] = [
    "max_fps",
    "idle_fps",
    "calm_interval",
    "confidence",
    "classes",
    "weight",
    "motion_gate",
    "motion_threshold",
    "motion_hold",
    "motion_tracks",
    "still_interval",
    "black_timeout",
    "blurred_timeout",
    "moved_timeout",
];

/// What commands have changed over files, environment and command line. It is forgotten when the daemon ends.
#[derive(Clone, Default, PartialEq)]
pub struct Edits {
    log_filter: Option<String>,
    /// Cameras of the files that are taken away.
    removed: BTreeSet<String>,
    /// Whole cameras, by name.
    added: BTreeMap<String, Table>,
    /// Single keys of cameras, whoever brought them.
    set: BTreeMap<String, Table>,
}

impl fmt::Debug for Edits {
    /// Cameras that were added may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log_filter, removed, added, set } = self;
        let mut all = f.debug_struct("Edits");
        all.field("log_filter", log_filter).field("removed", removed).field("set", set);
        all.field("added", &added.keys()).finish()
    }
}

/// How a key is not as the files have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deviation {
    /// It has another value.
    Set,
    /// It is there, and the files have no such thing.
    Added,
    /// The files have it, and it is not there.
    Removed,
    /// The files have changed it, and only a restart takes that over.
    NeedsRestart,
}

/// Where what runs is not what the files say.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Difference {
    /// Path of the key, e.g. `camera.door.max_fps`.
    pub key: String,
    /// How it differs.
    pub deviation: Deviation,
    /// Its value as files, environment and command line have it, or by default, as TOML. `null`: there is none, or it is not shown.
    pub file: Option<String>,
    /// Its value as it runs; the same.
    pub running: Option<String>,
}

impl Edits {
    /// Another log filter; `None`: that of the files.
    pub fn set_log_filter(&mut self, filter: Option<String>) {
        self.log_filter = filter;
    }

    /// A camera that the files do not have, or that was taken away, with its keys but for `name`.
    pub fn add(&mut self, name: &str, camera: Table) {
        self.added.insert(name.to_owned(), camera);
    }

    /// Takes a camera away.
    pub fn remove(&mut self, name: &str) {
        self.set.remove(name);
        if self.added.remove(name).is_none() {
            self.removed.insert(name.to_owned());
        }
    }

    /// A key of a camera; `None`: as whoever brought the camera has it.
    pub fn set(&mut self, camera: &str, key: &str, value: Option<Value>) {
        let keys = self.set.entry(camera.to_owned()).or_default();
        match value {
            Some(value) => keys.insert(key.to_owned(), value),
            None => keys.remove(key),
        };
        if keys.is_empty() {
            self.set.remove(camera);
        }
    }

    /// Lays the edits over what was read. What they say of cameras that are gone means nothing; a camera that the files have by now
    /// is theirs.
    pub(super) fn lay(&self, layers: &mut Vec<Tree>, entries: &mut Entries, ledger: &mut Ledger) -> Vec<Difference> {
        let mut differences = Vec::new();
        for name in &self.removed {
            if !entries.cameras.contains(name) {
                continue;
            }
            for layer in &mut *layers {
                layer.remove_camera(name);
            }
            entries.remove_camera(name);
            let key = Camera::SECTION.path(Some(name), "");
            ledger.forget(&key);
            if !self.added.contains_key(name) {
                differences.push(Difference { key, deviation: Deviation::Removed, file: None, running: None });
            }
        }
        let mut cameras = Vec::new();
        for (name, camera) in self.added.iter().filter(|(name, _)| !entries.cameras.contains(name)) {
            cameras.push(named(name, camera));
            let key = Camera::SECTION.path(Some(name), "");
            differences.push(Difference { key, deviation: Deviation::Added, file: None, running: None });
        }
        let set: Vec<_> =
            self.set.iter().filter(|(name, _)| entries.cameras.contains(name) || self.added.contains_key(*name)).collect();
        // Values of the files, before others are laid over them. A camera that was added is a difference as a whole.
        let of_files: Vec<_> = set.iter().filter(|(name, _)| entries.cameras.contains(name)).collect();
        let paths = of_files.iter().flat_map(|(name, keys)| keys.keys().map(|key| Camera::SECTION.path(Some(name), key)));
        let log = self.log_filter.as_ref().map(|_| Log::SECTION.path(None, "filter"));
        let before: Vec<_> = paths.chain(log).map(|path| (written(ledger, &path), path)).collect();
        for (name, keys) in set {
            match cameras.iter_mut().find(|camera| camera.get("name").and_then(Value::as_str) == Some(name)) {
                Some(camera) => camera.extend(keys.clone()),
                None => cameras.push(named(name, keys)),
            }
        }
        let document = self.document(cameras);
        if !document.is_empty() {
            layers.push(document::read(ledger, layers.len(), Path::new(NAME), &document.to_string(), entries));
        }
        differences.extend(before.into_iter().filter_map(|(file, key)| {
            let running = ledger.shown(&key);
            (!same(file.as_deref(), running.as_deref())).then_some(Difference { key, deviation: Deviation::Set, file, running })
        }));
        differences
    }

    fn document(&self, cameras: Vec<Table>) -> Table {
        let mut document = Table::new();
        if let Some(filter) = &self.log_filter {
            document.insert("log".into(), Table::from_iter([("filter".to_owned(), filter.clone().into())]).into());
        }
        if !cameras.is_empty() {
            document.insert("camera".into(), cameras.into());
        }
        document
    }
}

/// A key's value as it is written, or its default.
fn written(ledger: &Ledger, path: &str) -> Option<String> {
    let section = if path.starts_with("camera.") { &Camera::SECTION } else { &Log::SECTION };
    let key = path.rsplit('.').next().and_then(|name| section.key(name));
    let default = || key.and_then(|key| key.default).map(|default| default().show());
    if ledger.is_set(path) { ledger.shown(path) } else { default() }
}

/// Whether two values mean the same: 5 is 5.0.
fn same(one: Option<&str>, other: Option<&str>) -> bool {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok());
    one == other || matches!((number(one), number(other)), (Some(a), Some(b)) if a.total_cmp(&b).is_eq())
}

fn named(name: &str, keys: &Table) -> Table {
    let mut camera = Table::from_iter([("name".to_owned(), name.into())]);
    camera.extend(keys.clone());
    camera
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Effect, Loaded, Problem, Sources, diff, load};

    const FILE: &str = "[[model]]\nname = \"m\"\nbuiltin = \"null\"\n[[camera]]\nname = \"door\"\nurl = \"test:ball\"\nmax_fps = 5\n\
                        [[camera.rule]]\nname = \"gate\"\nkind = \"line\"\nline = [[0.5, 1.0], [0.5, 0.0]]\n";

    fn read(file: &str, edits: &Edits) -> Result<Loaded, Vec<Problem>> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("egret.toml");
        std::fs::write(&path, file).expect("room");
        load(&Sources { file: Some(path), edits: edits.clone(), ..Sources::default() })
    }

    #[test]
    fn files_that_are_being_replaced_keep_no_camera_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, authority) = (dir.path().join("egret.toml"), dir.path().join("ca.pem"));
        let text = format!("[mqtt]\nurl = \"mqtts://b\"\nca_file = {authority:?}\n{FILE}");
        std::fs::write(&path, text).expect("room");
        std::fs::write(&authority, "-----BEGIN CERTIFICATE-----\n").expect("room");
        let sources = Sources { file: Some(path), ..Sources::default() };
        let texts = load(&sources).expect("good").texts;
        std::fs::write(&authority, "").expect("room");
        let mut edits = Edits::default();
        edits.set("door", "enabled", Some(false.into()));
        let problems = load(&Sources { edits: edits.clone(), ..sources.clone() }).expect_err("a reload looks at it");
        assert_eq!(problems[0].key, "mqtt.ca_file");
        let now = load(&Sources { edits, texts: Some(texts), ..sources }).expect("a command does not");
        assert!(!now.config.cameras[0].enabled);
    }

    fn loaded(file: &str, edits: &Edits) -> Loaded {
        read(file, edits).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn camera(text: &str) -> Table {
        text.parse().expect("TOML")
    }

    fn names(config: &Config) -> Vec<&str> {
        config.cameras.iter().map(|camera| camera.name.as_str()).collect()
    }

    fn told(loaded: &Loaded) -> Vec<(&str, Deviation, Option<&str>, Option<&str>)> {
        let told = loaded.differences.iter();
        told.map(|d| (d.key.as_str(), d.deviation, d.file.as_deref(), d.running.as_deref())).collect()
    }

    #[test]
    fn nothing_edited_is_what_the_file_says() {
        let loaded = loaded(FILE, &Edits::default());
        assert_eq!((names(&loaded.config), loaded.differences), (vec!["door"], vec![]));
    }

    #[test]
    fn keys_are_laid_over_the_file_and_taken_back() {
        let mut edits = Edits::default();
        edits.set("door", "max_fps", Some(2.into()));
        edits.set("door", "enabled", Some(false.into()));
        edits.set_log_filter(Some("debug".into()));
        let edited = loaded(FILE, &edits);
        let door = &edited.config.cameras[0];
        assert_eq!((door.max_fps, door.enabled, door.rules.rules.len()), (Some(2.0), false, 1));
        assert_eq!(edited.config.log.filter, "debug");
        assert_eq!(
            told(&edited),
            [
                ("camera.door.enabled", Deviation::Set, Some("true"), Some("false")),
                ("camera.door.max_fps", Deviation::Set, Some("5"), Some("2")),
                ("log.filter", Deviation::Set, Some("\"info\""), Some("\"debug\"")),
            ]
        );
        // The file has caught up, or the command is taken back.
        edits.set("door", "enabled", None);
        edits.set_log_filter(None);
        assert_eq!(told(&loaded(&FILE.replace("= 5", "= 2"), &edits)), []);
        edits.set("door", "max_fps", None);
        assert_eq!(edits, Edits::default());
    }

    #[test]
    fn cameras_come_and_go_with_their_rules() {
        let mut edits = Edits::default();
        edits.add(
            "yard",
            camera("url = \"test:snow\"\nrule = [{ name = \"z\", kind = \"zone\", zone = [[0, 0], [1, 0], [1, 1]] }]"),
        );
        edits.set("yard", "max_fps", Some(1.5.into()));
        let edited = loaded(FILE, &edits);
        assert_eq!(names(&edited.config), ["door", "yard"]);
        assert_eq!((edited.config.cameras[1].max_fps, edited.config.cameras[1].rules.rules.len()), (Some(1.5), 1));
        assert_eq!(told(&edited), [("camera.yard", Deviation::Added, None, None)]);

        edits.remove("door");
        let edited = loaded(FILE, &edits);
        assert_eq!(names(&edited.config), ["yard"]);
        assert_eq!(told(&edited)[0], ("camera.door", Deviation::Removed, None, None));
        // A new one of the name has nothing of the old one: width means nothing for files.
        let mut anew = edits.clone();
        anew.add("door", camera("url = \"file:/x.mp4\""));
        let wide = FILE.replace("max_fps = 5", "width = 320");
        let edited = loaded(&wide, &anew);
        assert_eq!((names(&edited.config), edited.config.cameras[0].rules.rules.len()), (vec!["door", "yard"], 0));
        assert_eq!(told(&edited), [("camera.door", Deviation::Added, None, None), ("camera.yard", Deviation::Added, None, None)]);
        anew.remove("door");
        assert_eq!(anew, edits, "what was added is gone, and the file's is still taken away");

        edits.remove("yard");
        assert_eq!(names(&loaded(FILE, &edits).config), [""; 0]);
    }

    #[test]
    fn what_the_file_has_changed_since_is_no_obstacle() {
        let mut edits = Edits::default();
        edits.set("door", "enabled", Some(false.into()));
        edits.remove("gate");
        edits.add("yard", camera("url = \"test:snow\""));
        let file = FILE.replace("\"door\"", "\"yard\"");
        let edited = loaded(&file, &edits);
        assert_eq!((names(&edited.config), told(&edited)), (vec!["yard"], vec![]), "the file's own yard");
        assert_eq!(edited.config.cameras[0].max_fps, Some(5.0));
    }

    #[test]
    fn every_problem_of_a_camera_is_told_and_no_password() {
        let mut edits = Edits::default();
        edits.add("yard", camera("url = \"rtsp://u:hunter2@\"\nmax_fps = -1\nmaks_fps = 2\npassword = \"hunter3\""));
        let problems = read(FILE, &edits).expect_err("refused");
        let text = format!("{problems:?}");
        for key in ["camera.yard.url", "camera.yard.max_fps", "maks_fps"] {
            assert!(problems.iter().any(|problem| problem.key.ends_with(key)), "{key}: {text}");
        }
        assert!(!text.contains("hunter") && !format!("{edits:?}").contains("hunter"), "{text}");
    }

    /// What can be set by command is what a reload changes without a new connection to the camera.
    #[test]
    fn live_keys_are_live() {
        let gated = FILE.replace("max_fps = 5", "max_fps = 5\nmotion_gate = true");
        let before = loaded(&gated, &Edits::default()).config;
        for key in LIVE_KEYS {
            let mut edits = Edits::default();
            let value: Value = match key {
                "motion_gate" | "motion_tracks" => false.into(),
                "classes" => vec!["person"].into(),
                "calm_interval" | "motion_hold" | "still_interval" => "300ms".into(),
                "black_timeout" | "blurred_timeout" | "moved_timeout" => "30s".into(),
                "confidence" => 0.7.into(),
                _ => 3.into(),
            };
            edits.set("door", key, Some(value));
            let change = diff(&before, &loaded(&gated, &edits).config);
            assert!(change.needs_restart.is_empty() && change.cameras_changed.len() == 1, "{key}: {change:?}");
            assert!(change.cameras_changed[0].effect == Effect::Live, "{key}");
        }
    }

    /// The gate can be switched off over a file that says how it is set.
    #[test]
    fn a_gate_is_switched_off_over_its_settings() {
        let gated = FILE.replace("max_fps = 5", "motion_gate = true\nmotion_hold = \"2s\"");
        let mut edits = Edits::default();
        edits.set("door", "motion_gate", Some(false.into()));
        assert_eq!(loaded(&gated, &edits).config.cameras[0].gate, None);
        edits.set("door", "motion_hold", Some("3s".into()));
        assert!(read(&gated, &edits).is_err(), "this was said together with it");
    }
}
