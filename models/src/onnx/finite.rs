//! Floats that are no finite numbers, counted over bytes as they lie in a file.

use std::fmt;

use super::ElementType;

/// How many values are no finite numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotFinite {
    /// Those that are no numbers at all.
    pub nan: u64,
    /// Those beyond the largest number.
    pub infinite: u64,
}

/// Bits of an exponent that is all ones, and of the rest of the magnitude.
const HALF: (u64, u64) = (0x7c00, 0x03ff);
const BRAIN: (u64, u64) = (0x7f80, 0x007f);
const FLOAT: (u64, u64) = (0x7f80_0000, 0x007f_ffff);
const DOUBLE: (u64, u64) = (0x7ff0_0000_0000_0000, 0x000f_ffff_ffff_ffff);

impl NotFinite {
    /// Of floats.
    pub fn of(values: &[f32]) -> Self {
        values.iter().fold(Self::default(), |found, value| found.and(u64::from(value.to_bits()), FLOAT))
    }

    /// Of doubles.
    pub fn of_doubles(values: &[f64]) -> Self {
        values.iter().fold(Self::default(), |found, value| found.and(value.to_bits(), DOUBLE))
    }

    /// Of little-endian values, densely packed; none of what is no float of a kind that is known here.
    pub(super) fn raw(element: ElementType, bytes: &[u8]) -> Self {
        let none = Self::default();
        match element {
            ElementType::FLOAT => {
                bytes.chunks_exact(4).fold(none, |found, b| found.and(u32::from_le_bytes([b[0], b[1], b[2], b[3]]).into(), FLOAT))
            }
            ElementType::FLOAT16 => {
                bytes.chunks_exact(2).fold(none, |found, b| found.and(u16::from_le_bytes([b[0], b[1]]).into(), HALF))
            }
            ElementType::BFLOAT16 => {
                bytes.chunks_exact(2).fold(none, |found, b| found.and(u16::from_le_bytes([b[0], b[1]]).into(), BRAIN))
            }
            ElementType::DOUBLE => bytes
                .chunks_exact(8)
                .fold(none, |found, b| found.and(u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]), DOUBLE)),
            _ => none,
        }
    }

    /// With one more 16-bit value, if that is what an element type is.
    pub(super) fn and_half(self, element: ElementType, bits: u64) -> Self {
        match element {
            ElementType::FLOAT16 => self.and(bits, HALF),
            ElementType::BFLOAT16 => self.and(bits, BRAIN),
            _ => self,
        }
    }

    /// Both together.
    #[must_use]
    pub(super) fn plus(self, other: Self) -> Self {
        Self { nan: self.nan + other.nan, infinite: self.infinite + other.infinite }
    }

    fn and(mut self, bits: u64, (exponent, mantissa): (u64, u64)) -> Self {
        if bits & exponent == exponent {
            if bits & mantissa == 0 {
                self.infinite += 1;
            } else {
                self.nan += 1;
            }
        }
        self
    }
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { nan, infinite: 0 } => write!(f, "{nan} times NaN"),
            Self { nan: 0, infinite } => write!(f, "{infinite} times infinity"),
            Self { nan, infinite } => write!(f, "{nan} times NaN and {infinite} times infinity"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_float_is_told() {
        let floats = [1.0_f32, f32::NAN, f32::INFINITY, -0.0, f32::NEG_INFINITY, f32::MAX];
        let found = NotFinite { nan: 1, infinite: 2 };
        let bytes: Vec<u8> = floats.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!((NotFinite::of(&floats), NotFinite::raw(ElementType::FLOAT, &bytes)), (found, found));
        let doubles = floats.map(f64::from);
        let bytes: Vec<u8> = doubles.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!((NotFinite::of_doubles(&doubles), NotFinite::raw(ElementType::DOUBLE, &bytes)), (found, found));
        let halves: Vec<u8> = [0x3c00_u16, 0x7e00, 0x7c00, 0x8000, 0xfc00, 0x7bff].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(NotFinite::raw(ElementType::FLOAT16, &halves), found);
        let brain: Vec<u8> = floats.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect();
        // The largest float rounds down here, not to infinity.
        assert_eq!(NotFinite::raw(ElementType::BFLOAT16, &brain), found);
        assert_eq!(NotFinite::raw(ElementType::INT64, &[0xff; 16]), NotFinite::default());
        assert_eq!(found.to_string(), "1 times NaN and 2 times infinity");
    }
}
