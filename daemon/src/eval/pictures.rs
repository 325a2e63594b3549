//! Picture files and videos, decoded by GStreamer to what the daemon's letterbox takes.

use std::{
    io::Read,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::{EvalError, bounded};
use crate::{
    decode::PictureFormat,
    file,
    media::{Capture, Frame, HostPicture, Pixels, StreamId, TimeBasis, TimeCard},
};

/// Largest picture file.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// What the caps let through: a side of 16384 pixels would be 400 MB a picture.
const MAX_SIDE: u32 = 8192;
/// A decoder that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_mins(1);

/// A pipeline that ends when it is dropped.
struct Line {
    pipeline: gst::Pipeline,
    sink: AppSink,
}

impl Line {
    /// `decoding` ends in raw video; what follows makes I420 or NV12 of it.
    fn start(decoding: &str) -> Result<Self, String> {
        gst::init().map_err(|error| error.to_string())?;
        let formats = format!("video/x-raw,format=(string){{I420,NV12}},width=(int)[1,{MAX_SIDE}],height=(int)[1,{MAX_SIDE}]");
        let launch = format!("{decoding} ! videoconvert ! {formats} ! appsink name=out sync=false max-buffers=2");
        let pipeline = gst::parse::launch(&launch).map_err(|error| error.to_string())?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline".to_owned())?;
        let sink = pipeline.by_name("out").and_then(|sink| sink.downcast::<AppSink>().ok()).ok_or("no sink")?;
        Ok(Self { pipeline, sink })
    }

    fn play(&self) -> Result<(), String> {
        self.pipeline.set_state(gst::State::Playing).map(drop).map_err(|error| self.failure().unwrap_or(error.to_string()))
    }

    /// The next picture and its media time, `None` after the last one.
    fn next(&self) -> Result<Option<(HostPicture, Duration)>, String> {
        let began = Instant::now();
        let sample = loop {
            // The sink hears of an end, but not of an error.
            if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_mseconds(50)) {
                break sample;
            }
            match self.failure() {
                Some(reason) => return Err(reason),
                None if self.sink.is_eos() => return Ok(None),
                None if began.elapsed() > PATIENCE => {
                    return Err(format!("the decoder gave nothing for {} s", PATIENCE.as_secs()));
                }
                None => {}
            }
        };
        let (Some(caps), Some(buffer)) = (sample.caps(), sample.buffer_owned()) else { return Err("an empty sample".into()) };
        let at = buffer.pts().map_or(Duration::ZERO, |pts| Duration::from_nanos(pts.nseconds()));
        let picture = PictureFormat::from_caps(caps).and_then(|format| format.picture(buffer));
        picture.map(|picture| Some((picture, at))).map_err(|fault| fault.to_string())
    }

    fn failure(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Failing to stop leaves nothing to do; GStreamer has logged it.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Whether a file's name says that it is a picture.
pub(crate) fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    ["jpg", "jpeg", "png"].contains(&extension.as_str())
}

/// Decodes a JPEG or PNG file. Its orientation tag is not followed, as `pycocotools` does not follow it.
pub(crate) fn read_image(path: &Path) -> Result<HostPicture, String> {
    let mut bytes = Vec::new();
    let file = bounded::open(path, MAX_FILE_BYTES).map_err(|error| match error {
        EvalError::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    });
    file?.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let size = format!("width=(int)[1,{MAX_SIDE}],height=(int)[1,{MAX_SIDE}]");
    let decoding = match &bytes[..] {
        [0xff, 0xd8, ..] => format!("appsrc name=in format=bytes ! jpegparse ! image/jpeg,{size} ! jpegdec"),
        [0x89, b'P', b'N', b'G', ..] => format!("appsrc name=in format=bytes ! pngparse ! image/png,{size} ! pngdec"),
        [] => return Err("an empty file".into()),
        _ => return Err("neither JPEG nor PNG".into()),
    };
    let line = Line::start(&decoding)?;
    let input = line.pipeline.by_name("in").and_then(|input| input.downcast::<AppSrc>().ok()).ok_or("no source")?;
    line.play()?;
    // Refused only when the pipeline has failed already, and then it says why.
    let _ = input.push_buffer(gst::Buffer::from_slice(bytes));
    let _ = input.end_of_stream();
    line.next()
        .map_err(|reason| format!("it cannot be decoded ({reason}); sides of up to {MAX_SIDE} pixels are read"))?
        .map(|(picture, _)| picture)
        .ok_or_else(|| "there is no whole picture in it".to_owned())
}

/// A video, picture by picture.
pub(crate) struct Video(Line);

impl Video {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        file::regular(path).map_err(|error| error.to_string())?;
        let line = Line::start("filesrc name=in ! decodebin")?;
        let input = line.pipeline.by_name("in").ok_or("no source")?;
        input.set_property("location", path.to_str().ok_or("its path is not UTF-8")?);
        line.play()?;
        Ok(Self(line))
    }

    /// Access units of H.264, Annex B with parameter sets. Times are those of the decoder's own counting.
    #[cfg(feature = "sim")]
    pub(crate) fn h264(units: Vec<gst::Buffer>) -> Result<Self, String> {
        let caps = "video/x-h264,stream-format=byte-stream,alignment=au";
        let line = Line::start(&format!("appsrc name=in format=time caps={caps} ! h264parse ! decodebin"))?;
        let input = line.pipeline.by_name("in").and_then(|input| input.downcast::<AppSrc>().ok()).ok_or("no source")?;
        line.play()?;
        for unit in units {
            // Refused only when the pipeline has failed already, and then it says why.
            let _ = input.push_buffer(unit);
        }
        let _ = input.end_of_stream();
        Ok(Self(line))
    }

    pub(super) fn next(&mut self) -> Result<Option<HostPicture>, String> {
        Ok(self.next_at()?.map(|(picture, _)| picture))
    }

    /// The next picture and its media time.
    pub(crate) fn next_at(&mut self) -> Result<Option<(HostPicture, Duration)>, String> {
        self.0.next()
    }
}

/// A picture as the line has it.
pub(crate) fn frame(picture: HostPicture, number: u64) -> Frame {
    Frame {
        stream: StreamId::new(0, "eval"),
        seq: number,
        dispatch: number,
        pts: Duration::ZERO,
        capture: Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival },
        pixels: Pixels::Host(picture),
        times: TimeCard::received(Instant::now()),
    }
}
