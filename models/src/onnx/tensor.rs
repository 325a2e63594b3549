//! `TensorProto`: a constant whose shape and bytes must agree.

use super::{
    MAX_ELEMENTS, NotFinite, Refused,
    graph::read_entry,
    wire::{Fields, Slice, Value, push_ints},
};
use crate::text;

/// More dimensions than any network has.
const MAX_RANK: usize = 16;
/// Constants that are shapes are short; longer ones are not read as such.
const MAX_SHAPE_VALUES: usize = 64;

/// `TensorProto.DataType`, as far as its size matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ElementType(pub i32);

impl ElementType {
    /// `float`.
    pub const FLOAT: Self = Self(1);
    /// `uint8`.
    pub const UINT8: Self = Self(2);
    /// `int8`.
    pub const INT8: Self = Self(3);
    /// `int32`.
    pub const INT32: Self = Self(6);
    /// `bool`.
    pub const BOOL: Self = Self(9);
    /// `float16`: IEEE 754 binary16.
    pub const FLOAT16: Self = Self(10);
    /// `bfloat16`.
    pub const BFLOAT16: Self = Self(16);
    /// `double`.
    pub const DOUBLE: Self = Self(11);
    /// `int64`.
    pub const INT64: Self = Self(7);
    /// `string`.
    const STRING: Self = Self(8);

    /// Bits per element; `None` for strings and unknown types.
    pub fn bits(self) -> Option<u64> {
        Some(match self.0 {
            2 | 3 | 9 | 17..=20 | 24 => 8,
            4 | 5 | 10 | 16 => 16,
            1 | 6 | 12 => 32,
            7 | 11 | 13 | 14 => 64,
            15 => 128,
            21..=23 => 4,
            25 | 26 => 2,
            _ => return None,
        })
    }
}

/// A constant of the file. Its bytes are checked against its shape and stay where they are.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape; empty for a scalar.
    pub dims: Vec<i64>,
    /// What it holds.
    pub element: ElementType,
    /// Product of `dims`.
    pub elements: u64,
    raw: Option<&'a [u8]>,
    /// The values of a short constant in the typed fields (`float_data` as its bits).
    typed: Vec<i64>,
    /// Of what lies in the typed fields.
    typed_not_finite: NotFinite,
}

impl<'a> Tensor<'a> {
    /// Reads a `TensorProto`.
    pub(super) fn read(message: Slice<'a>) -> Result<Self, Refused> {
        let mut parts = Parts {
            name: "",
            dims: Vec::new(),
            element: 0,
            raw: None,
            typed: Vec::new(),
            typed_count: 0,
            not_finite: NotFinite::default(),
            halves: NotFinite::default(),
            brains: NotFinite::default(),
            location: None,
            external: false,
        };
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            parts.take(number, value)?;
        }
        parts.check()
    }

    /// How many of its values are no finite numbers. Goes through all of them.
    pub fn not_finite(&self) -> NotFinite {
        self.raw.map_or(self.typed_not_finite, |raw| NotFinite::raw(self.element, raw))
    }

    /// The values of a short integer or float constant, as they are meant where a shape or a scale is asked for.
    pub fn values(&self) -> Option<Vec<f64>> {
        if self.elements > MAX_SHAPE_VALUES as u64 {
            return None;
        }
        if let Some(raw) = self.raw {
            return match self.element.0 {
                1 => Some(raw.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()),
                6 => Some(raw.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()),
                7 => Some(
                    raw.chunks_exact(8)
                        .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f64)
                        .collect(),
                ),
                _ => None,
            };
        }
        match self.element.0 {
            1 => Some(self.typed.iter().map(|bits| f64::from(f32::from_bits(*bits as u32))).collect()),
            6 | 7 => Some(self.typed.iter().map(|value| *value as f64).collect()),
            _ => None,
        }
    }
}

struct Parts<'a> {
    name: &'a str,
    dims: Vec<i64>,
    element: i32,
    raw: Option<&'a [u8]>,
    typed: Vec<i64>,
    typed_count: u64,
    not_finite: NotFinite,
    /// The same of 16-bit floats, should `int32_data` hold those of one kind or the other.
    halves: NotFinite,
    brains: NotFinite,
    location: Option<&'a str>,
    external: bool,
}

