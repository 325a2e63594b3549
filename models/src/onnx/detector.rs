//! Whether a graph is a YOLOX-shaped detector, and its contract.

use super::{
    Refused,
    graph::{Dim, Model, ValueInfo},
    tensor::ElementType,
};
use crate::{
    head::anchor_count,
    spec::{BatchAxis, ChannelOrder, DetectorSpec, InputSpec},
};

/// Largest side of an input picture.
const MAX_SIDE: i64 = 8192;
/// Largest fixed batch.
const MAX_BATCH: i64 = 1024;
/// All strides divide it.
const GRID: i64 = 32;

/// What YOLOX networks share beyond their shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contract {
    /// Order of the colour planes.
    pub order: ChannelOrder,
    /// Factor of the samples.
    pub scale: f32,
    /// Padding, 0..255.
    pub pad: u8,
}

impl Default for Contract {
    /// As the authors train and export them: BGR, 0..255 unscaled, padded with 114.
    fn default() -> Self {
        Self { order: ChannelOrder::Bgr, scale: 1.0, pad: 114 }
    }
}

/// Reads a detector's contract off its graph: one input `f32[N,3,H,W]`, one output `f32[N,A,5+C]`. `classes` are its names; their
/// number must be C.
///
/// # Errors
/// [`Refused::NotADetector`] and [`Refused::Classes`].
pub fn detector(model: &Model<'_>, contract: Contract, classes: &[String]) -> Result<DetectorSpec, Refused> {
    let input = single(&model.graph.inputs, "input")?;
    let output = single(&model.graph.outputs, "output")?;
    let (batch, width, height) = input_shape(input)?;
    let found = output_classes(output, batch, anchor_count(width, height), (width, height))?;
    if found != classes.len() {
        return Err(Refused::Classes { output: label(output), classes: found, names: classes.len() });
    }
    let Contract { order, scale, pad } = contract;
    let input = InputSpec { order, scale, pad, ..InputSpec::yolox(input.name, batch, width, height) };
    Ok(DetectorSpec { input, output: output.name.to_owned(), classes: classes.to_vec() })
}

fn not(what: String) -> Refused {
    Refused::NotADetector { what }
}

fn label(value: &ValueInfo<'_>) -> String {
    value.name.chars().take(200).collect()
}

fn shape(value: &ValueInfo<'_>) -> String {
    let Some(dims) = &value.dims else { return "an undeclared shape".into() };
    let dims: Vec<_> = dims
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(n) => n.to_string(),
            Dim::Dynamic => "?".into(),
        })
        .collect();
    format!("the shape [{}]", dims.join(","))
}

fn single<'m, 'a>(values: &'m [ValueInfo<'a>], what: &str) -> Result<&'m ValueInfo<'a>, Refused> {
    let [value] = values else {
        let names: Vec<_> = values.iter().take(8).map(|value| format!("`{}`", label(value))).collect();
        return Err(not(format!("it has {} {what}s ({}), a detector has one", values.len(), names.join(", "))));
    };
    if ElementType(value.element) != ElementType::FLOAT {
        return Err(not(format!("its {what} `{}` is not of 32-bit floats (element type {})", label(value), value.element)));
    }
    Ok(value)
}

fn input_shape(input: &ValueInfo<'_>) -> Result<(BatchAxis, usize, usize), Refused> {
    let wrong = |why: &str| not(format!("its input `{}` has {}: {why}", label(input), shape(input)));
    let Some([batch, Dim::Fixed(3), Dim::Fixed(height), Dim::Fixed(width)]) = input.dims.as_deref() else {
        return Err(wrong("not [N,3,H,W] with fixed H and W"));
    };
    let batch = match batch {
        // Some exporters write an open batch axis as -1 or 0.
        Dim::Dynamic | Dim::Fixed(-1 | 0) => BatchAxis::Dynamic,
        Dim::Fixed(n @ 1..=MAX_BATCH) => BatchAxis::Fixed(*n as usize),
        Dim::Fixed(_) => return Err(wrong("an impossible batch")),
    };
    for side in [height, width] {
        if !(GRID..=MAX_SIDE).contains(side) || side % GRID != 0 {
            return Err(wrong("H and W must be multiples of 32, up to 8192"));
        }
    }
    Ok((batch, *width as usize, *height as usize))
}

/// C of the output `[N,A,5+C]`.
fn output_classes(
    output: &ValueInfo<'_>,
    batch: BatchAxis,
    anchors: usize,
    (width, height): (usize, usize),
) -> Result<usize, Refused> {
    let wrong = |why: String| not(format!("its output `{}` has {}: {why}", label(output), shape(output)));
    let Some([n, a, values]) = output.dims.as_deref() else {
        return Err(wrong("not [N,A,5+classes]".into()));
    };
    let fits = |dim: &Dim, expected: usize| match dim {
        Dim::Fixed(value) => usize::try_from(*value) == Ok(expected) || *value == -1,
        Dim::Dynamic => true,
    };
    if let BatchAxis::Fixed(batch) = batch
        && !fits(n, batch)
    {
        return Err(wrong(format!("its batch is not the input's {batch}")));
    }
    if !fits(a, anchors) {
        return Err(wrong(format!("an input of {width}x{height} has {anchors} cells of strides 8, 16 and 32")));
    }
    match values {
        Dim::Fixed(values @ 6..=1005) => Ok(*values as usize - 5),
        _ => Err(wrong("the last dimension must be 5 + 1..1000 classes".into())),
    }
}
