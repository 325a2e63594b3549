//! What runs networks: TensorRT, NVRTC for the kernels, ONNX Runtime.

use std::path::Path;

use egret_jetson::{
    Device,
    kernels::{Nvrtc, Target},
    tensorrt::Unusable,
};

use super::{Finding, Setting};
use crate::{
    config::{CpuRuntime, DeviceChoice, RuntimeConfig},
    infer,
};

const AREA: &str = "tensorrt";

pub(super) fn examine(setting: &Setting) -> Vec<Finding> {
    let probe = egret_jetson::probe(&setting.root);
    let runtime = setting.config.as_ref().map(|config| &config.runtime);
    let mut findings = vec![runtime.and_then(wanted).unwrap_or_else(|| tensorrt(&probe))];
    findings.extend(nvrtc(&probe));
    let (cpu, library) = runtime.map_or((CpuRuntime::Auto, None), |r| (r.cpu, r.onnxruntime_library.as_deref()));
    findings.push(onnxruntime(cpu, library));
    findings
}

/// Why `egret run` would refuse to start where the configuration has networks run on the device or nowhere.
fn wanted(runtime: &RuntimeConfig) -> Option<Finding> {
    if runtime.device != DeviceChoice::Tensorrt {
        return None;
    }
    let remedy =
        "install TensorRT and NVIDIA's driver (egret runs on JetPack 6.1 and later), or set runtime.device to `auto` or `cpu`";
    #[cfg(feature = "tensorrt")]
    let missing =
        crate::engine::Here::open(&crate::engine::location(&runtime.engines, false), 0).err().map(|error| error.to_string());
    #[cfg(not(feature = "tensorrt"))]
    let missing = Some("this egret was built without TensorRT");
    missing.map(|why| Finding::error(AREA, format!("runtime.device = \"tensorrt\", and egret will not start: {why}"), remedy))
}

fn tensorrt(probe: &egret_jetson::Probe) -> Finding {
    match &probe.tensorrt {
        Ok(version) if cfg!(feature = "tensorrt") => {
            let dla = match (version.major, version.minor) {
                (10, ..=7) => "DLA where the module has it",
                _ => "DLA as the builder reports it",
            };
            Finding::ok(AREA, format!("TensorRT {version}: strongly typed engines (FP32, FP16, INT8 as Q/DQ), {dla}"))
        }
        Ok(version) => Finding::warning(
            AREA,
            format!("TensorRT {version} is there, and this egret was built without it"),
            "install a build with the feature tensorrt",
        ),
        Err(Unusable::Absent) if probe.is_jetson() => Finding::warning(
            AREA,
            "no TensorRT: networks run on the CPU",
            "install tensorrt (JetPack: apt install nvidia-jetpack; Yocto: tensorrt-core tensorrt-plugins)",
        ),
        Err(Unusable::Absent) => Finding::note(AREA, "no TensorRT: networks run on the CPU"),
        Err(unusable) => Finding::warning(AREA, unusable.to_string(), "until then networks run on the CPU"),
    }
}

/// Where there is a device to compile for.
fn nvrtc(probe: &egret_jetson::Probe) -> Option<Finding> {
    const AREA: &str = "nvrtc";
    let cuda = probe.cuda.as_ref().ok().filter(|cuda| !cuda.devices.is_empty())?;
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(error) => return Some(Finding::error(AREA, error.to_string(), "see the line on cuda")),
    };
    let (major, minor) = device.capability();
    let found = match Nvrtc::find(&[], Target { major, minor }, Some(cuda.version)) {
        Ok(nvrtc) => {
            let (its_major, its_minor) = nvrtc.version();
            Finding::ok(AREA, format!("NVRTC {its_major}.{its_minor} compiles kernels for sm_{major}{minor}"))
        }
        Err(error) => Finding::warning(AREA, error.to_string(), "install cuda-nvrtc of the CUDA that the driver is for"),
    };
    Some(found)
}

fn onnxruntime(cpu: CpuRuntime, library: Option<&Path>) -> Finding {
    const AREA: &str = "onnxruntime";
    if cpu == CpuRuntime::Rten {
        return Finding::ok(AREA, "not used: runtime.cpu is rten");
    }
    match infer::onnxruntime_library(library) {
        Ok((version, path)) => Finding::ok(AREA, format!("ONNX Runtime {version} from {}", path.display())),
        Err(tried) => {
            let remedy = "install libonnxruntime.so beside egret, or name it in runtime.onnxruntime_library";
            if cpu == CpuRuntime::OnnxRuntime {
                Finding::error(AREA, format!("runtime.cpu asks for it, and no library loads: {tried}"), remedy)
            } else {
                let says = format!("networks on the CPU run by rten, which is slower; no library loads: {tried}");
                Finding::warning(AREA, says, remedy)
            }
        }
    }
}
