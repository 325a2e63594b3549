//! Shapes, element types, tensors.

use std::fmt;

use super::{Error, sys};

/// A shape, outermost dimension first; -1 where it is dynamic. At most 8 dimensions.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shape(Vec<i64>);

impl Shape {
    /// Most dimensions that TensorRT has.
    pub const MAX_RANK: usize = sys::MAX_DIMS;

    /// # Errors
    /// [`Error::Binding`] with more than 8 dimensions.
    pub fn new(dimensions: &[i64]) -> Result<Self, Error> {
        if dimensions.len() > Self::MAX_RANK {
            return Err(Error::Binding(format!(
                "a shape of {} dimensions: TensorRT has at most {}",
                dimensions.len(),
                Self::MAX_RANK
            )));
        }
        Ok(Self(dimensions.to_vec()))
    }

    /// The dimensions.
    pub fn dimensions(&self) -> &[i64] {
        &self.0
    }

    /// Whether a dimension is not known yet.
    pub fn is_dynamic(&self) -> bool {
        self.0.iter().any(|&d| d < 0)
    }

    /// The number of elements; `None` where it is dynamic or beyond 64 bits.
    pub fn volume(&self) -> Option<u64> {
        self.0.iter().try_fold(1_u64, |volume, &d| volume.checked_mul(u64::try_from(d).ok()?))
    }

    pub(super) fn from_raw(raw: &sys::Dims) -> Self {
        let rank = usize::try_from(raw.rank).unwrap_or(0).min(sys::MAX_DIMS);
        Self(raw.d[..rank].to_vec())
    }

    pub(super) fn raw(&self) -> sys::Dims {
        let mut raw = sys::Dims { rank: self.0.len() as i32, ..sys::Dims::default() };
        raw.d[..self.0.len()].copy_from_slice(&self.0);
        raw
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `nvinfer1::DataType`; the values are those of every release since 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// 32-bit float.
    Float,
    /// 16-bit IEEE float.
    Half,
    /// 8-bit signed, quantised.
    Int8,
    /// 32-bit signed.
    Int32,
    /// One byte.
    Bool,
    /// 8-bit unsigned.
    Uint8,
    /// bfloat16.
    Bf16,
    /// 64-bit signed.
    Int64,
    /// One that egret has no use for (FP8, INT4, …), by its number.
    Other(i32),
}

impl DataType {
    pub(super) fn from_raw(raw: i32) -> Self {
        match raw {
            0 => Self::Float,
            1 => Self::Half,
            2 => Self::Int8,
            3 => Self::Int32,
            4 => Self::Bool,
            5 => Self::Uint8,
            7 => Self::Bf16,
            8 => Self::Int64,
            other => Self::Other(other),
        }
    }

    /// Bytes of an element; `None` for what egret does not handle.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Float | Self::Int32 => Some(4),
            Self::Half | Self::Bf16 => Some(2),
            Self::Int8 | Self::Bool | Self::Uint8 => Some(1),
            Self::Int64 => Some(8),
            Self::Other(_) => None,
        }
    }
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in the network.
    pub name: String,
    /// Its elements.
    pub data_type: DataType,
    /// Its shape, -1 where it is dynamic.
    pub shape: Shape,
    /// An output, else an input.
    pub is_output: bool,
    /// Its values are read on the host (shape tensors), else its address is the device's.
    pub on_host: bool,
    /// Row-major without gaps; else one of TensorRT's vectorised layouts.
    pub is_linear: bool,
}

impl Tensor {
    pub(super) fn from_raw(raw: &sys::Tensor, name: String) -> Self {
        Self {
            name,
            data_type: DataType::from_raw(raw.data_type),
            shape: Shape::from_raw(&raw.shape),
            is_output: raw.is_output != 0,
            on_host: raw.on_host != 0,
            is_linear: raw.format == 0,
        }
    }

    /// Bytes that the tensor has with that shape.
    ///
    /// # Errors
    /// [`Error::Binding`] for a dynamic shape, a vectorised layout or an element type without a size.
    pub fn bytes(&self, shape: &Shape) -> Result<u64, Error> {
        let size = || {
            if !self.is_linear {
                return None;
            }
            shape.volume()?.checked_mul(self.data_type.bytes()?)
        };
        size().ok_or_else(|| {
            Error::Binding(format!("tensor {:?} ({:?} {shape}) has no size that egret can tell", self.name, self.data_type))
        })
    }
}

/// The shapes that an optimization profile allows an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The input.
    pub name: String,
    /// The smallest.
    pub min: Shape,
    /// What the engine is tuned for.
    pub opt: Shape,
    /// The largest; decides the memory.
    pub max: Shape,
}

impl Range {
    /// A fixed shape.
    pub fn fixed(name: &str, shape: &Shape) -> Self {
        Self { name: name.to_owned(), min: shape.clone(), opt: shape.clone(), max: shape.clone() }
    }

    /// Whether that shape is within.
    pub fn allows(&self, shape: &Shape) -> bool {
        let (min, max, d) = (self.min.dimensions(), self.max.dimensions(), shape.dimensions());
        d.len() == min.len() && d.len() == max.len() && (0..d.len()).all(|i| (min[i]..=max[i]).contains(&d[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(d: &[i64]) -> Shape {
        Shape::new(d).expect("few dimensions")
    }

    #[test]
    fn shapes() {
        assert_eq!(shape(&[2, 3, 640, 640]).volume(), Some(2_457_600));
        assert_eq!(shape(&[-1, 3]).volume(), None);
        assert_eq!(shape(&[i64::MAX, 3]).volume(), None);
        assert_eq!(shape(&[]).volume(), Some(1));
        assert!(Shape::new(&[1; 9]).is_err());
        let back = Shape::from_raw(&shape(&[4, -1, 7]).raw());
        assert_eq!((back.to_string(), back.is_dynamic()), ("[4,-1,7]".into(), true));
    }

    #[test]
    fn ranges() {
        let range = Range { name: "x".into(), min: shape(&[1, 3]), opt: shape(&[4, 3]), max: shape(&[8, 3]) };
        assert!(range.allows(&shape(&[8, 3])) && range.allows(&shape(&[1, 3])));
        assert!(!range.allows(&shape(&[9, 3])) && !range.allows(&shape(&[4, 4])) && !range.allows(&shape(&[4])));
    }

    #[test]
    fn sizes_that_cannot_be_told_are_refused() {
        let tensor = |data_type, is_linear| Tensor {
            name: "x".into(),
            data_type,
            shape: shape(&[-1]),
            is_output: false,
            on_host: false,
            is_linear,
        };
        assert_eq!(tensor(DataType::Half, true).bytes(&shape(&[3])), Ok(6));
        assert!(tensor(DataType::Half, true).bytes(&shape(&[-1])).is_err());
        assert!(tensor(DataType::Half, false).bytes(&shape(&[3])).is_err());
        assert!(tensor(DataType::Other(6), true).bytes(&shape(&[3])).is_err());
    }
}
