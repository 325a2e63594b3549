//! What an engine of a configured model is built from.

use std::{borrow::Cow, path::PathBuf};

use egret_models::{
    manifest::Precision,
    spec::{BatchAxis, ModelSpec},
};

use super::{DEMO_NETWORK, LoadError, Located, located, look_beside, read_model, understand};
use crate::{
    config::{EnginesConfig, ModelConfig, ModelSource},
    engine::{DlaCore, Input, Order, Profile},
    placement::Processor,
    store::About,
};

/// A model's network, read.
pub(super) struct Read {
    pub(super) file: String,
    pub(super) bytes: Cow<'static, [u8]>,
    about: Option<About>,
    path: Option<PathBuf>,
}

impl Read {
    pub(super) fn manifest(&self) -> Option<Located<'_>> {
        self.about.as_ref().map(located)
    }
}

/// Reads a model's network and the manifest beside it.
pub(super) fn read(model: &ModelConfig) -> Result<Read, LoadError> {
    match &model.source {
        ModelSource::Onnx(path) => {
            let (bytes, about) = (Cow::Owned(read_model(path)?), look_beside(path)?.about);
            Ok(Read { file: path.display().to_string(), bytes, about, path: Some(path.clone()) })
        }
        ModelSource::Demo => {
            let none = || LoadError::NoDemo { model: model.name.clone() };
            let bytes = Cow::Borrowed(DEMO_NETWORK.ok_or_else(none)?);
            Ok(Read { file: "builtin:demo".to_owned(), bytes, about: None, path: None })
        }
        ModelSource::Null | ModelSource::Scripted(_) => Err(LoadError::NoNetwork { model: model.name.clone() }),
    }
}

/// Says what a model's engine is: batches up to the configured size, or of the size that the network has.
///
/// # Errors
/// [`LoadError`], also for models that have no network.
pub(crate) fn order(model: &ModelConfig, engines: &EnginesConfig) -> Result<Order, LoadError> {
    let read = read(model)?;
    let understood = understand(&read.file, &read.bytes, read.manifest(), model)?;
    Ok(Order {
        name: model.name.clone(),
        profile: profile(&understood.spec, model.max_batch),
        onnx: read.bytes.into_owned(),
        path: read.path,
        kind: understood.precision.to_owned(),
        dla: None,
        flags: engines.flags.clone(),
        precision: read.about.and_then(precision),
    })
}

impl Order {
    /// The same for a DLA core, which knows one batch size: the largest. What it cannot do runs on the GPU, where `gpu_fallback` says so.
    #[must_use]
    pub(crate) fn for_dla(mut self, core: u32, gpu_fallback: bool) -> Self {
        self.dla = Some(DlaCore { core, gpu_fallback });
        self.profile.min = self.profile.max;
        self.profile.opt = self.profile.max;
        for input in &mut self.profile.inputs {
            input.shape.iter_mut().filter(|d| **d < 0).for_each(|d| *d = i64::from(self.profile.max));
        }
        self
    }

    /// The same for a processor, if that is one that engines are for. A DLA core lets the GPU do what it cannot.
    pub(crate) fn on(self, processor: Processor) -> Option<Self> {
        match processor {
            Processor::Cpu => None,
            Processor::Gpu(_) => Some(self),
            Processor::Dla(core) => Some(self.for_dla(core, true)),
        }
    }
}

fn precision(about: About) -> Option<Precision> {
    about.manifest.precision
}

fn profile(spec: &ModelSpec, most: usize) -> Profile {
    let (min, max, batch) = match spec.input.batch {
        BatchAxis::Fixed(count) => (count, count, count as i64),
        BatchAxis::Dynamic => (1, most.max(1), -1),
    };
    let dimensions = |shape: &[usize]| std::iter::once(batch).chain(shape[1..].iter().map(|&d| d as i64)).collect();
    let mut inputs = vec![Input { name: spec.input.name.clone(), shape: dimensions(&spec.input.shape(1)) }];
    let constants = spec.constants.iter();
    inputs.extend(constants.map(|input| Input { name: input.name.clone(), shape: dimensions(&[1, input.values.len()]) }));
    // Under load batches are as large as they may be: that is where time matters.
    Profile { min: min as u32, opt: max as u32, max: max as u32, inputs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_s_network_is_an_order_and_the_null_detector_is_none() {
        let model = ModelConfig { max_batch: 6, ..ModelConfig::new("street", ModelSource::Demo) };
        let engines = EnginesConfig::default();
        if DEMO_NETWORK.is_some() {
            let order = order(&model, &engines).expect("an order");
            assert_eq!((order.kind.as_str(), order.profile.inputs.len()), ("fp32", 1));
            let shape = &order.profile.inputs[0].shape;
            assert!(shape.len() == 4 && shape[1] == 3, "{shape:?}");
            assert!(if shape[0] < 0 { order.profile.max == 6 } else { order.profile.is_fixed() });
        }
        let null = ModelConfig::new("null", ModelSource::Null);
        assert!(matches!(order(&null, &engines), Err(LoadError::NoNetwork { .. })));
    }

    #[test]
    fn a_dla_core_knows_the_largest_batch_alone() {
        let model = ModelConfig { max_batch: 6, ..ModelConfig::new("street", ModelSource::Demo) };
        if DEMO_NETWORK.is_none() {
            return;
        }
        let order = || order(&model, &EnginesConfig::default()).expect("an order");
        let core = order().on(Processor::Dla(1)).expect("an engine's");
        assert_eq!(core.dla, Some(DlaCore { core: 1, gpu_fallback: true }));
        assert!(
            core.profile.is_fixed() && core.profile.inputs.iter().all(|input| !input.shape.contains(&-1)),
            "{:?}",
            core.profile
        );
        assert_eq!(order().on(Processor::Gpu(1)).expect("an engine's").dla, None);
        assert!(order().on(Processor::Cpu).is_none());
    }

    #[test]
    fn a_fixed_batch_stays_and_constant_inputs_move_with_it() {
        let mut spec = egret_models::zoo::manifest("yolox_nano").expect("a manifest").spec;
        spec.input.batch = BatchAxis::Fixed(3);
        spec.constants = vec![egret_models::spec::ConstantInput { name: "size".into(), values: vec![640, 640] }];
        let fixed = profile(&spec, 8);
        assert_eq!((fixed.min, fixed.opt, fixed.max), (3, 3, 3));
        assert_eq!(fixed.inputs[1], Input { name: "size".into(), shape: vec![3, 2] });
        spec.input.batch = BatchAxis::Dynamic;
        let open = profile(&spec, 8);
        assert_eq!((open.min, open.opt, open.max, open.inputs[1].shape.as_slice()), (1, 8, 8, &[-1, 2][..]));
    }
}
