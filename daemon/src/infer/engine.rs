//! What runs a network: named outputs with their shapes, whatever the runtime.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

use egret_models::{
    head::Tensor,
    spec::{ElementKind, InputSpec},
};
use half::{f16, slice::HalfFloatSliceExt};

use super::{onnxruntime, rten};

/// A loaded network in the runtime that runs it.
pub(super) enum Engine {
    OnnxRuntime(onnxruntime::Engine),
    Rten(rten::Engine),
}

/// One batch's input as the runtime takes it.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    Floats(&'a [f32]),
    Halves(&'a [f16]),
    Bytes(&'a [u8]),
}

/// What reads the outputs of a run: all that were asked for, in that order, whole batches of them.
pub(super) type Read<'a> = &'a mut dyn FnMut(&[Tensor<'_>]) -> Result<(), String>;

impl Engine {
    /// Runs a batch: `input` is one tensor of this shape.
    pub(super) fn run(&mut self, input: Input<'_>, shape: &[usize], read: Read<'_>) -> Result<(), String> {
        match self {
            Self::OnnxRuntime(engine) => engine.run(input, shape, read),
            Self::Rten(engine) => engine.run(input, shape, read),
        }
    }

    /// The outputs' names and shapes for a batch of `count` that is all padding. A runtime's panic is its failure.
    pub(super) fn try_out(&mut self, feed: &mut Feed, count: usize) -> Result<Vec<(String, Vec<usize>)>, String> {
        let mut shapes = Vec::new();
        let mut read = |outputs: &[Tensor<'_>]| {
            shapes.extend(outputs.iter().map(|output| (output.name.to_owned(), output.shape.to_vec())));
            Ok(())
        };
        match catch_unwind(AssertUnwindSafe(|| feed.run(self, 0..count, &mut read))) {
            Ok(result) => result.map(|()| shapes),
            Err(_) => Err("the runtime panicked".into()),
        }
    }
}

/// The values as the network takes them.
enum Packed {
    /// As they are.
    Floats,
    Halves(Vec<f16>),
    Bytes(Vec<u8>),
}

/// The input tensor and its way into the engine.
pub(super) struct Feed {
    /// The shape of a batch; the first dimension is set for each run.
    shape: Vec<usize>,
    /// `f32`, whatever the network takes: what the letterbox fills.
    pub(super) values: Vec<f32>,
    packed: Packed,
    /// Values per picture or clip.
    pub(super) each: usize,
}

impl Feed {
    /// Room for `slots` pictures or clips.
    pub(super) fn new(input: &InputSpec, slots: usize) -> Self {
        let shape = input.shape(slots);
        let each = shape[1..].iter().product();
        let values = vec![0.0; slots * each];
        let packed = match input.element {
            ElementKind::F32 => Packed::Floats,
            ElementKind::F16 => Packed::Halves(vec![f16::ZERO; values.len()]),
            ElementKind::U8 => Packed::Bytes(vec![0; values.len()]),
        };
        Self { shape, values, packed, each }
    }

    /// Runs the pictures of these slots.
    pub(super) fn run(&mut self, engine: &mut Engine, slots: Range<usize>, read: Read<'_>) -> Result<(), String> {
        self.shape[0] = slots.len();
        let range = slots.start * self.each..slots.end * self.each;
        let values = &self.values[range.clone()];
        match &mut self.packed {
            Packed::Floats => engine.run(Input::Floats(values), &self.shape, read),
            Packed::Halves(halves) => {
                let halves = &mut halves[range];
                halves.convert_from_f32_slice(values);
                engine.run(Input::Halves(halves), &self.shape, read)
            }
            Packed::Bytes(bytes) => {
                let bytes = &mut bytes[range];
                // `as` saturates.
                bytes.iter_mut().zip(values).for_each(|(byte, value)| *byte = value.round() as u8);
                engine.run(Input::Bytes(bytes), &self.shape, read)
            }
        }
    }
}
