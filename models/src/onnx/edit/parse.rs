//! From the bytes of an accepted file to an owned graph. Field numbers are those of `onnx.proto`.

use super::{Attribute, AttributeValue, Data, Graph, Kind, Model, Node, Tensor, Value};
use crate::onnx::{
    ElementType, Refused,
    graph::read_entry,
    wire::{Fields, Slice, Value as Wire, push_ints},
};

/// Declared values in between, and other lists whose length the reader does not bound.
const MAX_VALUES: usize = 100_000;
const MAX_RANK: usize = 16;
const MAX_NUMBERS: usize = 4_096;

fn push<T>(list: &mut Vec<T>, item: T, what: &'static str) -> Result<(), Refused> {
    if list.len() == MAX_VALUES {
        return Err(Refused::TooMany { what, limit: MAX_VALUES });
    }
    list.push(item);
    Ok(())
}

fn text(slice: Slice<'_>) -> Result<String, Refused> {
    slice.text().map(str::to_owned)
}

/// `ModelProto`: ir_version 1, graph 7, opset_import 8, metadata_props 14.
pub(super) fn model(bytes: &[u8]) -> Result<Model, Refused> {
    let mut model = Model { ir_version: 0, opsets: Vec::new(), metadata: Vec::new(), graph: Graph::default(), kept: Vec::new() };
    let mut fields = Fields::of(Slice { bytes, offset: 0 });
    while let Some((number, value, whole)) = fields.next_whole()? {
        match (number, value) {
            (1, Wire::Varint(version)) => model.ir_version = version as i64,
            (7, Wire::Bytes(slice)) => model.graph = graph(slice)?,
            (8, Wire::Bytes(slice)) => push(&mut model.opsets, opset(slice)?, "operator sets")?,
            (14, Wire::Bytes(slice)) => push(&mut model.metadata, entry(slice)?, "properties")?,
            _ => model.kept.extend_from_slice(whole),
        }
    }
    Ok(model)
}

fn entry(message: Slice<'_>) -> Result<(String, String), Refused> {
    read_entry(message).map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// `OperatorSetIdProto`: domain 1, version 2.
fn opset(message: Slice<'_>) -> Result<(String, i64), Refused> {
    let (mut domain, mut version) = (String::new(), 0);
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Wire::Bytes(slice)) => domain = text(slice)?,
            (2, Wire::Varint(value)) => version = value as i64,
            _ => {}
        }
    }
    Ok((domain, version))
}

/// `GraphProto`: node 1, initializer 5, input 11, output 12, value_info 13.
fn graph(message: Slice<'_>) -> Result<Graph, Refused> {
    let mut graph = Graph::default();
    let mut fields = Fields::of(message);
    while let Some((number, field, whole)) = fields.next_whole()? {
        match (number, field) {
            (1, Wire::Bytes(slice)) => push(&mut graph.nodes, node(slice)?, "nodes")?,
            (5, Wire::Bytes(slice)) => push(&mut graph.initializers, tensor(slice)?, "initializers")?,
            (11, Wire::Bytes(slice)) => push(&mut graph.inputs, value(slice)?, "inputs")?,
            (12, Wire::Bytes(slice)) => push(&mut graph.outputs, value(slice)?, "outputs")?,
            (13, Wire::Bytes(slice)) => push(&mut graph.values, value(slice)?, "declared values")?,
            _ => graph.kept.extend_from_slice(whole),
        }
    }
    Ok(graph)
}

/// `NodeProto`: input 1, output 2, name 3, op_type 4, attribute 5, domain 7.
fn node(message: Slice<'_>) -> Result<Node, Refused> {
    let mut node = Node::default();
    let mut fields = Fields::of(message);
    while let Some((number, value, whole)) = fields.next_whole()? {
        match (number, value) {
            (1, Wire::Bytes(slice)) => node.inputs.push(text(slice)?),
            (2, Wire::Bytes(slice)) => node.outputs.push(text(slice)?),
            (3, Wire::Bytes(slice)) => node.name = text(slice)?,
            (4, Wire::Bytes(slice)) => node.op = text(slice)?,
            (5, Wire::Bytes(slice)) => node.attributes.push(attribute(slice)?),
            (7, Wire::Bytes(slice)) => node.domain = text(slice)?,
            _ => node.kept.extend_from_slice(whole),
        }
    }
    Ok(node)
}

/// What an attribute's message says of its type: `AttributeProto.type`, else the one kind of payload that it has.
#[derive(Default)]
struct Payloads {
    declared: u64,
    /// Numbers of the payload fields that occur, as bits.
    present: u32,
}

