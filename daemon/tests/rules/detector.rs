//! The demo's detector, as the daemon runs it on a CPU.

use std::time::{Duration, Instant, SystemTime};

use egret::{
    config::{CpuRuntime, ModelConfig, ModelSource, RuntimeConfig},
    infer::{Detector, View, load},
    media::{Capture, Detection, Frame, HostPicture, Pixels, StreamId, TimeBasis, TimeCard},
    sim::scene::Scene,
};

pub(crate) struct Demo {
    detector: Box<dyn Detector>,
    runtime: String,
}

impl Demo {
    pub(crate) fn new() -> Self {
        let model = ModelConfig { max_batch: 1, ..ModelConfig::new("street", ModelSource::Demo) };
        let library = std::env::var_os("ORT_DYLIB_PATH").map(Into::into);
        let runtime = RuntimeConfig { cpu: CpuRuntime::Auto, onnxruntime_library: library, ..RuntimeConfig::default() };
        let loaded = load(&model, &runtime).expect("the demo's network is compiled in");
        let runtime = loaded.info().runtime.clone();
        Self { detector: loaded.instances().remove(0), runtime }
    }

    pub(crate) fn runtime(&self) -> &str {
        &self.runtime
    }

    pub(crate) fn see(&mut self, scene: &mut Scene, number: u64) -> Vec<Detection> {
        let size = (scene.config().width, scene.config().height);
        let (bytes, _) = scene.frame(number);
        let frame = Frame {
            stream: StreamId::new(1, "street"),
            seq: number,
            dispatch: number,
            pts: Duration::ZERO,
            capture: Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival },
            pixels: Pixels::Host(HostPicture::tight_i420(size, bytes.into()).expect("a picture")),
            times: TimeCard::received(Instant::now()),
        };
        self.detector.detect(&[View::whole(&frame)]).expect("it looks").detections.remove(0)
    }
}
