//! What a model got wrong in a picture, and the pictures with the most of it.

use egret_models::eval::coco::{Detected, Object, overlap};

use super::samples::Sample;
use crate::observe::still::{self, StillError};

/// A box is right from this IoU on.
const IOU: f64 = 0.5;
/// Boxes below this score are not drawn, and do not count as having found anything in a drawing.
const DRAWN_FROM: f64 = 0.3;
/// Longest side of a picture in the report, in pixels.
const LONGEST: u32 = 960;
/// Most boxes that are drawn.
const MAX_DRAWN: usize = 300;

/// What a box in a drawing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// An object, found.
    Found,
    /// An object, missed.
    Missed,
    /// An object that is not judged.
    Unjudged,
    /// A box on an object.
    Right,
    /// A box on nothing.
    Wrong,
}

/// A box in a drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// What it is.
    pub mark: Mark,
    /// Index of the class.
    pub class: usize,
    /// Left, top, width, height in pixels of the picture.
    pub bbox: [f64; 4],
    /// The model's confidence; `None` for objects that it does not have.
    pub score: Option<f64>,
}

/// A picture with what a model got wrong in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Miss {
    /// Name of the picture.
    pub picture: String,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// How wrong: 1 − score of each object (1 for one without a box), and the score of each box on nothing.
    pub loss: f64,
    /// The picture as a JPEG file, scaled down if it is large.
    pub jpeg: Vec<u8>,
    /// What to draw.
    pub boxes: Vec<Drawn>,
}

/// Judges the boxes of one picture: highest score first, each takes the free object of its class that it overlaps most, from
/// IoU 0.5 on. The loss is 1 − score for each object (1 for one without a box), and the score of each box on nothing.
pub(super) fn judge(objects: &[Object], found: &[Detected]) -> (f64, Vec<Drawn>) {
    let mut order: Vec<&Detected> = found.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut taken: Vec<Option<f64>> = vec![None; objects.len()];
    let (mut loss, mut drawn) = (0.0, Vec::new());
    for detected in order {
        let hits = objects.iter().enumerate().filter(|(_, object)| object.class == detected.class);
        let hits: Vec<(usize, f64)> =
            hits.map(|(i, o)| (i, overlap(&detected.bbox, &o.bbox, o.crowd))).filter(|(_, iou)| *iou >= IOU).collect();
        let unjudged = |i: usize| objects[i].ignore || objects[i].crowd;
        let free = hits.iter().filter(|(i, _)| !unjudged(*i) && taken[*i].is_none());
        let mark = if let Some((i, _)) = free.max_by(|a, b| a.1.total_cmp(&b.1)) {
            taken[*i] = Some(detected.score);
            Mark::Right
        } else if hits.iter().any(|(i, _)| unjudged(*i)) {
            Mark::Unjudged
        } else {
            loss += detected.score;
            Mark::Wrong
        };
        if detected.score >= DRAWN_FROM && mark != Mark::Unjudged {
            drawn.push(Drawn { mark, class: detected.class, bbox: detected.bbox, score: Some(detected.score) });
        }
    }
    for (object, score) in objects.iter().zip(taken) {
        let mark = if object.ignore || object.crowd {
            Mark::Unjudged
        } else {
            loss += 1.0 - score.unwrap_or(0.0);
            if score.is_some_and(|score| score >= DRAWN_FROM) { Mark::Found } else { Mark::Missed }
        };
        drawn.push(Drawn { mark, class: object.class, bbox: object.bbox, score });
    }
    drawn.sort_by_key(|drawn| drawn.mark != Mark::Missed);
    drawn.truncate(MAX_DRAWN);
    (loss, drawn)
}

/// The worst pictures so far. Only these are kept, as JPEG.
pub(super) struct Worst {
    most: usize,
    kept: Vec<Miss>,
}

impl Worst {
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: Vec::new() }
    }

    /// Looks at a picture.
    pub(super) fn offer(&mut self, sample: &Sample, objects: &[Object], found: &[Detected]) -> Result<(), StillError> {
        let Some(picture) = sample.frame.as_ref().and_then(|frame| frame.pixels.host()) else { return Ok(()) };
        let (loss, boxes) = judge(objects, found);
        let place = self.kept.partition_point(|miss| miss.loss >= loss);
        if loss > 0.0 && place < self.most {
            let jpeg = still::encode(picture, LONGEST)?;
            let size = (picture.width(), picture.height());
            self.kept.insert(place, Miss { picture: sample.name.clone(), size, loss, jpeg, boxes });
            self.kept.truncate(self.most);
        }
        Ok(())
    }

    /// Worst first.
    pub(super) fn into_misses(self) -> Vec<Miss> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [f64; 4] = [10.0, 10.0, 100.0, 100.0];
    const THERE: [f64; 4] = [300.0, 10.0, 100.0, 100.0];

    fn object(bbox: [f64; 4], ignore: bool) -> Object {
        Object { image: 0, class: 0, bbox, area: 1e4, crowd: false, ignore }
    }

    fn found(bbox: [f64; 4], score: f64) -> Detected {
        Detected { image: 0, class: 0, bbox, score }
    }

    #[test]
    fn the_loss_is_what_is_missed_and_what_is_made_up() {
        let (loss, drawn) =
            judge(&[object(HERE, false), object(THERE, false)], &[found(HERE, 0.9), found([500.0, 0.0, 9.0, 9.0], 0.6)]);
        assert!((loss - (0.1 + 1.0 + 0.6)).abs() < 1e-9);
        let marks: Vec<Mark> = drawn.iter().map(|drawn| drawn.mark).collect();
        assert_eq!(marks, [Mark::Missed, Mark::Right, Mark::Wrong, Mark::Found]);
    }

    #[test]
    fn a_faint_box_finds_little_and_is_not_drawn() {
        let (loss, drawn) = judge(&[object(HERE, false)], &[found(HERE, 0.1)]);
        assert!((loss - 0.9).abs() < 1e-9);
        assert_eq!(drawn.iter().map(|d| (d.mark, d.score)).collect::<Vec<_>>(), [(Mark::Missed, Some(0.1))]);
    }

    #[test]
    fn boxes_on_what_is_not_judged_cost_nothing() {
        let (loss, drawn) = judge(&[object(HERE, true)], &[found(HERE, 0.9), found(HERE, 0.8)]);
        assert_eq!((loss, drawn.len()), (0.0, 1));
    }
}
