//! Small graphs whose every node matters.

use std::collections::HashSet;

use super::*;
use crate::onnx::{
    ElementType,
    builder::{Message, detector as file, ints, node, tensor},
    edit::{AttributeValue, Model, Node},
};

const NODE: u64 = 1;
const INITIALIZER: u64 = 5;

fn floats(name: &str, dims: &[i64], values: &[f32]) -> (u64, Message) {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    (INITIALIZER, tensor(name, 1, dims, &raw))
}

fn int(message: Message, name: &str, value: i64) -> Message {
    message.message(5, Message::default().bytes(1, name).varint(20, 2).varint(3, value as u64))
}

/// An operator of the given name.
fn named(op: &str, name: &str, inputs: &[&str], output: &str) -> (u64, Message) {
    let inputs = inputs.iter().fold(Message::default(), |message, input| message.bytes(1, input));
    (NODE, inputs.bytes(2, output).bytes(3, name).bytes(4, op))
}

fn graph(parts: &[(u64, Message)]) -> Model {
    Model::read(&file(&[1, 3, 64, 64], &[1, 84, 8], parts).0).unwrap()
}

/// images → first → Relu → second → Sigmoid → output.
fn line(first: [f32; 3], second: [f32; 2]) -> Model {
    graph(&[
        floats("w1", &[1, 3, 1, 1], &first),
        floats("w2", &[2, 1, 1, 1], &second),
        named("Conv", "first", &["images", "w1"], "a"),
        named("Relu", "relu", &["a"], "b"),
        named("Conv", "second", &["b", "w2"], "c"),
        named("Sigmoid", "head", &["c"], "output"),
    ])
}

fn ranges(of: &[(&str, f32)]) -> Ranges {
    let observed = of.iter().map(|(name, max)| {
        let mut histogram = Histogram::default();
        histogram.observe(&[*max, -max / 2.0]);
        ((*name).to_owned(), histogram)
    });
    observed.collect()
}

fn find<'m>(model: &'m Model, name: &str) -> &'m Node {
    model.graph.nodes.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}"))
}

/// The node that makes a value.
fn maker<'m>(model: &'m Model, value: &str) -> &'m Node {
    model.graph.nodes.iter().find(|node| node.outputs.iter().any(|o| o == value)).unwrap_or_else(|| panic!("no maker of {value}"))
}

#[test]
fn halves_reach_from_input_to_output() {
    let mut model = line([1.0, -2.0, 0.5], [0.1, 1e-9]);
    let report = convert(&mut model, &Fp16Options::default(), None).unwrap();
    assert_eq!((report.half, report.casts, report.weights, report.flushed), (4, 2, 2, 1));
    assert_eq!(report.kept, []);
    assert!(model.graph.initializers.iter().all(|t| t.element == ElementType::FLOAT16));
    assert_eq!(maker(&model, "output").op, "Cast");
    assert_eq!(model.graph.inputs[0].element(), Some(ElementType::FLOAT));
    let again = convert(&mut model, &Fp16Options::default(), None).unwrap_err();
    assert!(matches!(again, PrecisionError::Already { .. }), "{again}");
}

