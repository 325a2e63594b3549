//! What an engine is built for and from. Whatever of it differs makes another engine.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::file;

/// Everything that an engine depends on.
///
/// An engine runs with the TensorRT and the kind of GPU that built it, and nowhere else (TensorRT's documentation, "Engine portability").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// SHA-256 of the ONNX file.
    pub model: String,
    /// The release, e.g. `10.3.0`.
    pub tensorrt: String,
    /// Name of the GPU, e.g. `Orin`.
    pub device: String,
    /// Its compute capability, e.g. `8.7`.
    pub compute_capability: String,
    /// NVIDIA's Linux, e.g. `36.4.3`; `None`: no Jetson.
    #[serde(default)]
    pub l4t: Option<String>,
    /// What the network computes in: `fp32`, `fp16` or `int8`. It is in the file, and so in its digest; here for people.
    pub precision: String,
    /// Which batches it takes.
    pub profile: Profile,
    /// The DLA core it is for; `None`: the GPU.
    #[serde(default)]
    pub dla: Option<DlaCore>,
    /// How it is built.
    #[serde(default)]
    pub flags: Flags,
}

/// Batch sizes and inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Smallest batch.
    pub min: u32,
    /// The batch that it is tuned for.
    pub opt: u32,
    /// Largest batch.
    pub max: u32,
    /// The network's inputs in its order.
    pub inputs: Vec<Input>,
}

/// An input: its shape, with -1 where the batch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// For instance `[-1,3,640,640]`.
    pub shape: Vec<i64>,
}

/// A DLA core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DlaCore {
    /// From 0.
    pub core: u32,
    /// Whether the GPU may run what the DLA cannot.
    pub gpu_fallback: bool,
}

/// How an engine is built; `None`: TensorRT's own choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flags {
    /// 0 to 5: higher builds longer for a faster engine.
    pub optimization_level: Option<u32>,
    /// Scratch memory that a layer may ask for, in bytes.
    pub workspace_bytes: Option<u64>,
    /// Whether FP32 products may run in TF32.
    pub tf32: bool,
    /// Whether it runs on later releases of TensorRT too, more slowly.
    pub version_compatible: bool,
    /// On which other devices it runs.
    pub hardware: Hardware,
}

/// On which other devices an engine runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hardware {
    /// On none: the fastest.
    #[default]
    Same,
    /// On desktop GPUs from Ampere on.
    AmperePlus,
    /// On devices of the same compute capability.
    SameCapability,
}

/// One thing in which an engine is another one than is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What, e.g. `TensorRT`; empty where the values say it.
    pub what: &'static str,
    /// As the engine has it.
    pub built: String,
    /// As it is here.
    pub here: String,
    /// Whether the engine cannot be used at all because of it.
    pub fatal: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, built, here, .. } = self;
        let gap = if what.is_empty() { "" } else { " " };
        write!(f, "it is for {what}{gap}{built}, and here is {here}")
    }
}

impl Key {
    /// The name of its files: 32 hexadecimal digits, the same whenever and wherever the key is.
    pub fn stem(&self) -> String {
        let mut stem = file::sha256(self.canonical().as_bytes());
        stem.truncate(32);
        stem
    }

    /// Each part on a line of its own, quoted: no two keys have one text. What is added later is left out while it is not set.
    fn canonical(&self) -> String {
        let Profile { min, opt, max, inputs } = &self.profile;
        let inputs: Vec<String> = inputs.iter().map(|input| format!("{:?}{:?}", input.name, input.shape)).collect();
        let lines = [
            "egret engine 1".to_owned(),
            format!("model {:?}", self.model),
            format!("tensorrt {:?}", self.tensorrt),
            format!("device {:?} {:?}", self.device, self.compute_capability),
            format!("l4t {:?}", self.l4t),
            format!("precision {:?}", self.precision),
            format!("profile {min} {opt} {max} {}", inputs.join(" ")),
            format!("dla {:?}", self.dla.as_ref().map(|dla| (dla.core, dla.gpu_fallback))),
            format!("level {:?} workspace {:?}", self.flags.optimization_level, self.flags.workspace_bytes),
            format!("tf32 {} compatible {} {:?}", self.flags.tf32, self.flags.version_compatible, self.flags.hardware),
        ];
        lines.join("\n")
    }

