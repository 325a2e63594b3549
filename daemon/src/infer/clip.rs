//! Clips: small pictures of consecutive frames, kept instead of the frames they were cut from.

use egret_models::spec::{InputSpec, Layout};

use super::Letterbox;
use crate::media::{BBox, Frame};

/// A picture of the network's size, `u8[3,H,W]`, not yet normalised: a thirtieth of the memory of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crop(Box<[u8]>);

/// Consecutive pictures of one camera or one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// As many as the network takes.
    pub crops: Vec<Crop>,
}

/// Cuts the pictures of clips out of frames.
pub struct Cropper {
    letterbox: Letterbox,
    picture: Vec<f32>,
    frames: usize,
}

impl Cropper {
    /// For a network with this input; `None`: it takes no clips.
    pub fn new(input: &InputSpec) -> Option<Self> {
        let frames = input.clip?;
        let samples = InputSpec { layout: Layout::Nchw, scale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..input.clone() };
        let letterbox = Letterbox::new(&samples, 1);
        let picture = vec![0.0; letterbox.slot_len()];
        Some(Self { letterbox, picture, frames })
    }

    /// Pictures per clip.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The picture of a frame, or of a region of it; `None` where there is none, or where the frame lies out of reach.
    pub fn cut(&mut self, frame: &Frame, region: Option<BBox>) -> Option<Crop> {
        let picture = frame.pixels.host()?;
        self.letterbox.fill(0, picture, region, &mut self.picture)?;
        // `as` saturates.
        Some(Crop(self.picture.iter().map(|sample| sample.round() as u8).collect()))
    }
}

/// Writes clips into tensors.
pub(super) struct ClipFiller {
    frames: usize,
    /// What each of the 256 levels becomes, by colour in the order of the tensor.
    levels: [Vec<f32>; 3],
    interleaved: bool,
}

impl ClipFiller {
    /// For a network with this input; `None`: it takes no clips.
    pub(super) fn new(input: &InputSpec) -> Option<Self> {
        let frames = input.clip?;
        let level = |colour: usize, sample: u8| (f32::from(sample) * input.scale - input.mean[colour]) / input.std[colour];
        let levels = [0, 1, 2].map(|colour| (0..=u8::MAX).map(|sample| level(colour, sample)).collect());
        Some(Self { frames, levels, interleaved: input.layout == Layout::Nhwc })
    }

    /// Writes a clip into its slot, `[3,T,H,W]` or `[T,H,W,3]`. `false`: it has another length or size.
    pub(super) fn fill(&self, clip: &Clip, out: &mut [f32]) -> bool {
        let plane = out.len() / (3 * self.frames);
        if clip.crops.len() != self.frames || clip.crops.iter().any(|crop| crop.0.len() != 3 * plane) {
            return false;
        }
        for (t, crop) in clip.crops.iter().enumerate() {
            for (colour, (samples, levels)) in crop.0.chunks_exact(plane).zip(&self.levels).enumerate() {
                let values = samples.iter().map(|sample| levels[usize::from(*sample)]);
                if self.interleaved {
                    let out = out[t * 3 * plane..][..3 * plane].iter_mut().skip(colour).step_by(3);
                    out.zip(values).for_each(|(out, value)| *out = value);
                } else {
                    let out = &mut out[(colour * self.frames + t) * plane..][..plane];
                    out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use egret_models::spec::BatchAxis;

    use super::*;

    fn input(layout: Layout) -> InputSpec {
        let yolox = InputSpec::yolox("clip", BatchAxis::Dynamic, 2, 1);
        InputSpec { layout, scale: 0.5, mean: [0.0, 1.0, 2.0], std: [1.0, 1.0, 2.0], clip: Some(2), ..yolox }
    }

    #[test]
    fn pictures_go_where_the_network_looks_for_them() {
        let clip = Clip { crops: vec![Crop(Box::new([2, 4, 6, 8, 10, 12])), Crop(Box::new([0; 6]))] };
        let mut out = vec![9.0; 12];
        assert!(ClipFiller::new(&input(Layout::Nchw)).unwrap().fill(&clip, &mut out));
        // Colour, then time, then place.
        assert_eq!(out, [1.0, 2.0, 0.0, 0.0, 2.0, 3.0, -1.0, -1.0, 1.5, 2.0, -1.0, -1.0]);
        assert!(ClipFiller::new(&input(Layout::Nhwc)).unwrap().fill(&clip, &mut out));
        assert_eq!(out, [1.0, 2.0, 1.5, 2.0, 3.0, 2.0, 0.0, -1.0, -1.0, 0.0, -1.0, -1.0]);
        let short = Clip { crops: clip.crops[..1].to_vec() };
        assert!(!ClipFiller::new(&input(Layout::Nchw)).unwrap().fill(&short, &mut out));
    }
}
