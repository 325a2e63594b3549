//! An owned graph that can be changed and written again.
//!
//! What this crate has no use for (documentation, the producer, quantization annotations, dimension names) is kept as the bytes
//! that it came in, so that a file that is read and written says what it said before.

mod parse;
mod shape;

use super::{ElementType, NotFinite, Refused};
pub use shape::Dimension;

/// A model that can be changed.
#[derive(Clone, Debug)]
pub struct Model {
    /// `ir_version`.
    pub ir_version: i64,
    /// `opset_import`: domain (empty for ONNX's own) and version, in the file's order.
    pub opsets: Vec<(String, i64)>,
    /// `metadata_props`: keys and values.
    pub metadata: Vec<(String, String)>,
    /// Its graph.
    pub graph: Graph,
    pub(super) kept: Vec<u8>,
}

/// The graph of a model.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Its operators in topological order.
    pub nodes: Vec<Node>,
    /// Its constants.
    pub initializers: Vec<Tensor>,
    /// Its inputs; before IR version 4 its constants are among them.
    pub inputs: Vec<Value>,
    /// Its outputs.
    pub outputs: Vec<Value>,
    /// What it declares of the values in between.
    pub values: Vec<Value>,
    pub(super) kept: Vec<u8>,
}

/// An operator.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// `op_type`.
    pub op: String,
    /// Operator set; empty for ONNX's own.
    pub domain: String,
    /// Its name, often empty.
    pub name: String,
    /// Names of its inputs; empty where an optional one is left out.
    pub inputs: Vec<String>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    pub(super) kept: Vec<u8>,
}

/// A named parameter of an operator.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: AttributeValue,
    pub(super) kept: Vec<u8>,
}

/// An attribute's value.
#[derive(Clone, Debug)]
pub enum AttributeValue {
    /// `f`.
    Float(f32),
    /// `i`.
    Int(i64),
    /// `s`: bytes, mostly UTF-8.
    Text(Vec<u8>),
    /// `t`.
    Tensor(Tensor),
    /// `floats`.
    Floats(Vec<f32>),
    /// `ints`.
    Ints(Vec<i64>),
    /// `strings`.
    Texts(Vec<Vec<u8>>),
    /// What else there is, in the bytes that it came in.
    Other,
}

/// A constant.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its name; empty in attributes.
    pub name: String,
    /// Its shape; empty for a scalar.
    pub dims: Vec<i64>,
    /// What it holds.
    pub element: ElementType,
    pub(super) data: Data,
    pub(super) kept: Vec<u8>,
}

/// The values of a constant.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// Little-endian, densely packed.
    Raw(Vec<u8>),
    /// Typed fields of the file as they came; nothing at all where there are no elements.
    Typed(Vec<u8>),
}

/// A named value with its declared type.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its name.
    pub name: String,
    pub(super) kind: Kind,
    pub(super) kept: Vec<u8>,
}

/// The declared type of a value.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A tensor: its element type and the `TensorShapeProto` as it came.
    Tensor { element: ElementType, shape: Option<Vec<u8>> },
    /// Another type, or none: its fields as they came.
    Other(Vec<u8>),
}

impl Model {
    /// Reads a model that [`super::read`] accepts.
    ///
    /// # Errors
    /// [`Refused`], as [`super::read`] does.
    pub fn read(bytes: &[u8]) -> Result<Self, Refused> {
        super::read(bytes)?;
        parse::model(bytes)
    }

    /// Version of ONNX's own operator set.
    pub fn opset(&self) -> i64 {
        self.opsets.iter().rev().find(|(domain, _)| is_onnx(domain)).map_or(0, |(_, version)| *version)
    }

    /// Sets the version of ONNX's own operator set.
    pub(crate) fn set_opset(&mut self, version: i64) {
        self.opsets.retain(|(domain, _)| !is_onnx(domain));
        self.opsets.insert(0, (String::new(), version));
    }

    /// A property of the file.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Sets a property of the file.
    pub fn set_property(&mut self, key: &str, value: &str) {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.to_owned(), value.to_owned()));
    }
}

