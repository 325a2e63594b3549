//! Manifests, right and wrong ones, and graphs that they are held against.

mod families;
mod zoo;

use proptest::prelude::*;

use super::*;
use crate::{
    head::HeadSpec,
    onnx::{
        self,
        builder::{Message, model, value_info},
    },
    spec::*,
};

const YOLOX: &str = r#"
name = "nano"
file = "nano.onnx"
sha256 = "unknown"
license = "Apache-2.0"
[input]
name = "images"
batch = 1
width = 64
height = 32
order = "bgr"
[output]
names = ["output"]
[head]
kind = "yolox"
[classes]
names = ["person", "car"]
[thresholds]
confidence = 0.3
classes = { person = 0.5 }
"#;

/// A graph of nothing but inputs and outputs: name, element type, shape (0: open).
pub(super) fn graph(inputs: &[(&str, u64, &[i64])], outputs: &[(&str, u64, &[i64])], properties: &[(&str, &str)]) -> Vec<u8> {
    let graph = inputs
        .iter()
        .fold(Message::default(), |graph, (name, element, dims)| graph.message(11, value_info(name, *element, dims)));
    let graph = outputs.iter().fold(graph, |graph, (name, element, dims)| graph.message(12, value_info(name, *element, dims)));
    let file = model(graph);
    properties.iter().fold(file, |file, (key, value)| file.message(14, Message::default().bytes(1, key).bytes(2, value))).0
}

fn problems(text: &str) -> Vec<Problem> {
    Manifest::parse(text).expect_err("a wrong manifest")
}

/// The manifest with one line in place of another.
fn with(from: &str, to: &str) -> String {
    assert!(YOLOX.contains(from), "{from}");
    YOLOX.replace(from, to)
}

#[test]
fn a_manifest_becomes_a_specification() {
    let manifest = Manifest::parse(YOLOX).unwrap();
    let spec = &manifest.spec;
    assert_eq!(spec.input, InputSpec::yolox("images", BatchAxis::Fixed(1), 64, 32));
    assert_eq!(spec.task, TaskSpec::Detect { head: HeadSpec::published("yolox").unwrap(), nms: NmsSpec::default() });
    assert_eq!(spec.confidences(), [0.5, 0.3]);
    assert_eq!((manifest.card.name.as_str(), &manifest.card.sha256), ("nano", &Digest::Unknown));
}

