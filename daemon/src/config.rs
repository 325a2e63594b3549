//! Configuration in two steps: what was typed (serde, `keys::Typed`) becomes a checked [`Config`] that the rest of the program sees.
//!
//! Sources, each over the one before: built-in defaults, the file, `conf.d/*.toml` beside it, the environment, the command line, and
//! what commands have changed since.
//! Every layer is read value by value, so all problems are told at once.

mod address;
mod build;
mod checked;
mod dialects;
mod diff;
mod document;
mod edits;
mod environment;
mod files;
mod filter;
mod first;
mod fragment;
mod keys;
mod kind;
mod ledger;
mod model;
mod mqtt;
mod overrides;
mod page;
mod problem;
#[cfg(test)]
mod sample_tests;
mod schema;
mod secret;
mod settings;
mod span;
mod suggest;
mod topic_filter;
mod tree;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

pub use checked::*;
pub use dialects::*;
pub use diff::{CameraChange, Change, Effect, diff};
pub use edits::{Deviation, Difference, Edits, LIVE_KEYS};
pub use files::Texts;
pub use filter::{BadFilter, log_filter};
pub use first::{First, Kept, Password, first};
pub use model::*;
pub use mqtt::*;
pub use overrides::Overrides;
pub use page::page;
pub use problem::{Origin, Problem, Whose};
pub use schema::schema;
pub use secret::Secret;
pub use settings::{Setting, settings};
pub(crate) use span::parse as span;
pub(crate) use suggest::nearest;
pub use topic_filter::TopicFilter;

use build::Surroundings;
use document::Entries;
use ledger::{Ledger, Spot};
use tree::Tree;

use crate::placement::Machine;

/// Where the configuration is looked for if no file is named.
pub const DEFAULT_FILE: &str = "/etc/egret/egret.toml";

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; `None`: [`DEFAULT_FILE`], if it is there.
    pub file: Option<PathBuf>,
    /// The environment's variables.
    pub variables: Vec<(OsString, OsString)>,
    /// What the command line says.
    pub overrides: Overrides,
    /// The host's name, the default of `device`.
    pub host_name: String,
    /// Only checked, not run: what only systemd provides may be absent.
    pub checking: bool,
    /// There need be none: the defaults do.
    pub optional: bool,
    /// Class names of models whose files were looked into, by the model's name: what else names classes is checked against them.
    pub classes: BTreeMap<String, Vec<String>>,
    /// What models run on; `None`: the machine is asked, where a key needs it.
    pub machine: Option<Machine>,
    /// Files as they were read before; `None`: they are read.
    pub texts: Option<Texts>,
    /// What commands have changed since.
    pub edits: Edits,
}

impl Sources {
    /// The sources of this process.
    pub fn of_process(file: Option<PathBuf>, overrides: Overrides) -> Self {
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { file, variables: std::env::vars_os().collect(), overrides, host_name, ..Self::default() }
    }
}

/// A configuration without problems.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What works but is unwise: to be logged as warnings.
    pub advice: Vec<Problem>,
    /// What commands have made different from what is written.
    pub differences: Vec<Difference>,
    /// The files that it was read from.
    pub texts: Texts,
    /// Keys whose secrets only systemd provides, and has not to us. Where something is only checked, they are left out.
    pub withheld: Vec<String>,
}

/// A configuration with problems.
#[derive(Debug, Default)]
pub struct Rejected {
    /// All of them, sorted by file and line; never empty.
    pub problems: Vec<Problem>,
    /// What is unwise besides.
    pub advice: Vec<Problem>,
    /// What could be made of it, to look at and not to run: of a table that a problem is in, anything may be missing.
    pub config: Option<Box<Config>>,
    /// As [`Loaded::withheld`].
    pub withheld: Vec<String>,
}

/// Reads and checks the configuration.
///
/// # Errors
/// Every problem of all sources at once.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<Problem>> {
    examine(sources).map_err(|rejected| rejected.problems)
}

