//! `ModelProto` and `GraphProto`: what is in the file, by borrowed names.

use super::{
    MAX_FILE_BYTES, Refused, growth, kinds,
    tensor::Tensor,
    wire::{Fields, Slice, Value, push_ints},
    wiring,
};
use crate::text;

const MAX_NODES: usize = 100_000;
const MAX_TENSORS: usize = 100_000;
const MAX_VALUES: usize = 1_000;
const MAX_NODE_NAMES: usize = 4_096;
const MAX_ATTRIBUTES: usize = 256;
const MAX_INTS: usize = 4_096;
const MAX_RANK: usize = 16;
/// Over the whole file: bounds the memory that lists of short names take.
const MAX_NAMES: usize = 1_000_000;
const EXPORT: &str = "export the network to ONNX and name that file";
/// Protobuf, perhaps, but no ONNX.
const OTHER_DATA: &str = "some other data (it has no graph or no IR version)";

/// A file's model.
#[derive(Debug)]
pub struct Model<'a> {
    /// `ir_version`.
    pub ir_version: i64,
    /// `producer_name`.
    pub producer: &'a str,
    /// Version of the default operator set.
    pub opset: i64,
    /// `metadata_props`: keys and values.
    pub metadata: Vec<(&'a str, &'a str)>,
    /// Its graph.
    pub graph: Graph<'a>,
}

/// The graph of a model.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    /// Its inputs without those that are initializers.
    pub inputs: Vec<ValueInfo<'a>>,
    /// Its outputs.
    pub outputs: Vec<ValueInfo<'a>>,
    /// Its constants.
    pub initializers: Vec<Tensor<'a>>,
    /// Its operators; none needs its own output. Most files have them in topological order, as ONNX asks for.
    pub nodes: Vec<Node<'a>>,
}

/// A named value with its declared type.
#[derive(Clone, Debug)]
pub struct ValueInfo<'a> {
    /// Its name.
    pub name: &'a str,
    /// `TensorProto.DataType`; 0 where it is no tensor.
    pub element: i32,
    /// Its shape, if declared.
    pub dims: Option<Vec<Dim>>,
}

/// One dimension of a declared shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Known.
    Fixed(i64),
    /// Named or left open.
    Dynamic,
}

/// An operator.
#[derive(Debug)]
pub struct Node<'a> {
    /// `op_type`.
    pub op: &'a str,
    /// Operator set; empty for ONNX's own.
    pub domain: &'a str,
    /// Its name, often empty.
    pub name: &'a str,
    /// Names of its inputs.
    pub inputs: Vec<&'a str>,
    /// Names of its outputs.
    pub outputs: Vec<&'a str>,
    /// Its attributes.
    pub attributes: Vec<Attribute<'a>>,
}

impl Node<'_> {
    /// Its name, or its first output's where it has none, for people.
    pub fn label(&self) -> String {
        let label = if self.name.is_empty() { self.outputs.first().copied().unwrap_or("?") } else { self.name };
        text::short(label, 200)
    }

    /// Its operator, for people.
    pub fn kind(&self) -> String {
        text::short(self.op, 60)
    }

    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue<'_>> {
        self.attributes.iter().find(|a| a.name == name).map(|a| &a.value)
    }
}

/// A named parameter of an operator.
#[derive(Debug)]
pub struct Attribute<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: AttributeValue<'a>,
}

/// What of an attribute is kept.
#[derive(Debug)]
pub enum AttributeValue<'a> {
    /// `i` or `ints`.
    Ints(Vec<i64>),
    /// `f` or `floats`.
    Floats(Vec<f32>),
    /// `t`.
    Tensor(Tensor<'a>),
    /// Text and what is of no interest here.
    Other,
}

impl Model<'_> {
    /// Refuses operators that are no part of ONNX: plugins of TensorRT, custom ones. A CPU runtime has none of them.
    ///
    /// # Errors
    /// [`Refused::CustomOperator`] names the first one.
    pub fn standard_operators(&self) -> Result<(), Refused> {
        let own = |node: &&Node<'_>| !matches!(node.domain, "" | "ai.onnx" | "com.microsoft") || node.op.ends_with("_TRT");
        match self.graph.nodes.iter().find(own) {
            None => Ok(()),
            Some(node) => {
                Err(Refused::CustomOperator { node: node.label(), op: node.kind(), domain: text::short(node.domain, 60) })
            }
        }
    }
}

