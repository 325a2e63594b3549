//! Decoded frames as bytes that both sides read.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use egret::media::{Capture, Frame, HostPicture, Pixels, StreamId, TimeBasis, TimeCard};
use gstreamer::prelude::*;
use gstreamer_video::{VideoFrameExt, VideoFrameRef};
use tempfile::TempDir;

/// The shared test data, if it is there.
pub(crate) fn data() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = std::env::var_os("EGRET_TEST_DATA").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let found = data.join("models/yolox_nano.onnx").exists();
    if !found {
        eprintln!("SKIPPED: no test data in {} (set EGRET_TEST_DATA)", data.display());
    }
    found.then_some(data)
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Index {
    frames: Vec<Entry>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Entry {
    name: String,
    width: u32,
    height: u32,
    offset: usize,
}

/// A folder with tightly packed I420 frames in `frames.i420` and their index in `index.json`.
pub(crate) struct Clip {
    folder: TempDir,
    index: Index,
}

impl Clip {
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder that somebody else filled.
    pub(crate) fn of_folder(folder: TempDir) -> Self {
        let index = fs::read(folder.path().join("index.json")).expect("an index");
        Self { index: serde_json::from_slice(&index).expect("a valid index"), folder }
    }

    /// Every so-manieth frame of each video, decoded once.
    pub(crate) fn of_videos(data: &Path, videos: &[(&str, usize)]) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let mut out = BufWriter::new(File::create(folder.path().join("frames.i420")).expect("a writable directory"));
        let mut index = Index { frames: Vec::new() };
        let mut offset = 0;
        for (video, every) in videos {
            decode(&data.join("video").join(video), *every, |number, (width, height), i420| {
                out.write_all(i420).expect("room for the frames");
                index.frames.push(Entry { name: format!("{video}#{number}"), width, height, offset });
                offset += i420.len();
            });
        }
        out.flush().expect("room for the frames");
        fs::write(folder.path().join("index.json"), serde_json::to_vec(&index).expect("plain data")).expect("room");
        Self { folder, index }
    }

    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, (u32, u32))> {
        self.index.frames.iter().map(|frame| (frame.name.as_str(), (frame.width, frame.height)))
    }

    /// The frames as the daemon has them.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (String, Frame)> {
        let bytes = bytes::Bytes::from(fs::read(self.folder().join("frames.i420")).expect("the frames"));
        self.index.frames.iter().enumerate().map(move |(i, entry)| {
            let len = (entry.width * entry.height * 3 / 2) as usize;
            let bytes = bytes.slice(entry.offset..entry.offset + len);
            let picture = HostPicture::tight_i420((entry.width, entry.height), bytes).expect("a whole picture");
            let frame = Frame {
                stream: StreamId::new(1, "clip"),
                seq: i as u64,
                dispatch: i as u64,
                pts: Duration::ZERO,
                capture: Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival },
                pixels: Pixels::Host(picture),
                times: TimeCard::received(Instant::now()),
            };
            (entry.name.clone(), frame)
        })
    }
}

/// Decodes a file and hands out every `every`th frame, tightly packed.
fn decode(path: &Path, every: usize, mut each: impl FnMut(usize, (u32, u32), &[u8])) {
    gstreamer::init().expect("GStreamer");
    let launch =
        "filesrc name=src ! decodebin ! videoconvert ! video/x-raw,format=I420 ! appsink name=sink sync=false max-buffers=4";
    let pipeline = gstreamer::parse::launch(launch).expect("elements").downcast::<gstreamer::Pipeline>().expect("a pipeline");
    pipeline.by_name("src").expect("src").set_property("location", path.to_str().expect("a plain path"));
    let sink = pipeline.by_name("sink").expect("sink").downcast::<gstreamer_app::AppSink>().expect("an appsink");
    pipeline.set_state(gstreamer::State::Playing).expect("it plays");
    let mut number = 0;
    while let Ok(sample) = sink.pull_sample() {
        if number % every == 0 {
            let info = gstreamer_video::VideoInfo::from_caps(sample.caps().expect("caps")).expect("video");
            let frame = VideoFrameRef::from_buffer_ref_readable(sample.buffer().expect("a buffer"), &info).expect("a picture");
            let i420 = pack(&frame);
            each(number, (frame.width(), frame.height()), &i420);
        }
        number += 1;
    }
    pipeline.set_state(gstreamer::State::Null).expect("it stops");
    assert!(number > 0, "{} gave no frame", path.display());
}

fn pack(frame: &VideoFrameRef<&gstreamer::BufferRef>) -> Vec<u8> {
    let mut i420 = Vec::new();
    for plane in 0..3 {
        let (width, height) = (frame.comp_width(plane) as usize, frame.comp_height(plane) as usize);
        let stride = frame.comp_stride(plane) as usize;
        let bytes = frame.comp_data(plane).expect("a plane");
        (0..height).for_each(|row| i420.extend_from_slice(&bytes[row * stride..][..width]));
    }
    i420
}
