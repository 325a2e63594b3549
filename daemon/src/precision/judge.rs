//! Networks made of one float network, measured against it.

use std::collections::HashSet;

use egret_models::{
    eval::agreement::{Agreement, Gate, Matching, Prediction, Verdict, compare},
    precision::{Method, Plan, Ranges, Search, Shifts},
};

use super::{
    PrecisionFailure,
    bench::{Bench, predictions},
    frames::Picture,
    gather::RANKING,
};

/// What a network does on the frames that were held out, and whether that will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Agreement with the float network.
    pub agreement: Agreement,
    /// What the gate says.
    pub verdict: Verdict,
}

/// Pictures and what the float network sees in them.
pub(super) struct Exam {
    pictures: Vec<Picture>,
    reference: Vec<Vec<Prediction>>,
    gate: Gate,
    classes: usize,
}

impl Exam {
    pub(super) fn new(bench: &Bench, float: &[u8], pictures: Vec<Picture>, gate: Gate) -> Result<Self, PrecisionFailure> {
        let mut detector = bench.detector(float, &gate.matching())?;
        let reference = predictions(bench, detector.as_mut(), &pictures)?;
        Ok(Self { pictures, reference, gate, classes: bench.manifest.spec.classes.len() })
    }

    /// Boxes per picture that count.
    pub(super) fn density(&self) -> f64 {
        density(&self.reference, &self.gate.matching())
    }

    pub(super) fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// Judges the bytes of a network on all pictures.
    pub(super) fn judge(&self, bench: &Bench, network: &[u8]) -> Result<Judged, PrecisionFailure> {
        self.judge_on(bench, network, self.pictures.len())
    }

    /// Judges it on the first `most` pictures.
    fn judge_on(&self, bench: &Bench, network: &[u8], most: usize) -> Result<Judged, PrecisionFailure> {
        let most = most.min(self.pictures.len());
        let matching = self.gate.matching();
        let mut detector = bench.detector(network, &matching)?;
        let found = predictions(bench, detector.as_mut(), &self.pictures[..most])?;
        let agreement = compare(&self.reference[..most], &found, self.classes, &matching)?;
        Ok(Judged { verdict: self.gate.judge(&agreement), agreement })
    }
}

/// Boxes per picture that count.
pub(super) fn density(seen: &[Vec<Prediction>], matching: &Matching) -> f64 {
    let boxes = seen.iter().flatten().filter(|p| p.score >= matching.confidence).count();
    boxes as f64 / seen.len().max(1) as f64
}

/// The quantized networks of a plan, on the bench.
pub(super) struct Trials<'a> {
    pub(super) bench: &'a Bench,
    pub(super) plan: &'a Plan,
    pub(super) ranges: &'a Ranges,
    pub(super) method: Method,
    /// What is taken from the biases.
    pub(super) shifts: &'a Shifts,
    /// What the gate judges.
    pub(super) exam: &'a Exam,
    /// What layers are ranked by.
    pub(super) ranking: &'a Exam,
    /// Told of what is being done.
    pub(super) progress: &'a mut dyn FnMut(&str),
    /// Layers that were ranked so far.
    pub(super) ranked: usize,
}

impl Trials<'_> {
    /// The network with all layers quantized but these.
    pub(super) fn network(&self, float: &HashSet<String>) -> Vec<u8> {
        self.plan.quantize(self.ranges, self.method, float, self.shifts).0.write()
    }
}

impl Search for Trials<'_> {
    type Verdict = Judged;
    type Error = PrecisionFailure;

    fn loss_of(&mut self, layer: &str) -> Result<f64, PrecisionFailure> {
        let all = self.plan.layers();
        let float = all.iter().map(|l| l.name.clone()).filter(|name| name != layer).collect();
        let judged = self.ranking.judge_on(self.bench, &self.network(&float), RANKING)?;
        self.ranked += 1;
        if self.ranked.is_multiple_of(20) || self.ranked == all.len() {
            (self.progress)(&format!("ranked {} of {} layers", self.ranked, all.len()));
        }
        let total = &judged.agreement.total;
        // A share that was not measured lost nothing.
        let lost = |share: Option<f64>| 1.0 - share.unwrap_or(1.0);
        Ok(lost(total.recall) + lost(total.precision) + lost(total.mean_iou) + total.mean_drift.unwrap_or(0.0))
    }

    fn measure(&mut self, float: &[String]) -> Result<(bool, Judged), PrecisionFailure> {
        let judged = self.exam.judge(self.bench, &self.network(&float.iter().cloned().collect()))?;
        let total = &judged.agreement.total;
        let share = |v: Option<f64>| v.map_or("none".to_owned(), |v| format!("{v:.4}"));
        (self.progress)(&format!(
            "{} layers in float: recall {}, precision {}, drift {}",
            float.len(),
            share(total.recall),
            share(total.precision),
            share(total.mean_drift)
        ));
        Ok((judged.verdict.passed(), judged))
    }
}
