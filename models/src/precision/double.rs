//! FP64 graphs become FP32 ones; what that costs is stated.

use super::PrecisionError;
use crate::onnx::{
    ElementType,
    edit::{AttributeValue, Model, Tensor},
};

/// What a down-cast did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DownCast {
    /// Constants that were doubles.
    pub constants: usize,
    /// Inputs, outputs and declared values that were.
    pub values: usize,
    /// Largest difference between a double and its float.
    pub max_error: f64,
    /// The same, relative to the double.
    pub max_relative_error: f64,
}

/// Makes floats of all doubles. `None`: there were none.
///
/// # Errors
/// [`PrecisionError::Overflow`]: a constant that no float can hold.
pub fn down_cast(model: &mut Model) -> Result<Option<DownCast>, PrecisionError> {
    let mut report = DownCast::default();
    let graph = &mut model.graph;
    for tensor in &mut graph.initializers {
        floats(tensor, &mut report)?;
    }
    for value in graph.inputs.iter_mut().chain(&mut graph.outputs).chain(&mut graph.values) {
        if value.element() == Some(ElementType::DOUBLE) {
            value.set_element(ElementType::FLOAT);
            report.values += 1;
        }
    }
    let mut attributes = 0;
    for attribute in graph.nodes.iter_mut().flat_map(|node| &mut node.attributes) {
        match (&mut attribute.value, attribute.name.as_str()) {
            (AttributeValue::Tensor(tensor), _) => floats(tensor, &mut report)?,
            (AttributeValue::Int(to), "to" | "dtype") if *to == i64::from(ElementType::DOUBLE.0) => {
                *to = i64::from(ElementType::FLOAT.0);
                attributes += 1;
            }
            _ => {}
        }
    }
    Ok((report.constants + report.values + attributes > 0).then_some(report))
}

fn floats(tensor: &mut Tensor, report: &mut DownCast) -> Result<(), PrecisionError> {
    let Some(doubles) = tensor.as_doubles() else { return Ok(()) };
    let mut bytes = Vec::with_capacity(doubles.len() * 4);
    for double in doubles {
        let float = double as f32;
        if double.is_finite() {
            if float.is_infinite() {
                return Err(PrecisionError::Overflow { tensor: tensor.name.clone(), value: format!("{double:e}") });
            }
            let error = (f64::from(float) - double).abs();
            report.max_error = report.max_error.max(error);
            if double != 0.0 {
                report.max_relative_error = report.max_relative_error.max(error / double.abs());
            }
        }
        bytes.extend_from_slice(&float.to_le_bytes());
    }
    tensor.replace(ElementType::FLOAT, bytes);
    report.constants += 1;
    Ok(())
}
