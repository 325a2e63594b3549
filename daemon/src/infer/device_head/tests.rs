//! The decoding kernels of a GPU, run on the CPU, beside the Rust heads: every head in every way to export it, on random outputs with
//! many ties, in 32 and 16 bits, on outputs that cannot be. Prints how far apart they are. Needs a C++ compiler; without one the tests
//! say loudly that they were skipped.

mod cases;

use std::{env, sync::Arc};

use egret_jetson::kernels::{
    CacheError, NvrtcError, PtxCache,
    cpu::{CpuKernels, HostOutput},
    decode::{DecodeFault, Decoder, DecoderError, FaultKind, Limits, OutputElement, OutputShape},
    device::{Decoding, DeviceError, Kernels},
};
use egret_jetson::memory::{DeviceMemory, Memory};
use egret_models::{
    head::{Extra, Fault, Found, Head, HeadError, Tensor, Thresholds},
    nms::NmsParams,
    spec::{BatchAxis, InputSpec},
};
use half::f16;

use super::{DeviceHead, device as kernels_of, device_head};
use crate::infer::letterbox::device_tests::kernels;
use cases::{Case, Random, all};

/// Exponentials and sines of a device are within 2 units in the last place; boxes here are of at most a few hundred pixels.
const MAX_ON_DEVICE: f32 = 1e-3;
/// Both use this machine's exponentials and sines, and else the same operations in the same order.
const MAX_ERROR: f32 = 1e-5;

/// The kernels on this machine's device, or on a double of the driver. `None`: no NVRTC.
fn on_device() -> Option<Arc<Kernels>> {
    CpuKernels::drive().expect("a driver");
    let folders: Vec<_> = env::var_os("EGRET_NVRTC").iter().flat_map(env::split_paths).collect();
    match Kernels::open(0, &folders, &PtxCache::new(env::temp_dir().join("egret-ptx"))) {
        Err(DeviceError::Ptx(CacheError::Nvrtc(NvrtcError::Absent { target, .. }))) => {
            eprintln!("SKIPPED: no NVRTC for {target} (scripts/nvrtc.sh brings it)");
            None
        }
        other => Some(other.expect("loaded")),
    }
}

/// How outputs are handed to the kernels.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bits {
    /// 32-bit floats.
    Full,
    /// 16-bit floats.
    Half,
    /// Whole numbers as integers, the rest as 32-bit floats.
    Integers,
}

/// A batch's outputs as both are given them.
struct Batch {
    floats: Vec<Vec<f32>>,
    halves: Vec<Vec<u16>>,
    narrow: Vec<Vec<i32>>,
    wide: Vec<Vec<i64>>,
    bits: Bits,
}

impl Batch {
    fn new(mut floats: Vec<Vec<f32>>, bits: Bits) -> Self {
        let map = |values: &Vec<f32>| values.iter().map(|v| f16::from_f32(*v).to_bits()).collect();
        let halves: Vec<Vec<u16>> = if bits == Bits::Half { floats.iter().map(map).collect() } else { Vec::new() };
        for (floats, halves) in floats.iter_mut().zip(&halves) {
            floats.iter_mut().zip(halves).for_each(|(float, half)| *float = f16::from_bits(*half).to_f32());
        }
        let narrow = floats.iter().map(|values| values.iter().map(|v| *v as i32).collect()).collect();
        let wide = floats.iter().map(|values| values.iter().map(|v| *v as i64).collect()).collect();
        Self { floats, halves, narrow, wide, bits }
    }

    /// Output `i` for the kernels.
    fn output(&self, i: usize) -> HostOutput<'_> {
        let whole = self.floats[i].iter().all(|v| v.fract().to_bits() == 0.0_f32.to_bits() && v.is_sign_positive());
        match self.bits {
            Bits::Half => HostOutput::F16(&self.halves[i]),
            Bits::Integers if whole && i.is_multiple_of(2) => HostOutput::I64(&self.wide[i]),
            Bits::Integers if whole => HostOutput::I32(&self.narrow[i]),
            _ => HostOutput::F32(&self.floats[i]),
        }
    }
}

fn input_of(case: &Case) -> InputSpec {
    InputSpec::yolox("images", BatchAxis::Dynamic, case.input.0, case.input.1)
}

