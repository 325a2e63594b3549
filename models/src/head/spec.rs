//! What the outputs of a detector mean, as data: the `[head]` of a manifest.
//!
//! ```toml
//! [head]
//! kind = "ssd"
//! activation = "softmax"
//! priors = { style = "paper" }
//! ```
//! Every field has the published network's value as its default, so that `kind` alone is enough for the usual export.

use serde::{Deserialize, Serialize};

/// What the outputs of a detector mean. C is the number of classes, A the number of predictions of a picture.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HeadSpec {
    /// YOLOX (Ge et al. 2021, arXiv:2107.08430): `[N,A,5+C]` = x, y, w, h relative to their grid cell, objectness, classes.
    Yolox {
        /// Pixels per cell, finest grid first.
        #[serde(default = "three_strides")]
        strides: Vec<usize>,
    },
    /// YOLOv5 and YOLOv7: decoded `[N,A,5+C]` = centre x, centre y, w, h in pixels, objectness, classes; or one raw output per
    /// grid, `[N,a,H,W,5+C]` or `[N,a·(5+C),H,W]`, before the sigmoid.
    Yolov5 {
        /// Pixels per cell of the raw outputs, finest grid first.
        #[serde(default = "three_strides")]
        strides: Vec<usize>,
        /// Width and height in pixels of the boxes that each grid starts from (raw outputs).
        #[serde(default = "yolov5_anchors")]
        anchors: Vec<Vec<[f32; 2]>>,
    },
    /// YOLOv8, 9, 11, 12 and later in their raw form: `[N,4+C,A]` (or `[N,A,4+C]`) = centre x, centre y, w, h in pixels, classes.
    Yolov8 {},
    /// Boxes that are final (YOLOv10, YOLO26, exports with suppression inside): `[N,M,columns]`, padded with rows of low score; or
    /// the rows of a whole batch, `[M,columns]` (YOLOv7, PaddleDetection) or `[1,1,M,columns]` (`DetectionOutput` of OpenVINO).
    EndToEnd {
        /// What the values of a row are, in their order.
        #[serde(default = "end_to_end_columns")]
        columns: Vec<Column>,
        /// Whether the edges are 0..1 of the input's width and height, not pixels.
        #[serde(default)]
        normalised: bool,
    },
    /// Four outputs of a suppression inside the network: count `[N]` or `[N,1]`, boxes `[N,M,4]`, scores `[N,M]`, classes `[N,M]`
    /// (TensorRT's EfficientNMS and BatchedNMS; the TensorFlow Object Detection API with `normalised`, `y_first`, `first_class`).
    EfficientNms {
        /// Whether the edges are 0..1 of the input's width and height, not pixels.
        #[serde(default)]
        normalised: bool,
        /// Whether a box is top, left, bottom, right, not left, top, right, bottom.
        #[serde(default)]
        y_first: bool,
        /// What the first class is called in the output: 0, or 1 where 0 is the background.
        #[serde(default)]
        first_class: u16,
    },
    /// SSD (Liu et al. 2016, arXiv:1512.02325): boxes `[N,A,4]` or `[N,4,A]`, scores `[N,A,C']` or `[N,C',A]` with C' = C, plus 1
    /// where there is a background class.
    Ssd {
        /// The boxes that the network's offsets move.
        #[serde(default)]
        priors: Priors,
        /// Factors of the offsets of the centre and of the logarithm of the size.
        #[serde(default = "ssd_variances")]
        variances: [f32; 2],
        /// What turns the class outputs into scores.
        #[serde(default = "softmax")]
        activation: Activation,
        /// Whether class 0 of the output is the background.
        #[serde(default = "yes")]
        background: bool,
        /// Whether a box is y, x, h, w (TensorFlow), not x, y, w, h.
        #[serde(default)]
        y_first: bool,
        /// Whether boxes are cut at the picture's edge before duplicates are suppressed.
        #[serde(default = "yes")]
        clip: bool,
    },
    /// DETR and its descendants RT-DETR, D-FINE, RF-DETR: logits `[N,Q,C]` and boxes `[N,Q,4]` = centre x, centre y, w, h, 0..1; or
    /// their exported post-processing: labels `[N,M]`, boxes `[N,M,4]` = left, top, right, bottom, scores `[N,M]`.
    Detr {
        /// Sigmoid: the best `top_k` of all queries × classes. Softmax: the best class of each query; the last logit of the C+1 is
        /// "no object" (Carion et al. 2020). None: the network gives scores.
        #[serde(default = "sigmoid")]
        activation: Activation,
        /// How many of the queries × classes are looked at.
        #[serde(default = "detr_top_k")]
        top_k: usize,
        /// Of the exported post-processing: whether its boxes are 0..1, not pixels of the network's input.
        #[serde(default)]
        normalised: bool,
    },
    /// NanoDet and NanoDet-Plus: `[N,A,C+4·(reg_max+1)]` = classes after the sigmoid, then the distributions of the distances to
    /// the left, top, right and bottom edge (Li et al. 2020, arXiv:2006.04388); or one such pair of outputs per grid.
    #[serde(rename = "nanodet")]
    NanoDet {
        /// Pixels per cell, finest grid first.
        #[serde(default = "four_strides")]
        strides: Vec<usize>,
        /// The largest distance in cells.
        #[serde(default = "reg_max")]
        reg_max: usize,
        /// Where in its cell a prediction's point lies: 0 for NanoDet-Plus, 0.5 for the first NanoDet.
        #[serde(default)]
        point: f32,
    },
    /// PP-PicoDet (Yu et al. 2021, arXiv:2111.00902): per grid classes `[N,A,C]` after the sigmoid and distributions
    /// `[N,A,4·(reg_max+1)]`; or decoded boxes `[N,A,4]` in pixels and scores `[N,C,A]` (an export without its suppression).
    #[serde(rename = "picodet")]
    PicoDet {
        /// Pixels per cell, finest grid first.
        #[serde(default = "four_strides")]
        strides: Vec<usize>,
        /// The largest distance in cells.
        #[serde(default = "reg_max")]
        reg_max: usize,
    },
    /// NVIDIA's DetectNet_v2 (PeopleNet, TrafficCamNet, DashCamNet of TAO): coverage `[N,C,H/stride,W/stride]` and edges
    /// `[N,4·C,H/stride,W/stride]`.
    #[serde(rename = "detectnet-v2")]
    DetectNetV2 {
        /// Pixels per cell.
        #[serde(default = "detectnet_stride")]
        stride: usize,
        /// Pixels per unit of the edges.
        #[serde(default = "detectnet_scale")]
        scale: f32,
        /// Pixels from a cell's corner to the point that its edges are measured from.
        #[serde(default = "half")]
        offset: f32,
    },
    /// Oriented boxes of YOLOv8 and later: `[N,4+C+1,A]` (or transposed) = centre x, centre y, w, h in pixels, classes, angle in
    /// radians.
    Obb {
        /// Whether rows are final (YOLO26): `[N,M,7]` = centre x, centre y, w, h, score, class, angle.
        #[serde(default)]
        end_to_end: bool,
    },
    /// Key points of YOLOv8-pose and later: `[N,4+C+K·D,A]` (or transposed), each x, y in pixels and, with D = 3, its visibility.
    Pose {
        /// K.
        #[serde(default = "coco_keypoints")]
        keypoints: usize,
        /// D: 2 or 3.
        #[serde(default = "keypoint_values")]
        values: usize,
        /// Whether rows are final (YOLO26): `[N,M,6+K·D]` = left, top, right, bottom, score, class, key points.
        #[serde(default)]
        end_to_end: bool,
    },
    /// Instance masks of YOLOv8-seg and later: `[N,4+C+m,A]` (or transposed) and prototypes `[N,m,h,w]` (Bolya et al. 2019,
    /// arXiv:1904.02689).
    Segment {
        /// m.
        #[serde(default = "mask_coefficients")]
        coefficients: usize,
        /// Whether rows are final (YOLO26): `[N,M,6+m]` = left, top, right, bottom, score, class, coefficients.
        #[serde(default)]
        end_to_end: bool,
    },
}

