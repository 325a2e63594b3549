//! Agreement of two detectors on the same frames: what of the reference the other finds again, what it adds, how far boxes and
//! scores drift. And the [`Gate`] that a quantized network must pass before anybody runs it.
//!
//! Nothing here knows what is truly in the pictures: two detectors may agree perfectly and both be wrong. For that there is
//! [`super::coco`].

use std::{cmp::Ordering, fmt};

use serde::Serialize;

/// A detection of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Index into the class names.
    pub class: u16,
    /// Confidence, 0..1.
    pub score: f32,
    /// Left, top, right, bottom in pixels, of the source or of the network's input: of the same in both sets.
    pub bbox: [f32; 4],
}

/// When two detections are the same, and which of them count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Matching {
    /// Two boxes of one class are the same object from this IoU on.
    pub iou: f32,
    /// Boxes with at least this score count.
    pub confidence: f32,
    /// A box that counts is looked for among boxes with up to this much less than `confidence`: one that hovers there is no loss.
    /// How far the scores moved is told by the drift.
    pub slack: f32,
}

impl Default for Matching {
    /// IoU 0.75, scores from 0.3 on, looked for down to 0.2.
    fn default() -> Self {
        Self { iou: 0.75, confidence: 0.3, slack: 0.1 }
    }
}

/// How two sets of detections agree, of all classes or of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Boxes of the reference that count.
    pub reference: usize,
    /// Of these, the ones that the other has too.
    pub found: usize,
    /// Boxes of the other that count.
    pub other: usize,
    /// Of these, the ones that the reference has too.
    pub confirmed: usize,
    /// `found / reference`; `None` where there was nothing to find.
    pub recall: Option<f64>,
    /// `confirmed / other`; `None` where the other found nothing.
    pub precision: Option<f64>,
    /// Mean IoU of the pairs.
    pub mean_iou: Option<f64>,
    /// Median IoU of the pairs.
    pub median_iou: Option<f64>,
    /// Mean of |score of the other − score of the reference| over the pairs.
    pub mean_drift: Option<f64>,
    /// The largest of these.
    pub max_drift: Option<f64>,
}

/// The outcome of [`compare`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// How boxes were matched.
    pub matching: Matching,
    /// How many frames both looked at.
    pub frames: usize,
    /// All classes together.
    pub total: Figures,
    /// Each class, by index.
    pub classes: Vec<Figures>,
}

/// Why two sets cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgreementError {
    /// They are not of the same frames.
    #[error("the reference looked at {reference} frames, the other at {other}: run both over the same frames")]
    Frames {
        /// Frames of the reference.
        reference: usize,
        /// Frames of the other.
        other: usize,
    },
    /// A class without a name.
    #[error("frame {frame} has a box of class {class}, but there are {classes} classes: both need the same class list")]
    Class {
        /// Index of the frame.
        frame: usize,
        /// The box's class.
        class: u16,
        /// How many there are.
        classes: usize,
    },
}

/// Compares the boxes of `other` with those of `reference`, frame by frame.
///
/// Within a frame boxes of one class are paired one to one from the highest IoU down; pairs in which both boxes count go first.
/// Swapping the two sets swaps recall and precision and leaves the rest as it is. Boxes and scores that are not finite never match.
///
/// # Errors
/// [`AgreementError`] where the frames or the classes are not the same.
pub fn compare(
    reference: &[Vec<Prediction>],
    other: &[Vec<Prediction>],
    classes: usize,
    matching: &Matching,
) -> Result<Agreement, AgreementError> {
    if reference.len() != other.len() {
        return Err(AgreementError::Frames { reference: reference.len(), other: other.len() });
    }
    let mut tallies = vec![Tally::default(); classes];
    for (frame, (theirs, ours)) in reference.iter().zip(other).enumerate() {
        if let Some(alien) = theirs.iter().chain(ours).find(|p| usize::from(p.class) >= classes) {
            return Err(AgreementError::Class { frame, class: alien.class, classes });
        }
        count_frame(theirs, ours, matching, &mut tallies);
    }
    let mut total = Tally::default();
    for tally in &tallies {
        total.add(tally);
    }
    let classes = tallies.into_iter().map(Tally::figures).collect();
    Ok(Agreement { matching: *matching, frames: reference.len(), total: total.figures(), classes })
}

