//! Detectors that are told by several outputs: suppression inside, DETR, SSD, PicoDet, DetectNet_v2, masks.

use super::draft::{Draft, Preparation};
use crate::{
    head::{Activation, HeadSpec, Priors},
    spec::ElementKind,
};

/// Most queries of a DETR.
const MOST_QUERIES: usize = 1000;
/// Predictions of an SSD300.
const SSD300: usize = 8732;
/// Predictions of an SSD on MobileNet, as TensorFlow makes them.
const SSD_MOBILENET: usize = 1917;
/// The same for those of PyTorch that jetson-inference runs.
const SSD_MOBILENET_DECODED: usize = 3000;

/// The output whose name contains one of these words, and none of those that were found already.
fn named(draft: &Draft<'_, '_>, words: &[&str], taken: &[usize]) -> Option<usize> {
    (0..draft.outputs.len()).find(|i| {
        let name = draft.outputs[*i].name.to_ascii_lowercase();
        !taken.contains(i) && words.iter().any(|word| name.contains(word))
    })
}

/// Suppression inside (four outputs) and DETR's exported post-processing (three).
pub(super) fn by_names(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    match draft.outputs.len() {
        4.. => {
            let count = named(draft, &["num"], &[])?;
            let scores = named(draft, &["score"], &[count])?;
            let classes = named(draft, &["class", "label"], &[count, scores])?;
            let boxes = named(draft, &["box"], &[count, scores, classes])?;
            draft.read(&[count, boxes, scores, classes]);
            Some(efficient_nms(draft))
        }
        3 => {
            let labels = named(draft, &["label", "class"], &[])?;
            let scores = named(draft, &["score"], &[labels])?;
            let boxes = named(draft, &["box"], &[labels, scores])?;
            if draft.outputs[boxes].dims.len() != 3 || !matches!(draft.outputs[labels].element, 6 | 7) {
                return None;
            }
            draft.usual_size(640, 640, 32);
            draft.prepare(Preparation::Stretched, "RT-DETR and D-FINE");
            draft.read(&[labels, boxes, scores]);
            draft.scale_boxes_to_input();
            draft.detect(HeadSpec::published("detr")?, draft.named());
            draft.confidence(0.4);
            Some("RT-DETR/D-FINE with its post-processing")
        }
        _ => None,
    }
}

fn efficient_nms(draft: &mut Draft<'_, '_>) -> &'static str {
    // TensorFlow's detection networks take bytes, pixels last, and call their outputs so.
    if draft.input.element == ElementKind::U8 {
        draft.usual_size(300, 300, 1);
        draft.prepare(Preparation::Stretched, "TensorFlow's Object Detection API");
        let what = "boxes are top, left, bottom, right, 0..1, and classes count from 1 (COCO's category numbers)";
        draft.assume("head.kind", what, "the outputs of one picture");
        draft.detect(HeadSpec::EfficientNms { normalised: true, y_first: true, first_class: 0 }, draft.named().or(Some(91)));
        return "SSD of TensorFlow's Object Detection API, with its suppression";
    }
    draft.usual_size(640, 640, 32);
    draft.prepare(Preparation::Ultralytics, "YOLO networks with EfficientNMS");
    draft.assume("head.kind", "boxes are left, top, right, bottom in pixels of the input", "normalised = true if they are 0..1");
    let classes = draft.named();
    draft.detect(HeadSpec::EfficientNms { normalised: false, y_first: false, first_class: 0 }, classes);
    "EfficientNMS (suppression inside)"
}

/// Two outputs.
pub(super) fn pair(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    if draft.outputs.iter().any(|output| !output.is_float()) {
        return None;
    }
    match (draft.outputs[0].dims.len(), draft.outputs[1].dims.len()) {
        (4, 4) => detectnet(draft),
        (3, 4) => masks(draft, 0, 1),
        (4, 3) => masks(draft, 1, 0),
        (3, 3) => boxes_and_scores(draft),
        _ => None,
    }
}

