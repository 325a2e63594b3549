//! `egret engine build`.

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{args, table, terminal, which};
use crate::{
    cli::{model::interrupt, run::reject},
    config::{Config, EnginesConfig, ModelConfig},
    engine::{self, Asked, BuildError, Built, EngineError, Here, Manifest, Order, Store, span},
    life::Exit,
};

/// What is built with what and where.
pub(super) struct Work {
    orders: Vec<Order>,
    here: Here,
    store: Store,
    onnxruntime: Option<PathBuf>,
    force: bool,
    stop: CancellationToken,
}

pub(super) fn run(args: &args::Build, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = match args.place.config() {
        Ok(config) => config,
        Err(problems) => return reject(&problems),
    };
    let stop = CancellationToken::new();
    let work = prepare(args, &config, stop.clone())?;
    let json = args.json;
    let Some(built) = interrupt::run(&stop, || {}, move || Ok(work.build()))? else { return Ok(Exit::Interrupted.into()) };
    let built = built?;
    terminal::done();
    let (good, failed): (Vec<_>, Vec<_>) = built.into_iter().partition(Result::is_ok);
    report(out, &good.into_iter().flatten().collect::<Vec<_>>(), json)?;
    match failed.into_iter().find_map(Result::err) {
        None => Ok(ExitCode::SUCCESS),
        Some(BuildError::Engine(EngineError::Stopped)) => Ok(Exit::Interrupted.into()),
        Some(error) => Err(error.into()),
    }
}

/// Reads all networks before the first one is built.
pub(super) fn prepare(args: &args::Build, config: &Config, stop: CancellationToken) -> anyhow::Result<Work> {
    let engines = engines(args, config);
    let models = which::models(&args.models, config)?;
    let orders = models.iter().map(|model| orders(args, model, &engines)).collect::<anyhow::Result<Vec<_>>>()?.concat();
    let here = which::here(&args.place, &engines, orders.iter().any(Order::needs_plugins))?;
    // It is made where it is not there.
    let store = Store::new(&engine::folder(&engines)?);
    Ok(Work { orders, here, store, onnxruntime: config.runtime.onnxruntime_library.clone(), force: args.force, stop })
}

impl Work {
    /// One after the other; the first that fails is the last.
    pub(super) fn build(mut self) -> Vec<Result<Built, BuildError>> {
        let mut built = Vec::new();
        for order in &self.orders {
            let asked = Asked {
                program: "egret engine build",
                force: self.force,
                threads: None,
                onnxruntime: self.onnxruntime.clone(),
                stop: self.stop.clone(),
                tell: terminal::follow(&order.name),
            };
            built.push(engine::build(&self.here, &mut self.store, order, &asked));
            if built.last().is_some_and(Result::is_err) {
                break;
            }
        }
        built
    }
}

/// What the command line says, over the configuration.
fn engines(args: &args::Build, config: &Config) -> EnginesConfig {
    let mut engines = args.place.over(&config.runtime.engines);
    let flags = &mut engines.flags;
    flags.optimization_level = args.level.or(flags.optimization_level);
    flags.workspace_bytes = args.workspace.map(|mib| mib << 20).or(flags.workspace_bytes);
    flags.tf32 |= args.tf32;
    flags.version_compatible |= args.version_compatible;
    engines
}

/// All engines that a model's devices need, but for the core that the command line names.
fn orders(args: &args::Build, model: &ModelConfig, engines: &EnginesConfig) -> anyhow::Result<Vec<Order>> {
    let max_batch = args.max_batch.map_or(model.max_batch, |most| most as usize);
    let model = ModelConfig { max_batch, ..model.clone() };
    match args.dla {
        Some(core) => Ok(vec![which::order(&model, engines)?.for_dla(core, args.gpu_fallback)]),
        None => which::orders(&model, engines),
    }
}

pub(super) fn report(out: &mut dyn Write, built: &[Built], json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(writeln!(out, "{:#}", built.iter().map(value).collect::<Value>())?);
    }
    for Built { manifest, found } in built {
        let Manifest { name, key, plan, layers, .. } = manifest;
        let how = if *found {
            "is there already".to_owned()
        } else {
            format!("was built in {}", span(Duration::from_secs_f64(manifest.build_s.clamp(0.0, 1e9))))
        };
        let stem = table::short(&key.stem());
        writeln!(out, "{name}: engine {stem} {how}: {}, {layers} layers, batches of {}", table::size(plan.bytes), key.profile)?;
        if let Some(tail) = &manifest.tail {
            writeln!(out, "{name}: {}", egret_models::text::plain(&tail.cut))?;
        }
        let off = manifest.placement.iter().filter(|layer| !layer.on_dla).count();
        if let Some(dla) = &key.dla {
            writeln!(out, "{name}: {dla}; {off} of {} layers can only run on the GPU", manifest.placement.len())?;
        }
    }
    Ok(())
}

fn value(Built { manifest, found }: &Built) -> Value {
    json!({
        "engine": manifest.key.stem(),
        "model": manifest.name,
        "found": found,
        "build_s": manifest.build_s,
        "key": manifest.key,
        "plan": manifest.plan,
        "tail": manifest.tail,
        "layers": manifest.layers,
        "placement": manifest.placement,
    })
}
