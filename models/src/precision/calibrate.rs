//! Observes the values between a network's inputs and outputs, by making outputs of them.

use std::collections::{BTreeMap, HashSet};

use super::ranges::{Histogram, Ranges};
use crate::onnx::{
    ElementType,
    edit::{Model, Value},
};

/// Values that are observed through one copy of the network: bounds how many of them are held at a time.
const AT_ONCE: usize = 64;

/// Runs networks of one float input. Who knows a runtime implements it.
pub trait Run {
    /// A network that is loaded.
    type Network;
    /// Why it could not be loaded or run.
    type Error;

    /// Loads the bytes of an ONNX file.
    ///
    /// # Errors
    /// The runtime's reasons.
    fn load(&mut self, model: &[u8]) -> Result<Self::Network, Self::Error>;

    /// Runs one input (a batch of one, flat) and hands out each float output by name.
    ///
    /// # Errors
    /// The runtime's reasons.
    fn run(&mut self, network: &mut Self::Network, input: &[f32], each: &mut dyn FnMut(&str, &[f32])) -> Result<(), Self::Error>;
}

/// Why ranges cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CalibrationError<E> {
    /// The runtime failed.
    #[error("{0}")]
    Run(E),
    /// Values that are no numbers.
    #[error("`{value}` is not finite in {count} places; the float network itself does not work on these frames")]
    NotFinite {
        /// Which value.
        value: String,
        /// How often.
        count: u64,
    },
}

/// A calibration under way: memory is that of the copies of the network and of one histogram per value, whatever the number of
/// inputs.
pub struct Calibration<R: Run> {
    /// Copies of the network, and what is observed through each.
    networks: Vec<(R::Network, HashSet<String>)>,
    input: Option<String>,
    histograms: BTreeMap<String, Histogram>,
    channels: BTreeMap<String, Vec<Histogram>>,
}

impl<R: Run> Calibration<R> {
    /// Prepares to observe `values` of a network.
    ///
    /// # Errors
    /// [`CalibrationError::Run`]: the runtime refuses the network with these outputs.
    pub fn new(run: &mut R, model: &Model, values: &[String]) -> Result<Self, CalibrationError<R::Error>> {
        let is = |list: &[Value], name: &String| list.iter().any(|value| value.name == *name);
        let input = values.iter().find(|name| is(&model.graph.inputs, name)).cloned();
        let inner: Vec<&String> = values.iter().filter(|name| !is(&model.graph.inputs, name)).collect();
        let mut networks = Vec::new();
        for names in inner.chunks(AT_ONCE) {
            let mut observed = model.clone();
            let more = names.iter().filter(|name| !is(&model.graph.outputs, name));
            observed.graph.outputs.extend(more.map(|name| Value::tensor(name, ElementType::FLOAT)));
            // What is declared twice is refused.
            observed.graph.values.retain(|value| !names.contains(&&value.name));
            let network = run.load(&observed.write()).map_err(CalibrationError::Run)?;
            networks.push((network, names.iter().map(ToString::to_string).collect()));
        }
        let histograms = values.iter().map(|name| (name.clone(), Histogram::default())).collect();
        Ok(Self { networks, input, histograms, channels: BTreeMap::new() })
    }

    /// Observes each channel of these values too, of `[1, C, …]`: names and C.
    #[must_use]
    pub fn by_channel(mut self, channels: &BTreeMap<String, usize>) -> Self {
        let known = channels.iter().filter(|(name, _)| self.histograms.contains_key(*name));
        self.channels = known.map(|(name, count)| (name.clone(), vec![Histogram::of_channel(); *count])).collect();
        self
    }

    /// Observes one input.
    ///
    /// # Errors
    /// [`CalibrationError::Run`]
    pub fn observe(&mut self, run: &mut R, input: &[f32]) -> Result<(), CalibrationError<R::Error>> {
        if let Some(histogram) = self.input.as_ref().and_then(|name| self.histograms.get_mut(name)) {
            histogram.observe(input);
        }
        if let Some(channels) = self.input.as_ref().and_then(|name| self.channels.get_mut(name)) {
            each_channel(channels, input);
        }
        for (network, names) in &mut self.networks {
            let (histograms, channels) = (&mut self.histograms, &mut self.channels);
            // The network's own outputs come out of every copy.
            let mut each = |name: &str, values: &[f32]| {
                if let Some(histogram) = histograms.get_mut(name).filter(|_| names.contains(name)) {
                    histogram.observe(values);
                    if let Some(channels) = channels.get_mut(name) {
                        each_channel(channels, values);
                    }
                }
            };
            run.run(network, input, &mut each).map_err(CalibrationError::Run)?;
        }
        Ok(())
    }

    /// What was observed.
    ///
    /// # Errors
    /// [`CalibrationError::NotFinite`]
    pub fn finish(self) -> Result<Ranges, CalibrationError<R::Error>> {
        if let Some((name, histogram)) = self.histograms.iter().find(|(_, histogram)| histogram.not_finite() > 0) {
            return Err(CalibrationError::NotFinite { value: name.clone(), count: histogram.not_finite() });
        }
        Ok(Ranges::new(self.histograms, self.channels))
    }
}

fn each_channel(channels: &mut [Histogram], values: &[f32]) {
    let plane = values.len() / channels.len().max(1);
    if plane > 0 {
        channels.iter_mut().zip(values.chunks_exact(plane)).for_each(|(histogram, values)| histogram.observe(values));
    }
}
