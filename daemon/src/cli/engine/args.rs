//! What these commands are told.
#![cfg_attr(not(feature = "tensorrt"), allow(dead_code, reason = "builds without TensorRT refuse them"))]

use std::path::PathBuf;

use crate::{
    config::{self, Config, EnginesConfig, Loaded, Overrides, Problem, Sources},
    engine::{self, EngineError, Store},
};

/// Where engines, models and TensorRT are.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Place {
    /// The configuration file.
    #[arg(long, value_name = "FILE", help = format!("The configuration file [default: {}, if it is there]", config::DEFAULT_FILE))]
    pub(super) config: Option<PathBuf>,
    /// The folder of the engines [default: runtime.engines].
    #[arg(long, value_name = "DIR")]
    pub(super) engines: Option<PathBuf>,
    /// The folder of TensorRT's libraries [default: runtime.tensorrt, else where the system's loader finds them].
    #[arg(long, value_name = "DIR")]
    pub(super) tensorrt: Option<PathBuf>,
    /// The GPU, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) gpu: usize,
}

/// Arguments of `egret engine build`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Build {
    /// Configured models, models of the store, or ONNX files [default: all configured models].
    pub(super) models: Vec<String>,
    #[command(flatten)]
    pub(super) place: Place,
    /// Largest batch [default: the model's max_batch, else 8]. The daemon looks for an engine with its own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) max_batch: Option<u32>,
    /// Most scratch memory that a layer may ask for, in MiB [default: runtime.engine_workspace].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub(super) workspace: Option<u64>,
    /// How hard TensorRT tries, 0 to 5 [default: runtime.engine_level].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=5))]
    pub(super) level: Option<u32>,
    /// Let FP32 products run in TF32 [default: runtime.tf32].
    #[arg(long)]
    pub(super) tf32: bool,
    /// A DLA core instead of the GPU, from 0.
    #[arg(long, value_name = "N")]
    pub(super) dla: Option<u32>,
    /// Let the GPU run what the DLA cannot.
    #[arg(long, requires = "dla")]
    pub(super) gpu_fallback: bool,
    /// Let it run on later releases of TensorRT too, more slowly.
    #[arg(long, conflicts_with = "dla")]
    pub(super) version_compatible: bool,
    /// Build it even if it is there.
    #[arg(long)]
    pub(super) force: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `egret engine list`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) place: Place,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `egret engine inspect`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Inspect {
    /// An engine by the beginning of its name, or a model: its newest one.
    pub(super) engine: String,
    #[command(flatten)]
    pub(super) place: Place,
    /// All layers with their tactics, as TensorRT tells them.
    #[arg(long)]
    pub(super) layers: bool,
    /// Print the whole manifest as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `egret engine bench`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Bench {
    /// An engine by the beginning of its name, or a model: its newest one.
    pub(super) engine: String,
    #[command(flatten)]
    pub(super) place: Place,
    /// Batch sizes [default: powers of two up to the largest].
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub(super) batch: Vec<u32>,
    /// Batches of each size that are measured.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) runs: u32,
    /// Batches of each size before that.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) warm_up: u32,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `egret engine prune`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Prune {
    #[command(flatten)]
    pub(super) place: Place,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

impl Place {
    /// The configuration, or what is wrong with it. Where there is none, the defaults.
    pub(super) fn config(&self) -> Result<Config, Vec<Problem>> {
        self.loaded().map(|loaded| loaded.config)
    }

    /// The same with the files that it was read from.
    pub(super) fn loaded(&self) -> Result<Loaded, Vec<Problem>> {
        let optional = self.config.is_none();
        let sources = Sources { checking: true, optional, ..Sources::of_process(self.config.clone(), Overrides::default()) };
        config::load(&sources)
    }

    /// The configuration's, with what the command line says over it.
    pub(super) fn over(&self, config: &EnginesConfig) -> EnginesConfig {
        EnginesConfig {
            folder: self.engines.clone().or_else(|| config.folder.clone()),
            tensorrt: self.tensorrt.clone().or_else(|| config.tensorrt.clone()),
            ..config.clone()
        }
    }

    /// The engines. Where a folder was named, it must be there.
    pub(super) fn store(&self, config: &EnginesConfig) -> Result<Store, EngineError> {
        let folder = engine::folder(&self.over(config))?;
        if let Some(named) = &self.engines {
            std::fs::read_dir(named).map_err(|source| EngineError::File { path: named.clone(), source })?;
        }
        Ok(Store::new(&folder))
    }
}