/// [`load`], with the advice also if there are problems.
///
/// # Errors
/// Every problem of all sources at once, and the advice.
pub fn examine(sources: &Sources) -> Result<Loaded, Rejected> {
    let mut ledger = Ledger::default();
    let (config, differences, texts) = assemble(sources, &mut ledger);
    let (has_problems, withheld) = (ledger.has_problems(), ledger.withheld());
    let (problems, advice) = ledger.finish();
    match config {
        Some(config) if !has_problems => Ok(Loaded { config, advice, differences, texts, withheld }),
        config => Err(Rejected { problems, advice, config: config.map(Box::new), withheld }),
    }
}

fn assemble(sources: &Sources, ledger: &mut Ledger) -> (Option<Config>, Vec<Difference>, Texts) {
    let mut entries = Entries::default();
    let mut layers: Vec<Tree> = Vec::new();
    let texts = files::collect(sources, ledger);
    for (path, content) in &texts.0 {
        layers.push(document::read(ledger, layers.len(), path, content, &mut entries));
    }
    layers.push(environment::read(ledger, layers.len(), &sources.variables));
    layers.push(sources.overrides.read(ledger, layers.len(), &mut entries));
    let Sources { variables, host_name, checking, classes, edits, machine, .. } = sources;
    let differences = edits.lay(&mut layers, &mut entries, ledger);
    let settled = sources.texts.is_some();
    let around = Surroundings { variables, host_name, checking: *checking, settled, machine: machine.as_ref(), classes };
    (lay_over(layers, &entries, ledger, &around), differences, texts)
}

/// Lays the layers over the defaults and each other, and checks the outcome.
fn lay_over(layers: Vec<Tree>, entries: &Entries, ledger: &mut Ledger, around: &Surroundings<'_>) -> Option<Config> {
    let mut builder = config::Config::builder().add_source(Tree::defaults(entries));
    for layer in layers {
        builder = builder.add_source(layer);
    }
    if let Ok(typed) = builder.build().and_then(config::Config::try_deserialize) {
        return Some(build::build(typed, entries, ledger, around));
    }
    // Every value was read by the kind of its key, so this is a mistake in the table of keys. Its text may quote a secret.
    let (reason, remedy) = ("egret contradicts itself about the type of a key", "report it with the keys that you use");
    ledger.problem_at(Spot::Nowhere, "", None, reason, remedy);
    None
}

fn finished(config: Option<Config>, ledger: Ledger) -> Result<Loaded, Vec<Problem>> {
    let withheld = ledger.withheld();
    let (problems, advice) = ledger.finish();
    match config {
        Some(config) if problems.is_empty() => {
            Ok(Loaded { config, advice, differences: Vec::new(), texts: Texts::default(), withheld })
        }
        _ => Err(problems),
    }
}

/// Reads and checks what the command line says, without files and environment.
///
/// # Errors
/// As [`load`].
pub fn load_options(overrides: &Overrides, host_name: &str) -> Result<Loaded, Vec<Problem>> {
    let (mut ledger, mut entries) = (Ledger::default(), Entries::default());
    let tree = overrides.read(&mut ledger, 0, &mut entries);
    let around =
        Surroundings { variables: &[], host_name, checking: true, settled: false, machine: None, classes: &BTreeMap::new() };
    let config = lay_over(vec![tree], &entries, &mut ledger, &around);
    finished(config, ledger)
}

/// Reads and checks one text as if it were the only file, without environment and command line.
///
/// # Errors
/// As [`load`].
pub fn load_text(path: &Path, content: &str) -> Result<Loaded, Vec<Problem>> {
    let (mut ledger, mut entries) = (Ledger::default(), Entries::default());
    let tree = document::read(&mut ledger, 0, path, content, &mut entries);
    let around = Surroundings {
        variables: &[],
        host_name: "egret",
        checking: true,
        settled: false,
        machine: None,
        classes: &BTreeMap::new(),
    };
    let config = lay_over(vec![tree], &entries, &mut ledger, &around);
    finished(config, ledger)
}
