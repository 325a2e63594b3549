//! Channels brought to one range before they are quantized together.
//!
//! Each channel of a depthwise convolution's input meets weights of its own alone. Multiplied by a constant before the pair, and the
//! weights' scale divided by it, the network computes what it did, and the channel has all 8 bits to itself. Elsewhere channels
//! are added up, and the weights' scales belong to the outputs: nothing could take the constants back for nothing. (The idea is
//! that of cross-layer equalization: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
//! ICCV 2019; with a multiplication of its own it holds behind any activation function.)

/// A quiet channel is raised no further than this: it may be louder elsewhere than on calibration frames.
const MOST: f32 = 256.0;

/// Factors of channels, and the range that all of them then have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Equalizer {
    /// One per channel, 1 for the loudest.
    pub(super) factors: Vec<f32>,
    /// The largest magnitude of any channel.
    pub(super) limit: f32,
}

impl Equalizer {
    /// Of the largest magnitudes of channels; `None` where all of them are silent.
    pub(super) fn new(limits: &[f32]) -> Option<Self> {
        let limit = limits.iter().copied().fold(0.0, f32::max);
        let factor = |own: &f32| if *own > 0.0 { (limit / own).clamp(1.0, MOST) } else { 1.0 };
        (limit > 0.0 && limit.is_finite()).then(|| Self { factors: limits.iter().map(factor).collect(), limit })
    }
}
