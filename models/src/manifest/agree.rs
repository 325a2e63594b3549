//! A manifest against a graph.

use super::{Manifest, Problem};
use crate::{
    head::{Head, HeadSpec},
    onnx::{Dim, Model, ValueInfo},
    spec::{BatchAxis, ElementKind, InputSpec, Layout, TaskSpec},
    text,
};

/// A declared dimension; `None` where the graph leaves it open (some exporters write -1 or 0).
pub(super) fn known(dim: Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(n) if n > 0 => usize::try_from(n).ok(),
        _ => None,
    }
}

/// A declared shape; `None` where it is not declared at all.
pub(super) fn dims(value: &ValueInfo<'_>) -> Option<Vec<Option<usize>>> {
    Some(value.dims.as_ref()?.iter().copied().map(known).collect())
}

/// A declared shape for people: `[1,3,?,?]`.
pub(super) fn shape_text(value: &ValueInfo<'_>) -> String {
    let Some(dims) = dims(value) else { return "an undeclared shape".into() };
    let dims: Vec<_> = dims.iter().map(|dim| dim.map_or("?".into(), |n| n.to_string())).collect();
    format!("[{}]", dims.join(","))
}

/// A declared element type for people.
pub(super) fn element_text(element: i32) -> String {
    let word = match element {
        1 => "f32",
        2 => "u8",
        3 => "i8",
        6 => "i32",
        7 => "i64",
        9 => "bool",
        10 => "f16",
        11 => "f64",
        16 => "bf16",
        other => return format!("element type {other}"),
    };
    word.into()
}

/// An input or output for people: name, element type and shape, with `?` for what is open.
pub fn describe(value: &ValueInfo<'_>) -> String {
    let space = if value.dims.is_none() { " of " } else { "" };
    format!("`{}` {}{space}{}", short(value.name), element_text(value.element), shape_text(value))
}

fn short(name: &str) -> String {
    text::short(name, 100)
}