/// Payload fields of `AttributeProto`: f 2, i 3, s 4, t 5, g 6, floats 7, ints 8, strings 9, tensors 10, graphs 11, tp 14,
/// type_protos 15, ref_attr_name 21, sparse_tensor 22, sparse_tensors 23.
const PAYLOADS: [u64; 15] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 21, 22, 23];
/// `AttributeProto.type`.
const TYPE: u64 = 20;

impl Payloads {
    fn of(message: Slice<'_>) -> Result<Self, Refused> {
        let mut found = Self::default();
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (TYPE, Wire::Varint(value)) => found.declared = value,
                _ if PAYLOADS.contains(&number) => found.present |= 1 << number,
                _ => {}
            }
        }
        Ok(found)
    }

    /// The one payload field, if the type and what is there agree.
    fn field(&self) -> Option<u64> {
        // AttributeType: FLOAT 1, INT 2, STRING 3, TENSOR 4, FLOATS 6, INTS 7, STRINGS 8.
        let declared = match self.declared {
            0 => u64::from(self.present.trailing_zeros()),
            kind @ (1..=4 | 6..=8) => kind + 1,
            _ => return None,
        };
        let only = self.present & !(1_u32.checked_shl(declared as u32)?) == 0;
        (only && matches!(declared, 2..=5 | 7..=9)).then_some(declared)
    }
}

/// `AttributeProto`: name 1, type 20, and one payload.
fn attribute(message: Slice<'_>) -> Result<Attribute, Refused> {
    let payload = Payloads::of(message)?.field();
    let mut value = match payload {
        Some(2) => AttributeValue::Float(0.0),
        Some(3) => AttributeValue::Int(0),
        Some(4) => AttributeValue::Text(Vec::new()),
        Some(7) => AttributeValue::Floats(Vec::new()),
        Some(8) => AttributeValue::Ints(Vec::new()),
        Some(9) => AttributeValue::Texts(Vec::new()),
        _ => AttributeValue::Other,
    };
    let mut attribute = Attribute { name: String::new(), value: AttributeValue::Other, kept: Vec::new() };
    let mut fields = Fields::of(message);
    while let Some((number, field, whole)) = fields.next_whole()? {
        match (number, field) {
            (1, Wire::Bytes(slice)) => attribute.name = text(slice)?,
            (TYPE, Wire::Varint(_)) if payload.is_some() => {}
            (5, Wire::Bytes(slice)) if payload == Some(5) => value = AttributeValue::Tensor(tensor(slice)?),
            _ if Some(number) == payload && take(&mut value, field)? => {}
            _ => attribute.kept.extend_from_slice(whole),
        }
    }
    // A tensor that is declared and not there, or a payload of the wrong wire type: as it came.
    if matches!(value, AttributeValue::Other) && payload.is_some() || !attribute.kept.is_empty() && has_payload(&attribute.kept)?
    {
        return as_it_came(message);
    }
    attribute.value = value;
    Ok(attribute)
}

fn has_payload(kept: &[u8]) -> Result<bool, Refused> {
    Ok(Payloads::of(Slice { bytes: kept, offset: 0 })?.present != 0)
}

fn as_it_came(message: Slice<'_>) -> Result<Attribute, Refused> {
    let mut attribute = Attribute { name: String::new(), value: AttributeValue::Other, kept: Vec::new() };
    let mut fields = Fields::of(message);
    while let Some((number, field, whole)) = fields.next_whole()? {
        match (number, field) {
            (1, Wire::Bytes(slice)) => attribute.name = text(slice)?,
            _ => attribute.kept.extend_from_slice(whole),
        }
    }
    Ok(attribute)
}

