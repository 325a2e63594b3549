//! Networks of which TensorRT's double refuses a part: that runs in ONNX Runtime, and together they see what the CPU sees of the whole.

use std::time::{Duration, Instant, SystemTime};

use egret_models::onnx::{
    ElementType,
    edit::{Dimension, Model, Node, Tensor, Value},
};

use super::*;
use crate::{
    engine::{Asked, Order, build},
    infer::{DetectError, onnxruntime_library, without_onnxruntime},
    media::{Capture, Detection, Frame, HostPicture, Mark, Pixels, StreamId, TimeBasis},
    timecard::TimeCard,
};

/// Sees something where the upper part of a cell is brighter than the lower one. `coverage` is made of `c` by what a test adds.
fn begun() -> Model {
    let side = CELL as usize;
    let weights: Vec<f32> =
        (0..3 * side * side).map(|i| if i % (side * side) < side * side / 2 { 2e-4 } else { -2e-4 }).collect();
    let strides = || [("strides", Attribute::Ints(vec![CELL, CELL])), ("kernel_shape", Attribute::Ints(vec![CELL, CELL]))];
    let (each, cells) = (3 * side * side, SIDE / CELL);
    let whole = Network::new(&[3, SIDE, SIDE])
        .constant("w", &[1, 3, CELL, CELL], &weights)
        .constant("v", &[4, 3, CELL, CELL], &vec![1e-6; 4 * each])
        .constant("b", &[1, 4, 1, 1], &[0.2, 0.2, 0.2, 0.2])
        .node("Conv", &["images", "w"], "c", &strides())
        .node("Conv", &["images", "v"], "d", &strides())
        .node("Add", &["d", "b"], "edges", &[])
        .output("coverage", &[1, cells, cells])
        .output("edges", &[4, cells, cells]);
    // Read with something in the place of what is to come.
    let whole = whole.node("Sigmoid", &["c"], "coverage", &[]).file();
    let mut model = Model::read(&whole).expect("a network");
    model.graph.nodes.retain(|node| node.op != "Sigmoid");
    model
}

fn axes(mut node: Node, axes: &[i64]) -> Node {
    node.set("axes", egret_models::onnx::edit::AttributeValue::Ints(axes.to_vec()));
    node
}

/// A node in the middle is refused; `edges` is the engine's own output.
fn refused_in_the_middle() -> Model {
    let mut model = begun();
    let nodes = [
        Node::new("Sigmoid", "s", &["c"], &["s"]),
        Node::new("Sqrt", "root", &["s"], &["root"]),
        Node::new("Mul", "square", &["root", "root"], &["coverage"]),
    ];
    model.graph.nodes.extend(nodes);
    model
}

/// The tail reads the sizes of pictures, which the engine is not given.
fn of_sizes() -> Model {
    let mut model = begun();
    let dims = [Dimension::Named("N".into()), Dimension::Fixed(2)];
    model.graph.inputs.push(Value::shaped("sizes", ElementType::INT64, &dims));
    model.graph.initializers.push(Tensor::floats("share", &[1], &[1.0 / 64.0]));
    model.graph.initializers.push(Tensor::ints("behind", &[2], &[2, 3]));
    let nodes = [
        Node::new("Sigmoid", "s", &["c"], &["s"]),
        Node::new("Cast", "cast", &["sizes"], &["float"]).with_int("to", 1),
        axes(Node::new("ReduceMean", "mean", &["float"], &["mean"]), &[1]),
        Node::new("Unsqueeze", "unsqueeze", &["mean", "behind"], &["shaped"]),
        Node::new("Mul", "scale", &["shaped", "share"], &["one"]),
        Node::new("Mul", "last", &["s", "one"], &["coverage"]),
    ];
    model.graph.nodes.extend(nodes);
    model
}

/// The tail reads the picture itself.
fn of_pictures() -> Model {
    let mut model = begun();
    model.graph.initializers.push(Tensor::floats("little", &[1], &[-1e-4]));
    let nodes = [
        Node::new("Sigmoid", "s", &["c"], &["s"]),
        axes(Node::new("ReduceMean", "mean", &["images"], &["mean"]), &[1, 2, 3]),
        Node::new("Mul", "dim", &["mean", "little"], &["dimmed"]),
        Node::new("Exp", "exp", &["dimmed"], &["share"]),
        Node::new("Mul", "last", &["s", "share"], &["coverage"]),
    ];
    model.graph.nodes.extend(nodes);
    model
}

const SIZES: &str = "[[input.constant]]\nname = \"sizes\"\nvalues = [96, 32]\n";

impl Scene {
    /// Puts another network and its manifest in the place of the usual one.
    fn with(&self, model: &Model, more: &str) {
        fs::write(self.folder.path().join("net.onnx"), model.write()).expect("written");
        let manifest = manifest().replace("[output]", &format!("{more}[output]"));
        fs::write(self.folder.path().join("model.toml"), manifest).expect("written");
    }

    fn order(&self, max_batch: usize) -> Order {
        order(&self.config(max_batch), &EnginesConfig::default()).expect("an order")
    }

