//! How the board is: load, clocks, temperatures, power rails, fan, power mode, memory, and whether anything slows it down.
//!
//! Most of it is read from the kernel's own files, without root; what only NVIDIA's driver knows comes from its library ([`crate::nvml`]), where there is one. What a
//! board, its kernel, its driver or its permissions do not give is `None` or not in the list, never zero. Paths and their quirks: Linux's `Documentation/ABI/testing/sysfs-class-devfreq`,
//! `Documentation/hwmon/ina3221.rst`, `Documentation/driver-api/thermal/sysfs-api.rst`, and jetson_stats' list of what L4T R35 to R39 have.
//!
//! Not verified on a Jetson: the trees of the tests are written after those lists. Thor tells the load of its GPU and of its decoder through NVML
//! alone. Nothing tells the load of a DLA.

mod clocks;
mod files;
mod power;
mod thermal;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use self::files::Tree;
pub use self::{
    clocks::{Gpu, Nvdec},
    power::{PowerMode, Rail},
    thermal::{Fan, Temperature},
};
use crate::nvml::{Device, Hold, Nvml};

/// The board at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The GPU.
    pub gpu: Option<Gpu>,
    /// Clock of the memory (EMC), Hz. On Orin for root alone.
    pub emc_hz: Option<u64>,
    /// The video decoder. On Orin for root alone.
    pub nvdec: Option<Nvdec>,
    /// Thermal zones by name. Those that are switched off are left out.
    pub temperatures: Vec<Temperature>,
    /// Power rails in the order of their sensors.
    pub rails: Vec<Rail>,
    /// The fan.
    pub fan: Option<Fan>,
    /// What `nvpmodel` is set to.
    pub power_mode: Option<PowerMode>,
    /// Memory, which CPU and GPU share.
    pub memory: Option<Memory>,
    /// What NVIDIA's driver tells of each device.
    pub devices: Vec<Device>,
    /// Why it runs slower than it could: empty where it does not.
    pub throttling: Vec<Throttling>,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What can still be had without swapping (`MemAvailable`).
    pub available: u64,
}

/// What slows the board down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Throttling {
    /// A rail draws more than its sensor is told to allow.
    OverCurrent {
        /// The rail.
        rail: String,
    },
    /// The SoC's own over-current protection has acted since the last reading.
    Events {
        /// Name of its counter, e.g. `oc1`.
        counter: String,
        /// How often.
        count: u64,
    },
    /// A cooling device other than the fan holds something back.
    Cooling {
        /// What it is, e.g. `cpufreq-cpu0`.
        device: String,
        /// How far, of how far it could.
        state: (u64, u64),
    },
    /// The driver says that something holds a device's clocks back.
    Held {
        /// The device's number to NVML.
        device: u32,
        /// What.
        by: Hold,
    },
}

/// Cooling devices whose state is about how fast something computes; others dim a display, charge a battery slower, or only warn.
const COMPUTING: [&str; 6] = ["cpu", "gpu", "devfreq", "throttle", "processor", "ga10b"];

impl Throttling {
    /// Whether less work would help: heat, or a supply that is not up to it. A device at its power limit runs as it is meant to.
    pub fn is_relieved_by_less_work(&self) -> bool {
        match self {
            Self::OverCurrent { .. } | Self::Events { .. } => true,
            Self::Cooling { device, .. } => {
                let device = device.to_ascii_lowercase();
                COMPUTING.iter().any(|word| device.contains(word))
            }
            Self::Held { by, .. } => *by != Hold::PowerCap,
        }
    }

    /// The kind of reason, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::OverCurrent { .. } => "over_current",
            Self::Events { .. } => "over_current_events",
            Self::Cooling { .. } => "cooling",
            Self::Held { by, .. } => by.as_str(),
        }
    }
}

/// For people: `rail VDD_IN draws too much`.
impl fmt::Display for Throttling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverCurrent { rail } => write!(f, "rail {rail} draws too much"),
            Self::Events { counter, count } => write!(f, "over-current protection {counter} acted {count} times"),
            Self::Cooling { device, state: (state, most) } => write!(f, "{device} is cooled at {state} of {most}"),
            Self::Held { device, by } => write!(f, "GPU {device} is held back: {}", by.as_str()),
        }
    }
}

/// Reads the board.
#[derive(Debug)]
pub struct Telemetry {
    tree: Tree,
    /// Counters of over-current events, as they were last.
    events: BTreeMap<PathBuf, u64>,
    nvml: Option<Nvml>,
}

impl Telemetry {
    /// Of this machine: its files, and its driver's library where that loads.
    pub fn here() -> Self {
        Self::with(Path::new("/"), Nvml::open().ok())
    }

    /// Of a tree of files alone; `root` is `/` but for tests.
    pub fn new(root: &Path) -> Self {
        Self::with(root, None)
    }

    /// Of a tree of files, and of what a driver tells.
    pub fn with(root: &Path, nvml: Option<Nvml>) -> Self {
        Self { tree: Tree::new(root), events: BTreeMap::new(), nvml }
    }

    /// Reads everything anew. Takes some milliseconds on a real board: not on a thread that is in a hurry.
    pub fn read(&mut self) -> Reading {
        let tree = &self.tree;
        let (rails, mut throttling) = power::rails(tree);
        throttling.extend(power::events(tree, &mut self.events));
        throttling.extend(thermal::cooling(tree));
        let devices = self.nvml.as_ref().and_then(|nvml| nvml.devices().ok()).unwrap_or_default();
        throttling.extend(devices.iter().flat_map(held));
        Reading {
            gpu: joined(clocks::gpu(tree), &devices),
            emc_hz: clocks::emc(tree),
            nvdec: clocks::nvdec(tree),
            temperatures: thermal::temperatures(tree),
            rails,
            fan: thermal::fan(tree),
            power_mode: power::mode(tree),
            memory: memory(tree),
            devices,
            throttling,
        }
    }
}

impl Reading {
    /// The hottest zone.
    pub fn hottest(&self) -> Option<&Temperature> {
        self.temperatures.iter().max_by(|a, b| a.celsius.total_cmp(&b.celsius))
    }
}

/// What holds a device back.
fn held(device: &Device) -> impl Iterator<Item = Throttling> {
    device.held_by.iter().flatten().map(|by| Throttling::Held { device: device.index, by: *by })
}

/// The GPU as the kernel's files have it; its load from the driver where they do not tell it (Thor). On a desktop there is no such file, and what the
/// GPUs there are stands with the devices.
fn joined(gpu: Option<Gpu>, devices: &[Device]) -> Option<Gpu> {
    let mut gpu = gpu?;
    if let ([device], None) = (devices, gpu.load) {
        gpu.load = device.load;
    }
    Some(gpu)
}

/// What can still be had of the machine's memory without swapping, in bytes (`MemAvailable`).
pub(crate) fn available_memory(root: &Path) -> Option<u64> {
    memory(&Tree::new(root)).map(|memory| memory.available)
}

/// `/proc/meminfo`, in kB of 1024 bytes.
fn memory(tree: &Tree) -> Option<Memory> {
    let text = tree.text("proc/meminfo")?;
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory { total: bytes("MemTotal")?, available: bytes("MemAvailable")? })
}

#[cfg(test)]
mod tests;