#[test]
fn what_does_not_fit_a_half_stays_float() {
    let reasons = |model: &mut Model, options: &Fp16Options, ranges: Option<&Ranges>| -> Vec<(String, String)> {
        let report = convert(model, options, ranges).unwrap();
        report.kept.into_iter().map(|kept| (kept.node, kept.reason)).collect()
    };
    // A constant beyond the largest half.
    let mut model = line([1.0, 7e4, 0.5], [0.1, 0.2]);
    let found = reasons(&mut model, &Fp16Options::default(), None);
    assert_eq!(found.len(), 1);
    assert!(found[0].0 == "first" && found[0].1.contains("`w1` reaches 70000"), "{found:?}");
    assert_eq!(model.graph.initializer("w1").unwrap().element, ElementType::FLOAT);
    assert_eq!(maker(&model, &find(&model, "relu").inputs[0]).op, "Cast");
    // One that would vanish altogether, as the epsilon under a division does.
    let mut model = line([1.0, 0.7, 0.5], [1e-12, 0.0]);
    let found = reasons(&mut model, &Fp16Options::default(), None);
    assert!(found.len() == 1 && found[0].1.contains("`w2`") && found[0].1.contains("zero"), "{found:?}");
    // A value in between that was seen beyond it: who makes it and who uses it.
    let mut model = line([1.0, 0.7, 0.5], [0.1, 0.2]);
    let found = reasons(&mut model, &Fp16Options::default(), Some(&ranges(&[("a", 60000.0), ("b", 66000.0)])));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["relu", "second"]);
    assert!(found[0].1.contains("`b` reached 66000"), "{found:?}");
    // What somebody asks for, and what is not there.
    let asked = |name: &str| Fp16Options { keep_float: vec![name.into()], ..Fp16Options::default() };
    let mut model = line([1.0, 0.7, 0.5], [0.1, 0.2]);
    assert_eq!(reasons(&mut model.clone(), &asked("second"), None), [("second".into(), "asked for".into())]);
    let error = convert(&mut model, &asked("secnd"), None).unwrap_err();
    assert!(error.to_string().contains("`second`") && error.remedy().contains("node"), "{error}");
}

#[test]
fn scales_of_resize_and_shared_constants_keep_their_type() {
    let mut model = graph(&[
        floats("s", &[4], &[1.0, 1.0, 2.0, 2.0]),
        floats("k", &[1], &[3.0]),
        named("Resize", "resize", &["images", "", "s"], "a"),
        named("Mul", "half", &["a", "k"], "b"),
        named("Mul", "float", &["b", "k"], "output"),
    ]);
    let report = convert(&mut model, &Fp16Options { keep_float: vec!["float".into()], ..Fp16Options::default() }, None).unwrap();
    assert_eq!((report.half, report.kept.len(), report.casts), (2, 1, 2));
    assert_eq!(find(&model, "resize").inputs[2], "s");
    assert_eq!(model.graph.initializer("s").unwrap().element, ElementType::FLOAT);
    assert_eq!((find(&model, "half").inputs[1].as_str(), find(&model, "float").inputs[1].as_str()), ("k_fp16", "k"));
    assert_eq!(maker(&model, "output").name, "float");
}

#[test]
fn operators_that_nobody_knows_are_named() {
    let custom = |op: &str| graph(&[named(op, "x", &["images"], "a"), named("Relu", "y", &["a"], "output")]);
    let error = convert(&mut custom("Frobnicate"), &Fp16Options::default(), None).unwrap_err();
    assert!(error.to_string().contains("`x` (Frobnicate)") && error.remedy().contains("declare"), "{error}");
    let error = Plan::new(custom("Relu"), &QdqOptions::default()).unwrap_err();
    assert!(error.to_string().contains("Conv, Gemm, MatMul"), "{error}");
}

#[test]
fn doubles_become_floats_and_say_what_that_costs() {
    let third = 1.0_f64 / 3.0;
    let cast = int(named("Cast", "cast", &["d"], "e").1, "to", 11);
    let parts = [(INITIALIZER, tensor("d", 11, &[1], &third.to_le_bytes())), (NODE, cast)];
    let mut model = graph(&parts);
    let report = down_cast(&mut model).unwrap().unwrap();
    assert_eq!(report.constants, 1);
    assert!((report.max_error - (f64::from(third as f32) - third).abs()).abs() < 1e-20 && report.max_relative_error < 6e-8);
    assert_eq!(find(&model, "cast").int("to"), Some(1));
    assert_eq!(down_cast(&mut model).unwrap(), None);
    let error = down_cast(&mut graph(&[(INITIALIZER, tensor("d", 11, &[1], &1e300_f64.to_le_bytes()))])).unwrap_err();
    assert!(error.to_string().contains("`d` holds 1e300"), "{error}");
}