/// Reads a model and refuses what must not reach a runtime.
///
/// # Errors
/// [`Refused`]: what is wrong and, through [`Refused::remedy`], what to do.
pub fn read(bytes: &[u8]) -> Result<Model<'_>, Refused> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Refused::TooLarge { bytes: bytes.len() as u64 });
    }
    if let Some(refused) = kinds::by_content(bytes) {
        return Err(refused);
    }
    let model = read_model(Slice { bytes, offset: 0 })?;
    growth::check(&model.graph)?;
    wiring::check(&model.graph)?;
    Ok(model)
}

/// [`read`] of a file of this name: where the bytes of what is no ONNX file say nothing of what it is, its name may.
///
/// # Errors
/// As [`read`].
pub fn read_named<'a>(name: &str, bytes: &'a [u8]) -> Result<Model<'a>, Refused> {
    read(bytes).map_err(|refused| {
        let silent = matches!(refused, Refused::Damaged { .. } | Refused::NotOnnx { kind: OTHER_DATA, .. });
        silent.then(|| kinds::refused_by_name(name)).flatten().unwrap_or(refused)
    })
}

/// `ModelProto`: ir_version 1, producer_name 2, graph 7, opset_import 8, metadata_props 14, functions 25.
fn read_model(message: Slice<'_>) -> Result<Model<'_>, Refused> {
    let (mut ir_version, mut producer, mut opset, mut graph, mut metadata) = (0, "", 0, None, Vec::new());
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Varint(version)) => ir_version = version as i64,
            (2, Value::Bytes(slice)) => producer = slice.text()?,
            (7, Value::Bytes(slice)) if graph.is_none() => graph = Some(read_graph(slice)?),
            (7, _) => return Err(Refused::NotOnnx { kind: "a file with two graphs", export: EXPORT }),
            (8, Value::Bytes(slice)) => opset = read_opset(slice)?.unwrap_or(opset),
            (14, Value::Bytes(slice)) => push(&mut metadata, read_entry(slice)?, MAX_VALUES, "properties")?,
            // A chain of functions grows exponentially when it is expanded.
            (25, _) => return Err(Refused::Unsupported { place: "the file".into(), what: "model-local functions" }),
            _ => {}
        }
    }
    match graph {
        Some(graph) if ir_version > 0 => Ok(Model { ir_version, producer, opset, metadata, graph }),
        _ => Err(Refused::NotOnnx { kind: OTHER_DATA, export: EXPORT }),
    }
}

/// `StringStringEntryProto`: key 1, value 2.
pub(super) fn read_entry(entry: Slice<'_>) -> Result<(&str, &str), Refused> {
    let (mut key, mut value) = ("", "");
    let mut fields = Fields::of(entry);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Value::Bytes(slice)) => key = slice.text()?,
            (2, Value::Bytes(slice)) => value = slice.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// `OperatorSetIdProto`: domain 1, version 2. `None` for other domains than ONNX's own.
fn read_opset(message: Slice<'_>) -> Result<Option<i64>, Refused> {
    let (mut domain, mut version) = ("", 0);
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(slice)) => domain = slice.text()?,
            (2, Value::Varint(value)) => version = value as i64,
            _ => {}
        }
    }
    Ok(matches!(domain, "" | "ai.onnx").then_some(version))
}

fn push<T>(list: &mut Vec<T>, item: T, limit: usize, what: &'static str) -> Result<(), Refused> {
    if list.len() == limit {
        return Err(Refused::TooMany { what, limit });
    }
    list.push(item);
    Ok(())
}

/// `GraphProto`: node 1, initializer 5, input 11, output 12, sparse_initializer 15.
fn read_graph(message: Slice<'_>) -> Result<Graph<'_>, Refused> {
    let mut graph = Graph::default();
    let mut names = 0_usize;
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(slice)) => {
                let node = read_node(slice)?;
                names += 1 + node.inputs.len() + node.outputs.len() + node.attributes.len();
                if names > MAX_NAMES {
                    return Err(Refused::TooMany { what: "names in its nodes", limit: MAX_NAMES });
                }
                push(&mut graph.nodes, node, MAX_NODES, "nodes")?;
            }
            (5, Value::Bytes(slice)) => push(&mut graph.initializers, Tensor::read(slice)?, MAX_TENSORS, "initializers")?,
            (11, Value::Bytes(slice)) => push(&mut graph.inputs, read_value_info(slice)?, MAX_TENSORS, "inputs")?,
            (12, Value::Bytes(slice)) => push(&mut graph.outputs, read_value_info(slice)?, MAX_VALUES, "outputs")?,
            (15, _) => return Err(Refused::Unsupported { place: "the graph".into(), what: "sparse initializers" }),
            _ => {}
        }
    }
    // Before IR version 4 every initializer was also listed as an input.
    let constants: std::collections::HashSet<&str> = graph.initializers.iter().map(|t| t.name).collect();
    graph.inputs.retain(|input| !constants.contains(input.name));
    Ok(graph)
}

