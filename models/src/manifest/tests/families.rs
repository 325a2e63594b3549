//! What is made of graphs that have the inputs and outputs of published exports.

use proptest::prelude::*;

use super::*;

type Value<'a> = (&'a str, u64, &'a [i64]);

const IMAGES: Value<'_> = ("images", 1, &[1, 3, 640, 640]);

fn recognised(inputs: &[Value<'_>], outputs: &[Value<'_>], properties: &[(&str, &str)]) -> Recognised {
    let bytes = graph(inputs, outputs, properties);
    let model = onnx::read(&bytes).unwrap();
    let recognised = recognise(&model, "net.onnx").unwrap_or_else(|error| panic!("{error}"));
    // The first manifest is a good one, and agrees with its graph.
    let text = recognised.to_toml();
    let again = Manifest::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    assert_eq!(again, recognised.manifest, "{text}");
    assert_eq!(again.contradictions(&model), [], "{text}");
    recognised
}

/// Family, kind of head or task, classes.
fn is(inputs: &[Value<'_>], outputs: &[Value<'_>], properties: &[(&str, &str)], expected: (&str, &str, usize)) -> Recognised {
    let recognised = recognised(inputs, outputs, properties);
    let spec = &recognised.manifest.spec;
    let kind = match &spec.task {
        TaskSpec::Detect { head, .. } => head.kind(),
        other => other.word(),
    };
    assert!(recognised.family.contains(expected.0), "{} is not {}", recognised.family, expected.0);
    assert_eq!((kind, spec.classes.len()), (expected.1, expected.2));
    recognised
}

const TASK: [(&str, &str); 3] = [("task", "detect"), ("stride", "32"), ("names", "{0: 'person', 1: 'car'}")];

fn ultralytics<'a>(task: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [("task", task), TASK[1], TASK[2]].into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn yolo_families() {
    let nano = is(&[("images", 1, &[1, 3, 416, 416])], &[("output", 1, &[1, 3549, 85])], &[], ("YOLOX", "yolox", 80));
    assert_eq!(nano.manifest.spec.input, InputSpec::yolox("images", BatchAxis::Fixed(1), 416, 416));
    assert!(nano.to_toml().contains("# ASSUMED:"));
    let v5 = is(&[IMAGES], &[("output0", 1, &[1, 25200, 85])], &[], ("YOLOv5", "yolov5", 80));
    assert_eq!(v5.manifest.spec.input.fit, Fit::Letterbox(Place::Centre));
    is(
        &[IMAGES],
        &[("a", 1, &[1, 3, 80, 80, 85]), ("b", 1, &[1, 3, 40, 40, 85]), ("c", 1, &[1, 3, 20, 20, 85])],
        &[],
        ("raw", "yolov5", 80),
    );
    let grids = [("c", 1, &[1_i64, 255, 20, 20][..]), ("b", 1, &[1, 255, 40, 40]), ("a", 1, &[1, 255, 80, 80])];
    let raw = is(&[IMAGES], &grids, &[], ("raw", "yolov5", 80));
    assert_eq!(raw.manifest.spec.outputs, ["a", "b", "c"], "the finest grid first");
    is(&[IMAGES], &[("output0", 1, &[1, 84, 8400])], &[], ("YOLOv8", "yolov8", 80));
    is(&[IMAGES], &[("output0", 1, &[1, 56, 8400])], &[], ("pose", "pose", 1));
    is(&[IMAGES], &[("output0", 1, &[1, 300, 6])], &[], ("end-to-end", "end-to-end", 80));
    is(&[IMAGES], &[("output0", 1, &[1, 116, 8400]), ("output1", 1, &[1, 32, 160, 160])], &[], ("seg", "segment", 80));
}

#[test]
fn ultralytics_says_itself_what_it_is() {
    let detect = is(&[IMAGES], &[("output0", 1, &[1, 6, 8400])], &ultralytics("detect", &[]), ("YOLOv8", "yolov8", 2));
    assert_eq!(detect.manifest.spec.classes, ["person", "car"]);
    is(&[IMAGES], &[("output0", 1, &[1, 300, 6])], &ultralytics("detect", &[]), ("end to end", "end-to-end", 2));
    is(&[IMAGES], &[("output0", 1, &[0, 0, 0])], &ultralytics("detect", &[("end2end", "True")]), ("end to end", "end-to-end", 2));
    is(&[IMAGES], &[("output0", 1, &[1, 7, 8400])], &ultralytics("obb", &[]), ("obb", "obb", 2));
    let pose =
        is(&[IMAGES], &[("output0", 1, &[1, 16, 8400])], &ultralytics("pose", &[("kpt_shape", "[5, 2]")]), ("pose", "pose", 2));
    let TaskSpec::Detect { head, .. } = &pose.manifest.spec.task else { panic!() };
    assert_eq!(*head, HeadSpec::Pose { keypoints: 5, values: 2, end_to_end: false });
    let outputs = [("output0", 1, &[1_i64, 38, 8400][..]), ("output1", 1, &[1, 32, 160, 160])];
    is(&[IMAGES], &outputs, &ultralytics("segment", &[]), ("seg", "segment", 2));
    is(&[IMAGES], &[("output0", 1, &[1, 2])], &ultralytics("classify", &[]), ("classification", "classify", 2));
    let open = [("images", 1, &[0_i64, 3, 0, 0][..])];
    let sized =
        is(&open, &[("output0", 1, &[0, 6, 0])], &ultralytics("detect", &[("imgsz", "[384, 640]")]), ("YOLOv8", "yolov8", 2));
    assert_eq!((sized.manifest.spec.input.width, sized.manifest.spec.input.height, sized.manifest.multiple), (640, 384, 32));
    assert_eq!(sized.manifest.spec.input.batch, BatchAxis::Dynamic);
}