fn device(case: &Case) -> DeviceHead {
    let outputs: Vec<_> = case.outputs.iter().map(|output| (output.name, output.dims.as_slice())).collect();
    device_head(&case.spec, &input_of(case), &outputs, case.classes).expect(case.name)
}

fn limits(thresholds: &Thresholds, classes: usize) -> Limits {
    let of = |class: usize| thresholds.class_confidence.get(class).copied().unwrap_or(thresholds.confidence);
    let NmsParams { iou, class_agnostic, candidates, detections } = thresholds.nms;
    let (candidates, detections) = (candidates as u32, detections as u32);
    Limits {
        confidences: (0..classes).map(of).collect(),
        iou,
        class_agnostic,
        candidates,
        detections,
        capacity: None,
        coefficients: true,
    }
}

/// A decoder for outputs that come as in `batch`.
fn decoder(case: &Case, head: &DeviceHead, batch: &Batch, thresholds: &Thresholds) -> Decoder {
    let shape = |output: &usize| {
        let len = case.outputs[*output].dims.iter().product::<usize>();
        OutputShape { element: batch.output(*output).element(), len: if case.whole { len } else { len / case.pictures } }
    };
    let shapes: Vec<_> = head.order.iter().map(shape).collect();
    Decoder::new(&head.head, &shapes, &limits(thresholds, case.classes)).expect(case.name)
}

/// What the Rust head makes of a batch.
fn reference(case: &Case, batch: &Batch, count: usize, thresholds: &Thresholds) -> Result<Vec<Vec<Found>>, HeadError> {
    let open: Vec<Vec<_>> = case.outputs.iter().map(|output| output.dims.iter().map(|d| Some(*d)).collect()).collect();
    let declared: Vec<_> = case.outputs.iter().zip(&open).map(|(output, dims)| (output.name, dims.as_slice())).collect();
    let mut head = Head::new(&case.spec, &input_of(case), &declared, case.classes).expect(case.name);
    head.make_masks(false);
    let tensors: Vec<_> = case
        .outputs
        .iter()
        .zip(&batch.floats)
        .map(|(output, data)| Tensor { name: output.name, shape: &output.dims, data })
        .collect();
    let mut found = Vec::new();
    head.decode(&tensors, count, thresholds, &mut found)?;
    Ok(found)
}

/// A box with what belongs to it.
type Told = (u16, f32, [f32; 4], Vec<f32>);

fn told(found: &Found, coefficients: bool) -> Told {
    let more = match &found.extra {
        Extra::Oriented(o) => vec![o.centre[0], o.centre[1], o.size[0], o.size[1], o.angle],
        Extra::Keypoints(points) => points.iter().flatten().copied().collect(),
        _ => Vec::new(),
    };
    assert!(!coefficients || more.is_empty());
    (found.class, found.score, found.bbox, more)
}

/// What the kernels make of the first `count` pictures of batches, through the same memory; threads run in both orders.
fn by_kernels(
    kernels: &mut CpuKernels,
    head: &DeviceHead,
    decoder: &Decoder,
    batches: &[&Batch],
    count: usize,
) -> Vec<Vec<Result<Vec<Told>, DecodeFault>>> {
    let mut both = [false, true].map(|descending| {
        kernels.descending = descending;
        let outputs: Vec<Vec<_>> = batches.iter().map(|batch| head.order.iter().map(|o| batch.output(*o)).collect()).collect();
        let outputs: Vec<_> = outputs.iter().map(|outputs| (outputs.as_slice(), count)).collect();
        let results = kernels.decode(decoder, &outputs).expect("decoded");
        let tell = |result: &Vec<u8>, i: usize| {
            decoder.read(result, i).map(|all| all.map(|f| (f.class, f.score, f.bbox, f.more().collect())).collect::<Vec<Told>>())
        };
        results.iter().map(|result| (0..count).map(|i| tell(result, i)).collect::<Vec<_>>()).collect::<Vec<_>>()
    });
    // NaN is a value of some faults.
    assert_eq!(format!("{:?}", both[0]), format!("{:?}", both[1]), "results depend on the order of threads");
    std::mem::take(&mut both[0])
}

/// How far one head is off.
#[derive(Debug, Default)]
struct Row {
    batches: usize,
    boxes: usize,
    differ: usize,
    farthest: f32,
    bytes: usize,
}

fn compare(case: &Case, ours: &[Told], theirs: &[Found], row: &mut Row) {
    compare_within(MAX_ERROR, case, ours, theirs, row);
}