/// Coverage `[N,C,H/16,W/16]` and edges `[N,4·C,H/16,W/16]`.
fn detectnet(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    let channels = |i: usize| draft.outputs[i].dim(1);
    let (coverage, edges) = match (channels(0)?, channels(1)?) {
        (c, e) if e == 4 * c => (0, 1),
        (e, c) if e == 4 * c => (1, 0),
        _ => return None,
    };
    let same = (2..4).all(|axis| draft.outputs[0].dim(axis) == draft.outputs[1].dim(axis));
    let stride = draft.outputs[coverage].dim(2).and_then(|rows| draft.input.height.checked_div(rows))?;
    if !same || stride == 0 {
        return None;
    }
    let classes = channels(coverage)?;
    draft.prepare(Preparation::Stretched, "TAO's DetectNet_v2");
    draft.read(&[coverage, edges]);
    draft.detect(HeadSpec::DetectNetV2 { stride, scale: 35.0, offset: 0.5 }, Some(classes));
    draft.published_names(&["person", "bag", "face"], "PeopleNet");
    draft.published_names(&["car", "bicycle", "person", "road_sign"], "TrafficCamNet and DashCamNet");
    draft.confidence(0.4);
    Some("DetectNet_v2 (TAO)")
}

/// Rows `[N,4+C+m,A]` and prototypes `[N,m,h,w]`.
fn masks(draft: &mut Draft<'_, '_>, rows: usize, planes: usize) -> Option<&'static str> {
    let coefficients = draft.outputs[planes].dim(1)?;
    let values = match (draft.outputs[rows].dim(1), draft.outputs[rows].dim(2)) {
        (Some(a), Some(b)) => a.min(b),
        (Some(a), None) => a,
        (None, Some(b)) => b,
        (None, None) => return None,
    };
    let classes = values.checked_sub(coefficients.checked_add(4)?).filter(|classes| *classes > 0)?;
    draft.usual_size(640, 640, 32);
    draft.prepare(Preparation::Ultralytics, "YOLOv8-seg");
    draft.read(&[rows, planes]);
    draft.detect(HeadSpec::Segment { coefficients, end_to_end: false }, Some(classes));
    Some("YOLOv8-seg and later")
}

/// Boxes `[N,A,4]` or `[N,4,A]` and a score for each class.
fn boxes_and_scores(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    let speaks = |i: usize| named(draft, &["box", "loc", "det", "coord"], &[]) == Some(i);
    let wide = |i: usize| draft.outputs[i].dim(1) == Some(4) || draft.outputs[i].dim(2) == Some(4);
    let boxes = match (wide(0), wide(1)) {
        (true, true) => usize::from(!speaks(0)),
        (true, false) => 0,
        (false, true) => 1,
        (false, false) => return None,
    };
    let scores = 1 - boxes;
    draft.read(&[scores, boxes]);
    let (across, b, s) = (draft.outputs[boxes].dim(1) == Some(4), &draft.outputs[boxes].dims, &draft.outputs[scores].dims);
    let count = if across { b[2] } else { b[1] };
    // Scores may lie the other way round (PicoDet).
    let classes = if count.is_some() && s[1] == count {
        s[2]
    } else if s[2] == count {
        s[1]
    } else {
        s[2]
    };
    match count {
        Some(SSD300) => ssd300(draft, across, classes?),
        Some(SSD_MOBILENET) => ssd_mobilenet(draft, classes?),
        Some(SSD_MOBILENET_DECODED) => {
            draft.prepare(Preparation::Centred, "pytorch-ssd (jetson-inference)");
            let head = ssd(Priors::Decoded {}, activation(draft, scores), false)?;
            draft.assume(
                "head.kind",
                "boxes are left, top, right, bottom, 0..1, already moved from their priors",
                "one picture's output",
            );
            draft.detect(head, classes?.checked_sub(1));
            Some("SSD-MobileNet with decoded boxes (jetson-inference)")
        }
        Some(a) if !across && s[2] == Some(a) => {
            draft.prepare(Preparation::ImageNet, "PP-PicoDet");
            draft.detect(HeadSpec::published("picodet")?, classes);
            draft.confidence(0.4);
            Some("PP-PicoDet without its suppression")
        }
        a if a.is_none_or(|a| a <= MOST_QUERIES) && !across => detr(draft, classes),
        _ => None,
    }
}

/// Whether the graph itself makes scores of them.
fn activation(draft: &Draft<'_, '_>, scores: usize) -> Activation {
    match draft.maker(scores).map(|node| node.op) {
        Some("Softmax" | "Sigmoid") => Activation::None,
        _ => Activation::Softmax,
    }
}