impl HeadSpec {
    /// Its `kind` in a manifest.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Yolox { .. } => "yolox",
            Self::Yolov5 { .. } => "yolov5",
            Self::Yolov8 {} => "yolov8",
            Self::EndToEnd { .. } => "end-to-end",
            Self::EfficientNms { .. } => "efficient-nms",
            Self::Ssd { .. } => "ssd",
            Self::Detr { .. } => "detr",
            Self::NanoDet { .. } => "nanodet",
            Self::PicoDet { .. } => "picodet",
            Self::DetectNetV2 { .. } => "detectnet-v2",
            Self::Obb { .. } => "obb",
            Self::Pose { .. } => "pose",
            Self::Segment { .. } => "segment",
        }
    }

    /// The head of this `kind` as its authors publish it; `None` for an unknown kind.
    pub fn published(kind: &str) -> Option<Self> {
        use serde::de::{IntoDeserializer, value};
        let map = value::MapDeserializer::<_, value::Error>::new(std::iter::once(("kind", kind)));
        Self::deserialize(map.into_deserializer()).ok()
    }

    /// Whether overlapping boxes are suppressed after this head; else its boxes are final.
    pub fn suppresses(&self) -> bool {
        match self {
            Self::EndToEnd { .. } | Self::EfficientNms { .. } | Self::Detr { .. } => false,
            Self::Obb { end_to_end } | Self::Pose { end_to_end, .. } | Self::Segment { end_to_end, .. } => !end_to_end,
            _ => true,
        }
    }
}

