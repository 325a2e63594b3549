//! What something looks like, as a vector of unit length whose product with another tells how alike they are.

/// How much of the old appearance stays when a new one is taken in: 0.9 as in `StrongSORT` (Du et al. 2023, §3.2).
const KEPT: f32 = 0.9;

/// Scales a vector to unit length (L2). `false`: it has no direction (all zero, or not finite) and is left as it is.
pub fn normalise(vector: &mut [f32]) -> bool {
    let length = vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let sound = length.is_finite() && length > 1e-12;
    if sound {
        for value in vector.iter_mut() {
            *value = (f64::from(*value) / length) as f32;
        }
    }
    sound
}

/// The cosine of the angle between two vectors of unit length: their product. 0 where their lengths differ.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return 0.0;
    }
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
}

/// An object's appearance over its life: a moving average of unit vectors, itself of unit length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appearance {
    vector: Vec<f32>,
    looks: u32,
}

impl Appearance {
    /// Takes the vector (of unit length) of another look in.
    pub fn add(&mut self, vector: &[f32]) {
        if self.vector.len() == vector.len() {
            self.vector.iter_mut().zip(vector).for_each(|(old, new)| *old = KEPT * *old + (1.0 - KEPT) * new);
            if !normalise(&mut self.vector) {
                self.vector.copy_from_slice(vector);
            }
        } else {
            self.vector = vector.to_vec();
            self.looks = 0;
        }
        self.looks += 1;
    }

    /// The average; empty before the first look.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// How many looks there were.
    pub fn looks(&self) -> u32 {
        self.looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_length_or_refused() {
        let mut v = [3.0, 4.0];
        assert!(normalise(&mut v));
        assert!((v[0] - 0.6).abs() < 1e-7 && (v[1] - 0.8).abs() < 1e-7);
        assert!((cosine(&v, &v) - 1.0).abs() < 1e-6);
        for mut bad in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
            assert!(!normalise(&mut bad));
        }
        assert!(cosine(&[1.0], &[1.0, 0.0]).abs() < f32::EPSILON);
    }

    #[test]
    fn an_appearance_moves_slowly_and_stays_of_unit_length() {
        let mut appearance = Appearance::default();
        appearance.add(&[1.0, 0.0]);
        assert_eq!(appearance.vector(), [1.0, 0.0]);
        appearance.add(&[0.0, 1.0]);
        // (0.9, 0.1) scaled to length 1.
        assert!((appearance.vector()[0] - 0.993_883_7).abs() < 1e-6, "{appearance:?}");
        assert!((cosine(appearance.vector(), appearance.vector()) - 1.0).abs() < 1e-6);
        appearance.add(&[-0.993_883_7 / 0.1 * 0.9, 0.0]);
        assert!(appearance.vector().iter().all(|v| v.is_finite()));
        appearance.add(&[0.0, 0.0, 1.0]);
        assert_eq!((appearance.looks(), appearance.vector().len()), (1, 3), "another network's vectors");
    }
}
