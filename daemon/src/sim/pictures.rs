//! Coded pictures, one after the other: taken from a file as they are, or drawn and coded.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc, AppSrcCallbacks};

use super::{
    camera::{Recipe, What},
    elements,
    scene::{Scene, SceneConfig, Truth},
    timeline::Times,
};
use crate::media::Codec;

/// Pictures coded ahead of their time at most.
const AHEAD: u32 = 4;

/// Why there are no pictures.
#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    /// An element is not installed.
    #[error(transparent)]
    Element(#[from] elements::MissingElement),
    /// GStreamer gave up.
    #[error("{what}: {reason}")]
    Gst {
        /// The file, the device or the kind of picture.
        what: String,
        /// GStreamer's words.
        reason: String,
    },
    /// Not one of the codecs that cameras send.
    #[error("{what}: holds {found}, not H.264, H.265 or Motion JPEG video")]
    Codec {
        /// The file.
        what: String,
        /// The format of its pictures.
        found: String,
    },
    /// The file has no video.
    #[error("{what}: holds no video")]
    NoVideo {
        /// The file.
        what: String,
    },
    /// Nothing came.
    #[error("{what}: no picture within {} s", OPENING.as_secs())]
    Nothing {
        /// The file, the device or the kind of picture.
        what: String,
    },
}

/// The first picture may take this long: a webcam has to wake up.
const OPENING: Duration = Duration::from_secs(10);

/// Stands for the format of a file's video where there is none.
const NO_VIDEO: &str = "no video";

/// One coded picture.
pub(super) struct Picture {
    /// An access unit in Annex B with its parameter sets, or a JFIF image.
    pub(super) data: gst::Buffer,
    pub(super) caps: gst::Caps,
    pub(super) times: Times,
    pub(super) key: bool,
    /// What is in it, where it is a scene's.
    pub(super) truth: Option<Truth>,
}

/// What comes next.
pub(super) enum Next {
    Picture(Picture),
    /// The file's end.
    End,
    /// Nothing yet.
    Waiting,
}

/// A GStreamer pipeline that makes coded pictures as fast as they are taken.
pub(super) struct Pictures {
    what: String,
    pipeline: gst::Pipeline,
    sink: AppSink,
    frame: Duration,
    drawn: Option<Drawn>,
}

