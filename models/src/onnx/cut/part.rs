//! Two models out of one.

use std::collections::{HashMap, HashSet};

use super::{Cut, RefusedNode, order::Ordered, split::Sets};
use crate::onnx::edit::{Graph, Model, Node, Value, is_onnx};

/// The two parts. Constants go where they are used, to both if both do.
pub(super) fn make(whole: Ordered, sets: Sets, refused: Vec<RefusedNode>) -> Cut {
    let Ordered { mut model, places, makers, .. } = whole;
    let nodes = std::mem::take(&mut model.graph.nodes);
    let made = |sets: &[bool]| -> Vec<Node> {
        nodes.iter().zip(sets).filter(|(_, within)| **within).map(|(node, _)| node.clone()).collect()
    };
    let is_beyond = |name: &str| makers.get(name).is_some_and(|maker| sets.beyond[*maker]);
    let outputs: Vec<(String, bool)> = model.graph.outputs.iter().map(|o| (o.name.clone(), is_beyond(&o.name))).collect();
    let declared: HashMap<&str, &Value> = model.graph.outputs.iter().map(|output| (output.name.as_str(), output)).collect();

    let mut handed: Vec<Value> = Vec::new();
    for crossing in sets.at.iter().filter(|crossing| !crossing.is_input) {
        let own = || Value::shaped(&crossing.name, crossing.element, &crossing.dims);
        handed.push(declared.get(crossing.name.as_str()).map_or_else(own, |value| (*value).clone()));
    }
    let taken: Vec<Value> = sets.at.iter().filter(|c| !c.is_input).map(|c| Value::shaped(&c.name, c.element, &c.dims)).collect();
    let crosses: HashSet<&str> = handed.iter().map(|value| value.name.as_str()).collect();
    let early = model.graph.outputs.iter().filter(|o| !is_beyond(&o.name) && !crosses.contains(o.name.as_str())).cloned();
    let early: Vec<Value> = early.collect();
    let late: Vec<Value> = model.graph.outputs.iter().filter(|o| is_beyond(&o.name)).cloned().collect();

    let engine = part(&model, made(&sets.engine), &[], handed.into_iter().chain(early).collect());
    let tail = part(&model, made(&sets.tail), &taken, late);
    let places = places.into_iter().zip(&sets.engine).filter(|(_, within)| **within).map(|(place, _)| place).collect();
    Cut { engine, tail, at: sets.at, refused, outputs, places }
}

/// A model of these nodes, with those inputs of the whole that they read.
fn part(whole: &Model, nodes: Vec<Node>, taken: &[Value], outputs: Vec<Value>) -> Model {
    let read: HashSet<&str> = nodes.iter().flat_map(|node| &node.inputs).map(String::as_str).collect();
    let made: HashSet<&str> = nodes.iter().flat_map(|node| &node.outputs).map(String::as_str).collect();
    let final_names: HashSet<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
    let inputs = whole.graph.inputs.iter().filter(|input| read.contains(input.name.as_str()));
    let declared = whole.graph.values.iter().filter(|v| made.contains(v.name.as_str()) && !final_names.contains(v.name.as_str()));
    let domains: HashSet<&str> = nodes.iter().map(|node| node.domain.as_str()).collect();
    let opsets = whole.opsets.iter().filter(|(domain, _)| is_onnx(domain) || domains.contains(domain.as_str()));
    Model {
        ir_version: whole.ir_version,
        opsets: opsets.cloned().collect(),
        metadata: whole.metadata.clone(),
        kept: whole.kept.clone(),
        graph: Graph {
            initializers: whole.graph.initializers.iter().filter(|t| read.contains(t.name.as_str())).cloned().collect(),
            inputs: inputs.chain(taken).cloned().collect(),
            values: declared.cloned().collect(),
            kept: whole.graph.kept.clone(),
            outputs,
            nodes,
        },
    }
}
