//! All heads on outputs that are sound, wrong and hostile. Beside their published post-processing: `tests/heads.rs`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{forms::Dim, *};
use crate::spec::BatchAxis;

const CLASSES: usize = 3;
const NMS: NmsParams = NmsParams { iou: 0.5, class_agnostic: false, candidates: 200, detections: 20 };

fn spec(toml: Value) -> HeadSpec {
    serde_json::from_value(toml).expect("a spec")
}

/// Every head, each of its exports, small.
fn specs() -> Vec<HeadSpec> {
    let small = json!({ "style": "paper", "grids": [2, 1], "steps": [], "scales": [0.3, 0.6, 0.9], "aspect_ratios": [[2], []] });
    [
        json!({ "kind": "yolox" }),
        json!({ "kind": "yolov5" }),
        json!({ "kind": "yolov8" }),
        json!({ "kind": "end-to-end" }),
        json!({ "kind": "end-to-end", "normalised": true, "columns": ["ignored", "class", "score", "x1", "y1", "x2", "y2"] }),
        json!({ "kind": "efficient-nms" }),
        json!({ "kind": "efficient-nms", "normalised": true, "y_first": true, "first_class": 1 }),
        json!({ "kind": "ssd", "priors": small }),
        json!({ "kind": "ssd", "priors": small, "activation": "sigmoid", "y_first": true, "background": false }),
        json!({ "kind": "ssd", "priors": { "style": "tensorflow", "grids": [2, 1] }, "clip": false }),
        json!({ "kind": "ssd", "priors": { "style": "decoded" }, "activation": "none" }),
        json!({ "kind": "detr", "top_k": 5 }),
        json!({ "kind": "detr", "activation": "softmax" }),
        json!({ "kind": "detr", "activation": "none" }),
        json!({ "kind": "nanodet" }),
        json!({ "kind": "picodet" }),
        json!({ "kind": "detectnet-v2" }),
        json!({ "kind": "obb" }),
        json!({ "kind": "obb", "end_to_end": true }),
        json!({ "kind": "pose", "keypoints": 2 }),
        json!({ "kind": "pose", "keypoints": 2, "values": 2, "end_to_end": true }),
        json!({ "kind": "segment", "coefficients": 2 }),
        json!({ "kind": "segment", "coefficients": 2, "end_to_end": true }),
    ]
    .map(spec)
    .into()
}

fn input(side: usize) -> InputSpec {
    InputSpec::yolox("images", BatchAxis::Dynamic, side, side)
}

fn thresholds(confidence: f32) -> Thresholds {
    Thresholds { confidence, class_confidence: Vec::new(), nms: NMS }
}

/// Names and shapes of a form for a batch, open dimensions as given by `open`.
fn shapes(form: &Form, batch: usize, open: impl Fn(char) -> usize) -> Vec<(String, Vec<usize>)> {
    let size = |dim: &Dim| match dim {
        Dim::Is(size) => *size,
        Dim::Open(letter) => open(*letter),
    };
    let shape = |(i, role): (usize, &forms::Role)| {
        let shape: Vec<_> = std::iter::once(batch).chain(role.dims.iter().map(size)).collect();
        (format!("{}_{i}", role.name), shape)
    };
    form.iter().enumerate().map(shape).collect()
}

fn head(spec: &HeadSpec, outputs: &[(String, Vec<usize>)]) -> Result<Head, HeadError> {
    let dims: Vec<Vec<_>> = outputs.iter().map(|(_, shape)| shape.iter().map(|size| Some(*size)).collect()).collect();
    let outputs: Vec<_> = outputs.iter().zip(&dims).map(|((name, _), dims)| (name.as_str(), dims.as_slice())).collect();
    Head::new(spec, &input(64), &outputs, CLASSES)
}

fn forms_of(spec: &HeadSpec) -> Vec<Form> {
    Reader::new(spec, (64, 64), CLASSES).expect("a sound spec").forms()
}

fn decode(head: &mut Head, outputs: &[(&str, &[usize], &[f32])], confidence: f32) -> Result<Vec<Vec<Found>>, HeadError> {
    let tensors: Vec<_> = outputs.iter().map(|(name, shape, data)| Tensor { name, shape, data }).collect();
    let count = tensors.first().map_or(0, |tensor| tensor.shape[0]);
    let mut found = vec![vec![Found { class: 9, score: 9.0, bbox: [9.0; 4], extra: Extra::Nothing }]; 7];
    let result = head.decode(&tensors, count, &thresholds(confidence), &mut found);
    assert!(result.is_ok() || found.is_empty(), "nothing of unreadable outputs becomes a box");
    result.map(|()| found)
}

