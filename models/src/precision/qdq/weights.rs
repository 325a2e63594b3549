//! Constant weights as INT8, symmetric, one scale per output channel.

use crate::onnx::{
    ElementType,
    edit::{Node, Tensor},
};

/// Weights and their scales.
pub(super) struct Quantized {
    /// INT8, of the shape of the weights.
    pub(super) values: Tensor,
    /// `f32[channels]`, or a scalar.
    pub(super) scales: Tensor,
    /// Zero points of the scales' shape.
    pub(super) zeros: Tensor,
}

impl Quantized {
    /// Divides the scales by factors that the input's channels were multiplied by: those of a depthwise convolution, whose filters
    /// lie channel after channel.
    pub(super) fn take_back(&mut self, factors: &[f32]) {
        let Some(mut scales) = self.scales.as_floats().filter(|_| !factors.is_empty()) else { return };
        let filters = scales.len() / factors.len();
        scales.iter_mut().enumerate().for_each(|(i, scale)| *scale /= factors[i / filters]);
        self.scales = Tensor::floats("", &self.scales.dims, &scales);
    }
}

/// The axis of a layer's output channels in its weights.
pub(super) fn channel_axis(node: &Node, rank: usize) -> Option<usize> {
    match node.op.as_str() {
        "Conv" => Some(0),
        "Gemm" => Some(usize::from(node.int("transB").unwrap_or(0) == 0)),
        "MatMul" if rank == 2 => Some(1),
        _ => None,
    }
}

/// Quantizes weights, with one scale per index of `axis`. What is made has no names yet. `Err`: why they stay in float.
pub(super) fn quantize(tensor: &Tensor, axis: Option<usize>) -> Result<Quantized, String> {
    let values = tensor.as_floats().ok_or("its weights are not stored as plain floats")?;
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(format!("its weights hold {value}"));
    }
    let channels = axis.map_or(1, |axis| tensor.dims[axis].max(0) as usize).max(1);
    // Values that follow each other and belong to one channel.
    let run = axis.map_or(values.len(), |axis| tensor.dims[axis + 1..].iter().product::<i64>().max(0) as usize).max(1);
    let channel = |i: usize| i / run % channels;
    let mut scales = vec![0.0_f32; channels];
    for (i, value) in values.iter().enumerate() {
        let scale = &mut scales[channel(i)];
        *scale = scale.max(value.abs() / 127.0);
    }
    // A channel of nothing but zeros, or of values that vanish beside any other: any scale does.
    scales.iter_mut().filter(|scale| **scale < f32::MIN_POSITIVE).for_each(|scale| *scale = 1.0);
    let quantized = values.iter().enumerate().map(|(i, value)| {
        let level = (value / scales[channel(i)]).round_ties_even().clamp(-127.0, 127.0);
        (level as i8).cast_unsigned()
    });
    let dims: Vec<i64> = axis.map(|_| channels as i64).into_iter().collect();
    Ok(Quantized {
        values: Tensor::raw("", &tensor.dims, ElementType::INT8, quantized.collect()),
        scales: Tensor::floats("", &dims, &scales),
        zeros: Tensor::raw("", &dims, ElementType::INT8, vec![0; channels]),
    })
}
