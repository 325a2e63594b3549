//! Detectors whose outputs are rows of boxes: the YOLO families, end-to-end outputs, NanoDet.

use super::draft::{Draft, Preparation};
use crate::{
    head::HeadSpec,
    manifest::metadata::{numbers, property},
};

/// Most boxes that a final output is padded to.
const MOST_FINAL: usize = 1000;

/// Cells of the grids of these strides.
fn cells(draft: &Draft<'_, '_>, strides: &[usize]) -> usize {
    let (width, height) = (draft.input.width, draft.input.height);
    strides.iter().map(|stride| width.div_ceil(*stride) * height.div_ceil(*stride)).sum()
}

/// A file with Ultralytics' properties `task` and `stride`.
pub(super) fn ultralytics(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    let task = property(draft.model, "task")?;
    let end_to_end = property(draft.model, "end2end") == Some("True")
        || (draft.outputs.first()?.dim(1).is_some_and(|m| m <= MOST_FINAL)
            && draft.outputs.first()?.dim(2).is_some_and(|columns| columns < 64 + 6)
            && draft.outputs.first()?.dim(1) >= draft.outputs.first()?.dim(2));
    let classes = draft.named();
    if task == "classify" {
        return super::others::ultralytics_classes(draft);
    }
    draft.usual_size(640, 640, 32);
    draft.prepare(Preparation::Ultralytics, "Ultralytics' networks");
    draft.read(&[0]);
    let (head, family) = match task {
        "detect" if end_to_end => (HeadSpec::published("end-to-end")?, "Ultralytics, end to end (YOLOv10, YOLO26)"),
        "detect" => (HeadSpec::Yolov8 {}, "YOLOv8/9/11/12 (Ultralytics)"),
        "obb" => (HeadSpec::Obb { end_to_end }, "YOLOv8-obb and later (Ultralytics)"),
        "pose" => {
            let shape = property(draft.model, "kpt_shape").map(numbers).unwrap_or_default();
            let (keypoints, values) = match shape[..] {
                [keypoints, values] => (keypoints, values),
                _ => (17, 3),
            };
            (HeadSpec::Pose { keypoints, values, end_to_end }, "YOLOv8-pose and later (Ultralytics)")
        }
        "segment" => {
            let planes = (0..draft.outputs.len()).find(|i| draft.outputs[*i].dims.len() == 4)?;
            let rows = (0..draft.outputs.len()).find(|i| draft.outputs[*i].dims.len() == 3)?;
            let coefficients = draft.outputs[planes].dim(1).unwrap_or(32);
            draft.read(&[rows, planes]);
            (HeadSpec::Segment { coefficients, end_to_end }, "YOLOv8-seg and later (Ultralytics)")
        }
        _ => return None,
    };
    draft.detect(head, classes);
    Some(family)
}

/// One output of three dimensions.
pub(super) fn single(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    if !draft.outputs[0].is_float() {
        return None;
    }
    let (rows, columns) = (draft.outputs[0].dim(1), draft.outputs[0].dim(2));
    let (three, four) = (cells(draft, &[8, 16, 32]), cells(draft, &[8, 16, 32, 64]));
    draft.read(&[0]);
    match (rows, columns) {
        (Some(a), Some(values @ 6..)) if a == three && !draft.open_size => yolox(draft, values),
        (Some(a), Some(values @ 6..)) if a == 3 * three && !draft.open_size => yolov5(draft, values),
        (Some(a), Some(values @ 33..)) if a == four && !draft.open_size => {
            let reg_max = 7;
            draft.prepare(Preparation::NanoDet, "NanoDet-Plus");
            draft.assume(
                "head.kind",
                "values are classes and 4·8 distances (reg_max 7) at points on cell corners",
                "reg_max of the training configuration",
            );
            draft.detect(
                HeadSpec::NanoDet { strides: vec![8, 16, 32, 64], reg_max, point: 0.0 },
                Some(values - 4 * (reg_max + 1)),
            );
            draft.confidence(0.35);
            Some("NanoDet-Plus")
        }
        (a, Some(6)) if a.is_none_or(|a| a <= MOST_FINAL) => {
            draft.usual_size(640, 640, 32);
            draft.prepare(Preparation::Ultralytics, "YOLOv10 and YOLO26");
            draft.assume(
                "head.kind",
                "a row is left, top, right, bottom in pixels, score, class",
                "one picture's output: scores are within 0..1",
            );
            draft.detect(HeadSpec::published("end-to-end")?, draft.named());
            Some("end-to-end rows (YOLOv10, YOLO26)")
        }
        (Some(values @ 5..), a) if a.is_none_or(|a| a == three) => yolov8(draft, values),
        (None, Some(values @ 6..)) => {
            draft.usual_size(640, 640, 32);
            if property(draft.model, "stride").is_some() { yolov5(draft, values) } else { yolox(draft, values) }
        }
        _ => None,
    }
}

