//! What a detector expects at its input and what it calls its classes.

/// The order of the three colour planes of an input tensor `[N,3,H,W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelOrder {
    /// Blue, green, red: what OpenCV reads and YOLOX is trained on.
    Bgr,
    /// Red, green, blue.
    Rgb,
}

/// The first dimension of an input tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchAxis {
    /// Always this many pictures.
    Fixed(usize),
    /// As many as there are.
    Dynamic,
}

/// The input tensor: `f32[N,3,H,W]`, planar, the picture scaled to fit and placed at the top left, the rest filled with `pad`.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Name of the input in the graph.
    pub name: String,
    /// N.
    pub batch: BatchAxis,
    /// W in pixels.
    pub width: usize,
    /// H in pixels.
    pub height: usize,
    /// Order of the three planes.
    pub order: ChannelOrder,
    /// Each sample 0..255 is multiplied by this.
    pub scale: f32,
    /// The padding, 0..255 before scaling.
    pub pad: u8,
}

/// A single-stage detector with one input and one output.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorSpec {
    /// What it expects.
    pub input: InputSpec,
    /// Name of the output in the graph.
    pub output: String,
    /// Class names in the order of the outputs.
    pub classes: Vec<String>,
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