#[derive(Clone, Debug, Default)]
struct Tally {
    reference: usize,
    found: usize,
    other: usize,
    confirmed: usize,
    ious: Vec<f64>,
    drifts: Vec<f64>,
}

impl Tally {
    fn add(&mut self, more: &Self) {
        self.reference += more.reference;
        self.found += more.found;
        self.other += more.other;
        self.confirmed += more.confirmed;
        self.ious.extend_from_slice(&more.ious);
        self.drifts.extend_from_slice(&more.drifts);
    }

    fn figures(mut self) -> Figures {
        let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
        Figures {
            reference: self.reference,
            found: self.found,
            other: self.other,
            confirmed: self.confirmed,
            recall: share(self.found, self.reference),
            precision: share(self.confirmed, self.other),
            mean_iou: mean(&self.ious),
            median_iou: median(&mut self.ious),
            mean_drift: mean(&self.drifts),
            max_drift: self.drifts.iter().copied().reduce(f64::max),
        }
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let high = *values.get(values.len() / 2)?;
    let low = values[(values.len() - 1) / 2];
    Some(f64::midpoint(low, high))
}

/// Two boxes that may be the same object.
struct Pair {
    reference: usize,
    other: usize,
    /// 2: both count, 1: one of them does.
    counting: u8,
    iou: f32,
}

fn count_frame(theirs: &[Prediction], ours: &[Prediction], matching: &Matching, tallies: &mut [Tally]) {
    let counts = |p: &Prediction| p.score >= matching.confidence;
    for p in theirs.iter().filter(|p| counts(p)) {
        tallies[usize::from(p.class)].reference += 1;
    }
    for p in ours.iter().filter(|p| counts(p)) {
        tallies[usize::from(p.class)].other += 1;
    }
    let (mut their_used, mut our_used) = (vec![false; theirs.len()], vec![false; ours.len()]);
    for pair in pairs(theirs, ours, matching) {
        if their_used[pair.reference] || our_used[pair.other] {
            continue;
        }
        (their_used[pair.reference], our_used[pair.other]) = (true, true);
        let (their, our) = (&theirs[pair.reference], &ours[pair.other]);
        let tally = &mut tallies[usize::from(their.class)];
        tally.found += usize::from(counts(their));
        tally.confirmed += usize::from(counts(our));
        tally.ious.push(f64::from(pair.iou));
        tally.drifts.push((f64::from(our.score) - f64::from(their.score)).abs());
    }
}

/// What may be paired, best first.
fn pairs(theirs: &[Prediction], ours: &[Prediction], matching: &Matching) -> Vec<Pair> {
    let seen = |p: &Prediction| p.score >= matching.confidence - matching.slack;
    let counts = |p: &Prediction| u8::from(p.score >= matching.confidence);
    let mut pairs = Vec::new();
    for (reference, their) in theirs.iter().enumerate().filter(|(_, p)| seen(p)) {
        for (other, our) in ours.iter().enumerate().filter(|(_, p)| p.class == their.class && seen(p)) {
            let counting = counts(their) + counts(our);
            let iou = if counting > 0 { iou(&their.bbox, &our.bbox) } else { 0.0 };
            if counting > 0 && iou >= matching.iou && iou > 0.0 {
                pairs.push(Pair { reference, other, counting, iou });
            }
        }
    }
    pairs.sort_by(|a, b| match b.counting.cmp(&a.counting) {
        Ordering::Equal => b.iou.total_cmp(&a.iou),
        unequal => unequal,
    });
    pairs
}

fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let area = |b: &[f32; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let w = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let h = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let intersection = w * h;
    let union = area(a) + area(b) - intersection;
    if union > 0.0 && union.is_finite() { intersection / union } else { 0.0 }
}

/// The least agreement with the float network that lets a quantized one be used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// Smallest share of the float network's boxes that are found again.
    pub recall: f64,
    /// Smallest share of the other's boxes that the float network has too.
    pub precision: f64,
    /// The IoU at which boxes are matched for that.
    pub iou: f32,
    /// Largest mean drift of the scores.
    pub drift: f64,
}

