//! Which processors a machine has.

use std::{fs, path::Path};

use super::Processor;

/// A release of TensorRT: major, minor, patch.
type Release = (u32, u32, u32);

/// TensorRT's releases without the DLA on any module: from the first of these to before the second.
const WITHOUT_DLA: (Release, Release) = ((10, 8, 0), (11, 4, 1));

/// What of a machine decides on what models run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Whether this build of egret has a part for TensorRT.
    pub built_for_tensorrt: bool,
    /// Names of the GPUs that the CUDA driver has, or why there is none.
    pub gpus: Vec<String>,
    /// Why the driver has none, where it has none.
    pub no_gpu: String,
    /// The installed TensorRT, or why there is none.
    pub tensorrt: Option<(u32, u32, u32)>,
    /// Why there is no TensorRT, where there is none.
    pub no_tensorrt: String,
    /// The board's names from its device tree, e.g. `nvidia,p3767-0003`; empty where there is none.
    pub compatible: Vec<String>,
}

/// A processor that a machine does not have, or cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Missing {
    /// Why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Machine {
    /// Asks the machine: the CUDA driver, TensorRT in `folder` (`None`: where the loader finds it), the device tree under `root`.
    pub fn here(root: &Path, folder: Option<&Path>) -> Self {
        let cuda = egret_jetson::Cuda::probe();
        let tensorrt = egret_jetson::tensorrt::installed(folder);
        Self {
            built_for_tensorrt: cfg!(feature = "tensorrt"),
            no_gpu: cuda.as_ref().map_or_else(ToString::to_string, |_| "the CUDA driver has no device".to_owned()),
            gpus: cuda.map(|cuda| cuda.devices).unwrap_or_default(),
            no_tensorrt: tensorrt.as_ref().err().map(ToString::to_string).unwrap_or_default(),
            tensorrt: tensorrt.ok().map(|version| (version.major, version.minor, version.patch)),
            compatible: compatible(root),
        }
    }

    /// Whether it has a processor.
    ///
    /// # Errors
    /// [`Missing`] with the reason and the remedy.
    pub fn check(&self, processor: Processor) -> Result<(), Missing> {
        let missing = |reason: String, remedy: &str| Err(Missing { reason, remedy: remedy.to_owned() });
        if processor == Processor::Cpu {
            return Ok(());
        }
        if !self.built_for_tensorrt {
            let remedy = "write \"cpu\", or install the build of egret for NVIDIA devices (feature tensorrt)";
            return missing(format!("this egret was built without TensorRT, which {processor} needs"), remedy);
        }
        let Some(release) = self.tensorrt else {
            return missing(format!("{processor} needs TensorRT: {}", self.no_tensorrt), "install it, or write \"cpu\"");
        };
        let gpu = processor.memory().unwrap_or(0) as usize;
        if self.gpus.is_empty() {
            return missing(
                format!("there is no GPU for {processor}: {}", self.no_gpu),
                "egret doctor tells more; or write \"cpu\"",
            );
        }
        if gpu >= self.gpus.len() {
            let known: Vec<String> = self.gpus.iter().enumerate().map(|(i, name)| format!("gpu:{i} ({name})")).collect();
            return missing(format!("there is no {processor}"), &format!("this machine has {}", known.join(", ")));
        }
        if let Processor::Dla(core) = processor {
            return self.check_dla(core, release);
        }
        Ok(())
    }

    fn check_dla(&self, core: u32, release: Release) -> Result<(), Missing> {
        let gpu = "write \"gpu\" instead";
        let missing = |reason: String, remedy: &str| Err(Missing { reason, remedy: remedy.to_owned() });
        let (major, minor, patch) = release;
        if (WITHOUT_DLA.0..WITHOUT_DLA.1).contains(&release) {
            let remedy =
                "TensorRT has the DLA up to 10.7 (JetPack 6) and from 11.4.1 on (AGX Orin, JetPack 7.2.2): write \"gpu\" instead";
            return missing(format!("TensorRT {major}.{minor}.{patch} has no DLA on any module"), remedy);
        }
        match dla_cores(&self.compatible) {
            // TensorRT itself is asked when the engine is built.
            None if !self.compatible.is_empty() => Ok(()),
            None => missing(format!("there is no dla:{core}: only Jetson modules have one"), gpu),
            Some((module, 0)) => missing(format!("{} has no DLA", one(module)), gpu),
            Some((module, cores)) if core >= cores => {
                let known = if cores == 1 { "dla:0 alone" } else { "dla:0 and dla:1" };
                missing(format!("there is no dla:{core}: {} has {known}", one(module)), gpu)
            }
            Some((module, _)) if release >= WITHOUT_DLA.1 && !module.starts_with("AGX Orin") => missing(
                format!("TensorRT {major}.{minor}.{patch} has the DLA of AGX Orin alone, and this is {}", one(module)),
                gpu,
            ),
            Some(_) => Ok(()),
        }
    }
}

/// A module with its article.
fn one(module: &str) -> String {
    let article = if module.starts_with(['A', 'O']) { "an" } else { "a" };
    format!("{article} {module}")
}

