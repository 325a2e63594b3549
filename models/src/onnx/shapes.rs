//! How large the graph's values become, followed from the inputs on.
//!
//! Only the operators of convolutional networks are followed; what another one makes is unknown and goes unchecked. Known shapes
//! catch what no single constant tells: a chain of doublings, a sum of a row and a column.

use std::collections::HashMap;

use super::{
    graph::{AttributeValue, Dim, Graph, Node},
    growth::Constants,
};

/// A value's shape, as far as it is known at all.
type Shape = Vec<u64>;

/// The shapes of a graph's values, one picture per batch where the batch is open.
pub(super) struct Shapes<'g> {
    constants: &'g Constants<'g>,
    known: HashMap<&'g str, Shape>,
}

impl<'g> Shapes<'g> {
    pub(super) fn new(graph: &'g Graph<'g>, constants: &'g Constants<'g>) -> Self {
        let inputs = graph.inputs.iter().filter_map(|input| {
            let dims = input.dims.as_ref()?.iter().map(|dim| match dim {
                Dim::Fixed(n) => u64::try_from(*n).unwrap_or(1).max(1),
                Dim::Dynamic => 1,
            });
            Some((input.name, dims.collect()))
        });
        let initializers = graph.initializers.iter().map(|t| (t.name, t.dims.iter().map(|d| d.unsigned_abs()).collect()));
        Self { constants, known: inputs.chain(initializers).collect() }
    }

    /// Elements of the largest output of the next node, and its shape from now on; `None` where nothing is known of it.
    pub(super) fn follow(&mut self, node: &'g Node<'g>) -> Option<f64> {
        let shape = self.output(node)?;
        let elements = shape.iter().map(|dim| *dim as f64).product();
        for output in &node.outputs {
            self.known.insert(output, shape.clone());
        }
        Some(elements)
    }

    fn input<'s>(&'s self, node: &Node<'_>, index: usize) -> Option<&'s Shape> {
        let name: &str = node.inputs.get(index)?;
        self.known.get(name)
    }

    /// A constant input, or the attribute that older operator sets have instead.
    fn numbers(&self, node: &Node<'_>, index: usize, attribute: &str) -> Option<Vec<f64>> {
        self.constants.values(node, index).or_else(|| ints(node, attribute).map(|i| i.iter().map(|i| *i as f64).collect()))
    }

    fn output(&self, node: &Node<'_>) -> Option<Shape> {
        match node.op {
            // What keeps the shape, and what makes no more of it.
            "Relu"
            | "LeakyRelu"
            | "PRelu"
            | "Sigmoid"
            | "HardSigmoid"
            | "HardSwish"
            | "Tanh"
            | "Exp"
            | "Log"
            | "Sqrt"
            | "Neg"
            | "Abs"
            | "Clip"
            | "Cast"
            | "Identity"
            | "Softplus"
            | "Softmax"
            | "Elu"
            | "Mish"
            | "Erf"
            | "Floor"
            | "Ceil"
            | "Not"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "Dropout"
            | "Split"
            | "QuantizeLinear"
            | "DequantizeLinear" => self.input(node, 0).cloned(),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Max" | "Min" | "Where" | "Equal" | "Less" | "Greater" | "And" | "Or"
            | "Sum" => (0..node.inputs.len()).try_fold(Shape::new(), |shape, i| Some(broadcast(shape, self.input(node, i)?))),
            "Conv" => self.convolved(node),
            "MaxPool" | "AveragePool" => self.windowed(node, ints(node, "kernel_shape")?, None),
            "GlobalAveragePool" | "GlobalMaxPool" => {
                Some(self.input(node, 0)?.iter().enumerate().map(|(i, dim)| if i < 2 { *dim } else { 1 }).collect())
            }
            "Concat" => self.concatenated(node),
            "Slice" => Some(self.sliced(node).unwrap_or(self.input(node, 0)?.clone())),
            "Transpose" => {
                let input = self.input(node, 0)?;
                let reversed = || (0..input.len() as i64).rev().collect();
                let permutation: Vec<i64> = ints(node, "perm").map_or_else(reversed, <[i64]>::to_vec);
                permutation.iter().map(|axis| input.get(usize::try_from(*axis).ok()?).copied()).collect()
            }
            "Reshape" => self.reshaped(node),
            "Flatten" | "SpaceToDepth" | "DepthToSpace" => Some(vec![product(self.input(node, 0)?)]),
            "Resize" | "Upsample" => self.resized(node),
            "Expand" => {
                let shape = self.constants.values(node, 1)?.into_iter().map(|v| v.max(1.0) as u64).collect();
                Some(broadcast(shape, self.input(node, 0)?))
            }
            "Tile" => {
                let repeats = self.constants.values(node, 1)?;
                Some(self.input(node, 0)?.iter().zip(repeats).map(|(dim, times)| scaled(*dim, times)).collect())
            }
            "Pad" => {
                let pads = self.numbers(node, 1, "pads")?;
                let axes = self.input(node, 0)?.iter().enumerate();
                let half = pads.len() / 2;
                let padded = axes.map(|(i, dim)| Some(dim.saturating_add_signed((pads.get(i)? + pads.get(i + half)?) as i64)));
                padded.collect()
            }
            "MatMul" => {
                let (left, right) = (self.input(node, 0)?, self.input(node, 1)?);
                let ((rows, batch), (columns, _)) = (left[..left.len().checked_sub(1)?].split_last()?, right.split_last()?);
                let batch = broadcast(batch.to_vec(), &right[..right.len().checked_sub(2)?]);
                Some(batch.into_iter().chain([*rows, *columns]).collect())
            }
            _ => None,
        }
    }

