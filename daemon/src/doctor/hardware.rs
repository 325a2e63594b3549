//! The board: driver, devices, power mode, what slows it down, and whether we may use it.

use std::os::unix::fs::MetadataExt as _;

use egret_jetson::{
    CudaError, Probe, nvtx,
    telemetry::{Reading, Telemetry},
};
use rustix::fs::{Access, access};

use super::{Finding, Setting};

/// Hotter than this, boards slow down soon.
const HOT: f32 = 90.0;
/// `CUresult`: no device.
const NO_DEVICE: u32 = 100;
/// `CUresult`: not supported; on Thor, where `/sys` cannot be read.
const NOT_SUPPORTED: u32 = 801;
/// What a Jetson's GPU and decoder are reached by, of Orin and of Thor; it is enough that the first of each is there.
const NODES: [[&str; 2]; 2] = [["dev/nvmap", "dev/v4l2-nvdec"], ["dev/nvidia0", "dev/nvidiactl"]];
/// By design it has the numbers of `/dev/null`: only that it is there counts.
const MARKER: &str = "dev/v4l2-nvdec";
/// What memory a board should keep free, as a share.
const LITTLE_MEMORY: f64 = 0.05;

pub(super) fn board(setting: &Setting) -> Vec<Finding> {
    let probe = egret_jetson::probe(&setting.root);
    let mut telemetry = if setting.root.as_os_str() == "/" { Telemetry::here() } else { Telemetry::new(&setting.root) };
    let reading = telemetry.read();
    let mut findings = vec![machine(&probe), cuda(&probe)];
    findings.extend(devices(&reading));
    findings.extend(power(&reading));
    findings.extend(permissions(setting, &probe));
    if let Err(error) = nvtx::is_heard() {
        findings.push(Finding::warning(
            "profiler",
            error.to_string(),
            "unset NVTX_INJECTION64_PATH, or name the profiler's library",
        ));
    }
    findings
}

fn machine(probe: &Probe) -> Finding {
    let model = probe.model.as_deref().unwrap_or("a machine that does not say what it is");
    let driver = probe.driver.as_ref().map_or_else(String::new, |driver| format!(", NVIDIA driver {driver}"));
    match &probe.l4t {
        Some(l4t) if l4t.release < 36 => {
            let says = format!("{model}, {l4t}{driver}: its TensorRT is too old for egret");
            Finding::warning("board", says, "install JetPack 6.1 or later; until then networks run on the CPU")
        }
        Some(l4t) => Finding::ok("board", format!("{model}, {l4t}{driver}")),
        None => Finding::ok("board", format!("{model}, no Jetson{driver}")),
    }
}

fn cuda(probe: &Probe) -> Finding {
    const AREA: &str = "cuda";
    match &probe.cuda {
        Ok(cuda) if cuda.devices.is_empty() => {
            Finding::warning(AREA, "the driver has no device", "see nvidia-smi -L and CUDA_VISIBLE_DEVICES")
        }
        Ok(cuda) => {
            let (major, minor) = cuda.version;
            Finding::ok(AREA, format!("driver for CUDA {major}.{minor} with {}", cuda.devices.join(", ")))
        }
        Err(CudaError::Absent) if probe.is_jetson() => {
            let remedy = "install nvidia-l4t-cuda (JetPack) or tegra-libraries-cuda (Yocto)";
            Finding::error(AREA, "libcuda.so.1 cannot be loaded", remedy)
        }
        Err(CudaError::Absent) => Finding::note(AREA, "no CUDA driver: networks run on the CPU"),
        Err(error @ CudaError::Call { code, .. }) => {
            let remedy = match *code {
                NOT_SUPPORTED => "let the daemon read /sys: no ProcSubset=pid, no InaccessiblePaths=/sys in its unit",
                NO_DEVICE => "see that the device nodes are there and the driver is loaded: ls /dev/nv*, dmesg",
                _ => "see dmesg; where the driver was updated, restart the machine",
            };
            Finding::error(AREA, error.to_string(), remedy)
        }
    }
}