#[test]
fn transformers() {
    let sizes = ("orig_target_sizes", 7, &[0_i64, 2][..]);
    let outputs = [("labels", 7, &[0_i64, 300][..]), ("boxes", 1, &[0, 300, 4]), ("scores", 1, &[0, 300])];
    let dfine = is(&[("images", 1, &[0, 3, 640, 640]), sizes], &outputs, &[], ("D-FINE", "detr", 80));
    assert_eq!(dfine.manifest.spec.constants, [ConstantInput { name: "orig_target_sizes".into(), values: vec![640, 640] }]);
    is(&[IMAGES], &[("logits", 1, &[1, 300, 80]), ("pred_boxes", 1, &[1, 300, 4])], &[], ("RT-DETR", "detr", 80));
    let rf = is(
        &[("input", 1, &[1, 3, 560, 560])],
        &[("dets", 1, &[1, 300, 4]), ("labels", 1, &[1, 300, 91])],
        &[],
        ("RF-DETR", "detr", 91),
    );
    assert!(rf.manifest.spec.input.mean[0] > 0.4 && rf.manifest.spec.input.fit == Fit::Stretch);
    is(
        &[("pixel_values", 1, &[1, 3, 800, 1066])],
        &[("logits", 1, &[1, 100, 92]), ("pred_boxes", 1, &[1, 100, 4])],
        &[],
        ("DETR", "detr", 91),
    );
    // Four classes: only the names tell which output is which.
    let four = is(&[IMAGES], &[("dets", 1, &[1, 300, 4]), ("labels", 1, &[1, 300, 4])], &[], ("RF-DETR", "detr", 4));
    assert_eq!(four.manifest.spec.outputs, ["labels", "dets"]);
}

#[test]
fn others_that_find_boxes() {
    let nms = [
        ("num_dets", 6, &[1_i64, 1][..]),
        ("det_boxes", 1, &[1, 100, 4]),
        ("det_scores", 1, &[1, 100]),
        ("det_classes", 6, &[1, 100]),
    ];
    is(&[IMAGES], &nms, &[], ("EfficientNMS", "efficient-nms", 80));
    let tf = [
        ("detection_boxes", 1, &[0_i64, 100, 4][..]),
        ("detection_classes", 1, &[0, 100]),
        ("detection_scores", 1, &[0, 100]),
        ("num_detections", 1, &[0]),
    ];
    let tf = is(&[("image_tensor", 2, &[1, 0, 0, 3])], &tf, &[], ("TensorFlow", "efficient-nms", 91));
    assert_eq!((tf.manifest.spec.input.layout, tf.manifest.spec.input.element), (Layout::Nhwc, ElementKind::U8));
    let small = [("image", 1, &[1_i64, 3, 300, 300][..])];
    is(&small, &[("boxes", 1, &[1, 4, 8732]), ("scores", 1, &[1, 81, 8732])], &[], ("SSD300", "ssd", 80));
    is(&small, &[("scores", 1, &[1, 3000, 21]), ("boxes", 1, &[1, 3000, 4])], &[], ("jetson-inference", "ssd", 20));
    is(&small, &[("boxes", 1, &[1, 1917, 4]), ("scores", 1, &[1, 1917, 91])], &[], ("SSD-MobileNet", "ssd", 90));
    is(&[("data", 1, &[1, 3, 416, 416])], &[("output", 1, &[1, 3598, 112])], &[], ("NanoDet", "nanodet", 80));
    let pico = [("image", 1, &[1_i64, 3, 320, 320][..])];
    is(&pico, &[("boxes", 1, &[1, 2125, 4]), ("scores", 1, &[1, 80, 2125])], &[], ("PicoDet", "picodet", 80));
    let cells = [1600_i64, 400, 100, 25];
    let shapes: Vec<[i64; 3]> = [80, 32].iter().flat_map(|k| cells.map(|a| [1, a, *k])).collect();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let outputs: Vec<Value<'_>> = names.iter().zip(&shapes).map(|(name, dims)| (*name, 1, &dims[..])).collect();
    is(&pico, &outputs, &[], ("PicoDet, raw", "picodet", 80));
    let tao = [("output_bbox/BiasAdd:0", 1, &[0_i64, 12, 34, 60][..]), ("output_cov/Sigmoid:0", 1, &[0, 3, 34, 60])];
    let people = is(&[("input_1:0", 1, &[0, 3, 544, 960])], &tao, &[], ("DetectNet", "detectnet-v2", 3));
    assert_eq!(people.manifest.spec.classes, ["person", "bag", "face"]);
    assert_eq!(people.manifest.spec.outputs, ["output_cov/Sigmoid:0", "output_bbox/BiasAdd:0"]);
}

