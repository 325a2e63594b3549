//! What the values of a graph hold, followed from its inputs and constants through its operators.

use std::collections::HashMap;

use super::PrecisionError;
use crate::onnx::{
    ElementType,
    edit::{AttributeValue, Graph, Model, Node, is_onnx},
};

/// Element types by name.
pub(crate) type Types = HashMap<String, ElementType>;

/// What an operator's outputs hold (onnx/docs/Operators.md).
enum Rule {
    /// The same as this input.
    Input(usize),
    /// The same as the first input; the outputs after the first hold this.
    FirstThen(ElementType),
    /// This.
    Always(ElementType),
    /// What an integer attribute says, else this.
    Attribute(&'static str, ElementType),
    /// What a tensor attribute holds, else floats.
    Value,
    /// The zero point's type, else `uint8`.
    Quantized,
}

/// Operators whose outputs hold what their first input does.
#[rustfmt::skip]
const SAME: [&str; 98] = [
    "Abs", "Add", "And", "AveragePool", "BatchNormalization", "Ceil", "Celu", "Clip", "Concat", "Conv", "ConvTranspose", "Cos",
    "CumSum", "DepthToSpace", "Div", "Einsum", "Elu", "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements",
    "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "GridSample", "GroupNormalization", "HardSigmoid",
    "HardSwish", "Hardmax", "Identity", "InstanceNormalization", "LRN", "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax",
    "LpNormalization", "LpPool", "MatMul", "Max", "Mean", "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg",
    "PRelu", "Pad", "Pow", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Resize", "ReverseSequence",
    "RoiAlign", "Round", "ScatterElements", "ScatterND", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Slice", "Softmax",
    "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile",
    "Transpose", "Trilu", "Unsqueeze", "Upsample",
];

fn rule(op: &str) -> Option<Rule> {
    Some(match op {
        op if SAME.contains(&op) => Rule::Input(0),
        "Where" | "CastLike" | "DequantizeLinear" => Rule::Input(1),
        "OneHot" => Rule::Input(2),
        "TopK" | "MaxPool" => Rule::FirstThen(ElementType::INT64),
        "Dropout" => Rule::FirstThen(ElementType::BOOL),
        "Equal" | "Greater" | "GreaterOrEqual" | "IsInf" | "IsNaN" | "Less" | "LessOrEqual" | "Not" | "Or" | "Xor" => {
            Rule::Always(ElementType::BOOL)
        }
        "ArgMax" | "ArgMin" | "NonMaxSuppression" | "NonZero" | "Shape" | "Size" => Rule::Always(ElementType::INT64),
        "Cast" => Rule::Attribute("to", ElementType(0)),
        "EyeLike" | "RandomNormal" | "RandomUniform" => Rule::Attribute("dtype", ElementType::FLOAT),
        "Constant" | "ConstantOfShape" => Rule::Value,
        "QuantizeLinear" => Rule::Quantized,
        _ => return None,
    })
}

/// Follows the types through a graph whose nodes are in order.
///
/// # Errors
/// [`PrecisionError::UnknownType`]: an operator that is not known here makes something that the file does not declare.
pub(super) fn follow(graph: &Graph) -> Result<Types, PrecisionError> {
    let types = known(graph);
    for node in &graph.nodes {
        if let Some(output) = node.outputs.iter().find(|output| !output.is_empty() && !types.contains_key(*output)) {
            let (node, op) = (node.label().to_owned(), node.op.clone());
            return Err(PrecisionError::UnknownType { node, op, output: output.clone() });
        }
    }
    Ok(types)
}

/// What can be told of a graph whose nodes are in order, declared or followed.
pub(crate) fn known(graph: &Graph) -> Types {
    let declared: HashMap<&str, ElementType> =
        graph.values.iter().chain(&graph.outputs).filter_map(|v| Some((v.name.as_str(), v.element()?))).collect();
    let inputs = graph.inputs.iter().filter_map(|v| Some((v.name.clone(), v.element()?)));
    let mut types: Types = inputs.chain(graph.initializers.iter().map(|t| (t.name.clone(), t.element))).collect();
    for node in &graph.nodes {
        for (i, output) in node.outputs.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
            let element = output_type(node, i, &types).or_else(|| declared.get(output.as_str()).copied());
            if let Some(element) = element.filter(|element| element.0 != 0) {
                types.insert(output.clone(), element);
            }
        }
    }
    types
}

fn output_type(node: &Node, output: usize, types: &Types) -> Option<ElementType> {
    if !is_onnx(&node.domain) {
        return None;
    }
    let input = |i: usize| types.get(node.inputs.get(i)?).copied();
    match rule(&node.op)? {
        Rule::Input(i) => input(i),
        Rule::FirstThen(then) => {
            if output == 0 {
                input(0)
            } else {
                Some(then)
            }
        }
        Rule::Always(element) => Some(element),
        Rule::Attribute(name, default) => Some(node.int(name).map_or(default, |value| ElementType(value as i32))),
        Rule::Value => Some(match (node.attribute("value"), node.op.as_str()) {
            (Some(AttributeValue::Tensor(tensor)), _) => tensor.element,
            (_, "ConstantOfShape") => ElementType::FLOAT,
            _ => match node.attributes.first().map(|attribute| attribute.name.as_str())? {
                "value_float" | "value_floats" => ElementType::FLOAT,
                "value_int" | "value_ints" => ElementType::INT64,
                _ => return None,
            },
        }),
        Rule::Quantized => Some(input(2).unwrap_or(ElementType::UINT8)),
    }
}

/// Whether ONNX defines an operator for halves throughout, and halves do for what it computes.
pub(super) fn takes_half(node: &Node, opset: i64) -> bool {
    is_onnx(&node.domain)
        && match node.op.as_str() {
            // Defined for other floats only, or the result has no use for halves.
            "Celu"
            | "NonMaxSuppression"
            | "Range"
            | "EyeLike"
            | "RandomNormal"
            | "RandomUniform"
            | "OneHot"
            | "MeanVarianceNormalization" => false,
            "QuantizeLinear" | "DequantizeLinear" => opset >= 19,
            "CumSum" => opset >= 14,
            "IsInf" => opset >= 20,
            op => rule(op).is_some(),
        }
}

/// Whether an input of an operator that takes halves stays as it is.
pub(super) fn stays_float(node: &Node, input: usize) -> bool {
    match node.op.as_str() {
        "Upsample" => input == 1,
        // Operator set 10 has the scales where later ones have the region.
        "Resize" => input >= 1,
        _ => false,
    }
}

/// The names of a network's floats in between, of its inputs and of its outputs: what can leave the range of halves. The model is one
/// that [`super::prepare`] went over.
///
/// # Errors
/// [`PrecisionError::UnknownType`]
pub fn float_values(model: &Model) -> Result<Vec<String>, PrecisionError> {
    let types = follow(&model.graph)?;
    let outputs = model.graph.nodes.iter().flat_map(|node| &node.outputs);
    let names = model.graph.inputs.iter().map(|value| &value.name).chain(outputs);
    Ok(names.filter(|name| types.get(*name) == Some(&ElementType::FLOAT)).cloned().collect())
}
