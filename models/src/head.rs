//! Readers of raw network outputs: from the tensors of a whole batch to the boxes of each picture.
//!
//! A [`Head`] is made once from its [`HeadSpec`] and the outputs that a graph declares, and then reads batch after batch: scores,
//! boxes in pixels of the network's input, suppression of duplicates where the network leaves any, and what belongs to the boxes that
//! stay ([`Extra`]). Outputs that cannot be read are an error that names the output, the row and the likely cause, never a box.

mod detectnet;
mod detr;
mod distribution;
mod end_to_end;
mod error;
mod forms;
mod grid;
mod mask;
mod oriented;
mod picture;
mod priors;
mod reader;
mod spec;
mod ssd;
mod table;
#[cfg(test)]
mod tests;
mod yolov5;
mod yolov8;
mod yolox;

pub use error::{Fault, HeadError};
pub use mask::Mask;
pub use oriented::Oriented;
pub use spec::{Activation, Column, HeadSpec, Priors};
pub use yolox::{Yolox, anchor_count};

use crate::{
    nms::{self, NmsParams},
    spec::InputSpec,
};
use error::At;
use forms::{Declared, Fit, Form};
use picture::{Picture, View, Work};
use reader::Reader;
use table::Gate;

/// Largest side of an input picture, in pixels.
const MAX_SIDE: usize = 16_384;

/// An output as a runtime gives it. Integers come converted to `f32`.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Its name in the graph.
    pub name: &'a str,
    /// With the batch, `[N,…]`.
    pub shape: &'a [usize],
    /// Row-major.
    pub data: &'a [f32],
}

/// A box that a head found, before suppression, in pixels of the network's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Index into the class names.
    pub class: u16,
    /// Confidence, 0..1.
    pub score: f32,
    /// Left, top, right, bottom.
    pub bbox: [f32; 4],
    /// The prediction it came from: anchor, query, cell or row.
    pub row: u32,
}

/// A box that stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Index into the class names.
    pub class: u16,
    /// Confidence, 0..1.
    pub score: f32,
    /// Left, top, right, bottom in pixels of the network's input; of an oriented box the upright box around it.
    pub bbox: [f32; 4],
    /// What belongs to it.
    pub extra: Extra,
}

/// What a network tells beside a box.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Extra {
    /// Nothing.
    #[default]
    Nothing,
    /// The box as it is turned.
    Oriented(Oriented),
    /// x and y in pixels of the network's input, and visibility 0..1.
    Keypoints(Vec<[f32; 3]>),
    /// The pixels it covers.
    Mask(Mask),
}

/// Which boxes are worth telling.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// What a class needs that `class_confidence` does not reach.
    pub confidence: f32,
    /// What each class needs, by index; may be shorter than there are classes, or empty.
    pub class_confidence: Vec<f32>,
    /// What is done about duplicates. Of heads whose boxes are final only `detections` counts.
    pub nms: NmsParams,
}

/// Which way to export a network its outputs show, for readers elsewhere (a device).
#[derive(Clone, Debug, PartialEq)]
pub struct Arrangement {
    /// The place of that way among those of the head, as its [`HeadSpec`] lists them.
    pub form: usize,
    /// For each output that the head reads the position of that output.
    pub order: Vec<usize>,
    /// Which of the outputs that the head reads has boxes that are in pixels as they come.
    pub pixels: Option<usize>,
    /// How far from the origin an edge may be, in pixels.
    pub limit: f32,
}

/// Reads the outputs of one network.
pub struct Head {
    kind: &'static str,
    reader: Reader,
    forms: Vec<Form>,
    classes: usize,
    /// How far from the origin an edge may be.
    limit: f32,
    suppresses: bool,
    masks: bool,
    work: Work,
    scratch: nms::Scratch,
}

impl Head {
    /// A head for these outputs: name and shape with the batch, `None` where a graph leaves a dimension open. Their order matters
    /// only where shapes and names leave a choice; [`Self::decode`] takes them in the same order.
    ///
    /// # Errors
    /// [`HeadError::Spec`] and [`HeadError::Shapes`].
    pub fn new(
        spec: &HeadSpec,
        input: &InputSpec,
        outputs: &[(&str, &[Option<usize>])],
        classes: usize,
    ) -> Result<Self, HeadError> {
        let kind = spec.kind();
        let wrong = |reason| HeadError::Spec { kind, reason };
        let size = (input.width, input.height);
        if !(1..=usize::from(u16::MAX)).contains(&classes) {
            return Err(wrong(format!("1 to {} classes, not {classes}", u16::MAX)));
        }
        if !(1..=MAX_SIDE).contains(&size.0) || !(1..=MAX_SIDE).contains(&size.1) {
            return Err(wrong(format!("an input's sides are 1 to {MAX_SIDE} pixels, not {}x{}", size.0, size.1)));
        }
        let reader = Reader::new(spec, size, classes).map_err(wrong)?;
        let (forms, limit) = (reader.forms(), picture::limit(size));
        let suppresses = spec.suppresses();
        let (work, scratch) = (Work::default(), nms::Scratch::default());
        let head = Self { kind, reader, forms, classes, limit, suppresses, masks: true, work, scratch };
        head.fit(&outputs.iter().map(|(name, dims)| Declared { name, dims: dims.to_vec() }).collect::<Vec<_>>())?;
        Ok(head)
    }

