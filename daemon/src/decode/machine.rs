//! What of this machine decodes, and what all its decoders share.

use std::{path::Path, sync::Arc};

use egret_jetson::{
    Probe,
    surface::{Surfaces, gst::CudaMemory},
};
use gstreamer as gst;

use super::way::{Machine, Way};
use crate::{config::DecoderChoice, media::Codec};

/// What Thor's device tree calls itself.
const THOR: &str = "tegra264";

/// The decoders of a machine. One for all cameras of a process.
#[derive(Clone, Debug, Default)]
pub struct Decoders {
    machine: Machine,
    surfaces: Option<Arc<Surfaces>>,
    cuda: Option<CudaMemory>,
}

impl Decoders {
    /// Those of the machine that was probed; the device tree lies under `root`. `device`: pictures may stay on the device. `library`: where
    /// libnvbufsurface lies, if the loader does not know.
    pub fn find(probe: &Probe, root: &Path, device: bool, library: Option<&Path>) -> Self {
        let compatible = || std::fs::read(root.join("proc/device-tree/compatible")).unwrap_or_default();
        let machine = match &probe.cuda {
            _ if probe.is_jetson() && String::from_utf8_lossy(&compatible()).contains(THOR) => Machine::Thor,
            _ if probe.is_jetson() => Machine::Jetson,
            Ok(cuda) if !cuda.devices.is_empty() => Machine::Gpu,
            _ => Machine::Plain,
        };
        if machine == Machine::Plain || !device {
            return Self { machine, ..Self::default() };
        }
        let surfaces = match Surfaces::open(0, probe.l4t.as_ref(), library) {
            Ok(surfaces) => Some(surfaces),
            Err(error) => {
                tracing::warn!(%error, "decoded pictures come through host memory");
                None
            }
        };
        // Orin's decoder gives surfaces.
        let wanted = surfaces.is_some() && machine != Machine::Jetson;
        let unread = |error| tracing::info!(%error, "pictures of GStreamer's CUDA decoders come through host memory");
        let cuda = wanted.then(|| CudaMemory::open(None).map_err(unread).ok()).flatten();
        Self { machine, surfaces, cuda }
    }

    /// The ways of a camera ([`Machine::ways`]). `device`: what looks at its pictures can read them on the device.
    pub fn ways(&self, codec: Codec, choice: DecoderChoice, device: bool) -> Vec<Way> {
        self.machine.ways(codec, choice, device && self.surfaces.is_some())
    }

    /// What is known of pictures on the device; `None`: they do not stay there.
    pub fn surfaces(&self) -> Option<&Arc<Surfaces>> {
        self.surfaces.as_ref()
    }

    /// libgstcuda, where it is there.
    pub(super) fn cuda(&self) -> Option<&CudaMemory> {
        self.cuda.as_ref()
    }

    /// The CUDA context that GStreamer's elements are to work in.
    pub(crate) fn context(&self) -> Option<gst::Context> {
        self.cuda.as_ref()?.context(self.surfaces.as_ref()?)
    }
}