#[test]
fn pairs_lie_before_the_inputs_of_layers() {
    let plan = Plan::new(line([1.0, -2.0, 0.5], [0.254, 12.7]), &QdqOptions::default()).unwrap();
    assert_eq!(plan.values(), ["images", "b"]);
    let ranges = ranges(&[("images", 254.0), ("b", 12.7)]);
    let (model, report) = plan.quantize(&ranges, Method::MinMax, &HashSet::new(), &Shifts::new());
    assert_eq!((report.quantized.as_slice(), report.kept.len()), (["first".to_owned(), "second".to_owned()].as_slice(), 0));
    let second = find(&model, "second");
    let [back, weights] = [0, 1].map(|i| maker(&model, &second.inputs[i]));
    assert_eq!((back.op.as_str(), maker(&model, &back.inputs[0]).op.as_str()), ("DequantizeLinear", "QuantizeLinear"));
    assert_eq!(maker(&model, &back.inputs[0]).inputs[0], "b");
    let scale = |name: &str| model.graph.initializer(name).unwrap().as_floats().unwrap();
    assert!((scale(&back.inputs[1])[0] - 0.1).abs() < 1e-6);
    assert_eq!((weights.op.as_str(), weights.int("axis")), ("DequantizeLinear", Some(0)));
    let per_channel = scale(&weights.inputs[1]);
    assert!(per_channel.len() == 2 && (per_channel[0] - 0.002).abs() < 1e-7 && (per_channel[1] - 0.1).abs() < 1e-6);
    // The float weights are gone, the head is as it was, and the file is still one that is read.
    assert!(model.graph.initializer("w2").is_none());
    assert_eq!(find(&model, "head").inputs, ["c"]);
    assert!(Model::read(&model.write()).is_ok());
    let error = Plan::new(model, &QdqOptions::default()).unwrap_err();
    assert!(matches!(error, PrecisionError::Already { what: "quantized", .. }), "{error}");
}