/// Takes a payload field into its value; false where its wire type is not the field's.
fn take(value: &mut AttributeValue, field: Wire<'_>) -> Result<bool, Refused> {
    match (value, field) {
        (AttributeValue::Float(value), Wire::Fixed32(bytes)) => *value = f32::from_le_bytes(bytes),
        (AttributeValue::Int(value), Wire::Varint(new)) => *value = new as i64,
        (AttributeValue::Text(value), Wire::Bytes(slice)) => *value = slice.bytes.to_vec(),
        (AttributeValue::Floats(values), Wire::Fixed32(bytes)) => values.push(f32::from_le_bytes(bytes)),
        (AttributeValue::Floats(values), Wire::Bytes(slice)) => {
            values.extend(slice.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        (AttributeValue::Ints(values), field @ (Wire::Varint(_) | Wire::Bytes(_))) => {
            push_ints(field, MAX_NUMBERS, "numbers in one attribute", values)?;
        }
        (AttributeValue::Texts(values), Wire::Bytes(slice)) => push(values, slice.bytes.to_vec(), "texts in one attribute")?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// `TensorProto`: dims 1, data_type 2, name 8, raw_data 9; values in typed fields: float_data 4, int32_data 5, string_data 6,
/// int64_data 7, double_data 10, uint64_data 11.
fn tensor(message: Slice<'_>) -> Result<Tensor, Refused> {
    let mut tensor = Tensor {
        name: String::new(),
        dims: Vec::new(),
        element: ElementType(0),
        data: Data::Typed(Vec::new()),
        kept: Vec::new(),
    };
    let (mut raw, mut dense, mut typed) = (None, Vec::new(), Vec::new());
    let mut fields = Fields::of(message);
    while let Some((number, value, whole)) = fields.next_whole()? {
        match (number, value) {
            (1, value @ (Wire::Varint(_) | Wire::Bytes(_))) => {
                push_ints(value, MAX_RANK, "dimensions in one tensor", &mut tensor.dims)?;
            }
            (2, Wire::Varint(value)) => tensor.element = ElementType(value as i32),
            (8, Wire::Bytes(slice)) => tensor.name = text(slice)?,
            (9, Wire::Bytes(slice)) => raw = Some(slice.bytes.to_vec()),
            (4 | 10, Wire::Bytes(slice)) => {
                typed.extend_from_slice(whole);
                // A value that the packed field ends within counts for nothing.
                let width = if number == 4 { 4 } else { 8 };
                dense.extend_from_slice(&slice.bytes[..slice.bytes.len() / width * width]);
            }
            (4, Wire::Fixed32(bytes)) => {
                typed.extend_from_slice(whole);
                dense.extend_from_slice(&bytes);
            }
            (10, Wire::Fixed64) => {
                typed.extend_from_slice(whole);
                dense.extend_from_slice(&whole[whole.len() - 8..]);
            }
            (5 | 6 | 7 | 11, _) => typed.extend_from_slice(whole),
            _ => tensor.kept.extend_from_slice(whole),
        }
    }
    let floats = matches!(tensor.element, ElementType::FLOAT | ElementType::DOUBLE);
    let width = tensor.element.bits().unwrap_or(8) as usize / 8;
    let needed = crate::onnx::tensor::elements(&tensor.dims).and_then(|n| usize::try_from(n).ok()?.checked_mul(width));
    tensor.data = match raw {
        Some(raw) => Data::Raw(raw),
        // Floats lie in their typed field just as they do in the raw one.
        None if floats && !dense.is_empty() && Some(dense.len()) == needed => Data::Raw(dense),
        None => Data::Typed(typed),
    };
    Ok(tensor)
}

/// `ValueInfoProto`: name 1, type 2.
fn value(message: Slice<'_>) -> Result<Value, Refused> {
    let mut value = Value { name: String::new(), kind: Kind::Other(Vec::new()), kept: Vec::new() };
    let (mut kinds, mut typed) = (Vec::new(), Vec::new());
    let mut fields = Fields::of(message);
    while let Some((number, field, whole)) = fields.next_whole()? {
        match (number, field) {
            (1, Wire::Bytes(slice)) => value.name = text(slice)?,
            (2, Wire::Bytes(slice)) => {
                kinds.push(tensor_kind(slice)?);
                typed.extend_from_slice(whole);
            }
            _ => value.kept.extend_from_slice(whole),
        }
    }
    value.kind = match (kinds.len(), kinds.pop().flatten()) {
        (1, Some(kind)) => kind,
        _ => Kind::Other(typed),
    };
    Ok(value)
}

/// `TypeProto` of nothing but a tensor_type 1, which has nothing but elem_type 1 and shape 2, each once.
fn tensor_kind(message: Slice<'_>) -> Result<Option<Kind>, Refused> {
    let mut fields = Fields::of(message);
    let Some((1, Wire::Bytes(tensor))) = fields.next()? else { return Ok(None) };
    if !fields.is_empty() {
        return Ok(None);
    }
    let (mut element, mut shape) = (None, None);
    let mut fields = Fields::of(tensor);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Wire::Varint(value)) if element.is_none() => element = Some(ElementType(value as i32)),
            (2, Wire::Bytes(slice)) if shape.is_none() => shape = Some(slice.bytes.to_vec()),
            _ => return Ok(None),
        }
    }
    Ok(element.map(|element| Kind::Tensor { element, shape }))
}
