//! What operators make of shapes (onnx/docs/Operators.md).

use super::{Dims, Fact, MAX_INTS, Rule, axis, broadcast, product};

/// Operators whose first output has the shape of their first input, and no further output that matters.
const SAME: &str = "Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization BitwiseNot CastLike Ceil Celu Clip Cos Cosh CumSum \
                    DequantizeLinear Dropout Elu Erf Exp Floor Gelu GroupNormalization HardSigmoid HardSwish Hardmax \
                    InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Log LogSoftmax LpNormalization \
                    MeanVarianceNormalization Mish Neg Not PRelu QuantizeLinear RMSNormalization Reciprocal Relu \
                    ReverseSequence Round Scatter ScatterElements ScatterND Selu Shrink Sigmoid Sign Sin Sinh Softmax \
                    Softplus Softsign Sqrt Swish Tan Tanh TensorScatter ThresholdedRelu Trilu";
/// Operators over inputs that are stretched to one shape.
const ELEMENTWISE: &str = "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max \
                           Mean Min Mod Mul Or Pow Sub Sum Where Xor";

fn is_of(list: &str, op: &str) -> bool {
    list.split_ascii_whitespace().any(|name| name == op)
}

impl Rule<'_> {
    /// What is known of each output; `None` of an unknown operator.
    pub(super) fn outputs(&self) -> Option<Vec<Option<Fact>>> {
        match self.node.op.as_str() {
            "Split" => self.split(),
            "TopK" => {
                let fact = self.top().map(Fact::of);
                Some(vec![fact.clone(), fact])
            }
            _ => Some(vec![self.output()]),
        }
    }

    fn output(&self) -> Option<Fact> {
        match self.node.op.as_str() {
            "Identity" | "Cast" => self.fact(0).cloned(),
            "Shape" => self.shape(),
            "Size" => Some(Fact { dims: Vec::new(), ints: Some(vec![product(self.dims(0)?)?]) }),
            "Gather" => self.gathered(),
            "Concat" => self.concatenated(),
            "Slice" => self.sliced(),
            "Squeeze" => self.squeezed(),
            "Unsqueeze" => self.unsqueezed(),
            "Add" | "Sub" | "Mul" | "Div" => self.arithmetic(),
            _ => self.output_dims().map(Fact::of),
        }
    }

    fn output_dims(&self) -> Option<Dims> {
        match self.node.op.as_str() {
            "ConstantOfShape" => self.fact(0)?.ints.clone(),
            "Expand" => broadcast(self.dims(0)?, self.fact(1)?.ints.as_ref()?),
            "Conv" => self.convolved(),
            "ConvTranspose" => self.transposed_convolution(),
            "MaxPool" | "AveragePool" | "LpPool" => self.pooled(),
            "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => {
                Some(self.dims(0)?.iter().enumerate().map(|(i, dim)| if i < 2 { *dim } else { 1 }).collect())
            }
            "Resize" | "Upsample" => self.resized(),
            "Pad" => self.padded(),
            "Transpose" => self.transposed(),
            "Reshape" => self.reshaped(),
            "Flatten" => self.flattened(),
            "Tile" => self.tiled(),
            "MatMul" => self.multiplied(),
            "Gemm" => Some(vec![self.side(0, 0, "transA")?, self.side(1, 1, "transB")?]),
            "ArgMax" | "ArgMin" => self.reduced(&[self.int("axis", 0)]),
            "DepthToSpace" | "SpaceToDepth" => self.blocks(),
            "GatherElements" => self.dims(1).cloned(),
            "GridSample" => {
                let (input, grid) = (self.dims(0)?, self.dims(1)?);
                Some(input.get(..2)?.iter().chain(grid.get(1..grid.len().checked_sub(1)?)?).copied().collect())
            }
            op if op.starts_with("Reduce") => self.reduced_over(),
            op if is_of(SAME, op) => self.dims(0).cloned(),
            op if is_of(ELEMENTWISE, op) => self.stretched(),
            _ => None,
        }
    }

    fn stretched(&self) -> Option<Dims> {
        (0..self.node.inputs.len()).try_fold(Dims::new(), |dims, i| broadcast(&dims, self.dims(i)?))
    }

    fn side(&self, input: usize, axis: usize, turned: &str) -> Option<i64> {
        self.dims(input)?.get(if self.int(turned, 0) == 0 { axis } else { 1 - axis }).copied()
    }

    fn shape(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let rank = dims.len() as i64;
        let clamp = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
        let (start, end) = (clamp(self.int("start", 0)), clamp(self.int("end", rank)));
        Some(Fact::vector(dims.get(start..end).unwrap_or_default().to_vec()))
    }

    fn gathered(&self) -> Option<Fact> {
        let (data, indices) = (self.fact(0)?, self.fact(1)?);
        let at = axis(self.int("axis", 0), data.dims.len())?;
        let dims = data.dims[..at].iter().chain(&indices.dims).chain(&data.dims[at + 1..]).copied().collect();
        let pick = || {
            let (from, at) = (data.ints.as_ref()?, indices.ints.as_ref()?);
            at.iter().map(|i| from.get(axis(*i, from.len())?).copied()).collect::<Option<Vec<i64>>>()
        };
        Some(Fact { dims, ints: if data.dims.len() == 1 { pick() } else { None } })
    }

    fn concatenated(&self) -> Option<Fact> {
        let mut dims = self.dims(0)?.clone();
        let along = axis(self.node.int("axis")?, dims.len())?;
        let mut ints = Some(Vec::new());
        for i in 0..self.node.inputs.len() {
            let fact = self.fact(i)?;
            let others = fact.dims.iter().zip(&dims).enumerate().all(|(at, (a, b))| at == along || a == b);
            if fact.dims.len() != dims.len() || !others {
                return None;
            }
            if i > 0 {
                dims[along] = dims[along].checked_add(fact.dims[along])?;
            }
            ints = ints.zip(fact.ints.as_ref()).map(|(all, more)| [all, more.clone()].concat());
        }
        Some(Fact { ints: ints.filter(|ints| dims.len() == 1 && ints.len() <= MAX_INTS), dims })
    }

    /// Starts, ends, axes and steps; negative ones count from the end.
    fn sliced(&self) -> Option<Fact> {
        let mut fact = self.fact(0)?.clone();
        let (starts, ends) = (self.numbers(1, "starts")??, self.numbers(2, "ends")??);
        let axes = self.numbers(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.numbers(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return None;
        }
        for i in 0..starts.len() {
            let of = axis(axes[i], fact.dims.len())?;
            let (start, count) = run(fact.dims[of], starts[i], ends[i], steps[i])?;
            if let Some(ints) = fact.ints.take() {
                let picked = (0..count).map(|k| ints.get(usize::try_from(start + k * steps[i]).ok()?).copied());
                fact.ints = picked.collect();
            }
            fact.dims[of] = count;
        }
        Some(fact)
    }

    fn squeezed(&self) -> Option<Fact> {
        let fact = self.fact(0)?;
        let dims = match self.numbers(1, "axes")? {
            None => fact.dims.iter().copied().filter(|dim| *dim != 1).collect(),
            Some(axes) => {
                let gone = axes.iter().map(|at| axis(*at, fact.dims.len())).collect::<Option<Vec<_>>>()?;
                let kept = fact.dims.iter().enumerate().filter(|(i, _)| !gone.contains(i));
                kept.map(|(_, dim)| *dim).collect()
            }
        };
        Some(Fact { dims, ints: fact.ints.clone() })
    }

    fn unsqueezed(&self) -> Option<Fact> {
        let fact = self.fact(0)?;
        let axes = self.numbers(1, "axes")??;
        let rank = fact.dims.len() + axes.len();
        let new = axes.iter().map(|at| axis(*at, rank)).collect::<Option<Vec<_>>>()?;
        let mut rest = fact.dims.iter();
        let each = (0..rank).map(|i| if new.contains(&i) { Some(1) } else { rest.next().copied() });
        Some(Fact { dims: each.collect::<Option<_>>()?, ints: fact.ints.clone() })
    }

    /// Of shapes the values too.
    fn arithmetic(&self) -> Option<Fact> {
        let (a, b) = (self.fact(0)?, self.fact(1)?);
        let dims = broadcast(&a.dims, &b.dims)?;
        let of = |x: &[i64], y: &[i64]| {
            let at = |of: &[i64], i: usize| if of.len() == 1 { of.first().copied() } else { of.get(i).copied() };
            let each = (0..x.len().max(y.len())).map(|i| match (self.node.op.as_str(), at(x, i)?, at(y, i)?) {
                ("Add", a, b) => a.checked_add(b),
                ("Sub", a, b) => a.checked_sub(b),
                ("Mul", a, b) => a.checked_mul(b),
                // Truncates, as ONNX does for integers.
                (_, a, b) => a.checked_div(b),
            });
            each.collect()
        };
        Some(Fact { dims, ints: a.ints.as_ref().zip(b.ints.as_ref()).and_then(|(x, y)| of(x, y)) })
    }

    fn split(&self) -> Option<Vec<Option<Fact>>> {
        let dims = self.dims(0)?;
        let along = axis(self.int("axis", 0), dims.len())?;
        let count = self.node.outputs.len() as i64;
        let sizes = self.numbers(1, "split")?.unwrap_or_else(|| {
            // Equal parts, the last one smaller.
            let each = (dims[along] + count - 1) / count.max(1);
            (0..count).map(|i| each.min(dims[along] - each * i).max(0)).collect()
        });
        let part = |size: &i64| {
            let mut dims = dims.clone();
            dims[along] = *size;
            Some(Fact::of(dims))
        };
        (sizes.len() as i64 == count).then(|| sizes.iter().map(part).collect())
    }

    fn top(&self) -> Option<Dims> {
        let mut dims = self.dims(0)?.clone();
        let along = axis(self.int("axis", -1), dims.len())?;
        dims[along] = match self.node.int("k") {
            Some(k) => k,
            None => *self.fact(1)?.ints.as_ref()?.first()?,
        };
        Some(dims)
    }

    fn tiled(&self) -> Option<Dims> {
        let repeats = self.fact(1)?.ints.as_ref()?;
        let each = self.dims(0)?.iter().zip(repeats).map(|(dim, times)| dim.checked_mul(*times));
        each.collect::<Option<Dims>>().filter(|dims| dims.len() == repeats.len())
    }

    fn transposed(&self) -> Option<Dims> {
        let input = self.dims(0)?;
        let Some(permutation) = self.list("perm") else { return Some(input.iter().rev().copied().collect()) };
        permutation.iter().map(|axis| input.get(usize::try_from(*axis).ok()?).copied()).collect()
    }

    /// 0 keeps a dimension, -1 takes what is left.
    fn reshaped(&self) -> Option<Dims> {
        let input = self.dims(0)?;
        let keeps = self.int("allowzero", 0) == 0;
        let wanted = self.numbers(1, "shape")??;
        let said = wanted.iter().enumerate().map(|(i, dim)| if *dim == 0 && keeps { input.get(i).copied() } else { Some(*dim) });
        let mut dims = said.collect::<Option<Dims>>()?;
        if let Some(open) = dims.iter().position(|dim| *dim == -1) {
            dims[open] = 1;
            let (all, rest) = (product(input)?, product(&dims)?);
            dims[open] = all.checked_div(rest).filter(|n| n.checked_mul(rest) == Some(all))?;
        }
        (product(&dims)? == product(input)?).then_some(dims)
    }

    fn flattened(&self) -> Option<Dims> {
        let input = self.dims(0)?;
        let at = self.int("axis", 1);
        let at = if at == input.len() as i64 { input.len() } else { axis(at, input.len())? };
        Some(vec![product(&input[..at])?, product(&input[at..])?])
    }

    fn multiplied(&self) -> Option<Dims> {
        // Vectors are another rule, which no detector needs.
        let [outer @ .., rows, _] = self.dims(0)?.as_slice() else { return None };
        let [more @ .., _, columns] = self.dims(1)?.as_slice() else { return None };
        let mut dims = broadcast(outer, more)?;
        dims.extend([*rows, *columns]);
        Some(dims)
    }

    fn reduced_over(&self) -> Option<Dims> {
        match self.numbers(1, "axes")? {
            Some(axes) if !axes.is_empty() => self.reduced(&axes),
            _ if self.int("noop_with_empty_axes", 0) != 0 => self.dims(0).cloned(),
            _ => self.reduced(&(0..self.dims(0)?.len() as i64).collect::<Vec<_>>()),
        }
    }

    fn reduced(&self, axes: &[i64]) -> Option<Dims> {
        let input = self.dims(0)?;
        let gone = axes.iter().map(|at| axis(*at, input.len())).collect::<Option<Vec<_>>>()?;
        let keep = self.int("keepdims", 1) != 0;
        let left = |(i, dim): (usize, &i64)| if gone.contains(&i) { keep.then_some(1) } else { Some(*dim) };
        Some(input.iter().enumerate().filter_map(left).collect())
    }

    fn blocks(&self) -> Option<Dims> {
        let [n, c, h, w] = self.dims(0)?[..] else { return None };
        let block = self.node.int("blocksize").filter(|block| *block > 0)?;
        let area = block.checked_mul(block)?;
        Some(if self.node.op == "DepthToSpace" {
            vec![n, c / area, h.checked_mul(block)?, w.checked_mul(block)?]
        } else {
            vec![n, c.checked_mul(area)?, h / block, w / block]
        })
    }
}

/// Where a slice begins and how much it takes (ONNX operator `Slice`).
fn run(len: i64, start: i64, end: i64, step: i64) -> Option<(i64, i64)> {
    let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let (start, room) = if step > 0 {
        let start = from_end(start).clamp(0, len);
        (start, from_end(end).clamp(0, len) - start)
    } else {
        let start = from_end(start).clamp(0, (len - 1).max(0));
        (start, start - from_end(end).clamp(-1, len - 1))
    };
    let step = step.checked_abs().filter(|step| *step > 0)?;
    Some((start, if len > 0 { room.max(0) / step + i64::from(room.max(0) % step > 0) } else { 0 }))
}
