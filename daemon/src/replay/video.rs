//! Annotated frames as a video with the recording's own times: H.264, or Motion JPEG where there is no H.264 encoder.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::ReplayError;
use crate::{media::Canvas, observe::still::QUALITY};

/// Frames that wait for the encoder.
const QUEUE: usize = 4;
/// The encoder takes a frame, and finishes the file, within so much time.
const PATIENCE: Duration = Duration::from_mins(1);
/// Frames whose times do not go on are moved so far behind the one before.
const STEP: Duration = Duration::from_millis(1);

/// Where the encoder stands.
#[derive(Default)]
struct Flow {
    queued: usize,
    ended: bool,
    error: Option<String>,
}

#[derive(Default)]
struct Shared {
    flow: Mutex<Flow>,
    changed: Condvar,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Flow)) {
        change(&mut self.flow.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until it is so, or something broke.
    fn wait(&self, until: impl Fn(&Flow) -> bool) -> Result<(), String> {
        let flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |flow: &mut Flow| flow.error.is_none() && !until(flow);
        let (flow, _) = self.changed.wait_timeout_while(flow, PATIENCE, waits).unwrap_or_else(PoisonError::into_inner);
        match &flow.error {
            Some(error) => Err(error.clone()),
            None if until(&flow) => Ok(()),
            None => Err(format!("the encoder did nothing for {} s", PATIENCE.as_secs())),
        }
    }
}

/// A video file that is being written.
pub(super) struct Video {
    file: PathBuf,
    muxer: &'static str,
    h264: bool,
    line: Option<Line>,
    last: Option<Duration>,
}

/// The pipeline, from the first frame on.
struct Line {
    pipeline: gst::Pipeline,
    source: AppSrc,
    shared: Arc<Shared>,
    size: (usize, usize),
}

impl Video {
    /// Makes the file. Its name says what it is: `.mp4`, or `.mkv`.
    pub(super) fn new(file: &Path) -> Result<Self, ReplayError> {
        let failed = |reason: String| ReplayError::Output { file: file.to_owned(), reason };
        gst::init().map_err(|error| failed(error.to_string()))?;
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
        let muxer = match extension.as_str() {
            "mp4" => "mp4mux",
            "mkv" => "matroskamux",
            _ => return Err(failed("a video's name ends in .mkv or .mp4".to_owned())),
        };
        let has = |element: &str| gst::ElementFactory::find(element).is_some();
        if !has(muxer) {
            return Err(failed(format!("GStreamer has no {muxer}; install gstreamer1.0-plugins-good, or write --frames")));
        }
        let h264 = has("x264enc") && has("h264parse");
        if !h264 && muxer == "mp4mux" {
            return Err(failed("GStreamer has no x264enc; install gstreamer1.0-plugins-ugly, or name the file .mkv".to_owned()));
        }
        File::create(file).map_err(|error| failed(error.to_string()))?;
        Ok(Self { file: file.to_owned(), muxer, h264, line: None, last: None })
    }

    fn failed(&self, reason: String) -> ReplayError {
        ReplayError::Output { file: self.file.clone(), reason }
    }

    /// Takes a frame. All frames have the size of the first one; others are cut off, or black at the edges.
    pub(super) fn frame(&mut self, canvas: &Canvas, at: Duration) -> Result<(), ReplayError> {
        let at = self.last.map_or(at, |last| at.max(last + STEP));
        self.last = Some(at);
        if self.line.is_none() {
            let line = Line::start(&self.file, self.muxer, self.h264, canvas.size()).map_err(|reason| self.failed(reason))?;
            self.line = Some(line);
        }
        let Some(line) = &self.line else { return Ok(()) };
        let fitted = canvas.fitted(line.size);
        let canvas = fitted.as_ref().unwrap_or(canvas);
        let bytes =
            if self.h264 { padded(canvas) } else { canvas.encode(QUALITY).map_err(|error| self.failed(error.to_string()))? };
        line.push(bytes, at).map_err(|reason| self.failed(reason))
    }

    /// Finishes the file.
    pub(super) fn finish(self) -> Result<(), ReplayError> {
        let Some(line) = &self.line else {
            return Err(self.failed("not one frame went into it".to_owned()));
        };
        // Refused only when the pipeline has failed already, and then it says why.
        let _ = line.source.end_of_stream();
        line.shared.wait(|flow| flow.ended).map_err(|reason| self.failed(reason))
    }
}

/// Rows as GStreamer has them in packed pictures: each a multiple of four bytes long.
fn padded(canvas: &Canvas) -> Vec<u8> {
    let row = canvas.size().0 * 3;
    let padding = row.next_multiple_of(4) - row;
    let rows = canvas.samples().chunks_exact(row.max(1));
    rows.flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0, padding))).collect()
}