impl<'a> Parts<'a> {
    /// Fields of `TensorProto`: dims 1, data_type 2, float_data 4, int32_data 5, string_data 6, int64_data 7, name 8, raw_data 9,
    /// double_data 10, uint64_data 11, external_data 13, data_location 14.
    fn take(&mut self, number: u64, value: Value<'a>) -> Result<(), Refused> {
        match (number, value) {
            (1, value) => push_ints(value, MAX_RANK, "dimensions in one tensor", &mut self.dims)?,
            (2, Value::Varint(value)) => self.element = value as i32,
            (4, Value::Bytes(slice)) => {
                self.count_typed(slice.bytes.len() as u64 / 4);
                self.not_finite = self.not_finite.plus(NotFinite::raw(ElementType::FLOAT, slice.bytes));
                let room = MAX_SHAPE_VALUES.saturating_sub(self.typed.len());
                let floats = slice.bytes.chunks_exact(4).take(room);
                self.typed.extend(floats.map(|b| i64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))));
            }
            (4, Value::Fixed32(bytes)) => {
                self.count_typed(1);
                self.not_finite = self.not_finite.plus(NotFinite::raw(ElementType::FLOAT, &bytes));
                self.keep(i64::from(u32::from_le_bytes(bytes)));
            }
            (5 | 7 | 11, Value::Varint(value)) => {
                self.count_typed(1);
                self.keep(value as i64);
            }
            (5 | 7 | 11, Value::Bytes(slice)) => {
                let mut fields = Fields::of(slice);
                while !fields.is_empty() {
                    let value = fields.varint()?;
                    self.count_typed(1);
                    self.keep(value as i64);
                }
            }
            (6, Value::Bytes(_)) | (10, Value::Fixed64) => self.count_typed(1),
            (8, Value::Bytes(slice)) => self.name = slice.text()?,
            (9, Value::Bytes(slice)) => self.raw = Some(slice.bytes),
            (10, Value::Bytes(slice)) => {
                self.count_typed(slice.bytes.len() as u64 / 8);
                self.not_finite = self.not_finite.plus(NotFinite::raw(ElementType::DOUBLE, slice.bytes));
            }
            (13, Value::Bytes(slice)) => self.external_entry(slice)?,
            (14, Value::Varint(value)) => self.external |= value == 1,
            _ => {}
        }
        Ok(())
    }

    fn count_typed(&mut self, count: u64) {
        self.typed_count = self.typed_count.saturating_add(count);
    }

    fn keep(&mut self, value: i64) {
        self.halves = self.halves.and_half(ElementType::FLOAT16, value as u64);
        self.brains = self.brains.and_half(ElementType::BFLOAT16, value as u64);
        if self.typed.len() < MAX_SHAPE_VALUES {
            self.typed.push(value);
        }
    }

    fn external_entry(&mut self, entry: Slice<'a>) -> Result<(), Refused> {
        self.external = true;
        if let ("location", location) = read_entry(entry)? {
            self.location = Some(location);
        }
        Ok(())
    }

    fn check(self) -> Result<Tensor<'a>, Refused> {
        let wrong = |what: String| Refused::Tensor { tensor: text::short(self.name, 200), what };
        if self.external {
            let location = text::short(self.location.unwrap_or("?"), 200);
            return Err(Refused::ExternalData { tensor: text::short(self.name, 200), location });
        }
        let elements = elements(&self.dims)
            .ok_or_else(|| wrong(format!("the shape {:?} is impossible or over {MAX_ELEMENTS} elements", self.dims)))?;
        let element = ElementType(self.element);
        if let Some(raw) = self.raw {
            let bits = element.bits().ok_or_else(|| wrong(format!("element type {} cannot be raw", self.element)))?;
            let needed = (elements * bits).div_ceil(8);
            if raw.len() as u64 != needed || self.typed_count > 0 {
                return Err(wrong(format!("the shape {:?} needs {needed} bytes, the file holds {}", self.dims, raw.len())));
            }
        } else {
            if element.bits().is_none() && element != ElementType::STRING {
                return Err(wrong(format!("unknown element type {}", self.element)));
            }
            // Complex numbers take two entries, 4-bit ones share: exact only where an entry is an element.
            let exact = !matches!(self.element, 14 | 15 | 21..=23 | 25 | 26);
            if (exact && self.typed_count != elements) || self.typed_count > elements.saturating_mul(2) {
                return Err(wrong(format!(
                    "the shape {:?} needs {elements} values, the file holds {}",
                    self.dims, self.typed_count
                )));
            }
        }
        let typed_not_finite = match element {
            ElementType::FLOAT16 => self.halves,
            ElementType::BFLOAT16 => self.brains,
            _ => self.not_finite,
        };
        let Self { name, dims, raw, typed, .. } = self;
        Ok(Tensor { name, dims, element, elements, raw, typed, typed_not_finite })
    }
}

/// The product of `dims` if every one is non-negative and the product is within [`MAX_ELEMENTS`].
pub(super) fn elements(dims: &[i64]) -> Option<u64> {
    // A zero does not excuse an absurd neighbour.
    let mut nonzero = 1_u64;
    for &dim in dims {
        let dim = u64::try_from(dim).ok()?;
        nonzero = nonzero.checked_mul(dim.max(1)).filter(|n| *n <= MAX_ELEMENTS)?;
    }
    Some(if dims.contains(&0) { 0 } else { nonzero })
}
