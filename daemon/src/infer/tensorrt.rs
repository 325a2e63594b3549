//! A network on an NVIDIA device: letterbox kernel, TensorRT engine, decoding kernels. Final boxes come to the host, or the outputs of
//! networks that only the host makes sense of; where TensorRT refuses part of a network, ONNX Runtime makes them of what the engine
//! leaves. Pictures of the host go to the device through pinned memory.

mod behind;
mod boxes;
mod outputs;
mod setup;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use egret_jetson::{
    kernels::{
        device::{DeviceError, DeviceFrame},
        letterbox::{Samples, Window},
    },
    line::{Feed, HostPicture, Lane, LineError, Source, Times},
    tensorrt::DataType,
};

pub use self::setup::{LANES, Refused, detectors, in_rows};
use self::{
    behind::{Behind, Lost},
    boxes::Seen,
    outputs::Outputs,
};
use super::{
    Clip, DetectError, Detector, Letterbox, Output, Placement, View,
    clip::ClipFiller,
    reader::{Batch, Results},
};
use crate::{
    batch::Place,
    media::{self, Layout, ModelInfo, Pixels},
};

/// One lane of an engine. [`detectors`] makes them.
pub struct TensorRt {
    info: Arc<ModelInfo>,
    lane: Lane,
    letterbox: Letterbox,
    clips: Option<Clips>,
    finish: Finish,
    max_batch: usize,
    /// All lanes of a worker take turns on its engine.
    place: Place,
    /// Whether decoders' pictures lie on its GPU.
    reads_device: bool,
    /// What lasts as long as it does.
    _keeps: Option<Arc<dyn Send + Sync>>,
    /// The most that the engine takes at once.
    most: usize,
    placements: Vec<Option<Placement>>,
    size: (usize, usize),
}

/// Who turns outputs into what the network says.
enum Finish {
    /// The device: boxes.
    Device(Seen),
    /// The host, from the tensors.
    Host(Outputs),
    /// ONNX Runtime, and the host from what that makes of them.
    Tail(Box<Behind>),
}

/// Clips on their way into the input.
struct Clips {
    filler: ClipFiller,
    /// Of one batch.
    values: Vec<f32>,
    /// Values of a clip.
    each: usize,
    element: DataType,
}

impl TensorRt {
    /// Runs the smallest and the largest batch over padding, so that what is wrong shows at the start and memory is there.
    fn try_out(&mut self) -> Result<(), DetectError> {
        let batches = self.lane.executor().batches();
        for count in [*batches.start(), *batches.end()] {
            self.placements.clear();
            self.placements.resize(count, None);
            if self.clips.is_some() {
                self.lane.fill(count, |bytes| bytes.fill(0)).map_err(|error| self.failed(error, count))?;
            } else {
                let nothing = self.letterbox.nothing();
                let pictures: Vec<_> = (0..count).map(|_| (Source::Host(GREY), nothing)).collect();
                self.lane.draw(&pictures).map_err(|error| self.failed(error, count))?;
            }
            self.finish(&mut Results::default())?;
        }
        Ok(())
    }