    /// In what an engine that was built for `built` is another one than this. Empty: it is this one.
    pub fn differences(&self, built: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut note = |what, ours: String, theirs: String, fatal: bool| {
            if ours != theirs {
                found.push(Difference { what, built: theirs, here: ours, fatal });
            }
        };
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        if self.model != built.model {
            note("the model", short(&self.model), short(&built.model), true);
        }
        note("TensorRT", self.tensorrt.clone(), built.tensorrt.clone(), !built.outlives(&self.tensorrt));
        let (same, ours, theirs) = (built.flags.hardware, &self.compute_capability, &built.compute_capability);
        note("the GPU", self.device.clone(), built.device.clone(), same == Hardware::Same);
        note("compute capability", ours.clone(), theirs.clone(), same != Hardware::AmperePlus);
        let l4t = |key: &Self| key.l4t.as_ref().map_or_else(|| "none".to_owned(), |l4t| format!("R{l4t}"));
        note("L4T", l4t(self), l4t(built), false);
        note("precision", self.precision.clone(), built.precision.clone(), false);
        note("batches of", self.profile.to_string(), built.profile.to_string(), self.profile.inputs != built.profile.inputs);
        let dla = |key: &Self| key.dla.as_ref().map_or_else(|| "the GPU".to_owned(), DlaCore::to_string);
        note("", dla(self), dla(built), false);
        note("options", self.flags.to_string(), built.flags.to_string(), false);
        found
    }

    /// Whether an engine of this key runs on that release too.
    fn outlives(&self, release: &str) -> bool {
        let parts = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
        self.flags.version_compatible && parts(release) >= parts(&self.tensorrt)
    }
}

impl Profile {
    /// Whether every batch has the same size.
    pub fn is_fixed(&self) -> bool {
        self.min == self.max
    }
}

impl fmt::Display for Profile {
    /// For instance `1 to 8, best 4, images [-1,3,640,640]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, opt, max, inputs } = self;
        if self.is_fixed() {
            write!(f, "{max}")?;
        } else {
            write!(f, "{min} to {max}, best {opt}")?;
        }
        inputs.iter().try_for_each(|Input { name, shape }| {
            write!(f, ", {name} [{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        })
    }
}

impl fmt::Display for DlaCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.gpu_fallback { ", the GPU for the rest" } else { "" };
        write!(f, "DLA core {}{rest}", self.core)
    }
}