#[test]
fn networks_that_find_no_boxes() {
    let small = [("input", 1, &[0_i64, 3, 224, 224][..])];
    let resnet = is(&small, &[("logits", 1, &[0, 1000])], &[], ("classification", "classify", 1000));
    assert_eq!(resnet.manifest.spec.task, TaskSpec::Classify { softmax: true });
    let osnet = is(&[("images", 1, &[1, 3, 256, 128])], &[("output", 1, &[1, 512])], &[], ("embedding", "embed", 0));
    assert_eq!(osnet.manifest.spec.task, TaskSpec::Embed { len: 512 });
    is(&[("x", 1, &[1, 3, 512, 1024])], &[("y", 1, &[1, 19, 128, 256])], &[], ("semantic", "semantic", 19));
    is(&[("x", 1, &[1, 3, 512, 1024])], &[("y", 7, &[1, 512, 1024])], &[], ("class map", "semantic", 21));
    let clip = is(&[("x", 1, &[0, 3, 8, 112, 112])], &[("y", 1, &[0, 400])], &[], ("clip", "clip", 400));
    assert_eq!(clip.manifest.spec.task, TaskSpec::Clip { frames: 8, softmax: true });
}

#[test]
fn what_is_no_network_of_pictures_says_what_it_has() {
    let refused = |inputs: &[Value<'_>], outputs: &[Value<'_>]| {
        let bytes = graph(inputs, outputs, &[]);
        let error = recognise(&onnx::read(&bytes).unwrap(), "net.onnx").unwrap_err().to_string();
        assert!(error.contains("inputs: ") && error.contains("docs/models.md") || error.contains("export"), "{error}");
        error
    };
    assert!(refused(&[("tokens", 7, &[1, 77])], &[("y", 1, &[1, 512])]).contains("`tokens` i64[1,77]"));
    assert!(refused(&[("x", 1, &[1, 1, 28, 28])], &[("y", 1, &[1, 10])]).contains("three colours"));
    assert!(refused(&[("x", 11, &[1, 3, 64, 64])], &[("y", 11, &[1, 10])]).contains("FP32"));
    assert!(refused(&[IMAGES], &[("y", 1, &[1, 7, 9, 11, 13])]).contains("no known family"));
    assert!(refused(&[], &[]).contains("inputs: none"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the shapes: an answer; and a first manifest is always one that can be read and that its graph does not contradict.
    #[test]
    fn any_shapes_have_an_answer(input in prop::collection::vec(prop::sample::select(vec![0, 1, 3, 64, 112, 300, 640]), 0..6),
                                 outputs in prop::collection::vec((prop::sample::select(vec![1_u64, 7, 10]),
                                     prop::collection::vec(prop::sample::select(
                                         vec![0_i64, 1, 2, 3, 4, 6, 7, 21, 56, 84, 85, 91, 300, 1000, 1917, 3000, 8400, 8732, 25200]), 0..6)), 0..9),
                                 named in any::<bool>(), task in prop::sample::select(vec!["", "detect", "obb", "pose", "segment", "classify"])) {
        let names = if named { ["num", "boxes", "scores", "classes", "a", "b", "c", "d", "e"] } else { ["a", "b", "c", "d", "e", "f", "g", "h", "i"] };
        let outputs: Vec<Value<'_>> = outputs.iter().zip(names).map(|((element, dims), name)| (name, *element, &dims[..])).collect();
        let properties: Vec<_> = if task.is_empty() { Vec::new() } else { vec![("task", task), ("stride", "32")] };
        let bytes = graph(&[("images", 1, &input)], &outputs, &properties);
        if let Ok(model) = onnx::read(&bytes)
            && let Ok(recognised) = recognise(&model, "net.onnx")
        {
            let text = recognised.to_toml();
            let again = Manifest::parse(&text);
            prop_assert!(again.is_ok(), "{again:?}\n{text}");
            prop_assert_eq!(again.expect("checked"), recognised.manifest);
        }
    }
}