/// Whether a domain is ONNX's own.
pub(crate) fn is_onnx(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

impl Graph {
    /// Names of all its values, some more than once.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let nodes = self.nodes.iter().flat_map(|node| node.inputs.iter().chain(&node.outputs).map(String::as_str));
        nodes.chain(self.initializers.iter().map(|tensor| tensor.name.as_str()))
    }

    /// The constant of a name.
    pub fn initializer(&self, name: &str) -> Option<&Tensor> {
        self.initializers.iter().find(|tensor| tensor.name == name)
    }
}

impl Node {
    /// An operator of ONNX's own set without attributes.
    pub fn new(op: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self { op: op.into(), name: name.into(), inputs: own(inputs), outputs: own(outputs), ..Self::default() }
    }

    /// The same with an integer attribute.
    #[must_use]
    pub fn with_int(mut self, name: &str, value: i64) -> Self {
        self.set(name, AttributeValue::Int(value));
        self
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: AttributeValue) {
        self.attributes.retain(|attribute| attribute.name != name);
        self.attributes.push(Attribute { name: name.to_owned(), value, kept: Vec::new() });
    }

    /// Removes an attribute and hands it out.
    pub(crate) fn take(&mut self, name: &str) -> Option<AttributeValue> {
        let at = self.attributes.iter().position(|attribute| attribute.name == name)?;
        Some(self.attributes.remove(at).value)
    }

    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| &attribute.value)
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attribute(name)? {
            AttributeValue::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Its name, or its first output's where it has none.
    pub fn label(&self) -> &str {
        if self.name.is_empty() { self.outputs.first().map_or("?", String::as_str) } else { &self.name }
    }
}

impl Tensor {
    /// Little-endian bytes, whose number must go with the shape.
    pub(crate) fn raw(name: &str, dims: &[i64], element: ElementType, bytes: Vec<u8>) -> Self {
        debug_assert_eq!(
            super::tensor::elements(dims).zip(element.bits()).map(|(n, bits)| (n * bits).div_ceil(8)),
            Some(bytes.len() as u64)
        );
        Self { name: name.into(), dims: dims.to_vec(), element, data: Data::Raw(bytes), kept: Vec::new() }
    }

    /// A constant of 32-bit floats; as many values as the shape says.
    pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> Self {
        Self::raw(name, dims, ElementType::FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// A constant of 64-bit integers; as many values as the shape says.
    pub fn ints(name: &str, dims: &[i64], values: &[i64]) -> Self {
        Self::raw(name, dims, ElementType::INT64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// Its values, of a constant of 32-bit floats.
    pub fn as_floats(&self) -> Option<Vec<f32>> {
        match (&self.data, self.element) {
            (Data::Raw(bytes), ElementType::FLOAT) => {
                Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
            }
            _ => None,
        }
    }

    /// Its values, of a constant of 64-bit floats.
    pub fn as_doubles(&self) -> Option<Vec<f64>> {
        match (&self.data, self.element) {
            (Data::Raw(bytes), ElementType::DOUBLE) => {
                let eight = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
                Some(bytes.chunks_exact(8).map(eight).collect())
            }
            _ => None,
        }
    }

    /// How many of its values are no finite numbers.
    pub(crate) fn not_finite(&self) -> NotFinite {
        match &self.data {
            Data::Raw(bytes) => NotFinite::raw(self.element, bytes),
            // Floats and doubles are always dense.
            Data::Typed(_) => NotFinite::default(),
        }
    }

    /// Replaces what it holds, of the same shape.
    pub(crate) fn replace(&mut self, element: ElementType, bytes: Vec<u8>) {
        self.element = element;
        self.data = Data::Raw(bytes);
    }
}

impl Value {
    /// A tensor of undeclared shape.
    pub fn tensor(name: &str, element: ElementType) -> Self {
        Self { name: name.into(), kind: Kind::Tensor { element, shape: None }, kept: Vec::new() }
    }

    /// What a tensor holds; `None` for other types.
    pub fn element(&self) -> Option<ElementType> {
        match self.kind {
            Kind::Tensor { element, .. } => Some(element),
            Kind::Other(_) => None,
        }
    }

    /// Declares that a tensor holds something else.
    pub(crate) fn set_element(&mut self, new: ElementType) {
        if let Kind::Tensor { element, .. } = &mut self.kind {
            *element = new;
        }
    }
}

#[cfg(test)]
mod tests;
