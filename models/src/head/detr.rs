//! The heads of DETR (Carion et al. 2020, arXiv:2005.12872) and its descendants RT-DETR (arXiv:2304.08069), D-FINE
//! (arXiv:2410.13842) and RF-DETR.

use super::{
    Activation, Candidate,
    end_to_end::scale,
    error::{At, Fault},
    forms::{Dim, Form, role},
    picture::{Picture, Work, class_of, corners, sigmoid},
    ssd::softmax,
    table::{improbable, probable},
};

/// So many logits within 0..1 are scores.
const MANY: usize = 100;

pub(super) struct Detr {
    activation: Activation,
    top_k: usize,
    classes: usize,
    size: (f32, f32),
    /// Of the exported post-processing.
    normalised: bool,
    final_scale: (f32, f32),
}

impl Detr {
    pub(super) fn new(
        activation: Activation,
        top_k: usize,
        normalised: bool,
        input: (usize, usize),
        classes: usize,
    ) -> Result<Self, String> {
        if top_k == 0 {
            return Err("top_k is at least 1".into());
        }
        let size = (input.0 as f32, input.1 as f32);
        Ok(Self { activation, top_k, classes, size, normalised, final_scale: scale(normalised, input) })
    }

    pub(super) fn forms(&self) -> Vec<Form> {
        let logits = self.classes + usize::from(self.activation == Activation::Softmax);
        let (q, m) = (Dim::Open('Q'), Dim::Open('M'));
        vec![
            vec![role("logits", [q, Dim::Is(logits)]), role("boxes", [q, Dim::Is(4)])],
            vec![role("labels", [m]), role("boxes", [m, Dim::Is(4)]), role("scores", [m])],
        ]
    }

    /// Whether the boxes are in pixels as they come.
    pub(super) fn in_pixels(&self, form: usize) -> bool {
        form == 1 && !self.normalised
    }

    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        if picture.form == 1 {
            return self.read_final(picture, work);
        }
        self.score(picture, work)?;
        // Boxes of those that remain alone: there are many more scores than boxes worth reading.
        let boxes = picture.outputs[1].data;
        for candidate in &mut work.candidates {
            let row = candidate.row as usize;
            let [cx, cy, w, h]: [f32; 4] = std::array::from_fn(|i| boxes[4 * row + i]);
            let (sx, sy) = self.size;
            let bbox = corners([cx * sx, cy * sy, w * sx, h * sy]);
            *candidate = picture.candidate(1, row, (candidate.class, candidate.score), bbox)?;
        }
        Ok(())
    }

    /// Candidates without boxes: the best `top_k` that are enough.
    fn score(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        let logits = picture.outputs[0].data;
        let width = picture.outputs[0].dims[1];
        if self.activation != Activation::None && logits.len() >= MANY && logits.iter().all(|l| (0.0..=1.0).contains(l)) {
            return Err(Fault::AlreadyScores.at(0, 0));
        }
        for (row, logits) in logits.chunks_exact(width).enumerate() {
            self.score_query(logits, row, picture, work).map_err(|fault| fault.at(0, row))?;
        }
        if work.candidates.len() > self.top_k {
            let order = |a: &Candidate, b: &Candidate| b.score.total_cmp(&a.score).then((a.row, a.class).cmp(&(b.row, b.class)));
            work.candidates.select_nth_unstable_by(self.top_k - 1, order);
            work.candidates.truncate(self.top_k);
        }
        work.candidates.retain(|candidate| picture.gate.passes(candidate.class, candidate.score));
        Ok(())
    }

    fn score_query(&self, logits: &[f32], row: usize, picture: &Picture<'_>, work: &mut Work) -> Result<(), Fault> {
        let Work { candidates, values, .. } = work;
        let lowest = picture.gate.lowest;
        let mut push = |class: usize, score: f32| {
            if score >= lowest {
                candidates.push(Candidate { class: class as u16, score, bbox: [0.0; 4], row: row as u32 });
            }
        };
        for &logit in logits {
            let sound = if self.activation == Activation::None { probable(logit) } else { logit < f32::INFINITY };
            if !sound {
                return Err(improbable(logit));
            }
        }
        match self.activation {
            Activation::None => logits.iter().enumerate().for_each(|(class, score)| push(class, *score)),
            Activation::Sigmoid => logits.iter().enumerate().for_each(|(class, logit)| push(class, sigmoid(*logit))),
            Activation::Softmax => {
                values.clear();
                values.extend_from_slice(logits);
                softmax(values, logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
                let best = values[..self.classes].iter().enumerate().rev().max_by(|(_, a), (_, b)| a.total_cmp(b));
                let (class, score) = best.map_or((0, f32::NAN), |(class, score)| (class, *score));
                if score.is_nan() {
                    return Err(Fault::NotFinite);
                }
                push(class, score);
            }
        }
        Ok(())
    }

    fn read_final(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        let [labels, boxes, scores] = picture.outputs else { return Ok(()) };
        for (row, (&score, &label)) in scores.data.iter().zip(labels.data).enumerate() {
            if !probable(score) {
                return Err(improbable(score).at(2, row));
            }
            if score < picture.gate.lowest {
                continue;
            }
            let class = class_of(label, self.classes).map_err(|fault| fault.at(0, row))?;
            if picture.gate.passes(class, score) {
                let (sx, sy) = self.final_scale;
                let [x1, y1, x2, y2]: [f32; 4] = std::array::from_fn(|i| boxes.data[4 * row + i]);
                let bbox = [x1 * sx, y1 * sy, x2 * sx, y2 * sy];
                work.candidates.push(picture.candidate(1, row, (class, score), bbox)?);
            }
        }
        Ok(())
    }
}