impl Pictures {
    /// Starts making pictures; a scene goes on at frame `from`.
    pub(super) fn open(recipe: &Recipe, from: u64) -> Result<Self, PicturesError> {
        elements::check(recipe)?;
        let what = describe(&recipe.what);
        let failed = |error: &dyn std::fmt::Display| PicturesError::Gst { what: what.clone(), reason: error.to_string() };
        let pipeline = gst::parse::launch(&launch_line(recipe))
            .map_err(|e| failed(&e))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| failed(&"not a pipeline"))?;
        let sink = pipeline
            .by_name("out")
            .and_then(|e| e.downcast::<AppSink>().ok())
            .ok_or_else(|| failed(&"the pipeline has no sink"))?;
        if let (Some(input), What::File(path) | What::Webcam(path)) = (pipeline.by_name("input"), &recipe.what) {
            input.set_property(if matches!(recipe.what, What::File(_)) { "location" } else { "device" }, path);
        }
        if let Some(demux) = pipeline.by_name("demux") {
            link_video(&demux, &pipeline, &sink);
        }
        let frame = Duration::from_secs(1) / recipe.fps.max(1);
        let drawn = match (scene_of(recipe), pipeline.by_name("input").and_then(|e| e.downcast::<AppSrc>().ok())) {
            (Some(config), Some(input)) => Some(Drawn::start(config, from, &input)),
            _ => None,
        };
        let pictures = Self { what, pipeline, sink, frame, drawn };
        pictures
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|e| pictures.failure().unwrap_or(failed_start(&pictures.what, &e)))?;
        Ok(pictures)
    }

    /// The next picture, waiting for at most `patience`.
    pub(super) fn next(&self, patience: Duration) -> Result<Next, PicturesError> {
        let patience = gst::ClockTime::from_nseconds(patience.as_nanos() as u64);
        if let Some(sample) = self.sink.try_pull_sample(patience) {
            return Ok(self.picture(&sample).map_or(Next::Waiting, Next::Picture));
        }
        match self.failure() {
            Some(error) => Err(error),
            None if self.sink.is_eos() => Ok(Next::End),
            None => Ok(Next::Waiting),
        }
    }

    /// The codec of the first picture; proves that there is one.
    pub(super) fn probe(&self) -> Result<Codec, PicturesError> {
        let deadline = std::time::Instant::now() + OPENING;
        loop {
            match self.next(Duration::from_millis(200))? {
                Next::Picture(picture) => return codec(&picture.caps).ok_or_else(|| self.foreign(&picture.caps)),
                Next::End => return Err(PicturesError::NoVideo { what: self.what.clone() }),
                Next::Waiting if std::time::Instant::now() > deadline => {
                    return Err(PicturesError::Nothing { what: self.what.clone() });
                }
                Next::Waiting => {}
            }
        }
    }

    /// Back to the first picture.
    pub(super) fn rewind(&self) -> Result<(), PicturesError> {
        self.pipeline
            .seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT, gst::ClockTime::ZERO)
            .map_err(|e| failed_start(&self.what, &e))
    }

    fn foreign(&self, caps: &gst::CapsRef) -> PicturesError {
        let found = caps.structure(0).map_or("nothing", |s| s.name().as_str()).to_owned();
        PicturesError::Codec { what: self.what.clone(), found }
    }

    fn picture(&self, sample: &gst::Sample) -> Option<Picture> {
        let data = sample.buffer_owned()?;
        let caps = sample.caps_owned()?;
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let running = |time: gst::ClockTime| match segment.to_running_time_full(time)? {
            gst::Signed::Positive(t) => i64::try_from(t.nseconds()).ok(),
            gst::Signed::Negative(t) => i64::try_from(t.nseconds()).ok().map(|t| -t),
        };
        let dts = data.dts().and_then(running);
        let times = Times {
            pts: data.pts().and_then(running).or(dts)?,
            dts,
            duration: data.duration().map_or_else(|| self.period(&caps), |d| d.nseconds() as i64),
        };
        let truth = self.drawn.as_ref().and_then(|drawn| drawn.truth(times.pts));
        let key = !data.flags().contains(gst::BufferFlags::DELTA_UNIT);
        Some(Picture { data, caps, times, key, truth })
    }

    /// How long a picture lasts that does not say so, in nanoseconds.
    fn period(&self, caps: &gst::CapsRef) -> i64 {
        let rate = caps.structure(0).and_then(|s| s.get::<gst::Fraction>("framerate").ok()).filter(|f| f.numer() > 0);
        rate.map_or(self.frame.as_nanos() as i64, |f| 1_000_000_000 * i64::from(f.denom()) / i64::from(f.numer()))
    }

    /// What went wrong, if anything.
    fn failure(&self) -> Option<PicturesError> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Application])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(failed_start(&self.what, &error.error())),
            gst::MessageView::Application(note) => {
                let found = note.structure()?.get::<String>("caps").ok()?;
                let what = self.what.clone();
                Some(if found == NO_VIDEO { PicturesError::NoVideo { what } } else { PicturesError::Codec { what, found } })
            }
            _ => None,
        }
    }
}

impl Drop for Pictures {
    fn drop(&mut self) {
        // Failing to stop leaves nothing to do; GStreamer has logged it.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn failed_start(what: &str, error: &dyn std::fmt::Display) -> PicturesError {
    PicturesError::Gst { what: what.into(), reason: error.to_string() }
}

fn describe(what: &What) -> String {
    let path = |p: &PathBuf| p.display().to_string();
    match what {
        What::File(p) | What::Webcam(p) => path(p),
        What::Scene(scene) => format!("scene {}", scene.seed),
        What::Test { pattern, .. } => format!("test picture {pattern}"),
    }
}

/// The codec that caps name.
pub(super) fn codec(caps: &gst::CapsRef) -> Option<Codec> {
    match caps.structure(0)?.name().as_str() {
        "video/x-h264" => Some(Codec::H264),
        "video/x-h265" => Some(Codec::H265),
        "image/jpeg" => Some(Codec::Mjpeg),
        _ => None,
    }
}

/// Whether `videotestsrc` knows a pattern.
pub(super) fn is_pattern(name: &str) -> bool {
    let source = gst::ElementFactory::make("videotestsrc").build().ok();
    let kind = source.as_ref().and_then(|s| s.find_property("pattern")).map(|p| p.value_type());
    // Where the element is missing, the check for elements says so.
    kind.and_then(gst::glib::EnumClass::with_type).is_none_or(|class| class.value_by_nick(name).is_some())
}

/// Whole pictures in the form that payloaders take, parameter sets before each key frame.
fn parse_line(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "h264parse config-interval=-1 ! capsfilter caps=video/x-h264,stream-format=byte-stream,alignment=au",
        Codec::H265 => "h265parse config-interval=-1 ! capsfilter caps=video/x-h265,stream-format=byte-stream,alignment=au",
        Codec::Mjpeg => "jpegparse",
    }
}