    fn convolved(&self, node: &Node<'_>) -> Option<Shape> {
        let weights = self.input(node, 1)?;
        let kernel: Vec<i64> = weights.get(2..)?.iter().map(|k| *k as i64).collect();
        self.windowed(node, &kernel, weights.first().copied())
    }

    /// The output of a window that moves over all axes but the first two (ONNX operator `Conv`, section "output_shape").
    fn windowed(&self, node: &Node<'_>, kernel: &[i64], channels: Option<u64>) -> Option<Shape> {
        let input = self.input(node, 0)?;
        let spatial = input.get(2..)?;
        let at =
            |name: &str, i: usize, default: i64| ints(node, name).and_then(|values| values.get(i)).copied().unwrap_or(default);
        let sizes = spatial.iter().enumerate().map(|(i, size)| {
            let window = (kernel.get(i)?.checked_sub(1)?).checked_mul(at("dilations", i, 1))?.checked_add(1)?;
            let pads = at("pads", i, 0).checked_add(at("pads", i + spatial.len(), 0))?;
            let stride = at("strides", i, 1).max(1);
            let same = ints(node, "auto_pad").is_none() && node.attribute("auto_pad").is_some();
            // `SAME` pads as much as it takes.
            let room = if same { *size as i64 } else { (*size as i64).checked_add(pads)?.checked_sub(window)?.max(0) };
            let up = i64::from(room % stride > 0 && (same || ints(node, "ceil_mode").is_some_and(|ceil| ceil != [0])));
            Some((room / stride).saturating_add(1 + up) as u64)
        });
        let mut shape = vec![*input.first()?, channels.unwrap_or(*input.get(1)?)];
        for size in sizes {
            shape.push(size?);
        }
        Some(shape)
    }

    fn concatenated(&self, node: &Node<'_>) -> Option<Shape> {
        let mut shape = self.input(node, 0)?.clone();
        let axis = axis(ints(node, "axis")?.first().copied()?, shape.len())?;
        for i in 1..node.inputs.len() {
            let more = *self.input(node, i)?.get(axis)?;
            shape[axis] = shape[axis].saturating_add(more);
        }
        Some(shape)
    }

    /// Starts, ends, axes and steps; negative ones count from the end.
    fn sliced(&self, node: &Node<'_>) -> Option<Shape> {
        let mut shape = self.input(node, 0)?.clone();
        let (starts, ends) = (self.numbers(node, 1, "starts")?, self.numbers(node, 2, "ends")?);
        let all = || (0..starts.len()).map(|i| i as f64).collect();
        let axes = self.numbers(node, 3, "axes").unwrap_or_else(all);
        let steps = self.constants.values(node, 4).unwrap_or_else(|| vec![1.0; starts.len()]);
        for (((start, end), of), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            let of = axis(*of as i64, shape.len())?;
            let len = shape[of] as f64;
            let from_end = |at: f64| if at < 0.0 { at + len } else { at }.clamp(0.0, len);
            let (start, end) = (from_end(*start), from_end(*end));
            shape[of] = ((end - start).abs() / step.abs().max(1.0)).ceil() as u64;
        }
        Some(shape)
    }

    /// 0 keeps a dimension, -1 takes what is left.
    fn reshaped(&self, node: &Node<'_>) -> Option<Shape> {
        let input = self.input(node, 0)?;
        let wanted = self.constants.values(node, 1)?;
        let dims =
            wanted.iter().enumerate().map(|(i, dim)| if *dim == 0.0 { input.get(i).copied() } else { Some(dim.abs() as u64) });
        let mut shape: Shape = dims.collect::<Option<_>>()?;
        if let Some(open) = wanted.iter().position(|dim| *dim < 0.0) {
            shape[open] = 1;
            shape[open] = product(input).div_ceil(product(&shape).max(1));
        }
        Some(shape)
    }

    fn resized(&self, node: &Node<'_>) -> Option<Shape> {
        let input = self.input(node, 0)?;
        if let Some(sizes) = self.constants.values(node, 3).filter(|sizes| !sizes.is_empty()) {
            return Some(sizes.into_iter().map(|size| size as u64).collect());
        }
        let at = if node.inputs.len() == 2 { 1 } else { 2 };
        let scales = self.constants.values(node, at).filter(|scales| scales.len() == input.len())?;
        Some(input.iter().zip(scales).map(|(dim, scale)| scaled(*dim, scale)).collect())
    }
}

fn ints<'n>(node: &'n Node<'_>, name: &str) -> Option<&'n [i64]> {
    match node.attribute(name)? {
        AttributeValue::Ints(ints) => Some(ints),
        _ => None,
    }
}

fn axis(axis: i64, rank: usize) -> Option<usize> {
    usize::try_from(if axis < 0 { axis.checked_add(rank as i64)? } else { axis }).ok().filter(|axis| *axis < rank)
}

fn product(shape: &[u64]) -> u64 {
    shape.iter().fold(1, |product, dim| product.saturating_mul(*dim))
}

fn scaled(dim: u64, by: f64) -> u64 {
    (dim as f64 * by) as u64
}

/// NumPy's rule: aligned at the right, a one stretches.
fn broadcast(a: Shape, b: &[u64]) -> Shape {
    let (mut long, short) = if a.len() >= b.len() { (a, b.to_vec()) } else { (b.to_vec(), a) };
    let start = long.len() - short.len();
    for (dim, other) in long[start..].iter_mut().zip(short) {
        *dim = (*dim).max(other);
    }
    long
}
