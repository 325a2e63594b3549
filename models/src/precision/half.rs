//! IEEE 754 binary16 from binary32, rounded to nearest, ties to even.

/// The bits of the half that is nearest to `value`. What is beyond 65519.99 becomes infinite.
pub(super) fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    // 65520 and above round to infinity.
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    // Below the smallest normal half, 2^-14: a multiple of 2^-24.
    if magnitude < 0x3880_0000 {
        // The exponent of 2^-1 is 126; shifting by 126 - exponent leaves units of 2^-24.
        let exponent = magnitude >> 23;
        if exponent < 102 {
            return sign;
        }
        let mantissa = magnitude & 0x007f_ffff | 0x0080_0000;
        return sign | round(mantissa, 126 - exponent) as u16;
    }
    // Re-bias the exponent from 127 to 15; a carry out of the mantissa raises it, as it should.
    sign | round(magnitude - 0x3800_0000, 13) as u16
}

/// `value / 2^shift`, to nearest, ties to even.
fn round(value: u32, shift: u32) -> u32 {
    let (whole, rest, tie) = (value >> shift, value & ((1 << shift) - 1), 1 << (shift - 1));
    whole + u32::from(rest > tie || rest == tie && whole & 1 == 1)
}

/// What a half stands for.
pub(super) fn from_half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => mantissa * 2.0_f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + mantissa / 1024.0) * 2.0_f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_half_comes_back() {
        for bits in 0..=u16::MAX {
            let value = from_half(bits);
            assert!(value.is_nan() || to_half(value) == bits, "{bits:#06x} {value}");
        }
    }

    #[test]
    fn known_values() {
        let cases: [(f32, u16); 10] = [
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (65519.99, 0x7bff),
            (65520.0, 0x7c00),
            (1e9, 0x7c00),
            (6e-8, 0x0001),
            (2.9e-8, 0x0000),
            (2.0_f32.powi(-25), 0x0000),
            (1.0 / 3.0, 0x3555),
        ];
        for (value, bits) in cases {
            assert_eq!(to_half(value), bits, "{value}");
        }
        assert!(from_half(to_half(f32::NAN)).is_nan());
    }

    proptest! {
        /// No other half is nearer, and of two that are equally near it is the even one.
        #[test]
        fn the_nearest_half_is_taken(value in -65519.0_f32..65519.0, small in -1e-4_f32..1e-4) {
            for value in [value, small] {
                let bits = to_half(value);
                let error = |bits: u16| (f64::from(from_half(bits)) - f64::from(value)).abs();
                for other in [bits.wrapping_sub(1), bits.wrapping_add(1)] {
                    let (own, other_error) = (error(bits), error(other));
                    if other_error.is_finite() {
                        let tie = (own - other_error).abs() == 0.0;
                        prop_assert!(own < other_error || tie && bits & 1 == 0, "{value} {own}");
                    }
                }
            }
        }
    }
}