impl Line {
    fn start(file: &Path, muxer: &str, h264: bool, (width, height): (usize, usize)) -> Result<Self, String> {
        // Frames have times of their own; the rate is only how long the last one is. Without it, an MP4 loses that one.
        let size = format!("width={width},height={height},framerate=30/1");
        // Sizes that are odd become even: chroma is halved.
        let (even_width, even_height) = (width.next_multiple_of(2), height.next_multiple_of(2));
        let (caps, coding) = if h264 {
            let raw = format!(
                "videoconvert ! videoscale ! video/x-raw,format=I420,colorimetry=bt601,width={even_width},height={even_height},\
                 pixel-aspect-ratio=1/1 ! x264enc speed-preset=veryfast bframes=0 key-int-max=60 threads=1 ! h264parse"
            );
            (format!("video/x-raw,format=v308,colorimetry=1:4:0:0,{size}"), raw)
        } else {
            (format!("image/jpeg,{size}"), "identity".to_owned())
        };
        let pipeline = gst::parse::launch(&format!("appsrc name=in ! {coding} ! {muxer} ! filesink name=out"));
        let pipeline = pipeline.map_err(|error| error.to_string())?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        let out = pipeline.by_name("out").ok_or("no sink")?;
        out.set_property("location", file.to_str().ok_or("its path is not UTF-8")?);
        let source = pipeline.by_name("in").and_then(|source| source.downcast::<AppSrc>().ok()).ok_or("no source")?;
        let caps: gst::Caps = caps.parse().map_err(|error: gst::glib::BoolError| error.to_string())?;
        source.set_caps(Some(&caps));
        source.set_format(gst::Format::Time);
        source.set_max_bytes(0);
        let shared = Arc::new(Shared::default());
        listen(&pipeline, &source, &shared);
        let line = Self { pipeline, source, shared, size: (width, height) };
        match line.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(line),
            Err(error) => Err(line.shared.wait(|_| true).err().unwrap_or(error.to_string())),
        }
    }

    fn push(&self, bytes: Vec<u8>, at: Duration) -> Result<(), String> {
        self.shared.wait(|flow| flow.queued < QUEUE)?;
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(at.as_nanos() as u64));
        }
        self.shared.change(|flow| flow.queued += 1);
        match self.source.push_buffer(buffer) {
            Ok(_) => Ok(()),
            Err(flow) => Err(self.shared.wait(|_| true).err().unwrap_or(flow.to_string())),
        }
    }
}

/// Hears of errors, of the end, and of each frame that the encoder takes.
fn listen(pipeline: &gst::Pipeline, source: &AppSrc, shared: &Arc<Shared>) {
    if let Some(bus) = pipeline.bus() {
        let hears = Arc::clone(shared);
        bus.set_sync_handler(move |_, message| {
            match message.view() {
                gst::MessageView::Error(error) => hears.change(|flow| flow.error = Some(error.error().to_string())),
                gst::MessageView::Eos(_) => hears.change(|flow| flow.ended = true),
                _ => {}
            }
            gst::BusSyncReply::Drop
        });
    }
    if let Some(pad) = source.static_pad("src") {
        let leaves = Arc::clone(shared);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            leaves.change(|flow| flow.queued = flow.queued.saturating_sub(1));
            gst::PadProbeReturn::Ok
        });
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Failing to stop leaves nothing to do; GStreamer has logged it.
        let _ = self.pipeline.set_state(gst::State::Null);
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}
