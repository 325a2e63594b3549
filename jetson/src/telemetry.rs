//! How the board is: load, clocks, temperatures, power rails, fan, power mode, memory, and whether anything slows it down.
//!
//! All of it is read from the kernel's own files, without root and without any library of NVIDIA. What a board, its kernel or its permissions do
//! not give is `None` or not in the list, never zero. Paths and their quirks: Linux's `Documentation/ABI/testing/sysfs-class-devfreq`,
//! `Documentation/hwmon/ina3221.rst`, `Documentation/driver-api/thermal/sysfs-api.rst`, and jetson_stats' list of what L4T R35 to R39 have.
//!
//! Not verified on a Jetson: the trees of the tests are written after those lists. Thor tells the load of its GPU and of its decoder through NVML
//! alone, which is not read yet; nor is there a file for the load of a DLA.

mod clocks;
mod files;
mod power;
mod thermal;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use self::files::Tree;
pub use self::{
    clocks::{Gpu, Nvdec},
    power::{PowerMode, Rail},
    thermal::{Fan, Temperature},
};

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
}

/// Reads the board.
#[derive(Debug)]
pub struct Telemetry {
    tree: Tree,
    /// Counters of over-current events, as they were last.
    events: BTreeMap<PathBuf, u64>,
}

impl Telemetry {
    /// `root` is `/` but for tests.
    pub fn new(root: &Path) -> Self {
        Self { tree: Tree::new(root), events: BTreeMap::new() }
    }

    /// Reads everything anew. Takes some milliseconds on a real board: not on a thread that is in a hurry.
    pub fn read(&mut self) -> Reading {
        let tree = &self.tree;
        let (rails, mut throttling) = power::rails(tree);
        throttling.extend(power::events(tree, &mut self.events));
        throttling.extend(thermal::cooling(tree));
        Reading {
            gpu: clocks::gpu(tree),
            emc_hz: clocks::emc(tree),
            nvdec: clocks::nvdec(tree),
            temperatures: thermal::temperatures(tree),
            rails,
            fan: thermal::fan(tree),
            power_mode: power::mode(tree),
            memory: memory(tree),
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
