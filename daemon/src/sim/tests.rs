//! The simulator met by a real RTSP client.

mod client;
mod faults;
mod kinds;
mod leaks;

use std::path::PathBuf;

use super::*;
use crate::testing;

/// A video of the shared test data; `None`, said loudly, where it is absent.
fn video(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("EGRET_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")), PathBuf::from);
    let path = root.join("video").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is absent", path.display());
    None
}

/// A file of `pictures` pictures at 25 per second, written by GStreamer: `coding` is the encoder with its parser, `container`
/// the muxer.
fn film(directory: &tempfile::TempDir, pictures: u32, coding: &str, container: &str) -> PathBuf {
    let number = std::fs::read_dir(directory).unwrap().count();
    let path = directory.path().join(format!("film{number}-{container}"));
    let line = format!(
        "videotestsrc num-buffers={pictures} pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 ! \
         {coding} ! {container}"
    );
    testing::film(&path, &line);
    path
}

fn sim(cameras: Vec<SimCamera>) -> Sim {
    Sim::start(SimConfig::new(cameras)).unwrap()
}
