//! Windows that move over pictures, and pictures of another size.

use super::{Dims, Rule};
use crate::onnx::edit::AttributeValue;

enum Padding {
    Said,
    Same,
    None,
}

impl Rule<'_> {
    pub(super) fn convolved(&self) -> Option<Dims> {
        let weights = self.dims(1)?;
        self.windowed(weights.get(2..)?, *weights.first()?)
    }

    pub(super) fn pooled(&self) -> Option<Dims> {
        self.windowed(self.list("kernel_shape")?, *self.dims(0)?.get(1)?)
    }

    /// An attribute with a number for each axis.
    fn at(&self, name: &str, i: usize, default: i64) -> Option<i64> {
        self.list(name).map_or(Some(default), |values| values.get(i).copied())
    }

    /// The output of a window over all axes but the first two (ONNX operators `Conv` and `MaxPool`, section "output_shape").
    fn windowed(&self, kernel: &[i64], channels: i64) -> Option<Dims> {
        let input = self.dims(0)?;
        let spatial = input.get(2..)?;
        let mut dims = vec![input[0], channels];
        for (i, size) in spatial.iter().enumerate() {
            let window = kernel.get(i)?.checked_sub(1)?.checked_mul(self.at("dilations", i, 1)?)?.checked_add(1)?;
            let stride = self.at("strides", i, 1)?;
            let (begin, end) = match self.padding()? {
                Padding::Same => {
                    dims.push(size.checked_add(stride)?.checked_sub(1)?.checked_div(stride)?);
                    continue;
                }
                Padding::None => (0, 0),
                Padding::Said => (self.at("pads", i, 0)?, self.at("pads", i + spatial.len(), 0)?),
            };
            let room = size.checked_add(begin)?.checked_add(end)?.checked_sub(window)?;
            if room < 0 || stride < 1 {
                return None;
            }
            let up = self.int("ceil_mode", 0) != 0 && room % stride > 0;
            let last = (room / stride).checked_add(i64::from(up))?;
            // Whether a window that begins beyond the picture counts differs between operator sets and runtimes.
            if up && last.checked_mul(stride)? >= size.checked_add(begin)? {
                return None;
            }
            dims.push(last.checked_add(1)?);
        }
        Some(dims)
    }

    fn padding(&self) -> Option<Padding> {
        match self.node.attribute("auto_pad") {
            None => Some(Padding::Said),
            Some(AttributeValue::Text(text)) => match text.as_slice() {
                b"NOTSET" | b"" => Some(Padding::Said),
                b"SAME_UPPER" | b"SAME_LOWER" => Some(Padding::Same),
                b"VALID" => Some(Padding::None),
                _ => None,
            },
            Some(_) => None,
        }
    }

    /// ONNX operator `ConvTranspose`, with its sizes said by strides and pads.
    pub(super) fn transposed_convolution(&self) -> Option<Dims> {
        let (input, weights) = (self.dims(0)?, self.dims(1)?);
        if self.node.attribute("output_shape").is_some() || !matches!(self.padding()?, Padding::Said) {
            return None;
        }
        let spatial = input.get(2..)?;
        let mut dims = vec![input[0], weights.get(1)?.checked_mul(self.int("group", 1))?];
        for (i, size) in spatial.iter().enumerate() {
            let window = weights.get(i + 2)?.checked_sub(1)?.checked_mul(self.at("dilations", i, 1)?)?.checked_add(1)?;
            let pads = self.at("pads", i, 0)?.checked_add(self.at("pads", i + spatial.len(), 0)?)?;
            let moved = size.checked_sub(1)?.checked_mul(self.at("strides", i, 1)?)?;
            dims.push(moved.checked_add(self.at("output_padding", i, 0)?)?.checked_add(window)?.checked_sub(pads)?);
        }
        Some(dims)
    }

    /// Sizes, or scales that round down. Axes and aspect ratios of later operator sets are left unknown.
    pub(super) fn resized(&self) -> Option<Dims> {
        let input = self.dims(0)?;
        if self.node.attribute("axes").is_some() || self.node.attribute("keep_aspect_ratio_policy").is_some() {
            return None;
        }
        if self.has(3) {
            return self.fact(3)?.ints.clone().filter(|sizes| sizes.len() == input.len());
        }
        let scales = self.floats(if self.node.inputs.len() == 2 { 1 } else { 2 })?;
        let scaled = |(dim, scale): (&i64, &f32)| (*dim as f64 * f64::from(*scale)).floor() as i64;
        (scales.len() == input.len()).then(|| input.iter().zip(&scales).map(scaled).collect())
    }

    /// Pads of all axes, begins before ends.
    pub(super) fn padded(&self) -> Option<Dims> {
        let input = self.dims(0)?;
        let pads = self.numbers(1, "pads")??;
        if self.has(3) || pads.len() != 2 * input.len() {
            return None;
        }
        let (begins, ends) = pads.split_at(input.len());
        let each = input.iter().zip(begins).zip(ends).map(|((dim, begin), end)| dim.checked_add(*begin)?.checked_add(*end));
        each.map(|dim| dim.filter(|dim| *dim >= 0)).collect()
    }
}
