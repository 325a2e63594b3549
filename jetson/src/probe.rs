//! What NVIDIA hardware and software is here, in one line for the log.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::{
    cuda::{Cuda, CudaError},
    nvml::Nvml,
    tensorrt::{self, Unusable, Version},
};

/// NVIDIA's Linux for Tegra, e.g. R36.4.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L4t {
    /// 36.
    pub release: u32,
    /// `4.3`.
    pub revision: String,
}

/// What was found. Its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The board's own name from its device tree, e.g. `NVIDIA Jetson Orin Nano Developer Kit`.
    pub model: Option<String>,
    /// NVIDIA's Linux, on a Jetson.
    pub l4t: Option<L4t>,
    /// Version of NVIDIA's driver, where NVML tells it.
    pub driver: Option<String>,
    /// The CUDA driver.
    pub cuda: Result<Cuda, CudaError>,
    /// TensorRT, where this build can use it.
    pub tensorrt: Result<Version, Unusable>,
}

/// Looks at the files under `root` (`/` but for tests), asks the CUDA driver and TensorRT.
pub fn probe(root: &Path) -> Probe {
    let driver = Nvml::open().ok().and_then(|nvml| nvml.driver());
    Probe { driver, cuda: Cuda::probe(), tensorrt: tensorrt::installed(None), ..files(root) }
}

/// NVIDIA's Linux, if that is what the files under `root` (`/` but for tests) are of.
pub fn l4t(root: &Path) -> Option<L4t> {
    files(root).l4t
}

fn files(root: &Path) -> Probe {
    let read = |path: &str| fs::read_to_string(PathBuf::from_iter([root, Path::new(path)])).ok();
    let model = read("proc/device-tree/model");
    // A device-tree string ends with a NUL.
    let model = model.map(|model| model.trim_end_matches(['\0', '\n']).to_owned()).filter(|model| !model.is_empty());
    let l4t = read("etc/nv_tegra_release").and_then(|text| L4t::parse(&text));
    Probe { model, l4t, driver: None, cuda: Err(CudaError::Absent), tensorrt: Err(Unusable::Absent) }
}

impl Probe {
    /// Whether this is a Jetson: its Linux is NVIDIA's.
    pub fn is_jetson(&self) -> bool {
        self.l4t.is_some()
    }
}

impl L4t {
    /// The first line of `/etc/nv_tegra_release`: `# R36 (release), REVISION: 4.3, GCID: …`.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("# R")?;
        let (release, rest) = line.split_once(' ')?;
        let revision = rest.split_once("REVISION: ")?.1.split(',').next()?.trim();
        Some(Self { release: release.parse().ok()?, revision: revision.to_owned() }).filter(|l4t| !l4t.revision.is_empty())
    }
}

impl fmt::Display for L4t {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L4T R{}.{}", self.release, self.revision)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model.as_deref().unwrap_or("no board model"))?;
        match &self.l4t {
            Some(l4t) => write!(f, ", {l4t}")?,
            None => f.write_str(", no Jetson")?,
        }
        if let Some(driver) = &self.driver {
            write!(f, ", driver {driver}")?;
        }
        match &self.cuda {
            Ok(cuda) => {
                let (major, minor) = cuda.version;
                let devices = if cuda.devices.is_empty() { "no device".to_owned() } else { cuda.devices.join(", ") };
                write!(f, ", CUDA driver for {major}.{minor} with {devices}")?;
            }
            Err(error) => write!(f, ", {error}")?,
        }
        match &self.tensorrt {
            Ok(version) if cfg!(feature = "tensorrt") => write!(f, ", TensorRT {version}"),
            Ok(version) => write!(f, ", TensorRT {version}, which this build makes no use of"),
            Err(unusable) => write!(f, ", {unusable}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file tree as it is on a board.
    fn board(model: &[u8], release: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("proc/device-tree")).expect("a folder");
        fs::create_dir_all(root.path().join("etc")).expect("a folder");
        fs::write(root.path().join("proc/device-tree/model"), model).expect("written");
        if let Some(release) = release {
            fs::write(root.path().join("etc/nv_tegra_release"), release).expect("written");
        }
        root
    }

    #[test]
    fn an_orin_nano_of_jetpack_6() {
        let root = board(
            b"NVIDIA Jetson Orin Nano Developer Kit\0",
            Some(
                "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n",
            ),
        );
        let probe = files(root.path());
        assert!(probe.is_jetson());
        assert_eq!(probe.l4t, Some(L4t { release: 36, revision: "4.3".into() }));
        assert_eq!(l4t(root.path()), probe.l4t);
        assert_eq!(probe.to_string(), "NVIDIA Jetson Orin Nano Developer Kit, L4T R36.4.3, no CUDA driver, no TensorRT");
    }

    #[test]
    fn another_board_is_no_jetson() {
        let probe = files(board(b"Raspberry Pi 5 Model B Rev 1.0\0", None).path());
        assert!(!probe.is_jetson());
        assert_eq!(probe.to_string(), "Raspberry Pi 5 Model B Rev 1.0, no Jetson, no CUDA driver, no TensorRT");
    }

    #[test]
    fn files_that_make_no_sense_are_no_jetson() {
        for release in [
            "",
            "R36",
            "# R (release), REVISION: 4.3",
            "# R36 (release)",
            "# R36 (release), REVISION: , GCID",
            "# Rx REVISION: 1",
        ] {
            let probe = files(board(b"\0", Some(release)).path());
            assert_eq!((probe.model, probe.l4t), (None, None), "{release:?}");
        }
        let absent = files(Path::new("/nonexistent"));
        assert_eq!(absent.to_string(), "no board model, no Jetson, no CUDA driver, no TensorRT");
    }

    #[test]
    fn a_device_that_works_and_a_driver_that_fails_are_told_apart() {
        let mut probe = files(Path::new("/nonexistent"));
        probe.driver = Some("580.65.06".into());
        assert_eq!(probe.to_string(), "no board model, no Jetson, driver 580.65.06, no CUDA driver, no TensorRT");
        probe.driver = None;
        probe.cuda = Ok(Cuda { version: (12, 6), devices: vec!["Orin".into()] });
        assert_eq!(probe.to_string(), "no board model, no Jetson, CUDA driver for 12.6 with Orin, no TensorRT");
        probe.cuda = Err(CudaError::Call { call: "cuInit", code: 801 });
        assert_eq!(probe.to_string(), "no board model, no Jetson, the CUDA driver fails in cuInit: error 801, no TensorRT");
        probe.tensorrt = Err(Unusable::TooOld(Version::from_raw(8602)));
        assert!(probe.to_string().contains("TensorRT 8.6.2 is installed, egret needs 10.3.0 or later"), "{probe}");
        probe.tensorrt = Ok(Version::OLDEST);
        assert!(probe.to_string().contains(", TensorRT 10.3.0"), "{probe}");
    }

    /// Whatever machine this runs on: an answer and no panic.
    #[test]
    fn this_machine() {
        let probe = probe(Path::new("/"));
        eprintln!("{probe}");
        match &probe.cuda {
            Ok(cuda) => assert!(cuda.version >= (11, 0) && cuda.devices.iter().all(|name| !name.is_empty()), "{probe}"),
            Err(CudaError::Absent) => assert!(probe.to_string().contains("no CUDA driver")),
            Err(CudaError::Call { code, .. }) => assert_ne!(*code, 0, "{probe}"),
        }
    }
}