    /// Puts pictures on the device.
    fn draw(&mut self, views: &[View<'_>]) -> Result<(), DetectError> {
        self.placements.clear();
        if self.clips.is_some() {
            return Err(DetectError::NoClips { model: self.info.name.clone(), takes: "clips", given: "pictures" });
        }
        let on_device = self.on_device(views)?;
        let mut pictures: Vec<(Source<'_>, Window)> = Vec::with_capacity(views.len());
        for (View { frame, region }, on_device) in views.iter().zip(&on_device) {
            let (source, color) = match (&frame.pixels, on_device) {
                (Pixels::Host(picture), _) => (Source::Host(of_host(picture)), picture.color()),
                (Pixels::Device(picture), Some(there)) => (Source::Device(there), picture.color()),
                (other, _) => {
                    return Err(DetectError::Pixels { detector: "TensorRT", pixels: format!("{other:?}") });
                }
            };
            let (width, height) = frame.pixels.size();
            let window = self.letterbox.window((width as usize, height as usize), color, *region);
            self.placements.push(window.map(|(_, placement)| placement));
            let window = window.map_or_else(|| self.letterbox.nothing(), |(window, _)| window);
            pictures.push((source, window));
        }
        self.lane.draw(&pictures).map_err(|error| self.failed(error, views.len()))
    }

    /// The pictures that lie on the device already, for the stream that draws them: without a copy, but where a surface of blocks has none
    /// of its rows yet.
    fn on_device(&self, views: &[View<'_>]) -> Result<Vec<Option<DeviceFrame>>, DetectError> {
        let frame = |view: &View<'_>| match &view.frame.pixels {
            Pixels::Device(pixels) => pixels.picture().frame(self.lane.drawing()).map(Some),
            _ => Ok(None),
        };
        views.iter().map(frame).collect::<Result<_, _>>().map_err(|error| {
            let (runtime, reason) = (self.info.runtime.clone(), error.to_string());
            if error.is_lost() {
                DetectError::Lost { runtime, views: views.len(), reason }
            } else {
                DetectError::Runtime { runtime, views: views.len(), reason }
            }
        })
    }

    /// Puts clips on the device.
    fn fill(&mut self, clips: &[&Clip]) -> Result<(), DetectError> {
        let no_clips = |takes, given| DetectError::NoClips { model: self.info.name.clone(), takes, given };
        let Some(Clips { filler, values, each, element }) = &mut self.clips else {
            return Err(no_clips("pictures", "clips"));
        };
        for (clip, out) in clips.iter().zip(values.chunks_exact_mut(*each)) {
            if !filler.fill(clip, out) {
                return Err(no_clips("clips", "clips of another length or size"));
            }
        }
        self.placements.clear();
        self.placements.resize(clips.len(), None);
        let values = &values[..clips.len() * *each];
        let result = self.lane.fill(clips.len(), |bytes| outputs::pack(values, *element, bytes));
        result.map_err(|error| self.failed(error, clips.len()))
    }

    /// Waits for the batch and takes what the network says of it; also when the batch had come to the host.
    fn finish(&mut self, results: &mut Results) -> Result<(Times, Instant), DetectError> {
        let Self { lane, finish, placements, size, .. } = self;
        let count = placements.len();
        let batch = Batch { placements, size: *size };
        let mut arrived = None;
        let result = match finish {
            Finish::Device(seen) => {
                seen.clear(count);
                lane.boxes(|picture, found| seen.take(picture, &found)).map(|times| {
                    arrived = Some(Instant::now());
                    for (found, placement) in seen.found().iter().zip(&*placements) {
                        results.see(found, placement.as_ref());
                    }
                    (times, Ok(()))
                })
            }
            Finish::Host(outputs) => lane.tensors(|fetched| {
                arrived = Some(Instant::now());
                outputs.read(fetched, &batch, results).map_err(Lost::Output)
            }),
            Finish::Tail(behind) => {
                let whole = count.max(*lane.executor().batches().start());
                lane.tensors(|fetched| {
                    arrived = Some(Instant::now());
                    behind.read(fetched, whole, &batch, results)
                })
            }
        };
        let (times, read) = result.map_err(|error| self.failed(error, count))?;
        read.map_err(|lost| match lost {
            Lost::Output(reason) => DetectError::Output { model: self.info.name.clone(), reason },
            Lost::Tail(error) => {
                DetectError::Runtime { runtime: self.info.runtime.clone(), views: count, reason: error.to_string() }
            }
        })?;
        Ok((times, arrived.unwrap_or_else(Instant::now)))
    }

    /// A batch in as many runs as the engine needs for it.
    fn run<T>(&mut self, all: &[T], put: impl Fn(&mut Self, &[T]) -> Result<(), DetectError>) -> Result<Output, DetectError> {
        if all.len() > self.max_batch {
            let reason = format!("more views than the {} of a batch", self.max_batch);
            return Err(DetectError::Runtime { runtime: self.info.runtime.clone(), views: all.len(), reason });
        }
        let (mut results, mut device, mut prepared) = (Results::default(), Duration::ZERO, None);
        for some in all.chunks(self.most) {
            put(self, some)?;
            let (times, arrived) = self.finish(&mut results)?;
            device += times.engine;
            // The engine began when the pictures had been drawn and the lane's turn had come.
            prepared = prepared.or_else(|| arrived.checked_sub(times.since_begun));
        }
        let Results { detections, extras, readings } = results;
        Ok(Output { detections, extras, readings, prepared: prepared.unwrap_or_else(Instant::now), device: Some(device) })
    }

    fn failed(&self, error: LineError, views: usize) -> DetectError {
        let runtime = self.info.runtime.clone();
        match error {
            LineError::Lost { .. } => DetectError::Lost { runtime, views, reason: error.to_string() },
            LineError::Device(DeviceError::Fault { .. }) => {
                DetectError::Output { model: self.info.name.clone(), reason: error.to_string() }
            }
            error => DetectError::Runtime { runtime, views, reason: error.to_string() },
        }
    }

    /// Whether the device makes final boxes of the outputs, else the host does.
    pub fn decodes(&self) -> bool {
        matches!(self.finish, Finish::Device(_))
    }

    /// Says which device it is on, by any number that the other engines of the model do not have, and of which GPU that is: decoders'
    /// pictures lie on the first. `keeps` lasts as long as the lane.
    #[must_use]
    pub fn on(self, device: usize, gpu: u32, keeps: Arc<dyn Send + Sync>) -> Self {
        let place = Place { device, ..self.place };
        Self { place, reads_device: self.reads_device && gpu == 0, _keeps: Some(keeps), ..self }
    }

    /// The lane, for those who measure.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }
}

impl Detector for TensorRt {
    fn spec(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }

    fn reads_device(&self) -> bool {
        self.reads_device
    }

    fn place(&self) -> Place {
        self.place
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        self.run(views, Self::draw)
    }

    fn watch(&mut self, clips: &[&Clip]) -> Result<Output, DetectError> {
        self.run(clips, Self::fill)
    }
}

/// Two by two pixels of a picture that no window looks at.
const GREY: HostPicture<'static> =
    HostPicture { samples: Samples::Nv12, width: 2, height: 2, planes: [(&[128; 4], 2), (&[128; 2], 2), (&[], 0)] };

/// A picture in the words of the device.
fn of_host(picture: &media::HostPicture) -> HostPicture<'_> {
    let samples = match picture.layout() {
        Layout::Nv12 => Samples::Nv12,
        Layout::I420 => Samples::I420,
    };
    let plane = |plane: usize| if plane < picture.plane_count() { picture.plane(plane) } else { (&[][..], 0) };
    HostPicture { samples, width: picture.width(), height: picture.height(), planes: [0, 1, 2].map(plane) }
}

/// How the input is filled, and what of it the engine is given.
fn feed(clips: bool, tensor: egret_jetson::kernels::letterbox::Tensor) -> Feed {
    if clips { Feed::Values } else { Feed::Pictures(tensor) }
}