impl fmt::Display for Flags {
    /// What is not as TensorRT or egret would have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.optimization_level.map(|level| format!("optimisation level {level}"));
        let workspace = self.workspace_bytes.map(|bytes| format!("workspace of at most {} MiB", bytes >> 20));
        let hardware = match self.hardware {
            Hardware::Same => None,
            Hardware::AmperePlus => Some("any GPU from Ampere on".to_owned()),
            Hardware::SameCapability => Some("any GPU of its compute capability".to_owned()),
        };
        let words = [self.tf32.then(|| "TF32".to_owned()), self.version_compatible.then(|| "version-compatible".to_owned())];
        let all: Vec<String> = [level, workspace, hardware].into_iter().chain(words).flatten().collect();
        f.write_str(if all.is_empty() { "as usual" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::engine) fn key() -> Key {
        Key {
            model: "ab".repeat(32),
            tensorrt: "10.3.0".into(),
            device: "Orin".into(),
            compute_capability: "8.7".into(),
            l4t: Some("36.4.3".into()),
            precision: "fp16".into(),
            profile: Profile {
                min: 1,
                opt: 4,
                max: 8,
                inputs: vec![Input { name: "images".into(), shape: vec![-1, 3, 640, 640] }],
            },
            dla: None,
            flags: Flags::default(),
        }
    }

    #[test]
    fn the_name_stays_from_release_to_release() {
        assert_eq!(key().stem(), "3b66329a500ec8ee953b7c192a859f97");
    }

    /// Each part changed alone, whether that makes the engine useless, and how it is told.
    fn others() -> Vec<(Key, bool, &'static str)> {
        let with = |change: &dyn Fn(&mut Key)| {
            let mut key = key();
            change(&mut key);
            key
        };
        let dla = DlaCore { core: 1, gpu_fallback: true };
        vec![
            (with(&|k| k.model = "cd".repeat(32)), true, "the model cdcdcdcdcdcd, and here is abababababab"),
            (with(&|k| k.tensorrt = "10.16.2".into()), true, "TensorRT 10.16.2, and here is 10.3.0"),
            (with(&|k| k.device = "Thor".into()), true, "the GPU Thor, and here is Orin"),
            (with(&|k| k.compute_capability = "11.0".into()), true, "compute capability 11.0, and here is 8.7"),
            (with(&|k| k.l4t = None), false, "L4T none, and here is R36.4.3"),
            (with(&|k| k.precision = "int8".into()), false, "precision int8, and here is fp16"),
            (with(&|k| k.profile.max = 16), false, "1 to 16, best 4"),
            (with(&|k| k.profile.opt = 8), false, "best 8"),
            (with(&|k| k.profile.min = 2), false, "2 to 8"),
            (with(&|k| k.profile.inputs[0].shape[2] = 320), true, "images [-1,3,320,640]"),
            (with(&|k| k.dla = Some(dla.clone())), false, "DLA core 1, the GPU for the rest, and here is the GPU"),
            (with(&|k| k.flags.optimization_level = Some(5)), false, "optimisation level 5, and here is as usual"),
            (with(&|k| k.flags.workspace_bytes = Some(1 << 30)), false, "workspace of at most 1024 MiB"),
            (with(&|k| k.flags.tf32 = true), false, "TF32"),
            (with(&|k| k.flags.version_compatible = true), false, "version-compatible"),
            (with(&|k| k.flags.hardware = Hardware::SameCapability), false, "any GPU of its compute capability"),
        ]
    }

    #[test]
    fn whatever_differs_is_another_engine_and_is_told() {
        let ours = key();
        assert_eq!(ours.differences(&ours.clone()), []);
        let mut stems = vec![ours.stem()];
        for (other, fatal, words) in others() {
            let found = ours.differences(&other);
            assert_eq!((found.len(), found[0].fatal), (1, fatal), "{found:?}");
            assert!(found[0].to_string().contains(words), "{}", found[0]);
            stems.push(other.stem());
        }
        let count = stems.len();
        stems.sort_unstable();
        stems.dedup();
        assert_eq!(stems.len(), count, "no two have one name");
    }

    #[test]
    fn engines_that_were_built_to_run_elsewhere_do() {
        let fatal = |here: &Key, built: &Key| here.differences(built).iter().any(|difference| difference.fatal);
        let (mut here, mut built) = (key(), key());
        built.flags.version_compatible = true;
        here.tensorrt = "11.4.1".into();
        assert!(!fatal(&here, &built), "a later release");
        here.tensorrt = "10.2.9".into();
        assert!(fatal(&here, &built), "an earlier one");
        let (mut here, mut built) = (key(), key());
        built.flags.hardware = Hardware::SameCapability;
        here.device = "Orin NX".into();
        assert!(!fatal(&here, &built));
        here.compute_capability = "8.6".into();
        assert!(fatal(&here, &built));
        built.flags.hardware = Hardware::AmperePlus;
        assert!(!fatal(&here, &built));
    }

    proptest! {
        /// Nothing that a device or a network is called makes two keys one, or breaks a line.
        #[test]
        fn names_cannot_pretend_to_be_other_parts(a in "[a-z\"\\\\\n ]{0,12}", b in "[a-z\"\\\\\n ]{0,12}") {
            let of = |device: &str, capability: &str| Key { device: device.into(), compute_capability: capability.into(), ..key() };
            prop_assert_eq!(of(&a, &b).canonical().lines().count(), 10);
            prop_assert_eq!(of(&a, &b).stem() == of(&b, &a).stem(), a == b);
        }

        #[test]
        fn a_key_survives_json(max in 1..64_u32, level in prop::option::of(0..6_u32), tf32: bool) {
            let mut key = key();
            (key.profile.max, key.flags.optimization_level, key.flags.tf32) = (max, level, tf32);
            let text = serde_json::to_string(&key).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Key>(&text).expect("read"), key);
        }
    }
}