fn compare_within(most: f32, case: &Case, ours: &[Told], theirs: &[Found], row: &mut Row) {
    let coefficients = matches!(case.spec, egret_models::head::HeadSpec::Segment { .. });
    let theirs: Vec<_> = theirs.iter().map(|found| told(found, coefficients)).collect();
    let classes =
        |all: &[Told]| all.iter().map(|(class, score, bbox, _)| format!("{class} {score} {bbox:?}")).collect::<Vec<_>>();
    assert_eq!(ours.len(), theirs.len(), "{}:\n{:#?}\n{:#?}", case.name, classes(ours), classes(&theirs));
    for (own, other) in ours.iter().zip(&theirs) {
        assert_eq!(own.0, other.0, "{}:\n{:#?}\n{:#?}", case.name, classes(ours), classes(&theirs));
        let more = if coefficients { &[][..] } else { &own.3 };
        assert_eq!(more.len(), other.3.len(), "{}", case.name);
        let values = own.2.iter().chain([&own.1]).chain(more).zip(other.2.iter().chain([&other.1]).chain(&other.3));
        for (own, other) in values {
            let error = (own - other).abs();
            assert!(error <= most, "{}: {own} for {other}", case.name);
            row.differ += usize::from(own.to_bits() != other.to_bits());
            row.farthest = row.farthest.max(error);
        }
        row.boxes += 1;
    }
}

#[test]
fn every_head_reads_as_on_the_cpu() {
    let Some(mut kernels) = kernels() else { return };
    println!("| head | batches | boxes | values that differ | max error | bytes of a picture's result |");
    println!("|---|---|---|---|---|---|");
    for case in all() {
        let mut row = Row::default();
        for seed in 0..6_u32 {
            let mut random = Random(0x9e37_79b9 ^ (seed + 1));
            let bits = [Bits::Full, Bits::Half, Bits::Integers][seed as usize % 3];
            // What is quantised has many equal scores; what is not has none.
            let batches: Vec<_> = (0..2).map(|_| Batch::new(case.outputs(&mut random, seed % 4 < 2), bits)).collect();
            let nms = NmsParams {
                iou: [0.45, 0.7][seed as usize % 2],
                class_agnostic: seed % 3 == 1,
                candidates: [1000, 60, 7][seed as usize % 3],
                detections: [300, 20][seed as usize % 2],
            };
            let class_confidence = if seed % 2 == 0 { vec![0.3, 0.55] } else { Vec::new() };
            let thresholds = Thresholds { confidence: 0.25, class_confidence, nms };
            let count = if seed % 4 == 3 { case.pictures - 1 } else { case.pictures };
            let head = device(&case);
            let decoder = decoder(&case, &head, &batches[0], &thresholds);
            let found = by_kernels(&mut kernels, &head, &decoder, &[&batches[0], &batches[1], &batches[0]], count);
            for (batch, found) in batches.iter().zip(&found) {
                let expected = reference(&case, batch, count, &thresholds).expect(case.name);
                for (ours, theirs) in found.iter().zip(&expected) {
                    compare(&case, ours.as_ref().expect(case.name), theirs, &mut row);
                }
            }
            assert_eq!(found[0], found[2], "a batch leaves something behind");
            row.batches += 2;
            row.bytes = row.bytes.max(decoder.result_bytes());
        }
        let Row { batches, boxes, differ, farthest, bytes } = row;
        println!("| {} | {batches} | {boxes} | {differ} | {farthest} | {bytes} |", case.name);
        assert!(boxes >= 100, "{}: too few boxes to say anything", case.name);
        if matches!(head_more(&case), egret_jetson::kernels::decode::More::Nothing) {
            assert!(bytes <= 8192, "{}: {bytes} bytes", case.name);
        }
    }
}

fn head_more(case: &Case) -> egret_jetson::kernels::decode::More {
    device(case).head.more
}