fn names(values: &[ValueInfo<'_>]) -> String {
    let names: Vec<_> = values.iter().take(12).map(|value| format!("`{}`", short(value.name))).collect();
    names.join(", ")
}

pub(super) fn contradictions(manifest: &Manifest, model: &Model<'_>) -> Vec<Problem> {
    let problems = &mut Vec::new();
    let spec = &manifest.spec;
    inputs(manifest, model, problems);
    let mut outputs = Vec::new();
    for name in &spec.outputs {
        match model.graph.outputs.iter().find(|output| output.name == name) {
            Some(output) if matches!(output.element, 1 | 6 | 7 | 10) => outputs.push(output),
            Some(output) => {
                let reason = format!("the graph gives {} there", element_text(output.element));
                let remedy = "export the network with f32, f16, i32 or i64 outputs";
                problems.push(Problem::new("output.names", name, reason, remedy));
            }
            None => {
                let reason = format!("the graph has no such output; it has {}", names(&model.graph.outputs));
                problems.push(Problem::new("output.names", name, reason, "write the outputs' names as in the graph"));
            }
        }
    }
    if outputs.len() == spec.outputs.len() {
        output_shapes(manifest, &outputs, problems);
    }
    std::mem::take(problems)
}

fn inputs(manifest: &Manifest, model: &Model<'_>, problems: &mut Vec<Problem>) {
    let spec = &manifest.spec;
    let find = |name: &str| model.graph.inputs.iter().find(|input| input.name == name);
    if let Some(input) = find(&spec.input.name) {
        picture(&spec.input, input, problems);
    } else {
        let reason = format!("the graph has no such input; it has {}", names(&model.graph.inputs));
        problems.push(Problem::new("input.name", &spec.input.name, reason, "write the input's name as in the graph"));
    }
    for constant in &spec.constants {
        let Some(input) = find(&constant.name) else {
            let reason = format!("the graph has no such input; it has {}", names(&model.graph.inputs));
            problems.push(Problem::new("input.constant.name", &constant.name, reason, "remove it, or correct its name"));
            continue;
        };
        let fits = dims(input).is_none_or(|dims| dims.len() == 2 && dims[1].is_none_or(|len| len == constant.values.len()));
        if input.element != 7 || !fits {
            let reason = format!("the graph wants {} {} there", element_text(input.element), shape_text(input));
            let remedy = "write one row of i64 numbers of that length";
            problems.push(Problem::new("input.constant.values", format!("{:?}", constant.values), reason, remedy));
        }
    }
    for input in &model.graph.inputs {
        if input.name != spec.input.name && spec.constants.iter().all(|constant| constant.name != input.name) {
            let reason =
                format!("the graph also wants `{}` ({} {})", short(input.name), element_text(input.element), shape_text(input));
            let remedy = "give its values under [[input.constant]], or export the network with one input";
            problems.push(Problem::missing("input.constant", reason, remedy));
        }
    }
}

fn picture(input: &InputSpec, value: &ValueInfo<'_>, problems: &mut Vec<Problem>) {
    let element = match input.element {
        ElementKind::F32 => 1,
        ElementKind::F16 => 10,
        ElementKind::U8 => 2,
    };
    if value.element != element {
        let reason = format!("the graph's input is {}", element_text(value.element));
        let remedy = match value.element {
            1 | 2 | 10 => format!("write element = \"{}\"", element_text(value.element)),
            11 => "export the network in FP32: a down-cast of its weights from FP64 loses up to 6e-8 of each value".to_owned(),
            _ => "export the network with an input of f32, f16 or u8".to_owned(),
        };
        problems.push(Problem::new("input.element", element_text(element), reason, remedy));
    }
    let Some(dims) = dims(value) else { return };
    let expected = input.shape(match input.batch {
        BatchAxis::Fixed(n) => n,
        BatchAxis::Dynamic => 0,
    });
    if dims.len() != expected.len() {
        let reason = format!("the graph's input is {}, of {} dimensions, not {}", shape_text(value), dims.len(), expected.len());
        problems.push(Problem::new(
            "input.name",
            &input.name,
            reason,
            "correct `clip` or `layout`, or use the network this is about",
        ));
        return;
    }
    batch(input, dims[0], problems);
    let channel = if input.layout == Layout::Nchw { 1 } else { dims.len() - 1 };
    if dims[channel].is_some_and(|n| n != 3) {
        let other = if channel == 1 { dims.last().copied().flatten() } else { dims[1] };
        let layout = if channel == 1 { "nchw" } else { "nhwc" };
        let remedy = match other {
            Some(3) if channel == 1 => "write layout = \"nhwc\"",
            Some(3) => "write layout = \"nchw\"",
            _ => "use a network of three colours",
        };
        let reason = format!("the graph's input is {}", shape_text(value));
        problems.push(Problem::new("input.layout", layout, reason, remedy));
        return;
    }
    let shift = usize::from(input.layout == Layout::Nchw);
    let first = 1 + shift;
    let last = [("input.clip", input.clip), ("input.height", Some(input.height)), ("input.width", Some(input.width))];
    for (axis, (key, side)) in last.into_iter().filter_map(|(key, side)| Some((key, side?))).enumerate() {
        if let Some(declared) = dims[first + axis].filter(|declared| *declared != side) {
            let reason = format!("the graph's input is {}: {declared} there", shape_text(value));
            problems.push(Problem::new(key, side, reason, format!("write {declared}")));
        }
    }
}

fn batch(input: &InputSpec, declared: Option<usize>, problems: &mut Vec<Problem>) {
    match (input.batch, declared) {
        (BatchAxis::Dynamic, Some(n)) => {
            let reason = format!("the graph takes exactly {n} pictures at a time");
            let remedy = format!("write batch = {n}, or export the network with an open batch axis");
            problems.push(Problem::new("input.batch", "dynamic", reason, remedy));
        }
        (BatchAxis::Fixed(typed), Some(n)) if typed != n => {
            let reason = format!("the graph takes exactly {n} pictures at a time");
            problems.push(Problem::new("input.batch", typed, reason, format!("write batch = {n}")));
        }
        _ => {}
    }
}

fn output_shapes(manifest: &Manifest, outputs: &[&ValueInfo<'_>], problems: &mut Vec<Problem>) {
    let spec = &manifest.spec;
    let shapes: Vec<Option<Vec<Option<usize>>>> = outputs.iter().map(|output| dims(output)).collect();
    let found = match &spec.task {
        TaskSpec::Detect { head, .. } => head_classes(head, &shapes),
        TaskSpec::Classify { .. } | TaskSpec::Clip { .. } => row_len(&shapes),
        TaskSpec::Semantic => match shapes.first().and_then(Option::as_ref).map(Vec::as_slice) {
            Some([_, Some(classes), _, _]) if *classes > 1 => Some(*classes),
            _ => None,
        },
        TaskSpec::Embed { len } => {
            if let Some(found) = row_len(&shapes).filter(|found| found != len) {
                let reason = format!("the graph gives vectors of {found}");
                problems.push(Problem::new("task.len", len, reason, format!("write len = {found}")));
            }
            return;
        }
    };
    if let Some(found) = found.filter(|found| *found != spec.classes.len()) {
        let output = short(outputs.first().map_or("", |output| output.name));
        let reason =
            format!("the output `{output}` {} has {found} classes", outputs.first().map_or(String::new(), |o| shape_text(o)));
        let remedy = "list the names of this network's classes, in the order of its outputs";
        problems.push(Problem::new("classes", format!("{} names", spec.classes.len()), reason, remedy));
        return;
    }
    if let TaskSpec::Detect { head, .. } = &spec.task {
        let declared: Option<Vec<_>> =
            outputs.iter().zip(&shapes).map(|(output, shape)| Some((output.name, shape.as_deref()?))).collect();
        // The head itself says whether it can read what the graph declares.
        if let Some(Err(error)) = declared.map(|declared| Head::new(head, &spec.input, &declared, spec.classes.len())) {
            let remedy = "correct the head's kind and its keys, the outputs' names, or the input's size";
            problems.push(Problem::new("head.kind", head.kind(), error.to_string(), remedy));
        }
    }
}

/// C of `[N,C]`, `[N,C,1,1]` and the like.
fn row_len(shapes: &[Option<Vec<Option<usize>>>]) -> Option<usize> {
    let dims = shapes.first()?.as_ref()?;
    dims.get(2..)?.iter().all(|dim| *dim == Some(1)).then(|| dims.get(1).copied().flatten())?
}

/// The classes that a head's outputs are declared for, where their shapes tell.
fn head_classes(head: &HeadSpec, shapes: &[Option<Vec<Option<usize>>>]) -> Option<usize> {
    let shape = |i: usize| shapes.get(i)?.as_deref();
    let last = |i: usize| shape(i)?.last().copied().flatten();
    // Of `[N,values,A]` and `[N,A,values]`, A is the larger one.
    let values = || match shape(0)? {
        [_, Some(a), Some(b)] => Some(*a.min(b)),
        [_, Some(a), None] => Some(*a),
        [_, None, Some(b)] => Some(*b),
        _ => None,
    };
    let boxes = shapes.iter().position(|shape| matches!(shape.as_deref(), Some([_, Some(4), _] | [_, _, Some(4)])));
    let other = |boxes: usize| shape(1 - boxes.min(1));
    match head {
        HeadSpec::Yolox { .. } if shapes.len() == 1 => last(0)?.checked_sub(5),
        HeadSpec::Yolov5 { .. } if matches!(shape(0)?.len(), 3 | 5) => last(0)?.checked_sub(5),
        HeadSpec::Yolov8 {} => values()?.checked_sub(4),
        HeadSpec::Obb { end_to_end: false } => values()?.checked_sub(5),
        HeadSpec::Pose { keypoints, values: each, end_to_end: false } => {
            values()?.checked_sub(keypoints.checked_mul(*each)?.checked_add(4)?)
        }
        HeadSpec::Segment { coefficients, end_to_end: false } => values()?.checked_sub(coefficients.checked_add(4)?),
        HeadSpec::NanoDet { reg_max, .. } if shapes.len() == 1 => last(0)?.checked_sub(reg_max.checked_add(1)?.checked_mul(4)?),
        HeadSpec::DetectNetV2 { .. } => shapes.iter().filter_map(|shape| shape.as_deref()?.get(1).copied().flatten()).min(),
        HeadSpec::Ssd { background, .. } if shapes.len() == 2 => match (shape(boxes?)?, other(boxes?)?) {
            ([_, Some(4), _], [_, Some(classes), _]) | ([_, _, Some(4)], [_, _, Some(classes)]) => {
                classes.checked_sub(usize::from(*background))
            }
            _ => None,
        },
        HeadSpec::Detr { activation, .. } if shapes.len() == 2 => match other(boxes?)? {
            [_, _, Some(classes)] => classes.checked_sub(usize::from(*activation == crate::head::Activation::Softmax)),
            _ => None,
        },
        _ => None,
    }
}