    /// Which output is which.
    ///
    /// # Errors
    /// [`HeadError::Shapes`].
    pub fn arrangement(&self, outputs: &[(&str, &[Option<usize>])]) -> Result<Arrangement, HeadError> {
        let declared: Vec<_> = outputs.iter().map(|(name, dims)| Declared { name, dims: dims.to_vec() }).collect();
        let Fit { form, order } = self.fit(&declared)?;
        Ok(Arrangement { form, order, pixels: self.reader.pixels(form), limit: self.limit })
    }

    /// Whether masks are made of the prototypes of an instance segmentation: most of the work of such a head. They are, unless told
    /// otherwise.
    pub fn make_masks(&mut self, wanted: bool) {
        self.masks = wanted;
    }

    /// Leaves the boxes of the first `count` pictures of the batch in `found`, one list each, best first. What the network says of
    /// the pictures beyond is not looked at. Memory is reused.
    ///
    /// # Errors
    /// [`HeadError`]; `found` is then empty.
    pub fn decode(
        &mut self,
        outputs: &[Tensor<'_>],
        count: usize,
        thresholds: &Thresholds,
        found: &mut Vec<Vec<Found>>,
    ) -> Result<(), HeadError> {
        let result = self.decode_batch(outputs, count, thresholds, found);
        if result.is_err() {
            found.clear();
        }
        result
    }

    fn decode_batch(
        &mut self,
        outputs: &[Tensor<'_>],
        count: usize,
        thresholds: &Thresholds,
        found: &mut Vec<Vec<Found>>,
    ) -> Result<(), HeadError> {
        let declared = |tensor: &Tensor<'_>| tensor.shape.iter().map(|size| Some(*size)).collect();
        let declared: Vec<_> = outputs.iter().map(|tensor| Declared { name: tensor.name, dims: declared(tensor) }).collect();
        let Fit { form, order } = self.fit(&declared)?;
        let outputs: Vec<_> = order.iter().map(|output| outputs[*output]).collect();
        let whole = self.reader.whole(form);
        outputs.iter().try_for_each(|output| check_size(output, if whole { 0 } else { count }))?;
        found.resize_with(count, Vec::new);
        let gate = Gate::new(&thresholds.class_confidence, thresholds.confidence, self.classes);
        for (i, found) in found.iter_mut().enumerate() {
            found.clear();
            let views: Vec<_> = outputs.iter().map(|output| if whole { View::of(output) } else { view(output, i) }).collect();
            let picture = Picture { index: i, form, outputs: &views, gate, limit: self.limit };
            self.read(&picture, &thresholds.nms, found).map_err(|At { role, row, fault }| HeadError::Value {
                output: outputs[role].name.to_owned(),
                picture: i,
                row,
                fault,
            })?;
        }
        Ok(())
    }

    fn read(&mut self, picture: &Picture<'_>, params: &NmsParams, found: &mut Vec<Found>) -> Result<(), At> {
        let Self { reader, work, scratch, suppresses, masks, .. } = self;
        work.candidates.clear();
        reader.read(picture, work)?;
        if let Some(role) = reader.pixels(picture.form) {
            picture::in_pixels(&work.candidates).map_err(|fault| fault.at(role, 0))?;
        }
        match reader {
            _ if !*suppresses => nms::rank(&mut work.candidates, params.detections),
            Reader::Yolov8(head) if head.is_oriented() => {
                nms::suppress_oriented(&mut work.candidates, params, |candidate| head.oriented_of(picture, candidate.row));
            }
            _ => nms::suppress(&mut work.candidates, params, scratch),
        }
        for candidate in &work.candidates {
            let Candidate { class, score, bbox, row } = *candidate;
            let wanted = *masks || !reader.makes_masks();
            let extra = if wanted { reader.extra(picture, row, &bbox)? } else { Extra::Nothing };
            found.push(Found { class, score, bbox, extra });
        }
        Ok(())
    }

    fn fit(&self, outputs: &[Declared<'_>]) -> Result<Fit, HeadError> {
        forms::fit(&self.forms, outputs).ok_or_else(|| HeadError::Shapes {
            kind: self.kind,
            found: forms::describe(outputs),
            expected: forms::expected(&self.forms),
        })
    }
}

/// Whether an output holds what its shape says, for as many pictures as asked for.
fn check_size(output: &Tensor<'_>, count: usize) -> Result<(), HeadError> {
    let values = output.shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    if values == Some(output.data.len()) && output.shape[0] >= count {
        return Ok(());
    }
    let (shape, found) = (format!("{:?}", output.shape), output.data.len());
    Err(HeadError::Size { output: output.name.to_owned(), shape, found, pictures: count })
}

/// One picture's part. The shape has a batch, and the data is whole.
fn view<'a>(output: &Tensor<'a>, picture: usize) -> View<'a> {
    let len = output.data.len() / output.shape[0];
    View { data: &output.data[picture * len..][..len], dims: &output.shape[1..] }
}
