//! Reproducible chance: numbers that follow from a seed and a place, never from what was asked before.

/// A small random generator (SplitMix64: Steele, Lea & Flood, OOPSLA 2014, §5).
pub(super) struct Dice(u64);

/// Mixes 64 bits so that neighbours share nothing.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in 0..1 for a cell of a texture.
pub(super) fn speckle(seed: u64, x: i32, y: i32) -> f32 {
    let place = (u64::from(x as u32) << 32) | u64::from(y as u32);
    (mix(place ^ seed) >> 40) as f32 / (1u32 << 24) as f32
}

impl Dice {
    /// The generator of one place: the seed and the salts name it.
    pub(super) fn new(seed: u64, salts: &[u64]) -> Self {
        Self(salts.iter().fold(mix(seed ^ 0x5851_f42d_4c95_7f2d), |state, salt| mix(state ^ mix(salt.wrapping_add(0x9e37)))))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In 0..1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[(self.bits() % of.len() as u64) as usize]
    }
}
