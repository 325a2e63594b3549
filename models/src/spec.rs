//! What a network is, as data: its input tensor, how a picture gets into it, what its outputs mean and what they are called.
//!
//! A [`ModelSpec`] comes from a manifest ([`crate::manifest`]); everything that runs or rewrites a network works from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::head::HeadSpec;

/// The order of the three colours of an input tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Blue, green, red: what OpenCV reads and YOLOX is trained on.
    Bgr,
    /// Red, green, blue.
    Rgb,
}

/// Where the colours of an input tensor lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Planar: `[N,3,H,W]`.
    #[default]
    Nchw,
    /// Interleaved: `[N,H,W,3]`.
    Nhwc,
}

/// The element type of an input tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementKind {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats (IEEE 754 binary16).
    F16,
    /// Bytes: the samples themselves. Scale, mean and standard deviation are 1, 0 and 1.
    U8,
}

/// The first dimension of an input tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchAxis {
    /// Always this many pictures.
    Fixed(usize),
    /// As many as there are.
    Dynamic,
}

/// Where a letterboxed picture lies in its tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// At the top left; the padding is right of it or below (YOLOX).
    #[default]
    TopLeft,
    /// In the middle; the padding is on two sides (Ultralytics).
    Centre,
}

/// How a picture of any size becomes one of the input's size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fit {
    /// Scaled as a whole, its aspect kept; the rest is padding.
    Letterbox(Place),
    /// Scaled to the input's width and height, its aspect lost.
    Stretch,
    /// Scaled, its aspect kept, until the middle of it fills the input: the shorter side becomes input/`fraction`, and the middle of
    /// that is cut out. 224/256 is the usual test of ImageNet classifiers; 1 cuts no more than the aspect asks for.
    CentreCrop {
        /// Side of the cut over the side after scaling, above 0 and up to 1.
        fraction: f32,
    },
}

/// The input tensor: `[N,3,H,W]`, `[N,H,W,3]`, or `[N,3,T,H,W]` for clips. A sample `s` of 0..255 becomes `(s·scale − mean) / std`
/// of its colour.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Name of the input in the graph.
    pub name: String,
    /// N.
    pub batch: BatchAxis,
    /// Planar or interleaved.
    pub layout: Layout,
    /// Its elements.
    pub element: ElementKind,
    /// W in pixels: what is used, where the graph leaves it open.
    pub width: usize,
    /// H in pixels: what is used, where the graph leaves it open.
    pub height: usize,
    /// Order of the three colours.
    pub order: ChannelOrder,
    /// Each sample 0..255 is multiplied by this first.
    pub scale: f32,
    /// Taken from each scaled sample, by colour in the order of the tensor.
    pub mean: [f32; 3],
    /// What the difference is divided by, by colour in the order of the tensor.
    pub std: [f32; 3],
    /// How a picture is brought to the size.
    pub fit: Fit,
    /// The padding, 0..255 before scaling.
    pub pad: u8,
    /// T of a clip `[N,3,T,H,W]`, in consecutive frames.
    pub clip: Option<usize>,
}

impl InputSpec {
    /// An input as YOLOX has it: f32, planar, BGR 0..255 unscaled, letterboxed at the top left, padded with 114.
    pub fn yolox(name: &str, batch: BatchAxis, width: usize, height: usize) -> Self {
        Self {
            name: name.to_owned(),
            batch,
            layout: Layout::Nchw,
            element: ElementKind::F32,
            width,
            height,
            order: ChannelOrder::Bgr,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            fit: Fit::Letterbox(Place::TopLeft),
            pad: 114,
            clip: None,
        }
    }

    /// The tensor's shape for a batch of `count`.
    pub fn shape(&self, count: usize) -> Vec<usize> {
        let Self { width, height, .. } = *self;
        match (self.layout, self.clip) {
            (Layout::Nchw, None) => vec![count, 3, height, width],
            (Layout::Nhwc, None) => vec![count, height, width, 3],
            (Layout::Nchw, Some(frames)) => vec![count, 3, frames, height, width],
            (Layout::Nhwc, Some(frames)) => vec![count, frames, height, width, 3],
        }
    }

    /// Whether samples go in as they are: nothing is multiplied, subtracted or divided.
    pub fn is_plain(&self) -> bool {
        [self.scale].iter().chain(&self.std).all(|v| v.to_bits() == 1.0_f32.to_bits()) && self.mean.iter().all(|v| v.abs() <= 0.0)
    }
}

