//! Boxes of two detectors side by side.

use std::fmt;

use egret::media::{BBox, Detection};

/// A detection as both sides tell it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Found {
    pub(crate) class: u16,
    pub(crate) score: f32,
    pub(crate) bbox: [f32; 4],
}

impl From<&Detection> for Found {
    fn from(d: &Detection) -> Self {
        Self { class: d.class, score: d.confidence, bbox: [d.bbox.x1, d.bbox.y1, d.bbox.x2, d.bbox.y2] }
    }
}

impl Found {
    pub(crate) fn clamped(&self, (width, height): (u32, u32)) -> Self {
        let [x1, y1, x2, y2] = self.bbox;
        let (x, y) = (|x: f32| x.clamp(0.0, width as f32), |y: f32| y.clamp(0.0, height as f32));
        Self { bbox: [x(x1), y(y1), x(x2), y(y2)], ..*self }
    }

    pub(crate) fn scaled(&self, ratio: f32) -> Self {
        Self { bbox: self.bbox.map(|edge| edge * ratio), ..*self }
    }

    fn iou(&self, other: &Self) -> f32 {
        let bbox = |[x1, y1, x2, y2]: [f32; 4]| BBox::new(x1, y1, x2, y2);
        bbox(self.bbox).iou(&bbox(other.bbox))
    }
}

/// Each of `ours` with the box of `theirs` that it overlaps most; both lists have one length.
pub(crate) fn pairs(ours: &[Found], theirs: &[Found]) -> Vec<(Found, Found)> {
    let best = |a: &Found| theirs.iter().filter(|b| a.class == b.class).copied().max_by(|b, c| a.iou(b).total_cmp(&a.iou(c)));
    ours.iter().map(|a| (*a, best(a).expect("a box of this class"))).collect()
}

/// How many boxes of one side the other has too.
#[derive(Default)]
pub(crate) struct Comparison {
    pub(crate) boxes: usize,
    score_differences: Vec<f32>,
    unmatched: Vec<String>,
}

impl Comparison {
    pub(crate) fn matched_share(&self) -> f64 {
        self.score_differences.len() as f64 / self.boxes.max(1) as f64
    }

    pub(crate) fn median_score_difference(&self) -> f32 {
        let mut sorted = self.score_differences.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f32::INFINITY)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (share, median) = (100.0 * self.matched_share(), self.median_score_difference());
        write!(f, "{} of {} matched ({share:.2} %)", self.score_differences.len(), self.boxes)?;
        write!(f, ", median score difference {median:.5}")?;
        self.unmatched.iter().try_for_each(|line| write!(f, "\n  unmatched: {line}"))
    }
}

/// Looks for each box of `these` from `confidence` on among `those`: one box of its class at `iou`, each used once.
pub(crate) fn compare(name: &str, these: &[Found], those: &[Found], confidence: f32, iou: f32, result: &mut Comparison) {
    let mut used = vec![false; those.len()];
    for this in these.iter().filter(|this| this.score >= confidence) {
        result.boxes += 1;
        let free = those.iter().enumerate().filter(|(i, that)| !used[*i] && that.class == this.class);
        let best = free.max_by(|(_, a), (_, b)| this.iou(a).total_cmp(&this.iou(b)));
        match best {
            Some((i, that)) if this.iou(that) >= iou => {
                used[i] = true;
                result.score_differences.push((this.score - that.score).abs());
            }
            best => {
                let nearest =
                    best.map_or_else(|| "none".into(), |(_, b)| format!("IoU {:.3}, score {:.3}", this.iou(b), b.score));
                let [x1, y1, x2, y2] = this.bbox;
                result.unmatched.push(format!(
                    "{name}: class {} score {:.3} at [{x1:.1},{y1:.1},{x2:.1},{y2:.1}]; nearest: {nearest}",
                    this.class, this.score
                ));
            }
        }
    }
}
