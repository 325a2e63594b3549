//! What NVIDIA's management library tells of its devices: load, temperature, power, clocks, memory, and what holds the clocks back.
//!
//! NVML (`nvml.h`, part of every driver for desktop GPUs, of JetPack 7, and of a few releases before) is loaded when it is first asked for. A Jetson's has far
//! fewer functions than a desktop's, and which it has differs from release to release: each answer stands alone, and what is not there or is
//! refused is `None`.
//!
//! Not verified on a Jetson.

mod result;
mod sys;

use std::path::{Path, PathBuf};

use result::Session;

/// The library's name to the system's loader.
const SONAME: &str = "libnvidia-ml.so.1";
/// Most devices that are read.
const MOST: u32 = 64;

/// Why NVML is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NvmlError {
    /// There is no such library.
    #[error("no {}", .0.display())]
    Absent(PathBuf),
    /// There is one and the loader refuses it.
    #[error("{} cannot be loaded: {reason}", library.display())]
    Refused {
        /// The library.
        library: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// It fails, e.g. 9 without a driver, 18 with a driver of another version.
    #[error("NVML fails in {call}: {reason} (error {code})")]
    Call {
        /// Its function.
        call: &'static str,
        /// `nvmlReturn_t`.
        code: i32,
        /// NVML's words.
        reason: String,
    },
}

impl NvmlError {
    fn of_loader(library: &Path, error: &libloading::Error) -> Self {
        // The loader's own words, which `libloading` keeps beside its message.
        let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        let missing = format!("{}: cannot open shared object file: No such file", library.display());
        if reason.contains(&missing) {
            return Self::Absent(library.to_owned());
        }
        Self::Refused { library: library.to_owned(), reason }
    }
}

/// NVML, for as long as it lives. Its functions may be called from any thread.
pub struct Nvml {
    session: Session,
}

impl Nvml {
    /// The system's.
    ///
    /// # Errors
    /// [`NvmlError`].
    pub fn open() -> Result<Self, NvmlError> {
        Self::open_at(Path::new(SONAME))
    }

    /// One of this path.
    ///
    /// # Errors
    /// [`NvmlError`].
    pub fn open_at(library: &Path) -> Result<Self, NvmlError> {
        Ok(Self { session: Session::open(library)? })
    }

    /// The driver's version, e.g. `580.65.06`.
    pub fn driver(&self) -> Option<String> {
        self.session.driver()
    }

    /// Every device as it is now. A device that has fallen off the bus is left out.
    ///
    /// # Errors
    /// [`NvmlError::Call`]: they cannot even be counted.
    pub fn devices(&self) -> Result<Vec<Device>, NvmlError> {
        let count = self.session.count()?.min(MOST);
        Ok((0..count).filter_map(|index| self.session.device(index).map(|device| Device::read(index, device))).collect())
    }
}

impl std::fmt::Debug for Nvml {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nvml(driver {})", self.driver().as_deref().unwrap_or("of unknown version"))
    }
}

/// A device at one moment. `None`: this device, its driver or our permissions do not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device {
    /// Its number to NVML, which counts by the bus; CUDA's may be another.
    pub index: u32,
    /// E.g. `NVIDIA Thor`.
    pub name: Option<String>,
    /// Share of the last sample period in which a kernel ran, 0..1.
    pub load: Option<f32>,
    /// Share in which its memory was read or written, 0..1.
    pub memory_load: Option<f32>,
    /// Load of the video decoder, 0..1.
    pub decoder_load: Option<f32>,
    /// Load of the video encoder, 0..1.
    pub encoder_load: Option<f32>,
    /// Degrees Celsius.
    pub celsius: Option<f32>,
    /// What it draws, watts.
    pub watts: Option<f64>,
    /// What it may draw, watts.
    pub limit_watts: Option<f64>,
    /// Clock of its processors, Hz.
    pub frequency_hz: Option<u64>,
    /// The highest such clock, Hz.
    pub max_frequency_hz: Option<u64>,
    /// Clock of its memory, Hz.
    pub memory_hz: Option<u64>,
    /// Clock of its video engines, Hz.
    pub video_hz: Option<u64>,
    /// Its memory, bytes: all and used.
    pub memory: Option<(u64, u64)>,
    /// What holds its clocks back; `None`: it does not tell.
    pub held_by: Option<Vec<Hold>>,
}

impl Device {
    fn read(index: u32, device: result::Device<'_>) -> Self {
        let share = |percent: u32| (percent <= 100).then_some(percent as f32 / 100.0);
        let hz = |mhz: u32| u64::from(mhz) * 1_000_000;
        let watts = |milliwatts: u32| f64::from(milliwatts) / 1e3;
        let utilization = device.utilization();
        Self {
            index,
            name: device.name(),
            load: utilization.and_then(|(gpu, _)| share(gpu)),
            memory_load: utilization.and_then(|(_, memory)| share(memory)),
            decoder_load: device.decoder().and_then(share),
            encoder_load: device.encoder().and_then(share),
            celsius: device.temperature().map(|celsius| celsius as f32),
            watts: device.power().map(watts),
            limit_watts: device.power_limit().map(watts),
            frequency_hz: device.clock(sys::CLOCK_SM).map(hz),
            max_frequency_hz: device.max_clock(sys::CLOCK_SM).map(hz),
            memory_hz: device.clock(sys::CLOCK_MEM).map(hz),
            video_hz: device.clock(sys::CLOCK_VIDEO).map(hz),
            memory: device.memory(),
            held_by: device.reasons().map(Hold::of),
        }
    }
}

/// What holds a device's clocks back (`nvmlClocksEventReasons`). That nothing is to be done, or that somebody chose lower clocks, is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It would draw more than its power limit: usual under full load.
    PowerCap,
    /// The hardware halves its clocks or worse: heat, power brake, or a voltage that fell.
    Hardware,
    /// The driver slows it down for its heat.
    SoftwareThermal,
    /// The hardware slows it down for its heat.
    HardwareThermal,
    /// The power supply asks for it.
    PowerBrake,
}

impl Hold {
    /// All of them with their bits.
    const ALL: [(u64, Self); 5] = [
        (0x04, Self::PowerCap),
        (0x08, Self::Hardware),
        (0x20, Self::SoftwareThermal),
        (0x40, Self::HardwareThermal),
        (0x80, Self::PowerBrake),
    ];

    fn of(bits: u64) -> Vec<Self> {
        Self::ALL.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, hold)| hold).collect()
    }

    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PowerCap => "power_cap",
            Self::Hardware => "hardware_slowdown",
            Self::SoftwareThermal => "software_thermal",
            Self::HardwareThermal => "hardware_thermal",
            Self::PowerBrake => "power_brake",
        }
    }
}

#[cfg(feature = "doubles")]
pub mod doubles;
#[cfg(test)]
mod tests;
