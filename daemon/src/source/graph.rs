//! The GStreamer graph of a camera: live for `egret graph`, on disk after a failure.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use gstreamer as gst;

use crate::decode::{Chain, draw};

/// The camera's current pipeline, if it has one. Never keeps it alive.
#[derive(Clone, Default)]
pub(crate) struct GraphHandle(Arc<Mutex<Option<gst::glib::WeakRef<gst::Pipeline>>>>);

impl GraphHandle {
    pub(crate) fn set(&self, chain: &Chain) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain.graph_handle());
    }

    pub(crate) fn draw(&self) -> Option<String> {
        let pipeline = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()?;
        Some(draw(&pipeline))
    }
}

/// Writes `<dir>/<camera>.dot`, whole or not at all. One file per camera, that of its latest failure, so their number is bounded.
pub(crate) fn write(dir: &Path, camera: &str, dot: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let path = dir.join(format!("{camera}.dot"));
    let draft = dir.join(format!(".{camera}.dot.new"));
    fs::write(&draft, dot)?;
    fs::rename(&draft, &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_per_camera() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("graphs");
        for text in ["digraph a {}", "digraph b {}"] {
            assert_eq!(write(&nested, "door", text).unwrap(), nested.join("door.dot"));
        }
        assert_eq!(fs::read_to_string(nested.join("door.dot")).unwrap(), "digraph b {}");
        assert_eq!(fs::read_dir(&nested).unwrap().count(), 1);
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(write(&dir.path().join("file"), "door", "").is_err());
    }
}