/// `NodeProto`: input 1, output 2, name 3, op_type 4, attribute 5, domain 7.
fn read_node(message: Slice<'_>) -> Result<Node<'_>, Refused> {
    let mut node = Node { op: "", domain: "", name: "", inputs: Vec::new(), outputs: Vec::new(), attributes: Vec::new() };
    let mut attributes = Vec::new();
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        let Value::Bytes(slice) = value else { continue };
        match number {
            1 => push(&mut node.inputs, slice.text()?, MAX_NODE_NAMES, "inputs at one node")?,
            2 => push(&mut node.outputs, slice.text()?, MAX_NODE_NAMES, "outputs at one node")?,
            3 => node.name = slice.text()?,
            4 => node.op = slice.text()?,
            5 => push(&mut attributes, slice, MAX_ATTRIBUTES, "attributes at one node")?,
            7 => node.domain = slice.text()?,
            _ => {}
        }
    }
    for slice in attributes {
        let Some(attribute) = read_attribute(slice)? else {
            let place = format!("node `{}` ({})", node.label(), node.kind());
            let what = match node.op {
                "If" | "Loop" | "Scan" => "control flow (a graph inside the node)",
                _ => "a graph or a sparse tensor inside the node",
            };
            return Err(Refused::Unsupported { place, what });
        };
        node.attributes.push(attribute);
    }
    Ok(node)
}

/// `AttributeProto`: name 1, f 2, i 3, t 5, g 6, floats 7, ints 8, tensors 10, graphs 11, sparse_tensor 22 and sparse_tensors 23.
/// `None`: it holds a graph or a sparse tensor.
fn read_attribute(message: Slice<'_>) -> Result<Option<Attribute<'_>>, Refused> {
    let (mut name, mut ints, mut floats, mut tensor) = ("", Vec::new(), Vec::new(), None);
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(slice)) => name = slice.text()?,
            (2 | 7, Value::Fixed32(bytes)) => push(&mut floats, f32::from_le_bytes(bytes), MAX_INTS, "numbers in one attribute")?,
            (7, Value::Bytes(slice)) => {
                for b in slice.bytes.chunks_exact(4) {
                    let float = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                    push(&mut floats, float, MAX_INTS, "numbers in one attribute")?;
                }
            }
            (3 | 8, value) => push_ints(value, MAX_INTS, "numbers in one attribute", &mut ints)?,
            (5 | 10, Value::Bytes(slice)) => tensor = Some(Tensor::read(slice)?),
            (6 | 11 | 22 | 23, _) => return Ok(None),
            _ => {}
        }
    }
    let value = match (tensor, ints.is_empty(), floats.is_empty()) {
        (Some(tensor), ..) => AttributeValue::Tensor(tensor),
        (None, false, _) => AttributeValue::Ints(ints),
        (None, true, false) => AttributeValue::Floats(floats),
        (None, true, true) => AttributeValue::Other,
    };
    Ok(Some(Attribute { name, value }))
}

/// `ValueInfoProto`: name 1, type 2; `TypeProto`: tensor_type 1; `TypeProto.Tensor`: elem_type 1, shape 2;
/// `TensorShapeProto`: dim 1; `Dimension`: dim_value 1.
fn read_value_info(message: Slice<'_>) -> Result<ValueInfo<'_>, Refused> {
    let mut info = ValueInfo { name: "", element: 0, dims: None };
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(slice)) => info.name = slice.text()?,
            (2, Value::Bytes(slice)) => {
                let mut fields = Fields::of(slice);
                while let Some((number, value)) = fields.next()? {
                    if let (1, Value::Bytes(slice)) = (number, value) {
                        read_tensor_type(slice, &mut info)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(info)
}

fn read_tensor_type(message: Slice<'_>, info: &mut ValueInfo<'_>) -> Result<(), Refused> {
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Varint(element)) => info.element = element as i32,
            (2, Value::Bytes(shape)) => {
                let mut dims = Vec::new();
                let mut fields = Fields::of(shape);
                while let Some((number, value)) = fields.next()? {
                    if let (1, Value::Bytes(slice)) = (number, value) {
                        push(&mut dims, read_dim(slice)?, MAX_RANK, "dimensions in one shape")?;
                    }
                }
                info.dims = Some(dims);
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_dim(message: Slice<'_>) -> Result<Dim, Refused> {
    let mut dim = Dim::Dynamic;
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        if let (1, Value::Varint(value)) = (number, value) {
            dim = Dim::Fixed(value as i64);
        }
    }
    Ok(dim)
}