fn launch_line(recipe: &Recipe) -> String {
    let sink = format!("appsink name=out sync=false async=false max-buffers={AHEAD}");
    let Recipe { fps, bitrate_kbit, .. } = recipe;
    let Some(codec) = recipe.encode else {
        // The video pad appears later: see `link_video`.
        return format!("filesrc name=input ! parsebin name=demux {sink}");
    };
    let (source, size) = match &recipe.what {
        What::File(_) => ("filesrc name=input ! decodebin".to_owned(), recipe.size),
        What::Scene(_) => ("appsrc name=input format=time max-buffers=1".to_owned(), None),
        What::Webcam(_) => ("v4l2src name=input ! decodebin ! videorate".to_owned(), recipe.size),
        What::Test { pattern, width, height } => {
            let size = recipe.size.unwrap_or((*width, *height));
            (format!("videotestsrc pattern={pattern}"), Some(size))
        }
    };
    let size = size.map_or(String::new(), |(w, h)| format!(",width={w},height={h},pixel-aspect-ratio=1/1"));
    // A file keeps its own rate.
    let rate = if matches!(recipe.what, What::File(_)) { String::new() } else { format!(",framerate={fps}/1") };
    // x265enc fed by videotestsrc would choose 4:4:4 with 12 bits: pin the format.
    let raw = format!("videoconvert ! videoscale ! video/x-raw,format=I420{size}{rate}");
    format!("{source} ! {raw} ! {} ! {} ! {sink}", encoder_line(codec, *fps, *bitrate_kbit), parse_line(codec))
}

/// No B-frames, a key frame every second, one thread: a camera's encoder.
fn encoder_line(codec: Codec, fps: u32, kbit: u32) -> String {
    match codec {
        Codec::H264 if elements::h264_encoder() == "x264enc" => format!(
            "x264enc tune=zerolatency speed-preset=superfast bframes=0 threads=1 sliced-threads=false key-int-max={fps} bitrate={kbit}"
        ),
        Codec::H264 => format!("openh264enc complexity=low gop-size={fps} rate-control=bitrate bitrate={}", kbit * 1000),
        Codec::H265 => format!(
            "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} bitrate={kbit} \
             option-string=bframes=0:open-gop=0:pools=1:frame-threads=1:log-level=1"
        ),
        Codec::Mjpeg => "jpegenc quality=80".into(),
    }
}

/// The scene to draw: one drawn anew in another size keeps its truth exact.
pub(super) fn scene_of(recipe: &Recipe) -> Option<SceneConfig> {
    let What::Scene(scene) = &recipe.what else { return None };
    let (width, height) = recipe.size.unwrap_or((scene.width, scene.height));
    Some(SceneConfig { width, height, fps: recipe.fps, ..scene.clone() })
}

/// A scene on its way to the encoder: frames are drawn when the encoder asks for one.
struct Drawn {
    from: u64,
    fps: u32,
    truths: Arc<Mutex<VecDeque<Truth>>>,
}