/// The same through streams and device memory, two batches under way: on this machine's device, where it has one.
#[test]
fn every_head_reads_as_on_the_cpu_through_the_driver() {
    if kernels().is_none() {
        return;
    }
    let Some(kernels) = on_device() else { return };
    let stream = kernels.stream().expect("a stream");
    let nms = NmsParams { iou: 0.5, class_agnostic: false, candidates: 300, detections: 100 };
    let thresholds = Thresholds { confidence: 0.25, class_confidence: Vec::new(), nms };
    let mut row = Row::default();
    for case in all() {
        let head = device(&case);
        let mut random = Random(0x5151);
        let batches = [Bits::Half, Bits::Full].map(|bits| Batch::new(case.outputs(&mut random, false), bits));
        for batch in &batches {
            let decoder = decoder(&case, &head, batch, &thresholds);
            let mut decoding = Decoding::new(&kernels, decoder, &stream, case.pictures, 2).expect(case.name);
            let upload = |output: &usize| {
                let memory = DeviceMemory::of(&stream, batch.output(*output).bytes()).expect("memory");
                Arc::new(memory) as Arc<dyn Memory>
            };
            let outputs: Vec<_> = head.order.iter().map(upload).collect();
            let tickets = [0; 2].map(|_| decoding.enqueue(&stream, &outputs, case.pictures).expect(case.name));
            for ticket in &tickets {
                let mut found: Vec<Vec<Told>> = vec![Vec::new(); case.pictures];
                let tell = |picture: usize, f: kernels_of::Found<'_>| {
                    found[picture].push((f.class, f.score, f.bbox, f.more().collect()));
                };
                decoding.read(ticket, tell).expect(case.name);
                let expected = reference(&case, batch, case.pictures, &thresholds).expect(case.name);
                for (ours, theirs) in found.iter().zip(&expected) {
                    compare_within(MAX_ON_DEVICE, &case, ours, theirs, &mut row);
                }
            }
        }
    }
    println!("{} through the driver: {row:?}", kernels.context().name().expect("a name"));
    assert!(row.boxes > 1000);
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let Some(mut kernels) = kernels() else { return };
    for case in all() {
        let mut random = Random(77);
        let batch = Batch::new(case.outputs(&mut random, true), Bits::Full);
        let nms = NmsParams { iou: 0.5, class_agnostic: false, candidates: 1000, detections: 300 };
        let thresholds = Thresholds { confidence: 1.5, class_confidence: Vec::new(), nms };
        let head = device(&case);
        let decoder = decoder(&case, &head, &batch, &thresholds);
        for found in &by_kernels(&mut kernels, &head, &decoder, &[&batch], case.pictures)[0] {
            assert_eq!(found, &Ok(Vec::new()), "{}", case.name);
        }
    }
}

fn kind(fault: &Fault) -> FaultKind {
    match fault {
        Fault::NotFinite => FaultKind::NotFinite,
        Fault::NotAProbability(_) => FaultKind::NotAProbability,
        Fault::AlreadyScores => FaultKind::AlreadyScores,
        Fault::FarAway(_) => FaultKind::FarAway,
        Fault::Normalised => FaultKind::Normalised,
        Fault::NoSuchClass { .. } => FaultKind::NoSuchClass,
        Fault::Unattributed => FaultKind::Unattributed,
        Fault::Count { .. } => FaultKind::Count,
    }
}

/// One bad value somewhere: both refuse the picture for the same reason, or neither looks at it.
#[test]
fn outputs_that_cannot_be_are_refused_alike() {
    let Some(mut kernels) = kernels() else { return };
    let nms = NmsParams { iou: 0.5, class_agnostic: false, candidates: 1000, detections: 300 };
    let thresholds = Thresholds { confidence: 0.25, class_confidence: Vec::new(), nms };
    let (mut refused, mut read) = (0, 0);
    for case in all() {
        let head = device(&case);
        for seed in 1..9_u32 {
            let mut random = Random(seed * 7919);
            let mut outputs = case.outputs(&mut random, false);
            let output = random.below(outputs.len());
            let at = random.below(outputs[output].len());
            outputs[output][at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e9, -7.5, 2.5e5][random.below(6)];
            let batch = Batch::new(outputs, Bits::Full);
            let decoder = decoder(&case, &head, &batch, &thresholds);
            let found = by_kernels(&mut kernels, &head, &decoder, &[&batch], case.pictures).remove(0);
            match reference(&case, &batch, case.pictures, &thresholds) {
                Err(HeadError::Value { output, picture, fault, .. }) => {
                    refused += 1;
                    let first =
                        found.iter().position(Result::is_err).unwrap_or_else(|| panic!("{}: {fault:?} not seen", case.name));
                    let own = found[first].as_ref().expect_err("a fault");
                    let role = head.order[own.output];
                    let name = case.outputs[role].name;
                    assert_eq!((first, own.kind, name), (picture, kind(&fault), output.as_str()), "{} {own}", case.name);
                }
                Err(error) => panic!("{error}"),
                Ok(expected) => {
                    read += 1;
                    for (ours, theirs) in found.iter().zip(&expected) {
                        compare(&case, ours.as_ref().expect(case.name), theirs, &mut Row::default());
                    }
                }
            }
        }
    }
    println!("{refused} batches with a bad value refused alike, {read} read alike");
    assert!(refused > 60 && read > 60);
}