/// A value of a row of final boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// Left edge.
    X1,
    /// Top edge.
    Y1,
    /// Right edge.
    X2,
    /// Bottom edge.
    Y2,
    /// Confidence, 0..1.
    Score,
    /// Index into the class names.
    Class,
    /// Of rows of a whole batch: the picture's place in it. Without this column they are of batches of one.
    Picture,
    /// Something that does not matter here.
    Ignored,
}

/// What turns a class output into a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// The network has done it already.
    None,
    /// Each class by itself.
    Sigmoid,
    /// Over all classes of a prediction.
    Softmax,
}

/// The boxes that an SSD's offsets move.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "style", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Priors {
    /// As in the paper and in SSD300 of NVIDIA and of torchvision. On each grid the shapes are a square of the grid's scale, one
    /// of the geometric mean with the next scale, and for each aspect ratio a lying and a standing rectangle. Sizes are at most 1.
    Paper {
        /// Cells along a side of each square grid.
        #[serde(default = "ssd300_grids")]
        grids: Vec<usize>,
        /// Pixels per cell of each grid; empty: the input's side over the cells.
        #[serde(default = "ssd300_steps")]
        steps: Vec<f32>,
        /// Side of the square, 0..1 of the input's; one more than there are grids.
        #[serde(default = "ssd300_scales")]
        scales: Vec<f32>,
        /// Aspect ratios of each grid beside 1.
        #[serde(default = "ssd300_ratios")]
        aspect_ratios: Vec<Vec<f32>>,
        /// Whether all cells of one shape come before the next shape (NVIDIA), not all shapes of one cell before the next cell.
        #[serde(default)]
        shape_major: bool,
    },
    /// As the TensorFlow Object Detection API makes them for SSD on `MobileNet`.
    #[serde(rename = "tensorflow")]
    TensorFlow {
        /// Cells along a side of each square grid.
        #[serde(default = "mobilenet_grids")]
        grids: Vec<usize>,
        /// Scale of the first grid, 0..1 of the input's side.
        #[serde(default = "mobilenet_min_scale")]
        min_scale: f32,
        /// Scale of the last grid.
        #[serde(default = "mobilenet_max_scale")]
        max_scale: f32,
        /// Width over height.
        #[serde(default = "mobilenet_ratios")]
        aspect_ratios: Vec<f32>,
        /// Whether the first grid has three shapes only.
        #[serde(default = "yes")]
        reduce_lowest: bool,
    },
    /// None: the network gives left, top, right, bottom, 0..1 of the input's width and height (`ssd-mobilenet.onnx` of
    /// jetson-inference).
    Decoded {},
}

impl Priors {
    /// The boxes on an input of `width`×`height` in the order of the network's outputs: centre x, centre y, width, height, 0..1. `None`
    /// where the network has decoded them itself.
    ///
    /// # Errors
    /// What contradicts itself.
    pub fn boxes(&self, input: (usize, usize)) -> Result<Option<Vec<[f32; 4]>>, String> {
        super::priors::lay(self, input)
    }
}