fn devices(reading: &Reading) -> Vec<Finding> {
    let device = |device: &egret_jetson::nvml::Device| {
        let mut says = device.name.clone().unwrap_or_else(|| "a device without a name".to_owned());
        let mut add = |text: String| says.extend([", ", &text]);
        if let Some((total, used)) = device.memory {
            add(format!("{} of {} MiB used", used >> 20, total >> 20));
        }
        if let Some(load) = device.load {
            add(format!("load {:.0} %", 100.0 * load));
        }
        if let Some(celsius) = device.celsius {
            add(format!("{celsius} °C"));
        }
        if let Some(watts) = device.watts {
            add(format!("{watts:.1} W"));
        }
        Finding::ok("gpu", says).of(device.index.to_string())
    };
    reading.devices.iter().map(device).collect()
}

/// Power mode, heat, what slows the board down, memory.
fn power(reading: &Reading) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(mode) = &reading.power_mode {
        let name = mode.name.clone().unwrap_or_else(|| format!("number {}", mode.id));
        let says = format!("power mode {name}");
        findings.push(if name.starts_with("MAXN") {
            Finding::ok("power", says)
        } else {
            Finding::note("power", says + ": not the board's fastest (nvpmodel -q --verbose lists them)")
        });
    }
    for throttling in &reading.throttling {
        let remedy = if throttling.is_relieved_by_less_work() {
            "see to its cooling and its power supply; until then cameras are looked at less often (runtime.throttle)"
        } else {
            "usual under full load: a higher power limit, where it may have one"
        };
        findings.push(Finding::warning("throttling", throttling.to_string(), remedy));
    }
    if let Some(hottest) = reading.hottest() {
        let says = format!("the hottest zone is {} with {:.1} °C", hottest.zone, hottest.celsius);
        findings.push(if hottest.celsius >= HOT {
            Finding::warning("temperature", says, "see to its cooling: it slows down soon")
        } else {
            Finding::ok("temperature", says)
        });
    }
    if let Some(memory) = reading.memory {
        let says = format!("{} of {} MiB of memory can be had", memory.available >> 20, memory.total >> 20);
        let little = (memory.available as f64) < LITTLE_MEMORY * memory.total as f64;
        findings.push(if little {
            Finding::warning("memory", says, "see what else runs: ps aux --sort -rss")
        } else {
            Finding::ok("memory", says)
        });
    }
    findings
}

/// Whether this process is root's: whose files `/proc/self` has.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|of_us| of_us.uid() == 0)
}

/// Whether we may use what a Jetson has. What another user may, nobody can tell but that user.
fn permissions(setting: &Setting, probe: &Probe) -> Vec<Finding> {
    const AREA: &str = "permissions";
    let mut findings = Vec::new();
    if is_root() && probe.is_jetson() {
        findings
            .push(Finding::note(AREA, "asked by root, who may everything: sudo -u egret egret doctor tells what the daemon may"));
    }
    let there = |node: &&&str| setting.root.join(node).exists();
    let nodes: Vec<&str> = NODES.as_flattened().iter().filter(there).copied().collect();
    let closed: Vec<&str> = nodes
        .iter()
        .filter(|node| **node != MARKER)
        .filter(|node| access(setting.root.join(node), Access::READ_OK | Access::WRITE_OK).is_err())
        .copied()
        .collect();
    if !closed.is_empty() {
        let says = format!("we may not use /{}", closed.join(", /"));
        let remedy = "usermod -aG video,render egret (and whoever asks), then start it anew";
        findings.push(Finding::error(AREA, says, remedy));
    } else if !nodes.is_empty() {
        findings.push(Finding::ok(AREA, format!("/{} can be used", nodes.join(", /"))));
    } else if probe.is_jetson() {
        let remedy = "see that NVIDIA's drivers are loaded (lsmod) and that the unit lets device nodes through";
        findings.push(Finding::error(AREA, "neither /dev/nvmap nor /dev/nvidia0 is there", remedy));
    }
    findings
}