/// How duplicates are suppressed, where a head leaves any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NmsSpec {
    /// Of two boxes with a larger IoU the lesser is dropped. 1: none is.
    pub iou: f32,
    /// Whether boxes of different classes suppress each other.
    pub class_agnostic: bool,
    /// Only this many candidates with the highest scores take part (pre-NMS top-k).
    pub candidates: usize,
    /// At most this many boxes remain.
    pub detections: usize,
}

impl Default for NmsSpec {
    fn default() -> Self {
        Self { iou: 0.45, class_agnostic: false, candidates: 1000, detections: 300 }
    }
}

/// What a network is for.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskSpec {
    /// Boxes with classes (also with an angle, key points or a mask).
    Detect {
        /// What its outputs mean.
        head: HeadSpec,
        /// What is done about duplicates.
        nms: NmsSpec,
    },
    /// One class of the whole picture: `[N,C]`.
    Classify {
        /// Whether the outputs are logits that a softmax turns into scores; else they are scores already.
        softmax: bool,
    },
    /// A vector that says what something looks like: `[N,len]`.
    Embed {
        /// Its length.
        len: usize,
    },
    /// A class for each pixel: scores `[N,C,h,w]`, or class indices `[N,h,w]`.
    Semantic,
    /// One class of a clip: `[N,C]` from `[N,3,T,H,W]`.
    Clip {
        /// T, in consecutive frames.
        frames: usize,
        /// Whether the outputs are logits.
        softmax: bool,
    },
}

impl TaskSpec {
    /// Its word in manifests.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Detect { .. } => "detect",
            Self::Classify { .. } => "classify",
            Self::Embed { .. } => "embed",
            Self::Semantic => "semantic",
            Self::Clip { .. } => "clip",
        }
    }
}

/// A further input of 64-bit integers that is the same for each picture, such as `orig_target_sizes` of RT-DETR's and D-FINE's
/// exports: `i64[N,values]`, one row per picture of the batch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConstantInput {
    /// Name of the input in the graph.
    pub name: String,
    /// A picture's row.
    pub values: Vec<i64>,
}

/// A network: all that is needed to feed it and to read it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// What it expects.
    pub input: InputSpec,
    /// Further inputs, hardly ever any.
    pub constants: Vec<ConstantInput>,
    /// Names of the outputs that are read, in the order in which the head or the task wants them.
    pub outputs: Vec<String>,
    /// What it is for and what its outputs mean.
    pub task: TaskSpec,
    /// Names in the order of the outputs: classes of boxes, labels of pictures, kinds of pixels. Empty for embeddings.
    pub classes: Vec<String>,
    /// What is less sure is dropped, 0..1.
    pub confidence: f32,
    /// Other confidences for some classes, by name.
    pub class_confidence: BTreeMap<String, f32>,
}

impl ModelSpec {
    /// The confidence that each class needs, in the order of the classes.
    pub fn confidences(&self) -> Vec<f32> {
        let of = |name: &String| self.class_confidence.get(name).copied().unwrap_or(self.confidence);
        self.classes.iter().map(of).collect()
    }
}

/// The 80 classes of COCO (Lin et al. 2014) in the order that detectors trained on it share.
pub const COCO_80: [&str; 80] = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
];

/// The names by COCO's category numbers, as networks with 91 outputs have them: 0 and the ten numbers that COCO skips are unused.
pub fn coco_91() -> Vec<String> {
    const SKIPPED: [usize; 11] = [0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83];
    let mut names = COCO_80.iter();
    let mut name = |number| (!SKIPPED.contains(&number)).then(|| names.next()).flatten().map(ToString::to_string);
    (0..91).map(|number| name(number).unwrap_or_else(|| format!("unused_{number}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn category_numbers_are_those_of_coco() {
        let names = coco_91();
        assert_eq!(
            (names.len(), names[1].as_str(), names[13].as_str(), names[90].as_str()),
            (91, "person", "stop sign", "toothbrush")
        );
        assert_eq!(names.iter().filter(|name| name.starts_with("unused")).count(), 11);
        assert_eq!((names[44].as_str(), names[70].as_str(), names[84].as_str()), ("bottle", "toilet", "book"));
    }

    #[test]
    fn shapes_follow_the_layout() {
        let input = InputSpec::yolox("images", BatchAxis::Dynamic, 64, 32);
        assert_eq!(input.shape(2), [2, 3, 32, 64]);
        assert_eq!(InputSpec { layout: Layout::Nhwc, ..input.clone() }.shape(2), [2, 32, 64, 3]);
        assert_eq!(InputSpec { clip: Some(8), ..input.clone() }.shape(2), [2, 3, 8, 32, 64]);
        assert!(input.is_plain() && !InputSpec { scale: 0.5, ..input }.is_plain());
    }
}
