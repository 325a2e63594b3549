//! Why a model cannot be used.

use std::{fmt, io, path::PathBuf};

use egret_models::{manifest::Problem, onnx::Refused, text};

use crate::{infer::DetectError, placement::NoRoom, store::StoreError};

/// Why a model cannot be used. Each says which file, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Whoever asked for it asks no more.
    Stopped,
    /// The file cannot be read.
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no model that egret takes.
    Model {
        /// The file, or what stands for one.
        file: String,
        /// Why.
        refused: Refused,
    },
    /// The manifest beside the file is wrong, or says something else than the file.
    Manifest {
        /// The manifest.
        file: PathBuf,
        /// Each problem with its remedy; at least one.
        problems: Vec<Problem>,
    },
    /// Anything else about its manifest.
    Store(StoreError),
    /// The asked-for runtime is not there.
    NoRuntime {
        /// The model that was to be run.
        file: String,
        /// What was tried.
        reason: String,
    },
    /// The configuration wants a device, and there is none.
    NoDevice {
        /// Name of the model.
        model: String,
        /// Why there is none.
        reason: String,
    },
    /// The model is to run on a processor that is of no use.
    NoProcessor {
        /// Name of the model.
        model: String,
        /// The processor.
        processor: String,
        /// Why.
        reason: String,
    },
    /// The engines of all models together need more memory than there is.
    NoRoom {
        /// How much, and each model's part.
        no_room: NoRoom,
    },
    /// The runtime does not take the model.
    Runtime {
        /// The model's file.
        file: String,
        /// Which runtime.
        runtime: String,
        /// Its words.
        reason: String,
    },
    /// The network loads, but a picture does not get through it.
    TrialRun {
        /// The model's file.
        file: String,
        /// What happened.
        source: DetectError,
    },
    /// A class has a confidence of its own, but the model does not know it.
    Class {
        /// Name of the model.
        model: String,
        /// The class.
        class: String,
        /// Some of those that it knows.
        known: String,
    },
    /// Tiles are for detectors.
    Tiles {
        /// Name of the model.
        model: String,
        /// What it is for.
        task: &'static str,
    },
    /// A script is wrong.
    Script {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The model is a null or scripted one.
    NoNetwork {
        /// Name of the model.
        model: String,
    },
    /// This binary has no demo network.
    NoDemo {
        /// Name of the model.
        model: String,
    },
}

/// One thing that is wrong with a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Which file or model, and what is wrong with it.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl LoadError {
    /// What is wrong: one thing, but for a manifest, which is judged as a whole.
    pub fn flaws(&self) -> Vec<Flaw> {
        if let Self::Manifest { file, problems } = self {
            let told = problems.iter().map(|problem| Flaw {
                reason: format!("{}: {}", file.display(), problem.what()),
                remedy: problem.remedy.clone(),
            });
            return told.collect();
        }
        vec![Flaw { reason: self.reason(), remedy: self.remedy() }]
    }

    fn reason(&self) -> String {
        match self {
            Self::Stopped => "egret was told to stop while models were being loaded".to_owned(),
            Self::Read { file, source } => format!("{}: {source}", file.display()),
            Self::Model { file, refused } => format!("{file}: {refused}"),
            Self::Manifest { file, problems } => {
                format!("{}: {}", file.display(), problems.iter().map(Problem::what).collect::<Vec<_>>().join(" | "))
            }
            Self::Store(error) => error.to_string(),
            Self::NoRuntime { file, reason } => format!("{file}: ONNX Runtime cannot be loaded ({reason})"),
            Self::NoDevice { model, reason } => format!("model `{model}`: it cannot run on a device ({reason})"),
            Self::NoProcessor { model, processor, reason } => {
                format!("model.{model}.devices: {processor} cannot be used ({reason})")
            }
            Self::NoRoom { no_room } => no_room.to_string(),
            // A runtime quotes names of the graph.
            Self::Runtime { file, runtime, reason } => {
                format!("{file}: {runtime} refuses it ({})", text::plain(&reason.replace('\n', " ")))
            }
            Self::TrialRun { file, source } => format!("{file}: its first run failed ({source})"),
            Self::Class { model, class, .. } => {
                format!("model `{model}`: it knows no class {class:?}, which class_confidence names")
            }
            Self::Tiles { model, task } => {
                format!("model `{model}`: a {task} network says nothing of tiles that could be put together")
            }
            Self::Script { file, line, reason } => format!("{} line {line}: {reason}", file.display()),
            Self::NoNetwork { model } => format!("model `{model}` is no network"),
            Self::NoDemo { model } => format!("model `{model}`: this build of egret contains no demo network"),
        }
    }

    fn remedy(&self) -> String {
        let remedy = match self {
            Self::Stopped => "start it again",
            Self::Read { .. } => "check the path and the permissions",
            Self::Model { refused, .. } => refused.remedy(),
            Self::Manifest { .. } | Self::Store(_) => "correct the manifest",
            Self::NoRuntime { .. } => {
                "set runtime.onnxruntime_library or EGRET_ONNXRUNTIME to libonnxruntime.so (1.17 or later), or runtime.cpu to `auto`"
            }
            Self::NoDevice { .. } => "set runtime.device to `auto` or `cpu`, or see to the device (egret doctor)",
            Self::NoProcessor { .. } => "see to it (egret doctor), or remove it from the list",
            Self::NoRoom { no_room } => no_room.remedy(),
            Self::Runtime { .. } => "export it again with an older operator set, without custom operators",
            Self::TrialRun { .. } => "compare it with a plain run in Python, and export it again",
            Self::Class { known, .. } => return format!("it knows {known}"),
            Self::Tiles { .. } => "remove tile_columns and tile_rows",
            Self::Script { .. } => "correct that line",
            Self::NoNetwork { .. } | Self::NoDemo { .. } => "name an ONNX file as the model",
        };
        remedy.to_owned()
    }
}

impl fmt::Display for LoadError {
    /// One line: everything that is wrong, each with its remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Flaw { reason, remedy }) in self.flaws().iter().enumerate() {
            write!(f, "{}{reason}; {remedy}", if i == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_manifest_is_told_with_its_own_remedy() {
        let problems = vec![
            Problem::new("input.width", 7, "no multiple of 32; nor of 16", "write 416"),
            Problem::missing("", "it has no classes", "list them"),
        ];
        let error = LoadError::Manifest { file: "/m/model.toml".into(), problems };
        let flaws = error.flaws();
        assert_eq!(flaws[0].reason, "/m/model.toml: input.width = 7: no multiple of 32; nor of 16");
        assert_eq!(flaws.iter().map(|flaw| flaw.remedy.as_str()).collect::<Vec<_>>(), ["write 416", "list them"]);
        assert_eq!(error.to_string().matches("/m/model.toml").count(), 2);
    }
}