#[test]
fn channels_of_depthwise_layers_have_a_range_of_their_own() {
    let conv = |name: &str, inputs: &[&str], output: &str| (NODE, int(named("Conv", name, inputs, output).1, "group", 3));
    let model = graph(&[
        floats("w", &[6, 1, 1, 1], &[1.0, 2.0, 0.5, 0.5, 1.27, 3.0]),
        floats("v", &[2, 6, 1, 1], &[1.0; 12]),
        conv("deep", &["images", "w"], "a"),
        conv("twin", &["images", "w"], "unused"),
        named("Conv", "dense", &["a", "v"], "output"),
    ]);
    let plan = Plan::new(model, &QdqOptions::default()).unwrap();
    assert_eq!(plan.channels(), [("images".to_owned(), 3)].into());
    // Three channels that reach 127, 12.7 and nothing; the value as a whole 127.
    let planes: Vec<f32> = [127.0_f32, -12.7, 0.0].iter().flat_map(|v| [*v; 4]).collect();
    let mut calibration = Calibration::new(&mut Fixed, plan.model(), &plan.values()).unwrap().by_channel(&plan.channels());
    calibration.observe(&mut Fixed, &planes).unwrap();
    let ranges = calibration.finish().unwrap();
    assert_eq!(ranges.channels("images").unwrap().iter().map(Histogram::max).collect::<Vec<_>>(), [127.0, 12.7, 0.0]);
    let (model, report) = plan.quantize(&ranges, Method::MinMax, &HashSet::from(["dense".into()]), &Shifts::new());
    assert_eq!((report.quantized.as_slice(), report.equalized.len()), (["deep".to_owned(), "twin".to_owned()].as_slice(), 2));
    let (deep, twin) = (find(&model, "deep"), find(&model, "twin"));
    assert_eq!(deep.inputs[0], twin.inputs[0], "one pair for both");
    let back = maker(&model, &deep.inputs[0]);
    let multiplied = maker(&model, &maker(&model, &back.inputs[0]).inputs[0]);
    let floats = |name: &str| model.graph.initializer(name).unwrap().as_floats().unwrap();
    let factors = floats(&multiplied.inputs[1]);
    assert_eq!(
        (multiplied.op.as_str(), &model.graph.initializer(&multiplied.inputs[1]).unwrap().dims),
        ("Mul", &vec![1, 3, 1, 1])
    );
    assert!(factors.iter().zip([1.0, 10.0, 1.0]).all(|(factor, wanted)| (factor - wanted).abs() < 1e-4), "{factors:?}");
    assert!((floats(&back.inputs[1])[0] - 1.0).abs() < 1e-6);
    // What the factors raise, the scales of the two filters of each channel take back.
    let scales = floats(&maker(&model, &deep.inputs[1]).inputs[1]);
    let wanted = [1.0, 2.0, 0.05, 0.05, 1.27, 3.0].map(|w| w / 127.0);
    assert!(scales.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{scales:?}");
    // Nothing was seen of single channels: as any other layer.
    let ranges = ranges.iter().map(|(name, histogram)| (name.to_owned(), histogram.clone())).collect();
    let (_, report) = plan.quantize(&ranges, Method::MinMax, &HashSet::from(["dense".into()]), &Shifts::new());
    assert_eq!((report.quantized.len(), report.equalized.len()), (2, 0));
}

/// Runs nothing: there is nothing in between to observe.
struct Fixed;

impl Run for Fixed {
    type Network = ();
    type Error = String;

    fn load(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn run(&mut self, (): &mut (), _: &[f32], _: &mut dyn FnMut(&str, &[f32])) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn weights_that_are_no_numbers_are_not_converted() {
    for (second, what) in [([0.5, f32::NAN], "1 times NaN"), ([f32::INFINITY, f32::NEG_INFINITY], "2 times infinity")] {
        let model = line([1.0, -2.0, 0.5], second);
        let half = convert(&mut model.clone(), &Fp16Options::default(), None).unwrap_err();
        let int8 = Plan::new(model, &QdqOptions::default()).unwrap_err();
        for error in [half, int8] {
            assert!(
                matches!(&error, PrecisionError::NotFinite { tensor, node, .. } if tensor == "w2" && node == "second"),
                "{error}"
            );
            assert!(error.to_string().contains(what) && error.remedy().contains("checkpoint"), "{error}");
        }
    }
    // A mask of infinities is none of the weights.
    let mask = [floats("m", &[1], &[f32::NEG_INFINITY]), named("Max", "mask", &["images", "m"], "output")];
    convert(&mut graph(&mask), &Fp16Options::default(), None).unwrap();
}

#[test]
fn layers_stay_float_by_request_and_where_nothing_was_seen() {
    let model = line([1.0, -2.0, 0.5], [0.254, 1.0]);
    let keep = |name: &str| QdqOptions { keep_float: vec![name.into()], ..QdqOptions::default() };
    let plan = Plan::new(model.clone(), &keep("first")).unwrap();
    assert_eq!(plan.layers().iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>(), ["second"]);
    assert!(matches!(Plan::new(model.clone(), &keep("third")).unwrap_err(), PrecisionError::NoNode { .. }));
    let plan = Plan::new(model, &QdqOptions::default()).unwrap();
    let (float, report) =
        plan.quantize(&ranges(&[("images", 1.0), ("b", 0.0)]), Method::MinMax, &HashSet::from(["first".into()]), &Shifts::new());
    assert!(report.quantized.is_empty() && report.kept[0].1.contains("was zero"), "{report:?}");
    assert!(float.graph.nodes.iter().all(|node| !node.op.ends_with("Linear")));
    let (_, report) = plan.quantize(&ranges(&[("images", 0.0)]), Method::MinMax, &HashSet::new(), &Shifts::new());
    let reasons: Vec<&str> = report.kept.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["`images` was zero in every calibration frame", "nothing was observed of `b`"]);
}

#[test]
fn heads_are_never_quantized_and_movers_share_a_scale() {
    let concat = |name: &str, inputs: &[&str], output: &str| (NODE, int(named("Concat", name, inputs, output).1, "axis", 1));
    let model = graph(&[
        floats("w", &[6, 6, 1, 1], &[1.0; 36]),
        named("Relu", "left", &["images"], "l"),
        named("Sigmoid", "right", &["images"], "r"),
        concat("neck", &["l", "r"], "n"),
        named("Conv", "layer", &["n", "w"], "c"),
        named("Sigmoid", "scores", &["c"], "s"),
        concat("last", &["c", "s"], "output"),
    ]);
    let ops = quantizable_ops().map(String::from).collect();
    let plan = Plan::new(model, &QdqOptions { ops, keep_float: Vec::new() }).unwrap();
    let names: Vec<&str> = plan.layers().iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["left", "right", "neck", "layer"]);
    let seen = ranges(&[("images", 255.0), ("l", 254.0), ("r", 1.0), ("n", 254.0)]);
    let (model, _) = plan.quantize(&seen, Method::MinMax, &HashSet::new(), &Shifts::new());
    let scale = |node: &str, input: usize| {
        let back = maker(&model, &find(&model, node).inputs[input]);
        model.graph.initializer(&back.inputs[1]).unwrap().as_floats().unwrap()[0]
    };
    assert!((scale("neck", 0) - 2.0).abs() < 1e-6 && (scale("neck", 1) - 2.0).abs() < 1e-6);
    assert_eq!(find(&model, "last").inputs, ["c", "s"]);
    // With the neck in float its inputs have nothing in common any more.
    let (float, _) = plan.quantize(&seen, Method::MinMax, &HashSet::from(["neck".into()]), &Shifts::new());
    assert_eq!(find(&float, "neck").inputs, ["l", "r"]);
}

#[test]
fn old_operator_sets_are_upgraded_or_refused() {
    let mut model = line([1.0, -2.0, 0.5], [0.254, 12.7]);
    model.set_opset(9);
    let error = Plan::new(model.clone(), &QdqOptions::default()).unwrap_err();
    assert!(error.to_string().contains("operator set 9") && error.remedy().contains("opset_version"), "{error}");
    model.set_opset(11);
    let squeeze = Node::new("Squeeze", "squeeze", &["a"], &["z"]);
    model.graph.nodes.push(squeeze.with_int("unrelated", 1));
    model.graph.nodes[4].set("axes", crate::onnx::edit::AttributeValue::Ints(vec![2, 3]));
    let plan = Plan::new(model, &QdqOptions::default()).unwrap();
    assert_eq!((plan.model().opset(), plan.model().ir_version >= 7), (13, true));
    let squeeze = find(plan.model(), "squeeze");
    assert_eq!((squeeze.inputs.len(), squeeze.attribute("axes").is_none()), (2, true));
    assert!(plan.model().graph.initializer(&squeeze.inputs[1]).is_some_and(|t| t.element == ElementType::INT64));
}

#[test]
fn constants_are_found_wherever_they_are() {
    let value = Message::default().bytes(1, "value").varint(20, 4).message(5, tensor("", 1, &[1, 3, 1, 1], &[0; 12]));
    let constant = (NODE, node("Constant", &[], "w").message(5, value));
    let mut model = graph(&[
        constant,
        named("Identity", "", &["w"], "v"),
        named("Conv", "same", &["images", "w"], "a"),
        named("Conv", "same", &["images", "v"], "b"),
        (INITIALIZER, ints("unused", &[1])),
    ]);
    prepare(&mut model);
    let names: Vec<&str> = model.graph.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!((names.len(), names[0], names[1] != "same"), (2, "same", true));
    assert!(["w", "v"].iter().all(|name| model.graph.initializer(name).is_some_and(|t| t.dims == [1, 3, 1, 1])));
}

/// A runtime that makes up what the outputs are.
struct Twins {
    loaded: Vec<Model>,
}

impl Run for Twins {
    type Network = usize;
    type Error = String;

    fn load(&mut self, bytes: &[u8]) -> Result<usize, String> {
        self.loaded.push(Model::read(bytes).map_err(|refused| refused.to_string())?);
        Ok(self.loaded.len() - 1)
    }

    fn run(&mut self, network: &mut usize, input: &[f32], each: &mut dyn FnMut(&str, &[f32])) -> Result<(), String> {
        for (i, output) in self.loaded[*network].graph.outputs.iter().enumerate() {
            each(&output.name, &[input[0] + i as f32, input[0] * 2.0]);
        }
        each("another output", &[f32::NAN]);
        Ok(())
    }
}

#[test]
fn shifted_means_are_taken_from_biases() {
    let model = graph(&[
        floats("w1", &[2, 3, 1, 1], &[0.3, 0.11, -0.2, 1.0, 0.77, 0.05]),
        floats("b1", &[2], &[0.5, -0.5]),
        floats("w2", &[2, 2, 1, 1], &[0.1, 1.0, 0.7, 0.2]),
        named("Conv", "first", &["images", "w1", "b1"], "a"),
        named("Conv", "second", &["a", "w2"], "b"),
        named("Sigmoid", "head", &["b"], "output"),
    ]);
    let plan = Plan::new(model, &QdqOptions::default()).unwrap();
    let seen = ranges(&[("images", 1.0), ("a", 2.0)]);
    let mut run = Twins { loaded: Vec::new() };
    let mut shifting = Shifting::new(&mut run, &plan, &seen, Method::MinMax).unwrap();
    // Beside each layer its twin on the same float input, and the mean of the difference over all axes but the channels'.
    let twins = run.loaded[0].clone();
    let outputs: Vec<&str> = twins.graph.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(outputs, ["a_shift", "b_shift"]);
    for (output, layer, input) in [("a_shift", "first", "images"), ("b_shift", "second", "a")] {
        let mean = maker(&twins, output);
        assert!(mean.op == "ReduceMean" && mean.int("keepdims") == Some(0));
        assert!(matches!(mean.attribute("axes"), Some(AttributeValue::Ints(axes)) if *axes == [0, 2, 3]));
        let difference = maker(&twins, &mean.inputs[0]);
        let (twin, float) = (maker(&twins, &difference.inputs[0]), maker(&twins, &difference.inputs[1]));
        assert_eq!((difference.op.as_str(), twin.op.as_str(), float.name.as_str()), ("Sub", "Conv", layer));
        assert_eq!((float.inputs[0].as_str(), maker(&twins, &twin.inputs[1]).op.as_str()), (input, "DequantizeLinear"));
        let pair = maker(&twins, &twin.inputs[0]);
        assert_eq!(maker(&twins, &pair.inputs[0]).inputs[0], input, "the twin reads the float input");
    }
    for frame in [1.0, 3.0] {
        shifting.observe(&mut run, &[frame]).unwrap();
    }
    let shifts = shifting.finish();
    assert_eq!(shifts, Shifts::from([("first".into(), vec![2.0, 4.0]), ("second".into(), vec![3.0, 4.0])]));
    let (quantized, _) = plan.quantize(&seen, Method::MinMax, &HashSet::new(), &shifts);
    let bias = |name: &str| quantized.graph.initializer(&find(&quantized, name).inputs[2]).unwrap().as_floats().unwrap();
    assert_eq!((bias("first"), bias("second")), (vec![-1.5, -4.5], vec![-3.0, -4.0]), "one that had none gets one");
    // What stays in float, and what no correction fits, keep what they have.
    let (quantized, _) = plan.quantize(&seen, Method::MinMax, &HashSet::from(["first".into()]), &shifts);
    assert_eq!(find(&quantized, "first").inputs, ["images", "w1", "b1"]);
    let odd = Shifts::from([("first".into(), vec![1.0; 3]), ("second".into(), vec![f32::INFINITY; 2])]);
    let (quantized, _) = plan.quantize(&seen, Method::MinMax, &HashSet::new(), &odd);
    assert_eq!((find(&quantized, "first").inputs[2].as_str(), find(&quantized, "second").inputs.len()), ("b1", 2));
}
