//! What can go wrong with TensorRT, with its own words.

use std::{fmt, path::PathBuf};

use super::{Unusable, Version};

/// An error that TensorRT recorded or logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// `nvinfer1::ErrorCode`; `None` where it was only logged.
    pub code: Option<i32>,
    /// TensorRT's words.
    pub text: String,
}

/// What TensorRT told of a failure, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told(pub Vec<Recorded>);

impl Told {
    /// `nvinfer1::ErrorCode::kFAILED_ALLOCATION`.
    const FAILED_ALLOCATION: i32 = 5;

    /// What the builder says before the name of a layer that it has no tactic for.
    const NO_TACTIC: &str = "any implementation for node ";

    /// Names of layers that the builder has no implementation for; of a fused one all its parts. Empty where it fails for another reason,
    /// or for want of memory. TensorRT tells this in words alone.
    pub fn unbuildable(&self) -> Vec<String> {
        let is_for_room = |error: &Recorded| error.text.contains("insufficient workspace");
        if self.is_out_of_memory() || self.0.iter().any(is_for_room) {
            return Vec::new();
        }
        let mut names = Vec::new();
        for (_, rest) in self.0.iter().filter_map(|error| error.text.split_once(Self::NO_TACTIC)) {
            let end = [".)", ". "].iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
            let fused = rest[..end].split(" + ").flat_map(|part| part.split(", ")).flat_map(|part| part.split("..."));
            for name in fused {
                let name = name.trim().trim_start_matches("{ForeignNode[").trim_end_matches('}').trim_end_matches(']');
                let name = name.trim_start_matches("PWN(").trim_end_matches([')', '.']);
                if !name.is_empty() && !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    /// Whether memory ran out, on the device or on the host.
    pub fn is_out_of_memory(&self) -> bool {
        let says = |text: &str| text.to_ascii_lowercase().replace([' ', '_'], "").contains("outofmemory");
        self.0.iter().any(|error| error.code == Some(Self::FAILED_ALLOCATION) || says(&error.text))
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("TensorRT gives no reason");
        }
        for (i, error) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "; " })?;
            f.write_str(error.text.trim())?;
            if let Some(code) = error.code {
                write!(f, " (code {code})")?;
            }
        }
        Ok(())
    }
}

/// One thing that the ONNX parser has against a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParserError {
    /// `nvonnxparser::ErrorCode`: 8 unsupported operator, 3 no ONNX at all, …
    pub code: i32,
    /// The reason.
    pub reason: String,
    /// The node's index in the graph, where it is about one.
    pub node: Option<u32>,
    /// The node's name.
    pub name: String,
    /// The node's operator, e.g. `NonMaxSuppression`.
    pub operator: String,
    /// Where in the parser's source.
    pub file: String,
    /// The line there.
    pub line: i32,
}

impl fmt::Display for ParserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = self.node {
            write!(f, "node {node}")?;
            match (self.name.as_str(), self.operator.as_str()) {
                ("", "") => {}
                ("", operator) => write!(f, " ({operator})")?,
                (name, "") => write!(f, " {name:?}")?,
                (name, operator) => write!(f, " {name:?} ({operator})")?,
            }
            f.write_str(": ")?;
        }
        write!(f, "{} (code {}, {}:{})", self.reason.trim(), self.code, self.file, self.line)
    }
}