/// A module by the names of its board, and how many DLA cores it has. `None`: none that is known here.
pub fn dla_cores(compatible: &[String]) -> Option<(&'static str, u32)> {
    const MODULES: [(&str, &str, u32); 8] = [
        ("p3767-0003", "Orin Nano 8GB", 0),
        ("p3767-0004", "Orin Nano 4GB", 0),
        ("p3767-0005", "Orin Nano", 0),
        ("p3767-0001", "Orin NX 8GB", 1),
        ("p3767-0000", "Orin NX 16GB", 2),
        ("p3701-", "AGX Orin", 2),
        ("p3834-", "Thor", 0),
        ("tegra264", "Thor", 0),
    ];
    let is = |board: &&str| compatible.iter().any(|name| name.contains(*board));
    MODULES.iter().find(|(board, ..)| is(board)).map(|(_, module, cores)| (*module, *cores))
}

/// Strings of the device tree, each ended by a NUL.
fn compatible(root: &Path) -> Vec<String> {
    let bytes = fs::read(root.join("proc/device-tree/compatible")).unwrap_or_default();
    let names = bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orin(board: &str, release: Release) -> Machine {
        Machine {
            built_for_tensorrt: true,
            gpus: vec!["Orin".into()],
            tensorrt: Some(release),
            compatible: vec![format!("nvidia,p3768-0000+{board}"), format!("nvidia,{board}"), "nvidia,tegra234".into()],
            ..Machine::default()
        }
    }

    fn refused(machine: &Machine, word: &str) -> String {
        let missing = machine.check(word.parse().expect("a processor")).expect_err("refused");
        format!("{}; {}", missing.reason, missing.remedy)
    }

    #[test]
    fn every_machine_has_a_cpu() {
        assert_eq!(Machine::default().check(Processor::Cpu), Ok(()));
        assert!(refused(&Machine::default(), "gpu").contains("built without TensorRT"));
    }

    #[test]
    fn what_is_missing_is_named_with_a_remedy() {
        let machine = Machine {
            built_for_tensorrt: true,
            no_gpu: "no CUDA driver".into(),
            no_tensorrt: "TensorRT is not installed".into(),
            ..Machine::default()
        };
        assert!(refused(&machine, "gpu").contains("TensorRT is not installed"));
        let machine = Machine { tensorrt: Some((10, 3, 0)), ..machine };
        assert!(refused(&machine, "gpu").contains("no GPU for gpu:0: no CUDA driver"));
        let machine = Machine { gpus: vec!["A".into(), "B".into()], ..machine };
        assert_eq!(machine.check(Processor::Gpu(1)), Ok(()));
        assert!(refused(&machine, "gpu:2").contains("no gpu:2; this machine has gpu:0 (A), gpu:1 (B)"));
        assert!(refused(&machine, "dla:0").contains("only Jetson modules"));
    }

    #[test]
    fn a_dla_is_where_module_and_release_have_it() {
        // Facts: NVIDIA's module data sheets; TensorRT's release notes (10.7 was the last 10.x with a DLA, 11.4.1 has AGX Orin's).
        for (board, release, core, expected) in [
            ("p3767-0000", (10, 3, 0), 1, None),
            ("p3767-0001", (10, 3, 0), 0, None),
            ("p3767-0001", (10, 3, 0), 1, Some("NX 8GB has dla:0 alone")),
            ("p3767-0000", (10, 7, 0), 2, Some("NX 16GB has dla:0 and dla:1")),
            ("p3767-0003", (10, 3, 0), 0, Some("Orin Nano 8GB has no DLA")),
            ("p3767-0005", (10, 3, 0), 0, Some("Orin Nano has no DLA")),
            ("p3701-0005", (10, 3, 0), 1, None),
            ("p3701-0005", (10, 16, 2), 0, Some("TensorRT 10.16.2 has no DLA on any module")),
            ("p3701-0005", (11, 4, 0), 0, Some("no DLA on any module")),
            ("p3701-0005", (11, 4, 1), 1, None),
            ("p3767-0000", (11, 4, 1), 0, Some("AGX Orin alone")),
            ("p3834-0008", (11, 4, 1), 0, Some("Thor has no DLA")),
            ("p9999-0000", (10, 3, 0), 0, None),
        ] {
            let machine = orin(board, release);
            match expected {
                None => assert_eq!(machine.check(Processor::Dla(core)), Ok(()), "{board}"),
                Some(words) => {
                    let text = refused(&machine, &format!("dla:{core}"));
                    assert!(text.contains(words) && text.contains("\"gpu\""), "{board}: {text}");
                }
            }
        }
    }

    #[test]
    fn the_device_tree_is_read_from_its_root() {
        let root = tempfile::tempdir().expect("room");
        assert_eq!(compatible(root.path()), Vec::<String>::new());
        std::fs::create_dir_all(root.path().join("proc/device-tree")).expect("room");
        let file = root.path().join("proc/device-tree/compatible");
        std::fs::write(file, b"nvidia,p3768-0000+p3767-0001\0nvidia,p3767-0001\0nvidia,tegra234\0").expect("room");
        assert_eq!(dla_cores(&compatible(root.path())), Some(("Orin NX 8GB", 1)));
    }
}