impl Drawn {
    fn start(config: SceneConfig, from: u64, input: &AppSrc) -> Self {
        let SceneConfig { width, height, fps, .. } = config;
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", width as i32)
            .field("height", height as i32)
            .field("framerate", gst::Fraction::new(fps as i32, 1))
            .build();
        input.set_caps(Some(&caps));
        let truths = Arc::new(Mutex::new(VecDeque::new()));
        let known = truths.clone();
        let mut scene = None;
        let mut number = from;
        let draw = move |input: &AppSrc, _| {
            let scene = scene.get_or_insert_with(|| Scene::new(config.clone()));
            let (bytes, truth) = scene.frame(number);
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let at = |frame: u64| gst::ClockTime::from_nseconds((frame - from) * 1_000_000_000 / u64::from(fps));
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(at(number));
                buffer.set_duration(at(number + 1) - at(number));
            }
            known.lock().unwrap_or_else(PoisonError::into_inner).push_back(truth);
            number += 1;
            // Refused only when the pipeline is going away.
            let _ = input.push_buffer(buffer);
        };
        input.set_callbacks(AppSrcCallbacks::builder().need_data(draw).build());
        Self { from, fps, truths }
    }

    /// The truth of the frame at this running time. Frames come out in the order they were drawn.
    fn truth(&self, pts: i64) -> Option<Truth> {
        let frame = self.from + (pts as f64 * f64::from(self.fps) / 1e9).round() as u64;
        let mut truths = self.truths.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(truth) = truths.pop_front() {
            if truth.frame >= frame {
                return (truth.frame == frame).then_some(truth);
            }
        }
        None
    }
}

/// Links the file's first video stream to the sink, and lets the other streams run dry.
fn link_video(demux: &gst::Element, pipeline: &gst::Pipeline, sink: &AppSink) {
    // Weak: the pipeline owns the closure.
    let (pipeline, sink) = (pipeline.downgrade(), sink.downgrade());
    demux.connect_pad_added(move |demux, pad| {
        let (Some(pipeline), Some(sink)) = (pipeline.upgrade(), sink.upgrade()) else { return };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let taken = sink.static_pad("sink").is_some_and(|p| p.is_linked());
        let wanted = codec(&caps).filter(|_| !taken);
        let linked = match wanted {
            Some(codec) => link_through(&pipeline, pad, codec, &sink),
            None => swallow(&pipeline, pad, demux, &sink),
        };
        let is_video = caps.structure(0).is_some_and(|s| s.name().starts_with("video/") || s.name().starts_with("image/"));
        if linked.is_err() || (wanted.is_none() && !taken && is_video) {
            let name = caps.structure(0).map_or("nothing", |s| s.name().as_str());
            refuse(demux, name);
        }
    });
}

/// Says what was found instead of a camera's video; `Pictures::failure` reads it.
fn refuse(demux: &gst::Element, found: &str) {
    let note = gst::Structure::builder("foreign-video").field("caps", found).build();
    // Refused only when the pipeline is going away, and its bus with it.
    let _ = demux.post_message(gst::message::Application::builder(note).src(demux).build());
}

fn link_through(pipeline: &gst::Pipeline, pad: &gst::Pad, codec: Codec, sink: &AppSink) -> Result<(), gst::glib::BoolError> {
    let error = |_| gst::glib::bool_error!("cannot link the parser");
    let parser = gst::parse::bin_from_description(parse_line(codec), true).map_err(|_| gst::glib::bool_error!("no parser"))?;
    pipeline.add(&parser)?;
    parser.link(sink)?;
    parser.sync_state_with_parent()?;
    let entry = parser.static_pad("sink").ok_or_else(|| gst::glib::bool_error!("the parser has no pad"))?;
    pad.link(&entry).map(drop).map_err(error)
}

/// Lets a stream run dry. When it has, and there was no video beside it, there is none.
fn swallow(pipeline: &gst::Pipeline, pad: &gst::Pad, demux: &gst::Element, sink: &AppSink) -> Result<(), gst::glib::BoolError> {
    let drain = gst::ElementFactory::make("fakesink").property("async", false).property("sync", false).build()?;
    pipeline.add(&drain)?;
    drain.sync_state_with_parent()?;
    let entry = drain.static_pad("sink").ok_or_else(|| gst::glib::bool_error!("the drain has no pad"))?;
    let (demux, sink) = (demux.downgrade(), sink.downgrade());
    entry.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let over = matches!(&info.data, Some(gst::PadProbeData::Event(e)) if e.type_() == gst::EventType::Eos);
        if let (true, Some(demux), Some(sink)) = (over, demux.upgrade(), sink.upgrade())
            && sink.static_pad("sink").is_some_and(|p| !p.is_linked())
        {
            refuse(&demux, NO_VIDEO);
        }
        gst::PadProbeReturn::Ok
    });
    pad.link(&entry).map(drop).map_err(|_| gst::glib::bool_error!("cannot link the drain"))
}