/// Boxes of 0..1 where pixels belong, and scores where logits belong.
#[test]
fn other_units_are_refused_alike() {
    let Some(mut kernels) = kernels() else { return };
    let nms = NmsParams { iou: 0.5, class_agnostic: false, candidates: 1000, detections: 300 };
    let thresholds = Thresholds { confidence: 0.25, class_confidence: Vec::new(), nms };
    let mut refused = 0;
    for case in all() {
        let head = device(&case);
        let mut random = Random(5);
        let mut outputs = case.outputs(&mut random, false);
        for values in &mut outputs {
            for value in values {
                *value = value.abs().min(1.0);
            }
        }
        let batch = Batch::new(outputs, Bits::Full);
        let decoder = decoder(&case, &head, &batch, &thresholds);
        let found = by_kernels(&mut kernels, &head, &decoder, &[&batch], case.pictures).remove(0);
        if let Err(HeadError::Value { fault, .. }) = reference(&case, &batch, case.pictures, &thresholds) {
            let own = found.iter().find_map(|found| found.as_ref().err()).unwrap_or_else(|| panic!("{}: {fault:?}", case.name));
            assert_eq!(own.kind, kind(&fault), "{}", case.name);
            refused += usize::from(matches!(fault, Fault::Normalised | Fault::AlreadyScores));
        }
    }
    assert!(refused >= 8, "{refused}");
}

#[test]
fn more_candidates_than_there_is_room_for_are_refused() {
    let Some(kernels) = kernels() else { return };
    let case = all().into_iter().find(|case| case.name == "yolox").expect("a head");
    let head = device(&case);
    let batch = Batch::new(case.outputs(&mut Random(3), false), Bits::Full);
    let nms = NmsParams { iou: 0.5, class_agnostic: false, candidates: 1000, detections: 300 };
    let thresholds = Thresholds { confidence: 0.01, class_confidence: Vec::new(), nms };
    let shapes: Vec<_> = decoder(&case, &head, &batch, &thresholds).outputs(1).collect();
    let few = Limits { capacity: Some(2), ..limits(&thresholds, case.classes) };
    let decoder = Decoder::new(&head.head, &shapes, &few).expect("a decoder");
    let results = kernels.decode(&decoder, &[(&[batch.output(0)], case.pictures)]).expect("decoded");
    let Err(fault) = decoder.read(&results[0], 0) else { panic!("too many boxes were read") };
    assert_eq!(fault.kind, FaultKind::Crowded);
    assert!(fault.value > 2.0, "{fault}");
}

#[test]
fn decoders_that_cannot_be_are_refused() {
    let case = all().into_iter().find(|case| case.name == "yolox").expect("a head");
    let head = device(&case).head;
    let len = case.outputs[0].dims[1..].iter().product();
    let shape = OutputShape { element: OutputElement::F32, len };
    let nms = NmsParams { iou: 0.5, class_agnostic: false, candidates: 1000, detections: 300 };
    let good = limits(&Thresholds { confidence: 0.01, class_confidence: Vec::new(), nms }, case.classes);
    assert!(Decoder::new(&head, &[shape], &good).is_ok());
    let refused = |shape: OutputShape, limits: &Limits| Decoder::new(&head, &[shape], limits).expect_err("refused");
    let short = refused(OutputShape { len: len - 1, ..shape }, &good);
    assert!(matches!(short, DecoderError::Output { output: 0, .. }), "{short}");
    let many = refused(shape, &Limits { candidates: 5000, ..good.clone() });
    assert_eq!(many.to_string(), "the kernels decode candidates of 1 to 4096, not 5000");
    assert!(matches!(refused(shape, &Limits { detections: 0, ..good.clone() }), DecoderError::Limit { .. }));
    let other = refused(shape, &Limits { confidences: vec![0.5], ..good });
    assert!(matches!(other, DecoderError::Confidences { found: 1, .. }), "{other}");
}