impl Default for Priors {
    fn default() -> Self {
        Self::Paper {
            grids: ssd300_grids(),
            steps: ssd300_steps(),
            scales: ssd300_scales(),
            aspect_ratios: ssd300_ratios(),
            shape_major: false,
        }
    }
}

fn yes() -> bool {
    true
}

fn half() -> f32 {
    0.5
}

fn sigmoid() -> Activation {
    Activation::Sigmoid
}

fn softmax() -> Activation {
    Activation::Softmax
}

fn three_strides() -> Vec<usize> {
    vec![8, 16, 32]
}

fn four_strides() -> Vec<usize> {
    vec![8, 16, 32, 64]
}

fn reg_max() -> usize {
    7
}

/// The anchors of YOLOv5 n to x for 640 pixels.
fn yolov5_anchors() -> Vec<Vec<[f32; 2]>> {
    vec![
        vec![[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]],
        vec![[30.0, 61.0], [62.0, 45.0], [59.0, 119.0]],
        vec![[116.0, 90.0], [156.0, 198.0], [373.0, 326.0]],
    ]
}

fn end_to_end_columns() -> Vec<Column> {
    vec![Column::X1, Column::Y1, Column::X2, Column::Y2, Column::Score, Column::Class]
}

fn ssd_variances() -> [f32; 2] {
    [0.1, 0.2]
}

fn ssd300_grids() -> Vec<usize> {
    vec![38, 19, 10, 5, 3, 1]
}

fn ssd300_steps() -> Vec<f32> {
    vec![8.0, 16.0, 32.0, 64.0, 100.0, 300.0]
}

fn ssd300_scales() -> Vec<f32> {
    vec![0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05]
}

fn ssd300_ratios() -> Vec<Vec<f32>> {
    vec![vec![2.0], vec![2.0, 3.0], vec![2.0, 3.0], vec![2.0, 3.0], vec![2.0], vec![2.0]]
}

fn mobilenet_grids() -> Vec<usize> {
    vec![19, 10, 5, 3, 2, 1]
}

fn mobilenet_min_scale() -> f32 {
    0.2
}

fn mobilenet_max_scale() -> f32 {
    0.95
}

fn mobilenet_ratios() -> Vec<f32> {
    vec![1.0, 2.0, 0.5, 3.0, 1.0 / 3.0]
}

fn detr_top_k() -> usize {
    300
}

fn detectnet_stride() -> usize {
    16
}

fn detectnet_scale() -> f32 {
    35.0
}

fn coco_keypoints() -> usize {
    17
}

fn keypoint_values() -> usize {
    3
}

fn mask_coefficients() -> usize {
    32
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [&str; 13] = [
        "yolox",
        "yolov5",
        "yolov8",
        "end-to-end",
        "efficient-nms",
        "ssd",
        "detr",
        "nanodet",
        "picodet",
        "detectnet-v2",
        "obb",
        "pose",
        "segment",
    ];

    #[test]
    fn a_kind_alone_is_the_published_head() {
        for kind in KINDS {
            let spec: HeadSpec = serde_json::from_value(serde_json::json!({ "kind": kind })).unwrap();
            assert_eq!(spec.kind(), kind);
            assert_eq!(HeadSpec::published(kind), Some(spec.clone()));
            let again = serde_json::to_value(&spec).unwrap();
            assert_eq!(serde_json::from_value::<HeadSpec>(again).unwrap(), spec);
        }
        assert_eq!(HeadSpec::published("yolo"), None);
    }

    #[test]
    fn an_unknown_key_is_refused_for_each_kind() {
        for kind in KINDS {
            let error = serde_json::from_value::<HeadSpec>(serde_json::json!({ "kind": kind, "stirde": 8 })).unwrap_err();
            assert!(error.to_string().contains("stirde"), "{kind}: {error}");
        }
        let typo = serde_json::json!({ "kind": "ssd", "priors": { "style": "paper", "gridz": [1] } });
        assert!(serde_json::from_value::<HeadSpec>(typo).is_err());
    }

    #[test]
    fn integers_will_do_for_sizes() {
        let spec: HeadSpec = serde_json::from_str(r#"{"kind":"yolov5","strides":[8],"anchors":[[[10,13]]]}"#).unwrap();
        assert_eq!(spec, HeadSpec::Yolov5 { strides: vec![8], anchors: vec![vec![[10.0, 13.0]]] });
    }
}
