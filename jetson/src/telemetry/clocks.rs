//! Clocks and load of the GPU, the memory and the decoder.

use super::files::Tree;

/// The GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// Share of the time that it was busy, 0..1. `None` on Thor: only NVML tells it there.
    pub load: Option<f32>,
    /// Its clock, Hz. 0 while it is switched off between pieces of work.
    pub frequency_hz: u64,
    /// The highest clock that the power mode allows, Hz.
    pub max_frequency_hz: Option<u64>,
}

/// The video decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nvdec {
    /// Whether anything uses it.
    pub on: bool,
    /// Its clock, Hz.
    pub frequency_hz: u64,
}

/// Among the devices with a frequency governor the one whose node of the device tree is a GPU's (Orin: `ga10b` or `gpu`), or that is called so
/// (Thor: `gpu-gpc-0`). The path of its platform device is another one with nearly every release.
pub(super) fn gpu(tree: &Tree) -> Option<Gpu> {
    let devices = tree.entries("sys/class/devfreq");
    let is_gpu = |(name, path): &&(String, std::path::PathBuf)| {
        let node = tree.text(path.join("device/of_node/name")).unwrap_or_default();
        node == "gpu" || node.contains("ga10b") || name.contains("ga10b") || name.starts_with("gpu-gpc")
    };
    let (_, path) = devices.iter().find(is_gpu)?;
    let load = tree.number::<f32>(path.join("device/load")).map(|permille| permille / 1000.0);
    Some(Gpu {
        load: load.filter(|load| (0.0..=1.0).contains(load)),
        frequency_hz: tree.number(path.join("cur_freq"))?,
        max_frequency_hz: tree.number(path.join("max_freq")),
    })
}

/// Thor has it among the governors; Orin tells root alone.
pub(super) fn emc(tree: &Tree) -> Option<u64> {
    tree.number("sys/class/devfreq/bwmgr/cur_freq").or_else(|| tree.number("sys/kernel/debug/bpmp/debug/clk/emc/rate"))
}

pub(super) fn nvdec(tree: &Tree) -> Option<Nvdec> {
    if let Some(frequency_hz) = tree.number("sys/class/devfreq/gpu-nvd-0/cur_freq") {
        return Some(Nvdec { on: frequency_hz > 0, frequency_hz });
    }
    let on = tree.number::<u64>("sys/kernel/debug/clk/nvdec/clk_enable_count")? > 0;
    Some(Nvdec { on, frequency_hz: tree.number("sys/kernel/debug/clk/nvdec/clk_rate")? })
}
