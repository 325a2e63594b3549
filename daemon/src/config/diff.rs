//! What a reload changes.

use super::{CameraConfig, Config};

/// What must be done to get from one configuration to another.
#[derive(Debug, Default, PartialEq)]
pub struct Change {
    /// Cameras to start.
    pub cameras_added: Vec<CameraConfig>,
    /// Names of cameras to stop.
    pub cameras_removed: Vec<String>,
    /// Cameras that are in both, but not the same.
    pub cameras_changed: Vec<CameraChange>,
    /// Key paths of what only a new start of the process changes.
    pub needs_restart: Vec<String>,
}

impl Change {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a camera that stays.
#[derive(Debug, PartialEq)]
pub struct CameraChange {
    /// The camera as it is to be.
    pub camera: CameraConfig,
    /// Whether it has to be stopped and started; else only `max_fps`, `idle_fps`, `weight` or `classes` change, while it runs.
    pub restart: bool,
}

/// Compares two configurations. The order of cameras means nothing, that of models does: the first one is the default.
pub fn diff(old: &Config, new: &Config) -> Change {
    let find = |config: &'_ Config, name: &str| config.cameras.iter().position(|camera| camera.name == name);
    let mut change = Change { needs_restart: needs_restart(old, new), ..Change::default() };
    for camera in &new.cameras {
        match find(old, &camera.name).and_then(|at| old.cameras.get(at)) {
            None => change.cameras_added.push(camera.clone()),
            Some(before) if before == camera => {}
            Some(before) => {
                let live = CameraConfig {
                    max_fps: camera.max_fps,
                    idle_fps: camera.idle_fps,
                    weight: camera.weight,
                    classes: camera.classes.clone(),
                    ..before.clone()
                };
                change.cameras_changed.push(CameraChange { camera: camera.clone(), restart: live != *camera });
            }
        }
    }
    let removed = old.cameras.iter().filter(|camera| find(new, &camera.name).is_none());
    change.cameras_removed = removed.map(|camera| camera.name.clone()).collect();
    change
}

/// Everything but the cameras. A key that is added to [`Config`] must be named here: the patterns have no `..`.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let Config { device, log, mqtt, http, runtime, batch, track, models, cameras: _, shutdown_deadline, graph_dir } = old;
    let parts = [
        ("device", *device != new.device),
        ("log", *log != new.log),
        ("mqtt", *mqtt != new.mqtt),
        ("http", *http != new.http),
        ("runtime", *runtime != new.runtime),
        ("batch", *batch != new.batch),
        ("track", *track != new.track),
        ("shutdown_deadline", *shutdown_deadline != new.shutdown_deadline),
        ("graph_dir", *graph_dir != new.graph_dir),
    ];
    let mut keys: Vec<String> = parts.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect();
    for model in &new.models {
        if models.iter().find(|before| before.name == model.name) != Some(model) {
            keys.push(format!("model.{}", model.name));
        }
    }
    let gone = models.iter().filter(|before| !new.models.iter().any(|model| model.name == before.name));
    keys.extend(gone.map(|model| format!("model.{}", model.name)));
    keys
}