/// A head of one output and a batch of one.
fn one(spec: Value, shape: &[usize], data: &[f32]) -> Result<Vec<Found>, HeadError> {
    let outputs = vec![("out".to_owned(), shape.to_vec())];
    decode(&mut head(&self::spec(spec), &outputs)?, &[("out", shape, data)], 0.3).map(|mut found| found.remove(0))
}

fn fault(result: Result<Vec<Found>, HeadError>) -> Fault {
    match result {
        Err(HeadError::Value { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => 0.0..1.0_f32,
        3 => -8.0..8.0_f32,
        2 => 0.0..64.0_f32,
        1 => any::<f32>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever a network gives is read or refused; what is read is bounded.
    #[test]
    fn hostile_outputs_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        form in any::<prop::sample::Index>(),
        open in 0..6_usize,
        values in prop::collection::vec(value(), 1..200),
        tame in any::<bool>(),
        confidence in prop_oneof![Just(0.0_f32), 0.0..1.0_f32],
    ) {
        let specs = specs();
        let spec = which.get(&specs);
        let forms = forms_of(spec);
        let outputs = shapes(form.get(&forms), 2, |letter| open + usize::from(letter == 'w'));
        let mut head = head(spec, &outputs).expect("its own form");
        // Tame outputs get past the checks of scores, so that what comes after them is seen too.
        let mut turn = 0;
        let data: Vec<Vec<f32>> = outputs.iter().map(|(_, shape)| {
            (0..shape.iter().product()).map(|_| {
                turn += 1;
                let value = values[turn * 7 % values.len()];
                if tame { value.abs().fract() } else { value }
            }).collect()
        }).collect();
        let tensors: Vec<_> =
            outputs.iter().zip(&data).map(|((name, shape), data)| (name.as_str(), shape.as_slice(), data.as_slice())).collect();
        if let Ok(found) = decode(&mut head, &tensors, confidence) {
            prop_assert_eq!(found.len(), 2);
            for picture in &found {
                prop_assert!(picture.len() <= NMS.detections);
                prop_assert!(picture.is_sorted_by(|a, b| a.score >= b.score));
                for Found { class, score, bbox, extra } in picture {
                    prop_assert!(usize::from(*class) < CLASSES && *score >= confidence.min(1.0) && *score <= 1.0);
                    // An upright box around an oriented one reaches beyond the sum of its sides at most.
                    prop_assert!(bbox.iter().all(|edge| edge.abs() <= 3.0 * picture::limit((64, 64))));
                    if let Extra::Mask(mask) = extra {
                        prop_assert!(mask.bits.len() <= 64 * 64 / 8 && mask.left + mask.width <= 64 && mask.top + mask.height <= 64);
                    }
                }
            }
            let again = decode(&mut head, &tensors, confidence);
            prop_assert_eq!(again, Ok(found));
        }
    }

    /// Shapes that are not the head's are refused, before and after it is made.
    #[test]
    fn other_shapes_are_refused(which in any::<prop::sample::Index>(), shape in prop::collection::vec(0..40_usize, 0..6)) {
        let specs = specs();
        let spec = which.get(&specs);
        let outputs = [("out".to_owned(), shape.clone())];
        let data = vec![0.0; shape.iter().product()];
        if let Ok(mut head) = head(spec, &outputs) {
            let tensors = [Tensor { name: "out", shape: &shape, data: &data }];
            let count = shape[0].min(1);
            head.decode(&tensors, count, &thresholds(0.5), &mut Vec::new()).expect("silence is no error");
        }
        let own = shapes(&forms_of(spec)[0], 1, |_| 3);
        let mut head = head(spec, &own).expect("its own form");
        let wrong: Vec<_> = own.iter().map(|(name, _)| Tensor { name, shape: &shape, data: &data }).collect();
        let result = head.decode(&wrong, 1, &thresholds(0.5), &mut Vec::new());
        let declared = own.iter().map(|(name, _)| Declared { name, dims: shape.iter().map(|size| Some(*size)).collect() });
        let refused = matches!(result, Err(HeadError::Shapes { .. }));
        prop_assert_eq!(refused, head.fit(&declared.collect::<Vec<_>>()).is_err(), "{:?}", result);
    }
}

#[test]
fn a_batch_is_read_picture_by_picture_up_to_the_count() {
    let shape = [3, 7, 2];
    let mut data = vec![0.0; 42];
    for (picture, score) in [0.9, 0.8, f32::NAN].into_iter().enumerate() {
        // Row 1 of [7,2]: centre, size, class 0.
        for (column, value) in [32.0, 32.0, 10.0, 10.0, score].into_iter().enumerate() {
            data[picture * 14 + column * 2 + 1] = value;
        }
    }
    let mut head = head(&HeadSpec::Yolov8 {}, &[("out".into(), shape.to_vec())]).unwrap();
    let mut found = vec![Vec::new(); 9];
    let tensors = [Tensor { name: "out", shape: &shape, data: &data }];
    head.decode(&tensors, 2, &thresholds(0.3), &mut found).unwrap();
    assert_eq!(found.iter().map(|f| f[0].score).collect::<Vec<_>>(), [0.9, 0.8]);
    let error = head.decode(&tensors, 3, &thresholds(0.3), &mut found).unwrap_err();
    assert_eq!(error, HeadError::Value { output: "out".into(), picture: 2, row: 1, fault: Fault::NotFinite });
    assert!(error.to_string().starts_with("output `out`, picture 2, row 1: a value is not finite"), "{error}");
    let error = head.decode(&tensors, 4, &thresholds(0.3), &mut found).unwrap_err();
    assert_eq!(error.to_string(), "output `out` of shape [3, 7, 2] came with 42 values for 4 pictures");
    let short = [Tensor { data: &data[1..], ..tensors[0] }];
    assert!(matches!(head.decode(&short, 2, &thresholds(0.3), &mut found), Err(HeadError::Size { found: 41, .. })));
}

#[test]
fn each_class_has_its_own_threshold() {
    let rows = [[0.0, 0.0, 9.0, 9.0, 0.5, 0.0], [30.0, 30.0, 39.0, 39.0, 0.5, 1.0], [50.0, 50.0, 59.0, 59.0, 0.5, 2.0]];
    let shape = [1, 3, 6];
    let mut head = head(&spec(json!({ "kind": "end-to-end" })), &[("out".into(), shape.to_vec())]).unwrap();
    let data = rows.concat();
    let tensors = [Tensor { name: "out", shape: &shape, data: &data }];
    let mut found = Vec::new();
    let mut classes = |confidence: f32, class_confidence: &[f32]| {
        let thresholds = Thresholds { confidence, class_confidence: class_confidence.to_vec(), nms: NMS };
        head.decode(&tensors, 1, &thresholds, &mut found).unwrap();
        found[0].iter().map(|f| f.class).collect::<Vec<_>>()
    };
    assert_eq!(classes(0.4, &[]), [0, 1, 2]);
    assert_eq!(classes(0.6, &[]), [] as [u16; 0]);
    assert_eq!(classes(0.6, &[0.6, 0.4]), [1]);
    assert_eq!(classes(0.4, &[0.6, 0.4]), [1, 2]);
}

#[test]
fn wrong_shapes_are_named() {
    let error = one(json!({ "kind": "yolox" }), &[1, 8400, 85], &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`out` [1,8400,85]") && text.contains("`yolox` reads predictions [N,84,8]"), "{text}");
    let none = Head::new(&HeadSpec::Yolov8 {}, &input(64), &[], CLASSES).err().unwrap().to_string();
    assert!(none.contains("the outputs are none") && none.contains("[N,7,A], or predictions [N,A,7]"), "{none}");
}

#[test]
fn what_a_row_says_must_be_of_this_world() {
    let row = |values: [f32; 6]| one(json!({ "kind": "end-to-end" }), &[1, 1, 6], &values);
    assert_eq!(row([1.0, 2.0, 3.0, 4.0, 0.5, 2.0]).unwrap().len(), 1);
    assert_eq!(row([1.0, 2.0, 3.0, 4.0, 0.1, -1.0]), Ok(Vec::new()), "padding may be of any class");
    assert_eq!(fault(row([1.0, 2.0, 3.0, 4.0, 0.5, 3.0])), Fault::NoSuchClass { class: 3.0, classes: 3 });
    assert_eq!(fault(row([1.0, 2.0, 3.0, 4.0, 0.5, 1.5])), Fault::NoSuchClass { class: 1.5, classes: 3 });
    assert!(matches!(fault(row([1.0, 2.0, 3.0, 4.0, 0.5, f32::NAN])), Fault::NoSuchClass { .. }));
    assert_eq!(fault(row([1.0, 2.0, 1e9, 4.0, 0.5, 0.0])), Fault::FarAway(1e9));
    assert_eq!(fault(row([1.0, f32::INFINITY, 3.0, 4.0, 0.5, 0.0])), Fault::NotFinite);
    assert_eq!(fault(row([1.0, 2.0, 3.0, 4.0, 17.0, 0.0])), Fault::NotAProbability(17.0));
    assert_eq!(one(json!({ "kind": "end-to-end" }), &[1, 0, 6], &[]), Ok(Vec::new()), "nothing found is no error");
}

#[test]
fn rows_of_a_whole_batch_say_whose_they_are() {
    let openvino = json!({ "kind": "end-to-end", "columns": ["picture", "class", "score", "x1", "y1", "x2", "y2"] });
    let mut data = [
        [1.0, 2.0, 0.9, 1.0, 2.0, 30.0, 40.0],
        [0.0, 1.0, 0.8, 5.0, 6.0, 7.0, 8.0],
        [1.0, 0.0, 0.7, 9.0, 9.0, 20.0, 20.0],
        [-1.0, 0.0, 0.9, 0.0, 0.0, 0.0, 0.0],
    ]
    .concat();
    let mut found = Vec::new();
    for shape in [&[4, 7][..], &[1, 1, 4, 7]] {
        let mut head = head(&spec(openvino.clone()), &[("out".into(), shape.to_vec())]).unwrap();
        let tensors = [Tensor { name: "out", shape, data: &data }];
        head.decode(&tensors, 3, &thresholds(0.3), &mut found).unwrap();
        let classes: Vec<Vec<_>> = found.iter().map(|f| f.iter().map(|f| f.class).collect()).collect();
        assert_eq!(classes, [vec![1], vec![2, 0], vec![]]);
    }
    data[7..14].fill(f32::NAN);
    assert_eq!(fault(one(openvino, &[4, 7], &data)), Fault::NotFinite);
    let mut head = head(&spec(json!({ "kind": "end-to-end" })), &[("out".into(), vec![1, 6])]).unwrap();
    let tensors = [Tensor { name: "out", shape: &[1, 6], data: &[1.0, 2.0, 3.0, 4.0, 0.5, 2.0] }];
    head.decode(&tensors, 1, &thresholds(0.3), &mut found).unwrap();
    assert_eq!(found[0].len(), 1);
    let error = head.decode(&tensors, 2, &thresholds(0.3), &mut found).unwrap_err();
    assert!(matches!(error, HeadError::Value { picture: 1, fault: Fault::Unattributed, .. }));
}

#[test]
fn counts_are_checked() {
    let count = |count: f32| {
        let outputs: Vec<(String, Vec<usize>)> =
            [("num", vec![1, 1]), ("boxes", vec![1, 2, 4]), ("scores", vec![1, 2]), ("classes", vec![1, 2])]
                .map(|(name, shape)| (name.to_owned(), shape))
                .into();
        let mut head = head(&spec(json!({ "kind": "efficient-nms" })), &outputs).unwrap();
        let data: [&[f32]; 4] = [&[count], &[0.0, 0.0, 9.0, 9.0, 20.0, 20.0, 30.0, 30.0], &[0.9, 0.8], &[0.0, 2.0]];
        let tensors: Vec<_> =
            outputs.iter().zip(data).map(|((name, shape), data)| (name.as_str(), shape.as_slice(), data)).collect();
        decode(&mut head, &tensors, 0.3).map(|found| found[0].len())
    };
    assert_eq!(count(2.0), Ok(2));
    assert_eq!(count(1.0), Ok(1));
    assert_eq!(count(0.0), Ok(0));
    for bad in [3.0, -1.0, f32::NAN] {
        assert!(matches!(count(bad), Err(HeadError::Value { fault: Fault::Count { .. }, .. })), "{bad}");
    }
}

#[test]
fn scores_in_place_of_logits_are_noticed() {
    let outputs = [("logits".to_owned(), vec![1, 50, 3]), ("boxes".to_owned(), vec![1, 50, 4])];
    let mut head = head(&spec(json!({ "kind": "detr" })), &outputs).unwrap();
    let (logits, boxes) = (vec![0.01; 150], vec![0.5; 200]);
    let result = decode(&mut head, &[("logits", &[1, 50, 3], &logits), ("boxes", &[1, 50, 4], &boxes)], 0.3);
    assert!(matches!(result, Err(HeadError::Value { fault: Fault::AlreadyScores, .. })), "{result:?}");
}

#[test]
fn normalised_boxes_in_place_of_pixels_are_noticed() {
    let rows = [
        [0.1, 0.1, 0.4, 0.5, 0.9, 0.0],
        [0.2, 0.3, 0.6, 0.7, 0.8, 1.0],
        [0.0, 0.0, 1.0, 1.0, 0.7, 2.0],
        [0.5, 0.5, 0.6, 0.9, 0.6, 0.0],
    ];
    assert_eq!(fault(one(json!({ "kind": "end-to-end" }), &[1, 4, 6], &rows.concat())), Fault::Normalised);
    assert_eq!(one(json!({ "kind": "end-to-end", "normalised": true }), &[1, 4, 6], &rows.concat()).unwrap().len(), 4);
    assert_eq!(one(json!({ "kind": "end-to-end" }), &[1, 3, 6], &rows[..3].concat()).unwrap().len(), 3, "a few may be chance");
}

#[test]
fn parameters_that_contradict_themselves_are_refused() {
    for bad in [
        json!({ "kind": "yolox", "strides": [] }),
        json!({ "kind": "yolox", "strides": [0] }),
        json!({ "kind": "yolov5", "strides": [8, 16] }),
        json!({ "kind": "yolov5", "strides": [8], "anchors": [[]] }),
        json!({ "kind": "yolov5", "strides": [8], "anchors": [[[0, 10]]] }),
        json!({ "kind": "end-to-end", "columns": ["x1", "y1", "x2", "y2", "score"] }),
        json!({ "kind": "end-to-end", "columns": ["x1", "y1", "x2", "y2", "score", "class", "class"] }),
        json!({ "kind": "ssd", "variances": [0, 0.2] }),
        json!({ "kind": "ssd", "priors": { "style": "paper", "grids": [1] } }),
        json!({ "kind": "detr", "top_k": 0 }),
        json!({ "kind": "nanodet", "reg_max": 0 }),
        json!({ "kind": "nanodet", "point": 3.0 }),
        json!({ "kind": "picodet", "strides": [128] }),
        json!({ "kind": "detectnet-v2", "scale": 0.0 }),
        json!({ "kind": "pose", "values": 4 }),
        json!({ "kind": "segment", "coefficients": 0 }),
    ] {
        let result = Head::new(&spec(bad.clone()), &input(64), &[("out", &[None, None])], CLASSES);
        assert!(matches!(result, Err(HeadError::Spec { .. })), "{bad}");
    }
    let wide = InputSpec::yolox("images", BatchAxis::Dynamic, 320, 240);
    let result = Head::new(&spec(json!({ "kind": "ssd" })), &wide, &[], CLASSES);
    assert!(matches!(result, Err(HeadError::Spec { .. })), "default boxes are square");
    for classes in [0, 1 << 16] {
        assert!(matches!(Head::new(&HeadSpec::Yolov8 {}, &input(64), &[], classes), Err(HeadError::Spec { .. })));
    }
    assert!(matches!(Head::new(&HeadSpec::Yolov8 {}, &input(0), &[], 1), Err(HeadError::Spec { .. })));
    assert!(matches!(Head::new(&HeadSpec::Yolov8 {}, &input(1 << 20), &[], 1), Err(HeadError::Spec { .. })));
}

#[test]
fn yolox_as_a_head_is_yolox() {
    let yolox = Yolox::new(64, 64, CLASSES);
    let data: Vec<f32> = (0..yolox.output_len()).map(|i| (i * 7919 % 1000) as f32 / 1000.0).collect();
    let mut candidates = Vec::new();
    yolox.decode(&data, 0.3, &mut candidates).unwrap();
    nms::suppress(&mut candidates, &NMS, &mut nms::Scratch::default());
    assert!(!candidates.is_empty());
    let found = one(json!({ "kind": "yolox" }), &[1, 84, 8], &data).unwrap();
    assert!(found.iter().map(|f| (f.class, f.score, f.bbox)).eq(candidates.iter().map(|c| (c.class, c.score, c.bbox))));
}

#[test]
fn masks_are_made_unless_nobody_wants_them() {
    let spec = spec(json!({ "kind": "segment", "coefficients": 2 }));
    let (table, prototypes) = ([1, 6 + CLASSES, 1], [1, 2, 2, 2]);
    let names = |shape: &[usize], name: &str| (name.to_owned(), shape.to_vec());
    let mut head = head(&spec, &[names(&table, "table"), names(&prototypes, "prototypes")]).unwrap();
    let row: Vec<f32> = [32.0, 32.0, 20.0, 20.0, 0.9].into_iter().chain(vec![0.0; CLASSES - 1]).chain([1.0, 0.0]).collect();
    let data = [1.0; 8];
    let outputs: [(&str, &[usize], &[f32]); 2] = [("table", &table, &row), ("prototypes", &prototypes, &data)];
    let with = decode(&mut head, &outputs, 0.3).unwrap().remove(0);
    assert!(matches!(&with[0].extra, Extra::Mask(mask) if mask.area() == 400), "{with:?}");
    head.make_masks(false);
    let without = decode(&mut head, &outputs, 0.3).unwrap().remove(0);
    assert_eq!(without, [Found { extra: Extra::Nothing, ..with[0].clone() }]);
}