    /// Builds the engine, and says that it was compared, so that the next start finds it.
    fn build(&self, order: &Order) -> Manifest {
        let asked = Asked {
            program: "a test",
            force: false,
            threads: None,
            onnxruntime: None,
            stop: CancellationToken::new(),
            tell: Arc::new(|_| {}),
        };
        let mut manifest = build(&self.gpus[&0].here, &mut self.store(), order, &asked).expect("built").manifest;
        manifest.verdict = Some(engine::Verdict { passed: true, at: engine::now(), reason: "a test".into() });
        assert!(self.store().note(&manifest).expect("noted"));
        manifest
    }
}

/// A site where there is ONNX Runtime.
fn whole_site() -> Option<Scene> {
    if let Err(reason) = onnxruntime_library(None) {
        eprintln!("SKIPPED: no ONNX Runtime: {reason} (set EGRET_ONNXRUNTIME)");
        return None;
    }
    scene()
}

/// A picture of the network's own size with steps of brightness that are another for each number.
fn picture(number: u64) -> Frame {
    let side = SIDE as usize;
    let luma = |i: usize| (((i / side / 8 + i % side / 8) as u64 * 37 + number * 61) % 200 + 20) as u8;
    of_luma(number, (0..side * side).map(luma).collect())
}

fn of_luma(number: u64, mut bytes: Vec<u8>) -> Frame {
    bytes.resize(bytes.len() * 3 / 2, 128);
    let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
    let mut times = TimeCard::received(Instant::now());
    times.stamp(Mark::Decoded, Instant::now());
    let picture = HostPicture::tight_i420((SIDE as u32, SIDE as u32), bytes::Bytes::from(bytes)).expect("a picture");
    let (stream, pixels) = (StreamId::new(number as u32, "cam"), Pixels::Host(picture));
    Frame { stream, seq: number, dispatch: 0, pts: Duration::ZERO, capture, pixels, times }
}

/// Shows batches of one, three and four pictures to both; how many boxes there were.
fn compare(engine: &mut dyn Detector, whole: &mut dyn Detector) -> usize {
    let mut boxes = 0;
    for (first, count) in [(0, 1), (1, 3), (4, 4), (8, 1)] {
        let frames: Vec<Frame> = (first..first + count).map(picture).collect();
        let views: Vec<View<'_>> = frames.iter().map(View::whole).collect();
        let (found, expected) = (engine.detect(&views).expect("in two parts"), whole.detect(&views).expect("as one"));
        assert!(found.device.is_some() && found.prepared <= Instant::now());
        assert_eq!((found.detections.len(), expected.detections.len()), (views.len(), views.len()));
        for (found, expected) in found.detections.iter().zip(&expected.detections) {
            assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
            // Scores that are hardly different may come in another order.
            for expected in expected {
                let apart = |found: &Detection| {
                    let (a, b) = (found.bbox, expected.bbox);
                    [a.x1 - b.x1, a.y1 - b.y1, a.x2 - b.x2, a.y2 - b.y2].into_iter().map(f32::abs).fold(0.0, f32::max)
                };
                let nearest = found.iter().min_by(|a, b| apart(a).total_cmp(&apart(b))).expect("as many");
                assert!(apart(nearest) < 0.05, "{nearest:?} {expected:?}");
                assert!((nearest.confidence - expected.confidence).abs() < 1e-3, "{nearest:?} {expected:?}");
            }
            boxes += found.len();
        }
    }
    boxes
}

#[test]
fn a_network_in_two_parts_sees_what_the_cpu_sees_of_the_whole() {
    let Some(site) = whole_site() else { return };
    let cases = [
        (refused_in_the_middle(), "", "cut at tensors `s`", 2),
        (of_sizes(), SIZES, "cut at tensors `s`", 2),
        (of_pictures(), "", "`images_handed_over`", 3),
    ];
    for (model, more, at, outputs) in cases {
        site.with(&model, more);
        let order = site.order(4);
        let manifest = site.build(&order);
        let tail = manifest.tail.clone().expect("a tail");
        assert!(tail.cut.contains(at) && manifest.tensors.len() == 1 + outputs, "{} {:?}", tail.cut, manifest.tensors);

        let mut loaded = site.start(4);
        let coming = loaded.coming().remove(0);
        assert!(coming.heir.is_none() && coming.state == EngineState::Serving && coming.cut == Some(tail.cut));
        let runtime = loaded.info().runtime.clone();
        assert!(
            runtime.starts_with("tensorrt 10.") && runtime.contains(" + onnxruntime ") && runtime.ends_with("(CPU)"),
            "{runtime}"
        );
        let config = ModelConfig { workers: 1, ..site.config(4) };
        let cpu = RuntimeConfig { cpu: CpuRuntime::OnnxRuntime, ..RuntimeConfig::default() };
        let mut whole = load_cpu(&config, &cpu).expect("the CPU's").remove(0);
        let mut lanes = loaded.instances();
        assert_eq!(lanes.len(), LANES);
        for lane in &mut lanes {
            let boxes = compare(&mut **lane, &mut whole);
            assert!(boxes > 20, "{boxes} boxes say nothing");
        }

        // An engine that takes no fewer than two: the tail sees the padding, too, and nobody else does.
        site.store().remove(&manifest.key.stem()).expect("removed");
        let mut pairs = order;
        pairs.profile.min = 2;
        let manifest = site.build(&pairs);
        let loaded = site.start(4);
        compare(&mut *loaded.instances().remove(0), &mut whole);
        site.store().remove(&manifest.key.stem()).expect("removed");
    }
}