fn ssd300(draft: &mut Draft<'_, '_>, across: bool, classes: usize) -> Option<&'static str> {
    let mut priors = Priors::default();
    if let Priors::Paper { shape_major, .. } = &mut priors {
        *shape_major = across;
    }
    draft.prepare(Preparation::ImageNet, "NVIDIA's SSD300");
    draft.assume(
        "head.kind",
        "priors, their order and variances are those of NVIDIA's SSD300 (DeepLearningExamples)",
        "boxes of one picture; torchvision's SSD300 has all shapes of one cell together (shape_major = false)",
    );
    let head = ssd(priors, activation(draft, 0), false)?;
    draft.detect(head, classes.checked_sub(1));
    Some("SSD300")
}

fn ssd_mobilenet(draft: &mut Draft<'_, '_>, classes: usize) -> Option<&'static str> {
    let priors = serde_priors("tensorflow")?;
    draft.prepare(Preparation::Centred, "TensorFlow's SSD-MobileNet");
    draft.assume("head.kind", "priors are those of TensorFlow's SSD-MobileNet", "boxes of one picture");
    let head = ssd(priors, Activation::Sigmoid, true)?;
    draft.detect(head, classes.checked_sub(1));
    Some("SSD-MobileNet (TensorFlow)")
}

/// SSD with other priors than the paper's, or scores made otherwise; the rest as published.
fn ssd(priors: Priors, activation: Activation, y_first: bool) -> Option<HeadSpec> {
    let mut head = HeadSpec::published("ssd")?;
    if let HeadSpec::Ssd { priors: p, activation: a, y_first: y, .. } = &mut head {
        (*p, *a, *y) = (priors, activation, y_first);
    }
    Some(head)
}

/// Priors of a style as they are published.
fn serde_priors(style: &str) -> Option<Priors> {
    use serde::{
        Deserialize as _,
        de::{IntoDeserializer as _, value},
    };
    let map = value::MapDeserializer::<_, value::Error>::new(std::iter::once(("style", style)));
    Priors::deserialize(map.into_deserializer()).ok()
}

fn detr(draft: &mut Draft<'_, '_>, classes: Option<usize>) -> Option<&'static str> {
    draft.usual_size(640, 640, 32);
    // RF-DETR is the one that takes ImageNet's statistics; its outputs are called `dets` and `labels`.
    let rf = draft.outputs.iter().any(|output| output.name == "dets");
    let preparation = if rf { Preparation::ImageNet } else { Preparation::Stretched };
    draft.prepare(preparation, if rf { "RF-DETR" } else { "RT-DETR and D-FINE" });
    // 92 = 91 categories of COCO and "no object": the first DETR.
    if classes == Some(92) {
        draft.assume("head.kind", "the last of 92 logits is \"no object\"", "scores through a softmax, as in the first DETR");
        draft.detect(HeadSpec::Detr { activation: Activation::Softmax, top_k: 300, normalised: false }, Some(91));
        return Some("DETR");
    }
    draft.assume(
        "head.kind",
        "class outputs are logits, each through its own sigmoid",
        "the first DETR has a softmax: activation = \"softmax\"",
    );
    draft.detect(HeadSpec::published("detr")?, classes);
    draft.confidence(0.4);
    Some(if rf { "RF-DETR" } else { "RT-DETR/D-FINE" })
}

/// A pair of outputs for each of four grids: PicoDet, NanoDet.
pub(super) fn grids(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    let pairs = draft.outputs.len() / 2;
    let rows = draft.outputs.iter().all(|output| output.dims.len() == 3 && output.is_float());
    if !rows || pairs != 4 || draft.outputs.len() != 8 {
        return None;
    }
    let last = |i: usize| draft.outputs[i].dim(2);
    let (distances, classes) = (last(7)?, last(0)?);
    // All classes first, then all distributions.
    let arranged = (0..4).all(|i| last(i) == Some(classes) && last(i + 4) == Some(distances));
    if !arranged || distances % 4 != 0 || distances < 8 {
        return None;
    }
    draft.prepare(Preparation::ImageNet, "PP-PicoDet");
    draft.read(&[0, 1, 2, 3, 4, 5, 6, 7]);
    draft.detect(HeadSpec::PicoDet { strides: vec![8, 16, 32, 64], reg_max: distances / 4 - 1 }, Some(classes));
    draft.confidence(0.4);
    Some("PP-PicoDet, raw grids")
}
