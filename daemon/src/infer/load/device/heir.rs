//! The engine that takes over once it is built.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{load_cpu, site::Site};
use crate::{
    config::{ModelConfig, ModelSource},
    engine::{self, Asked, BuildError, Built, EngineError, Manifest, Store, Tell},
    infer::{CANARY_GATE, Detector, Heir, Pair},
    store,
};

/// What is still to be done about a model's engine.
pub(super) struct Preparing {
    pub(super) store: Store,
    /// What is there is of no use.
    pub(super) force: bool,
    /// It is there and serves: it is only to be compared.
    pub(super) serving: Option<Manifest>,
}

/// The engine that is being prepared, or compared while it serves.
pub(super) struct EngineHeir {
    site: Site,
    store: Store,
    force: bool,
    built: Option<Manifest>,
    serves: bool,
}

impl EngineHeir {
    pub(super) fn new(site: Site, Preparing { store, force, serving }: Preparing) -> Self {
        Self { site, store, force, serves: serving.is_some(), built: serving }
    }

    /// The configuration with which boxes of little confidence are told, too, one picture at a time.
    fn telling(&self) -> ModelConfig {
        let matching = CANARY_GATE.matching();
        ModelConfig {
            confidence: Some((matching.confidence - matching.slack).max(0.01)),
            class_confidence: BTreeMap::new(),
            max_batch: 1,
            tiles: None,
            ..self.site.config.single()
        }
    }

    /// The float network that this one was made from, if the store of models has it; else the very file, on the CPU.
    fn float(&self) -> ModelSource {
        let from = self.site.order.precision.as_ref().map(|precision| precision.from_sha256.as_str());
        let found = from.and_then(store::file_of);
        found.map_or_else(|| self.site.config.source.clone(), ModelSource::Onnx)
    }
}

impl Heir for EngineHeir {
    fn make(&mut self, stop: &CancellationToken, tell: Tell) -> Option<Result<(), String>> {
        if let Err(reason) = self.store.begin(&self.site.key) {
            return Some(Err(reason));
        }
        // The other half keeps decoding and serving.
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)) as u32;
        let onnxruntime = self.site.runtime.onnxruntime_library.clone();
        let asked =
            Asked { program: "egret run", force: self.force, threads: Some(threads), onnxruntime, stop: stop.clone(), tell };
        let built = engine::build(&self.site.gpu.here, &mut self.store, &self.site.order, &asked);
        self.store.end(&self.site.key);
        match built {
            Ok(Built { manifest, .. }) => {
                // Asked before it is looked at: that there is no room is nothing against it.
                let room = self.site.claim(&manifest, self.site.at.instances);
                self.built = Some(manifest);
                Some(room.map(drop))
            }
            Err(BuildError::Engine(EngineError::Stopped)) => None,
            Err(error) => Some(Err(error.to_string())),
        }
    }

    fn is_compared(&self) -> bool {
        self.site.is_compared()
    }

    fn serves(&self) -> bool {
        self.serves
    }

    fn pair(&mut self) -> Result<Option<Pair>, String> {
        let Some(manifest) = self.built.clone() else { return Err("there is no engine".into()) };
        if !self.is_compared() || manifest.verdict.as_ref().is_some_and(|verdict| verdict.passed) {
            return Ok(None);
        }
        let telling = self.telling();
        let mut lanes = self.site.detectors(&mut self.store, &manifest, &telling, 1)?;
        let float = load_cpu(&ModelConfig { source: self.float(), ..telling }, &self.site.runtime);
        let float = float.map_err(|error| format!("the float network does not run: {error}"))?;
        let float = float.into_iter().next().ok_or("there is no instance of the float network")?;
        Ok(Some(Pair { float: Box::new(float), engine: lanes.swap_remove(0) }))
    }

    fn detectors(&mut self) -> Result<Vec<Box<dyn Detector>>, String> {
        if self.serves {
            return self.site.on_cpu(self.site.lanes()).map_err(|error| error.to_string());
        }
        let Some(manifest) = self.built.clone() else { return Err("there is no engine".into()) };
        self.site.detectors(&mut self.store, &manifest, &self.site.config, self.site.at.instances)
    }

    fn note(&mut self, passed: bool, reason: &str) {
        let Some(manifest) = &mut self.built else { return };
        manifest.verdict = Some(engine::Verdict { passed, at: engine::now(), reason: reason.to_owned() });
        match self.store.note(manifest) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(model = manifest.name, "the engine was replaced meanwhile: its verdict is not written down");
            }
            Err(error) => tracing::error!(model = manifest.name, %error, "the engine's verdict is not written down"),
        }
    }
}