impl Default for Gate {
    /// Recall and precision 0.97 at IoU 0.75, mean score drift 0.03.
    fn default() -> Self {
        Self { recall: 0.97, precision: 0.97, iou: 0.75, drift: 0.03 }
    }
}

/// One reason why a gate stays shut. Its text says what, and by how much.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// There was nothing to judge by.
    #[error("the float network found nothing in {frames} frames: nothing can be said; take frames with objects in them")]
    Nothing {
        /// Frames looked at.
        frames: usize,
    },
    /// The figures were taken more generously than the gate asks.
    #[error("boxes were matched at IoU {got}, the gate asks for {wanted}")]
    Matching {
        /// The IoU they were matched at.
        got: f32,
        /// The gate's.
        wanted: f32,
    },
    /// Too many boxes are gone.
    #[error("recall {got:.4} is {by:.4} below {wanted}: {missing} of {of} boxes of the float network are gone", by = wanted - got)]
    Recall {
        /// What it is.
        got: f64,
        /// What it must be.
        wanted: f64,
        /// Boxes that are gone.
        missing: usize,
        /// Boxes of the float network.
        of: usize,
    },
    /// Too many boxes are new.
    #[error("precision {got:.4} is {by:.4} below {wanted}: {surplus} of {of} boxes are not the float network's", by = wanted - got)]
    Precision {
        /// What it is.
        got: f64,
        /// What it must be.
        wanted: f64,
        /// Boxes that the float network does not have.
        surplus: usize,
        /// Boxes of the other.
        of: usize,
    },
    /// The scores moved too far.
    #[error("mean score drift {got:.4} is {by:.4} above {wanted} (at most {max:.3} in one box)", by = got - wanted)]
    Drift {
        /// What it is.
        got: f64,
        /// What it may be.
        wanted: f64,
        /// The largest of a single box.
        max: f64,
    },
}

/// Whether the gate opens.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// Why not; empty: it opens.
    pub failures: Vec<Failure>,
    /// Classes that would not pass by themselves, by index. Told, not judged: a class with five boxes fails by one.
    pub weak: Vec<usize>,
}

impl Verdict {
    /// Whether the gate opens.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Verdict {
    /// `passes`, or the failures, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.failures.split_first() else { return f.write_str("passes") };
        write!(f, "{first}")?;
        rest.iter().try_for_each(|failure| write!(f, "\n{failure}"))
    }
}

impl Gate {
    /// How boxes are to be matched for this gate.
    pub fn matching(&self) -> Matching {
        Matching { iou: self.iou, ..Matching::default() }
    }

    /// Judges an agreement of all classes together, and names the classes that are weak.
    pub fn judge(&self, agreement: &Agreement) -> Verdict {
        let mut failures = self.failures(&agreement.total);
        if agreement.total.reference == 0 {
            failures.insert(0, Failure::Nothing { frames: agreement.frames });
        }
        if agreement.matching.iou < self.iou {
            failures.insert(0, Failure::Matching { got: agreement.matching.iou, wanted: self.iou });
        }
        let weak = agreement.classes.iter().enumerate().filter(|(_, figures)| !self.failures(figures).is_empty());
        Verdict { failures, weak: weak.map(|(class, _)| class).collect() }
    }

    /// What of these figures is below the gate. Figures over nothing are not.
    pub fn failures(&self, figures: &Figures) -> Vec<Failure> {
        let Figures { reference, found, other, confirmed, .. } = *figures;
        let recall = figures.recall.filter(|got| *got < self.recall);
        let precision = figures.precision.filter(|got| *got < self.precision);
        let drift = figures.mean_drift.filter(|got| *got > self.drift);
        let max = figures.max_drift.unwrap_or_default();
        let all = [
            recall.map(|got| Failure::Recall { got, wanted: self.recall, missing: reference - found, of: reference }),
            precision.map(|got| Failure::Precision { got, wanted: self.precision, surplus: other - confirmed, of: other }),
            drift.map(|got| Failure::Drift { got, wanted: self.drift, max }),
        ];
        all.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests;