fn yolox(draft: &mut Draft<'_, '_>, values: usize) -> Option<&'static str> {
    draft.usual_size(640, 640, 32);
    draft.prepare(Preparation::Yolox, "YOLOX since version 0.1.1");
    // Raw rows hold the logarithm of a size. Where the graph takes the exponent itself, its rows are decoded.
    if draft.model.graph.nodes.iter().rev().take(64).any(|node| node.op == "Exp") {
        draft.assume(
            "head.kind",
            "the graph decodes its boxes itself (it has an Exp near its end)",
            "exported with --decode_in_inference",
        );
        draft.detect(HeadSpec::published("yolov5")?, Some(values - 5));
        return Some("YOLOX, decoded");
    }
    draft.detect(HeadSpec::published("yolox")?, Some(values - 5));
    Some("YOLOX")
}

fn yolov5(draft: &mut Draft<'_, '_>, values: usize) -> Option<&'static str> {
    draft.usual_size(640, 640, 32);
    draft.prepare(Preparation::Ultralytics, "YOLOv5");
    draft.detect(HeadSpec::published("yolov5")?, Some(values - 5));
    Some("YOLOv5/v7")
}

fn yolov8(draft: &mut Draft<'_, '_>, values: usize) -> Option<&'static str> {
    draft.usual_size(640, 640, 32);
    draft.prepare(Preparation::Ultralytics, "YOLOv8 and later");
    if values == 4 + 1 + 17 * 3 {
        draft.assume(
            "head.kind",
            "56 values are a box, one class and 17 key points",
            "not a detector of 52 classes: then kind = \"yolov8\"",
        );
        draft.detect(HeadSpec::published("pose")?, Some(1));
        draft.published_names(&["person"], "COCO's key points");
        return Some("YOLOv8-pose and later");
    }
    if draft.named().is_none() {
        let check = "an oriented detector has an angle behind its classes: then kind = \"obb\", one class fewer";
        draft.assume("head.kind", "all values behind the box are classes", check);
    }
    draft.detect(HeadSpec::Yolov8 {}, Some(values - 4));
    Some("YOLOv8/9/11/12")
}

/// Three outputs, one per grid, before the sigmoid: YOLOv5 `[N,3,H,W,5+C]` or `[N,3·(5+C),H,W]`.
pub(super) fn raw_grids(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    let values = match draft.outputs[0].dims[..] {
        [_, Some(3), _, _, Some(values @ 6..)] => values,
        [_, Some(all), _, _] if all % 3 == 0 && all >= 18 => all / 3,
        _ => return None,
    };
    let rank = draft.outputs[0].dims.len();
    if draft.outputs.iter().any(|output| output.dims.len() != rank || !output.is_float()) {
        return None;
    }
    let mut order: Vec<usize> = (0..3).collect();
    // The finest grid comes first.
    order.sort_by_key(|i| std::cmp::Reverse(draft.outputs[*i].dim(rank - 2).unwrap_or(0)));
    draft.usual_size(640, 640, 32);
    draft.prepare(Preparation::Ultralytics, "YOLOv5");
    draft.read(&order);
    draft.assume(
        "head.kind",
        "the raw grids are those of YOLOv5 with its own anchors for 640 pixels",
        "the anchors in the training configuration",
    );
    draft.detect(HeadSpec::published("yolov5")?, Some(values - 5));
    Some("YOLOv5/v7, raw grids")
}