/// The first start: the CPU serves while it is built, and then the engine with its tail, after it was compared.
#[test]
fn the_first_start_of_a_network_in_two_parts() {
    let Some(site) = whole_site() else { return };
    let mut model = Model::read(&network()).expect("the usual network");
    // Its coverage by way of an operator that the double does not know.
    model.graph.nodes[1] = Node::new("HardSigmoid", "hard", &["c"], &["coverage"]);
    site.with(&model, "");
    let (state, first, last, _) = serve(site.start(4));
    assert_eq!(state, EngineState::Serving);
    assert!(first.starts_with("rten") && last.contains(" + onnxruntime "), "{first}, {last}");
    let (manifest, _) = site.engine();
    let tail = manifest.tail.expect("a tail");
    assert!(manifest.verdict.is_some_and(|verdict| verdict.passed) && tail.cut.contains("node 1 `hard` (HardSigmoid)"));
    // With another byte in the tail the CPU serves, and it is built anew.
    let path = site.folder.path().join("engines").join(&tail.file.file);
    let mut bytes = fs::read(&path).expect("the tail");
    bytes[40] ^= 1;
    fs::write(&path, bytes).expect("written");
    let (state, first, last, _) = serve(site.start(4));
    assert!(state == EngineState::Serving && first.starts_with("rten") && last.contains(" + onnxruntime "), "{first}, {last}");
}

#[test]
fn without_onnx_runtime_the_cpu_serves_and_the_remedy_is_told() {
    let Some(site) = whole_site() else { return };
    site.with(&refused_in_the_middle(), "");
    let serving = |mut loaded: Loaded| {
        let Coming { succession, heir, cut, .. } = loaded.coming().remove(0);
        let (mut heir, board) = (heir.expect("something is prepared"), Board::new());
        assert_eq!(cut, None);
        without_onnxruntime(|| succeed(&succession, &mut *heir, &Trial::new("net", &board, &CancellationToken::new())));
        let mut instances = loaded.instances();
        let frame = picture(3);
        let found = instances[0].detect(&[View::whole(&frame)]).expect("no batch is lost").detections;
        assert!(!found[0].is_empty() && instances[0].spec().runtime.starts_with("rten"));
        board.snapshot().remove(0).1
    };
    let state = serving(site.start(4));
    let EngineState::Failed(reason) = state else { unreachable!("{state:?}") };
    for words in ["(Sqrt): No importer", "it could be cut at tensors `s`", "needs ONNX Runtime", "runtime.onnxruntime_library"] {
        assert!(reason.contains(words), "{reason} has no {words}");
    }
    // The engine is there, and the library has gone since.
    site.build(&site.order(4));
    let loaded = without_onnxruntime(|| site.start(4));
    assert!(matches!(serving(loaded), EngineState::Failed(reason) if reason.contains("needs ONNX Runtime")));
}

#[test]
fn a_tail_that_fails_costs_its_batch_and_is_told() {
    let Some(site) = whole_site() else { return };
    // A table of brightness that ends half-way.
    let mut model = begun();
    model.graph.initializers.push(Tensor::floats("table", &[130], &[1.0; 130]));
    let nodes = [
        Node::new("Sigmoid", "s", &["c"], &["s"]),
        axes(Node::new("ReduceMean", "mean", &["images"], &["mean"]), &[1, 2, 3]),
        Node::new("Cast", "cast", &["mean"], &["index"]).with_int("to", 7),
        Node::new("Gather", "look up", &["table", "index"], &["share"]),
        Node::new("Mul", "last", &["s", "share"], &["coverage"]),
    ];
    model.graph.nodes.extend(nodes);
    site.with(&model, "");
    site.build(&site.order(4));
    let mut lane = site.start(4).instances().remove(0);
    let [dark, bright] = [60, 220].map(|luma| of_luma(0, vec![luma; (SIDE * SIDE) as usize]));
    assert!(lane.detect(&[View::whole(&dark); 2]).is_ok());
    let error = lane.detect(&[View::whole(&dark), View::whole(&bright)]).expect_err("beyond the table");
    assert!(matches!(&error, DetectError::Runtime { views: 2, runtime, .. } if runtime.contains(" + onnxruntime ")), "{error}");
    assert!(error.to_string().contains("the tail of the network fails"), "{error}");
    assert!(lane.detect(&[View::whole(&dark); 2]).is_ok(), "the next batch goes on");
}