#[test]
fn it_is_read_back_as_it_was_written() {
    let precision = Precision {
        kind: PrecisionKind::Int8,
        from_sha256: "ab".repeat(32),
        method: Some("percentile 99.99".into()),
        calibration_sha256: None,
        calibration_frames: Some(500),
        float_nodes: vec!["Concat_7".into()],
        gate: Some(Gate { passed: true, frames: 100, iou: 0.75, recall: 0.98, precision: 0.99, score_drift: 0.01 }),
    };
    let mut manifest = Manifest::parse(YOLOX).unwrap();
    manifest.precision = Some(precision);
    manifest.card.license_note = Some("a \"quoted\"\nline".into());
    manifest.spec.constants = vec![ConstantInput { name: "orig_target_sizes".into(), values: vec![640, 480] }];
    let text = manifest.to_toml();
    assert_eq!(Manifest::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")), manifest);
}

#[test]
fn every_mistake_is_told_at_once() {
    let text = r#"
name = "../up"
sha256 = "abc"
url = "ftp://x"
colour = "red"
[input]
layout = "nwhc"
width = 100000
order = "rbg"
scale = -1
std = [1, 0, 1]
crop = 0.5
pad = 300
batch = "many"
[output]
names = ["a", "a"]
[head]
kind = "yolo"
[classes]
names = ["x", "x"]
preset = "coco-80"
[thresholds]
confidence = 2
classes = { y = 0.5 }
[task]
kind = "detekt"
[precision]
kind = "fp8"
"#;
    let found = problems(text);
    let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
    for key in [
        "name",
        "sha256",
        "url",
        "colour",
        "input.name",
        "input.layout",
        "input.width",
        "input.height",
        "input.order",
        "input.scale",
        "input.std",
        "input.crop",
        "input.pad",
        "input.batch",
        "output.names",
        "classes",
        "thresholds.confidence",
        "thresholds.classes.y",
        "task.kind",
        "precision",
    ] {
        assert!(keys.contains(&key), "{key} is missing in {keys:?}");
    }
    assert!(found.iter().all(|problem| !problem.reason.is_empty() && !problem.remedy.is_empty()));
}

#[test]
fn each_value_is_refused_by_name() {
    for (from, to, key, word) in [
        ("width = 64", "width = 0", "input.width", "1..8192"),
        ("width = 64", "width = 64\nmultiple = 24", "input.width", "multiple of 24"),
        ("batch = 1", "batch = 5000", "input.batch", "impossible"),
        ("batch = 1", "element = \"u8\"\nscale = 0.5", "input.element", "bytes"),
        ("batch = 1", "fit = \"stretch\"\nplace = \"centre\"", "input.place", "letterbox"),
        ("batch = 1", "fit = \"centre-crop\"\ncrop = 1.5", "input.crop", "above 0"),
        ("batch = 1", "clip = 8", "input.clip", "task"),
        ("batch = 1", "mean = [1.0]", "input.mean", "length"),
        ("batch = 1", "scale = nan", "input.scale", "positive"),
        ("names = [\"output\"]", "", "output.names", "no output"),
        ("kind = \"yolox\"", "kind = \"yolox\"\nstride = 8", "head", "stride"),
        ("[head]\nkind = \"yolox\"", "[task]\nkind = \"detect\"", "head", "mean"),
        ("[head]", "[task]\nkind = \"classify\"\n[head]", "head", "detector"),
        ("[head]", "[task]\nkind = \"embed\"\n[head]", "task.len", "length"),
        ("[head]", "[task]\nkind = \"detect\"\nsoftmax = true\n[head]", "task.softmax", "classifications"),
        ("[head]\nkind = \"yolox\"", "", "task.kind", "what the network is for"),
        ("names = [\"person\", \"car\"]", "", "classes", "names"),
        ("names = [\"person\", \"car\"]", "count = 0", "classes.count", "impossible"),
        ("names = [\"person\", \"car\"]", "preset = \"voc\"", "classes.preset", "no such list"),
        ("names = [\"person\", \"car\"]", "names = [\"person\", \" \"]", "classes.names", "empty"),
        ("confidence = 0.3", "detections = 0", "thresholds.detections", "1..100000"),
        ("confidence = 0.3", "iou = 1.5", "thresholds.iou", "0..1"),
        ("file = \"nano.onnx\"", "file = \"../nano.onnx\"", "file", "plain"),
        ("file = \"nano.onnx\"", "file = \"/etc/passwd\"", "file", "plain"),
        ("name = \"images\"", "name = 7", "input.name", "string"),
    ] {
        let found = problems(&with(from, to));
        let hit = found.iter().find(|problem| problem.key == key).unwrap_or_else(|| panic!("{key}: {found:?}"));
        assert!(hit.reason.contains(word), "{hit}");
    }
    let syntax = problems("name = \"a\"\n[input\n");
    assert!(syntax[0].reason.contains("line 2"), "{}", syntax[0]);
    assert!(problems("input = 7")[0].reason.contains("no table"));
    assert!(problems(&" ".repeat(MAX_MANIFEST_BYTES + 1))[0].reason.contains("bytes"));
}

fn contradictions(text: &str, input: (&str, u64, &[i64]), outputs: &[(&str, u64, &[i64])]) -> Vec<String> {
    let manifest = Manifest::parse(text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let bytes = graph(&[input], outputs, &[]);
    let model = onnx::read(&bytes).unwrap();
    manifest.contradictions(&model).iter().map(ToString::to_string).collect()
}

#[test]
fn a_graph_contradicts_key_by_key() {
    let (input, output) = (("images", 1, &[1_i64, 3, 32, 64][..]), ("output", 1, &[1_i64, 42, 7][..]));
    assert_eq!(contradictions(YOLOX, input, &[output]), [] as [String; 0]);
    assert_eq!(contradictions(YOLOX, ("images", 1, &[0, 3, 0, 0]), &[("output", 1, &[0, 0, 0])]), [] as [String; 0]);
    let says = |text: &str, input, outputs: &[(&str, u64, &[i64])], key: &str, word: &str| {
        let found = contradictions(text, input, outputs);
        assert!(found.iter().any(|problem| problem.starts_with(key) && problem.contains(word)), "{key} {word}: {found:?}");
    };
    says(YOLOX, ("x", 1, &[1, 3, 32, 64]), &[output], "input.name", "`x`");
    says(YOLOX, ("images", 1, &[1, 3, 64, 64]), &[output], "input.height", "64");
    says(YOLOX, ("images", 1, &[1, 32, 64, 3]), &[output], "input.layout", "write layout = \"nhwc\"");
    says(YOLOX, ("images", 1, &[1, 3, 8, 32, 64]), &[output], "input.name", "5 dimensions");
    says(YOLOX, ("images", 10, &[1, 3, 32, 64]), &[output], "input.element", "write element = \"f16\"");
    says(YOLOX, ("images", 11, &[1, 3, 32, 64]), &[output], "input.element", "6e-8");
    says(YOLOX, ("images", 1, &[4, 3, 32, 64]), &[output], "input.batch", "exactly 4");
    says(YOLOX, input, &[("out", 1, &[1, 42, 7])], "output.names", "`out`");
    says(YOLOX, input, &[("output", 8, &[1, 42, 7])], "output.names", "element type 8");
    says(YOLOX, input, &[("output", 1, &[1, 42, 85])], "classes", "80 classes");
    let two = with("names = [\"output\"]", "names = [\"output\", \"more\"]");
    says(&two, input, &[output], "output.names = more", "no such output");
    let constant = with("[output]", "[[input.constant]]\nname = \"sizes\"\nvalues = [1]\n[output]");
    says(&constant, input, &[output], "input.constant", "no such input");
}

#[test]
fn further_inputs_must_be_given() {
    let bytes = graph(&[("images", 1, &[1, 3, 32, 64]), ("sizes", 7, &[0, 2])], &[("output", 1, &[1, 42, 7])], &[]);
    let model = onnx::read(&bytes).unwrap();
    let found = Manifest::parse(YOLOX).unwrap().contradictions(&model);
    assert!(found[0].reason.contains("`sizes` (i64 [?,2])"), "{}", found[0]);
    let given = with("[output]", "[[input.constant]]\nname = \"sizes\"\nvalues = [64, 32]\n[output]");
    assert_eq!(Manifest::parse(&given).unwrap().contradictions(&model), []);
    let short = with("[output]", "[[input.constant]]\nname = \"sizes\"\nvalues = [64]\n[output]");
    assert_eq!(Manifest::parse(&short).unwrap().contradictions(&model)[0].key, "input.constant.values");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the text: an answer, no panic.
    #[test]
    fn noise_never_panics(text in "[ -~\n]{0,200}") {
        let _answer = Manifest::parse(&text);
    }

    #[test]
    fn mutated_manifests_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), 0x20..0x7f_u8), 1..8)) {
        let mut bytes = YOLOX.as_bytes().to_vec();
        for (index, value) in edits {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let text = String::from_utf8(bytes).expect("ASCII");
        if let Ok(manifest) = Manifest::parse(&text) {
            prop_assert_eq!(Manifest::parse(&manifest.to_toml()).expect("its own text"), manifest);
        }
    }
}
