//! Writes an editable graph as protobuf. Field numbers are those of `onnx.proto`.

use super::edit::{Attribute, AttributeValue, Data, Graph, Kind, Model, Node, Tensor, Value};

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(&mut self, number: u64, value: i64) {
        self.raw_varint(number << 3);
        self.raw_varint(value as u64);
    }

    fn float(&mut self, number: u64, value: f32) {
        self.raw_varint(number << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.raw_varint(number << 3 | 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Texts that are empty are left out, as protobuf does.
    fn text(&mut self, number: u64, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn kept(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }
}

impl Model {
    /// The bytes of an ONNX file.
    pub fn write(&self) -> Vec<u8> {
        let mut message = Message::default();
        message.int(1, self.ir_version);
        message.kept(&self.kept);
        message.bytes(7, &graph(&self.graph).0);
        for (domain, version) in &self.opsets {
            let mut opset = Message::default();
            // The domain is required, also where it is empty.
            opset.bytes(1, domain.as_bytes());
            opset.int(2, *version);
            message.bytes(8, &opset.0);
        }
        for (key, value) in &self.metadata {
            let mut entry = Message::default();
            entry.bytes(1, key.as_bytes());
            entry.bytes(2, value.as_bytes());
            message.bytes(14, &entry.0);
        }
        message.0
    }
}

fn graph(graph: &Graph) -> Message {
    let mut message = Message::default();
    for item in &graph.nodes {
        message.bytes(1, &node(item).0);
    }
    message.kept(&graph.kept);
    for item in &graph.initializers {
        message.bytes(5, &tensor(item).0);
    }
    for (number, list) in [(11, &graph.inputs), (12, &graph.outputs), (13, &graph.values)] {
        for item in list {
            message.bytes(number, &value(item).0);
        }
    }
    message
}

fn node(node: &Node) -> Message {
    let mut message = Message::default();
    // An empty name among them stands for one that is left out.
    for input in &node.inputs {
        message.bytes(1, input.as_bytes());
    }
    for output in &node.outputs {
        message.bytes(2, output.as_bytes());
    }
    message.text(3, &node.name);
    message.text(4, &node.op);
    for item in &node.attributes {
        message.bytes(5, &attribute(item).0);
    }
    message.text(7, &node.domain);
    message.kept(&node.kept);
    message
}

fn attribute(attribute: &Attribute) -> Message {
    let mut message = Message::default();
    message.bytes(1, attribute.name.as_bytes());
    let kind = match &attribute.value {
        AttributeValue::Float(value) => {
            message.float(2, *value);
            1
        }
        AttributeValue::Int(value) => {
            message.int(3, *value);
            2
        }
        AttributeValue::Text(value) => {
            message.bytes(4, value);
            3
        }
        AttributeValue::Tensor(value) => {
            message.bytes(5, &tensor(value).0);
            4
        }
        AttributeValue::Floats(values) => {
            for value in values {
                message.float(7, *value);
            }
            6
        }
        AttributeValue::Ints(values) => {
            for value in values {
                message.int(8, *value);
            }
            7
        }
        AttributeValue::Texts(values) => {
            for value in values {
                message.bytes(9, value);
            }
            8
        }
        AttributeValue::Other => 0,
    };
    if kind > 0 {
        message.int(20, kind);
    }
    message.kept(&attribute.kept);
    message
}

fn tensor(tensor: &Tensor) -> Message {
    let mut message = Message::default();
    for dim in &tensor.dims {
        message.int(1, *dim);
    }
    message.int(2, i64::from(tensor.element.0));
    message.text(8, &tensor.name);
    message.kept(&tensor.kept);
    match &tensor.data {
        Data::Raw(bytes) => message.bytes(9, bytes),
        Data::Typed(fields) => message.kept(fields),
    }
    message
}

fn value(value: &Value) -> Message {
    let mut message = Message::default();
    message.text(1, &value.name);
    match &value.kind {
        Kind::Tensor { element, shape } => {
            let (mut kind, mut tensor) = (Message::default(), Message::default());
            tensor.int(1, i64::from(element.0));
            if let Some(shape) = shape {
                tensor.bytes(2, shape);
            }
            kind.bytes(1, &tensor.0);
            message.bytes(2, &kind.0);
        }
        Kind::Other(fields) => message.kept(fields),
    }
    message.kept(&value.kept);
    message
}