fn list(errors: &[ParserError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Why TensorRT cannot do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no TensorRT here, or none that egret runs on.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// This egret was compiled without the headers of that major.
    #[error("TensorRT {0} is installed, and this build of egret has no part for its major: build with its headers too")]
    NotCompiled(Version),
    /// Another of TensorRT's libraries is missing or of no use: the parser, the plugins.
    #[error("{library} cannot be loaded ({reason}): install the package that has it")]
    Library {
        /// The soname, or the path as it was configured.
        library: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// A call came back with no.
    #[error("TensorRT refuses in {call}: {told}")]
    Refused {
        /// What was being done.
        call: &'static str,
        /// TensorRT's words.
        told: Told,
    },
    /// The installed release has no such option.
    #[error("TensorRT {installed} has no {what}: leave it out of the configuration")]
    TooOld {
        /// The option.
        what: &'static str,
        /// The installed release.
        installed: Version,
    },
    /// The parser does not take the network.
    #[error("TensorRT cannot read the network: {}", list(errors))]
    Parse {
        /// All that the parser has against it.
        errors: Vec<ParserError>,
    },
    /// The progress callback ended the build.
    #[error("the engine's build was cancelled")]
    Cancelled,
    /// A plan that is none, is damaged, or belongs to another TensorRT or device.
    #[error("not an engine of this TensorRT and this device: {0}")]
    Plan(Told),
    /// The DLA was asked for where there is none.
    #[error("no DLA core {core}: TensorRT {installed} reports {cores} here. {}", dla_hint(*installed))]
    NoDla {
        /// The core that was asked for.
        core: u32,
        /// How many there are.
        cores: u32,
        /// The installed release.
        installed: Version,
    },
    /// The DLA takes fixed shapes only.
    #[error("the DLA takes no dynamic shapes: give input {0:?} equal minimum, optimum and maximum")]
    DlaDynamic(String),
    /// Layers that the DLA cannot run, with no fallback allowed.
    #[error("the DLA cannot run these layers, and falling back to the GPU is not allowed: {}", .0.join(", "))]
    DlaLayers(Vec<String>),
    /// Options that exclude each other.
    #[error("{0}")]
    Options(String),
    /// A shape, name or size that does not fit the engine.
    #[error("{0}")]
    Binding(String),
    /// The CUDA driver fails.
    #[error("the CUDA driver fails in {call}: error {code}")]
    Cuda {
        /// The driver's function.
        call: &'static str,
        /// `CUresult`.
        code: u32,
    },
}

impl Error {
    /// See [`Told::unbuildable`].
    pub fn unbuildable(&self) -> Vec<String> {
        match self {
            Self::Refused { told, .. } => told.unbuildable(),
            _ => Vec::new(),
        }
    }

    /// Whether memory ran out: a smaller batch, workspace or model may still fit.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Refused { told, .. } | Self::Plan(told) => told.is_out_of_memory(),
            Self::Cuda { code, .. } => *code == 2,
            _ => false,
        }
    }
}

/// Which releases and modules have a DLA.
fn dla_hint(installed: Version) -> &'static str {
    let back = Version { major: 11, minor: 4, patch: 1 };
    if (Version { major: 10, minor: 8, patch: 0 }..back).contains(&installed) {
        "TensorRT has the DLA up to 10.7 and from 11.4.1 on: choose the GPU for this model"
    } else if installed >= back {
        "From 11.4.1 on TensorRT has it on AGX Orin with JetPack 7.2.2 or later: choose the GPU for this model"
    } else {
        "Orin NX and AGX Orin have DLA cores, Orin Nano, Thor and desktop GPUs have none: choose the GPU for this model"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_ran_out_is_known_by_code_and_by_words() {
        let told = |code, text: &str| Told(vec![Recorded { code, text: text.into() }]);
        for (told, expected) in [
            (told(Some(5), "x"), true),
            (told(None, "Cuda Runtime (out of memory)"), true),
            (told(Some(2), "OutOfMemory (no further information)"), true),
            (told(Some(2), "invalid weights"), false),
        ] {
            assert_eq!(Error::Refused { call: "a call", told: told.clone() }.is_out_of_memory(), expected, "{told}");
        }
        assert!(Error::Cuda { call: "cuMemAlloc", code: 2 }.is_out_of_memory());
    }

    #[test]
    fn layers_without_a_tactic_are_named_with_all_that_was_fused() {
        let names = |text: &str| Told(vec![Recorded { code: Some(10), text: format!("Internal Error ({text}") }]).unbuildable();
        for (text, expected) in [
            ("Could not find any implementation for node /model.0/Conv.)", &["/model.0/Conv"][..]),
            (
                "Could not find any implementation for node a + PWN(PWN(b), c). In computeCosts at optimizer.cpp:41)",
                &["a", "b", "c"],
            ),
            ("Could not find any implementation for node {ForeignNode[first...last]}.)", &["first", "last"]),
            ("Could not find any implementation for node a due to insufficient workspace. See verbose log)", &[]),
            ("Could not find any implementation for node a (OutOfMemory).)", &[]),
            ("Assertion failed)", &[]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
        assert!(Error::Cancelled.unbuildable().is_empty());
    }

    #[test]
    fn refusals_read_well() {
        let error = ParserError {
            code: 8,
            reason: "no importer\n".into(),
            node: Some(3),
            name: "n3".into(),
            operator: "Foo".into(),
            file: "ModelImporter.cpp".into(),
            line: 7,
        };
        assert_eq!(
            Error::Parse { errors: vec![error] }.to_string(),
            "TensorRT cannot read the network: node 3 \"n3\" (Foo): no importer (code 8, ModelImporter.cpp:7)"
        );
        let none = |installed| Error::NoDla { core: 0, cores: 0, installed }.to_string();
        assert!(none(Version { major: 10, minor: 16, patch: 2 }).contains("up to 10.7"));
        assert!(none(Version::OLDEST).contains("Orin Nano"));
        assert!(none(Version { major: 11, minor: 4, patch: 1 }).contains("JetPack 7.2.2"));
        assert_eq!(
            Error::Plan(Told::default()).to_string(),
            "not an engine of this TensorRT and this device: TensorRT gives no reason"
        );
    }
}
