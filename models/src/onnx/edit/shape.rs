//! The declared shapes of values, and the values of short integer constants.

use super::{Data, Kind, Tensor, Value};
use crate::onnx::{
    ElementType, Refused,
    wire::{Fields, Slice, Value as Wire, push_ints},
};

/// More dimensions than any network has.
const MAX_RANK: usize = 16;

/// One dimension of a declared shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// So many.
    Fixed(i64),
    /// As many as others of that name (`dim_param`).
    Named(String),
    /// Not said.
    Open,
}

impl Value {
    /// A tensor of that shape.
    pub fn shaped(name: &str, element: ElementType, dims: &[Dimension]) -> Self {
        let mut shape = Vec::new();
        for dim in dims {
            let mut message = Vec::new();
            match dim {
                // `Dimension`: dim_value 1, dim_param 2.
                Dimension::Fixed(value) => {
                    message.push(1 << 3);
                    varint(&mut message, *value as u64);
                }
                Dimension::Named(name) => field(&mut message, 2, name.as_bytes()),
                Dimension::Open => {}
            }
            field(&mut shape, 1, &message);
        }
        Self { name: name.into(), kind: Kind::Tensor { element, shape: Some(shape) }, kept: Vec::new() }
    }

    /// Its declared shape; `None` where none is declared, or one that cannot be.
    pub fn dims(&self) -> Option<Vec<Dimension>> {
        match &self.kind {
            Kind::Tensor { shape: Some(shape), .. } => read(shape).ok(),
            _ => None,
        }
    }
}

/// `TensorShapeProto`: dim 1; `Dimension`: dim_value 1, dim_param 2.
fn read(shape: &[u8]) -> Result<Vec<Dimension>, Refused> {
    let mut dims = Vec::new();
    let mut fields = Fields::of(Slice { bytes: shape, offset: 0 });
    while let Some((number, value)) = fields.next()? {
        let (1, Wire::Bytes(message)) = (number, value) else { continue };
        if dims.len() == MAX_RANK {
            return Err(Refused::TooMany { what: "dimensions in one shape", limit: MAX_RANK });
        }
        let mut dim = Dimension::Open;
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Wire::Varint(value)) => dim = Dimension::Fixed(value as i64),
                (2, Wire::Bytes(name)) => dim = Dimension::Named(name.text()?.to_owned()),
                _ => {}
            }
        }
        dims.push(dim);
    }
    Ok(dims)
}

fn field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

impl Tensor {
    /// Its values, of a constant of at most `limit` 32-bit or 64-bit integers.
    pub(crate) fn as_ints(&self, limit: usize) -> Option<Vec<i64>> {
        let count = crate::onnx::tensor::elements(&self.dims).and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= limit)?;
        let values: Vec<i64> = match (&self.data, self.element) {
            (Data::Raw(bytes), ElementType::INT64) => {
                bytes.chunks_exact(8).map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])).collect()
            }
            (Data::Raw(bytes), ElementType::INT32) => {
                bytes.chunks_exact(4).map(|b| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
            }
            // int32_data 5, int64_data 7.
            (Data::Typed(fields), ElementType::INT64 | ElementType::INT32) => {
                let mut values = Vec::new();
                let mut fields = Fields::of(Slice { bytes: fields, offset: 0 });
                while let Some((number, value)) = fields.next().ok()? {
                    if matches!(number, 5 | 7) {
                        push_ints(value, limit, "integers", &mut values).ok()?;
                    }
                }
                values
            }
            _ => return None,
        };
        (values.len() == count).then_some(values)
    }
}
