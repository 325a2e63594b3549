//! Lanes: pictures of the host through the letterbox kernel, an engine and the decoding kernels, over the doubles of TensorRT and of the
//! driver; what becomes of a batch when something fails.

use std::{sync::Arc, thread};

use egret_jetson::{
    kernels::{
        cpu::{CpuKernels, HostOutput},
        decode::{Decoder, Grid, Head, Limits, More, OutputElement, OutputShape, Scanner},
        device::{DeviceFrame, Kernels},
        letterbox::{Samples, Window},
    },
    line::{Executor, Feed, Finish, HostPicture, Input, Lane, LineError, Row, Source},
    memory::{DeviceMemory, Memory},
    tensorrt::{Builder, Deserialize, Engine, Error, Options, Ran, Range, Runtime, doubles::Double},
};

use crate::{
    MAJORS,
    driver::{Held, driver},
    line::{FRAME, TENSOR, frames, kernels, network, wanted, window},
    load,
    onnx::Onnx,
    shape,
};

const MOST: usize = 4;
const CELL: i64 = 8;
const CLASSES: usize = 2;

/// Coverage and edges of two classes per cell of 8 pixels: convolutions of the picture.
fn detector() -> Vec<u8> {
    let weights = |count: usize, step: usize, scale: f32| -> Vec<f32> {
        (0..count * 3 * 64).map(|i| ((i * step % 23) as f32 - 11.0) * scale).collect()
    };
    let cells = [i64::from(TENSOR.height) / CELL, i64::from(TENSOR.width) / CELL];
    let stride: [(&str, &[i64]); 1] = [("strides", &[CELL, CELL])];
    Onnx::default()
        .input("x", &[-1, 3, i64::from(TENSOR.height), i64::from(TENSOR.width)])
        .constant("w", &[2, 3, CELL, CELL], &weights(2, 7, 3e-4))
        .constant("v", &[8, 3, CELL, CELL], &weights(8, 5, 1e-5))
        .constant("b", &[1, 8, 1, 1], &[0.4, 0.3, 0.5, 0.4, 0.2, 0.4, 0.3, 0.5])
        .node("Conv", &["x", "w"], "c", &stride)
        .node("Sigmoid", &["c"], "coverage", &[])
        .node("Conv", &["x", "v"], "d", &stride)
        .node("Add", &["d", "b"], "edges", &[])
        .output("coverage", &[-1, 2, cells[0], cells[1]])
        .output("edges", &[-1, 8, cells[0], cells[1]])
        .finish()
}

fn decoder() -> Decoder {
    let (columns, rows) = (TENSOR.width / CELL as u32, TENSOR.height / CELL as u32);
    let cells = columns * rows;
    let head = Head {
        scanner: Scanner::Coverage { grid: Grid { first: 0, columns, cells, stride: CELL as f32 }, scale: 35.0, offset: 0.5 },
        input: (TENSOR.width, TENSOR.height),
        classes: CLASSES as u32,
        rows: CLASSES as u32 * cells,
        limit: 1e4,
        pixels: None,
        suppress: true,
        more: More::Nothing,
    };
    let output = |planes: u32| OutputShape { element: OutputElement::F32, len: (planes * cells) as usize };
    let limits = Limits {
        confidences: vec![0.4; CLASSES],
        iou: 0.6,
        class_agnostic: false,
        candidates: 1000,
        detections: 300,
        capacity: None,
        coefficients: true,
    };
    Decoder::new(&head, &[output(CLASSES as u32), output(4 * CLASSES as u32)], &limits).expect("a decoder")
}

fn executor(double: &Double, kernels: &Arc<Kernels>, onnx: &[u8], batches: [i64; 2]) -> Result<Arc<Executor>, LineError> {
    Executor::new(kernels, &engine(double, onnx, batches), &input())
}

fn input() -> Input {
    let sides = vec![3, TENSOR.height as usize, TENSOR.width as usize];
    Input { name: "x".into(), shape: sides, constants: Vec::new() }
}

fn engine(double: &Double, onnx: &[u8], batches: [i64; 2]) -> Arc<Engine> {
    assert!(double.set("driver", 1));
    let library = load(double);
    let mut builder = Builder::new(&library, None).expect("a builder");
    builder.parse(onnx, None).expect("the network");
    let batch = |n: i64| shape(&[n, 3, i64::from(TENSOR.height), i64::from(TENSOR.width)]);
    let [min, max] = batches.map(batch);
    builder.add_profile(vec![Range { name: "x".into(), opt: max.clone(), min, max }]).expect("the profile");
    builder.configure(&Options::default()).expect("the options");
    let plan = builder.build().expect("built").plan;
    Arc::new(Runtime::new(&library).expect("a runtime").deserialize(&plan, Deserialize::default()).expect("the engine"))
}

fn boxes_of(executor: &Arc<Executor>) -> Lane {
    let finish = Finish::Boxes { decoder: Box::new(decoder()), order: vec![0, 1] };
    Lane::new(executor, Feed::Pictures(TENSOR), finish).expect("a lane")
}

/// A frame as its decoder has it, with the pitch of [`FRAME`] or with one that cannot be kept.
fn source(bytes: &[u8], plane: usize) -> Source<'_> {
    let (luma, chroma) = bytes.split_at(plane);
    let stride = FRAME.luma_pitch as usize;
    Source::Host(HostPicture {
        samples: Samples::Nv12,
        width: FRAME.width,
        height: FRAME.height,
        planes: [(luma, stride), (chroma, stride), (&[], 0)],
    })
}

fn batch(frames: &[Vec<u8>]) -> Vec<(Source<'_>, Window)> {
    let plane = (FRAME.luma_pitch * FRAME.height) as usize;
    frames.iter().map(|bytes| (source(bytes, plane), window())).collect()
}

fn floats(lane: &mut Lane) -> Result<Vec<f32>, LineError> {
    let (times, floats) =
        lane.tensors(|outputs| outputs.next().map(|output| output.floats().expect("floats").to_vec()).expect("an output"))?;
    assert!(times.engine <= times.since_begun);
    Ok(floats)
}

struct Rig {
    cuda: Held,
    kernels: Arc<Kernels>,
    double: Double,
}

fn rig(major: u32) -> Option<Rig> {
    let cuda = driver()?;
    let kernels = kernels(&cuda)?;
    Some(Rig { kernels, double: Double::new(major).expect("the double"), cuda })
}

#[test]
fn tensors_come_back_from_pictures_of_the_host() {
    let cpu = CpuKernels::load().expect("kernels for the CPU");
    for major in MAJORS {
        let Some(Rig { cuda, kernels, double }) = rig(major) else { return };
        let executor = executor(&double, &kernels, &network(), [1, MOST as i64]).expect("an executor");
        let mut lane = Lane::new(&executor, Feed::Pictures(TENSOR), Finish::Tensors).expect("a lane");
        let mut ran = Vec::new();
        for count in [2, 4, 2, 1, 4] {
            let frames = frames(count);
            lane.draw(&batch(&frames)).expect("drawn");
            assert!(floats(&mut lane).expect("fetched") == wanted(&cpu, &frames), "{count} frames, TensorRT {major}");
            ran.push(lane.ran().expect("it ran"));
        }
        assert_eq!(ran, [Ran::First, Ran::First, Ran::Graph, Ran::First, Ran::Graph]);
        // One picture in several windows is copied once.
        let frames = frames(1);
        let several = [batch(&frames), batch(&frames), batch(&frames)].concat();
        let brought = || cuda.knobs.get("to_device").expect("a count");
        let before = brought();
        lane.draw(&several).expect("drawn");
        assert!(brought() - before < 2 * i64::from(FRAME.luma_pitch * FRAME.height));
        let found = floats(&mut lane).expect("fetched");
        let each = TENSOR.slot_len();
        assert!(found[..each] == found[each..2 * each] && found[..each] == wanted(&cpu, &frames)[..]);
        drop((lane, executor));
        assert_eq!(double.objects(), Some(0));
    }
}

#[test]
fn boxes_are_those_of_the_same_outputs_decoded_on_the_host() {
    let cpu = CpuKernels::load().expect("kernels for the CPU");
    for major in MAJORS {
        let Some(Rig { cuda, kernels, double }) = rig(major) else { return };
        let executor = executor(&double, &kernels, &detector(), [1, MOST as i64]).expect("an executor");
        let mut boxes = boxes_of(&executor);
        let mut tensors = Lane::new(&executor, Feed::Pictures(TENSOR), Finish::Tensors).expect("a lane");
        let mut compared = 0;
        for count in [1, 4, 3, 4] {
            let frames = frames(count);
            let before = cuda.knobs.get("to_host").expect("a count");
            boxes.draw(&batch(&frames)).expect("drawn");
            let mut found = Vec::new();
            boxes.boxes(|picture, one| found.push((picture, one.class, one.score, one.bbox))).expect("decoded");
            let each = (cuda.knobs.get("to_host").expect("a count") - before) / i64::from(count);
            assert_eq!(each, decoder().result_bytes() as i64);
            assert!(each <= 8192, "{each} bytes to the host for a picture");
            tensors.draw(&batch(&frames)).expect("drawn");
            let (_, outputs) = tensors
                .tensors(|outputs| outputs.map(|output| output.floats().expect("floats").to_vec()).collect::<Vec<_>>())
                .expect("fetched");
            let decoder = decoder();
            let results = cpu
                .decode(&decoder, &[(&[HostOutput::F32(&outputs[0]), HostOutput::F32(&outputs[1])], count as usize)])
                .expect("decoded");
            let mut expected = Vec::new();
            for picture in 0..count as usize {
                let boxes = decoder.read(&results[0], picture).expect("boxes");
                expected.extend(boxes.map(|one| (picture, one.class, one.score, one.bbox)));
            }
            compared += found.len();
            assert_eq!(found, expected);
        }
        assert!(compared > 20, "{compared} boxes");
    }
}

/// Two lanes of one engine, each on a thread, over streams that work by themselves: no batch sees another's pictures.
#[test]
fn lanes_take_turns_without_mixing_anything_up() {
    let cpu = CpuKernels::load().expect("kernels for the CPU");
    let Some(Rig { cuda, kernels, double }) = rig(11) else { return };
    assert!(cuda.knobs.set("threads", 1));
    let executor = executor(&double, &kernels, &network(), [1, MOST as i64]).expect("an executor");
    let warm = cuda.knobs.get("waits").expect("a count");
    thread::scope(|scope| {
        for lane in 0..2_usize {
            let (executor, cpu) = (&executor, &cpu);
            scope.spawn(move || {
                let mut own = Lane::new(executor, Feed::Pictures(TENSOR), Finish::Tensors).expect("a lane");
                for i in 0..12 {
                    let all = frames(9);
                    let own_frames = &all[(5 * lane + i) % 5..][..=(i + lane) % MOST];
                    own.draw(&batch(own_frames)).expect("drawn");
                    assert!(floats(&mut own).expect("fetched") == wanted(cpu, own_frames), "lane {lane}, batch {i}");
                }
            });
        }
    });
    assert_eq!(cuda.knobs.get("waits"), Some(warm), "nobody waits for the device as a whole");
}

/// Two engines in one row, each with a lane on a thread: one memory for the activations of both, no batch sees another's.
#[test]
fn engines_of_a_row_share_their_activations() {
    let cpu = CpuKernels::load().expect("kernels for the CPU");
    let Some(Rig { cuda, kernels, double }) = rig(11) else { return };
    assert!(cuda.knobs.set("threads", 1));
    let engines = [[1, MOST as i64], [1, 2]].map(|batches| engine(&double, &network(), batches));
    let needs = [0, 1].map(|i: usize| engines[i].context_bytes(Some(0)).expect("bytes"));
    // What is needed is counted before anything is there.
    let row = Row::new(&kernels, needs[0].max(needs[1])).expect("a row");
    let used = || cuda.knobs.get("used").expect("a count");
    let before = used();
    let executors = [0, 1].map(|i: usize| Executor::in_row(&kernels, &engines[i], &input(), &row).expect("an executor"));
    assert_eq!(used(), before, "no activations of their own");
    assert_eq!(executors[0].row().bytes(), row.bytes());
    thread::scope(|scope| {
        for (lane, executor) in executors.iter().enumerate() {
            let cpu = &cpu;
            scope.spawn(move || {
                let mut own = Lane::new(executor, Feed::Pictures(TENSOR), Finish::Tensors).expect("a lane");
                for i in 0..12 {
                    let all = frames(9);
                    let own_frames = &all[(5 * lane + i) % 5..][..=(i + lane) % 2];
                    own.draw(&batch(own_frames)).expect("drawn");
                    assert!(floats(&mut own).expect("fetched") == wanted(cpu, own_frames), "engine {lane}, batch {i}");
                }
            });
        }
    });
    let small = Row::new(&kernels, needs[0] - 1).expect("a row");
    let error = Executor::in_row(&kernels, &engines[0], &input(), &small).expect_err("too small");
    assert!(error.to_string().contains("an execution context needs"), "{error}");
}

/// A decoder has few surfaces: what lies on the device is let go of with its batch, and not with the next one.
#[test]
fn pictures_on_the_device_are_let_go_with_their_batch() {
    let cpu = CpuKernels::load().expect("kernels for the CPU");
    let Some(Rig { cuda, kernels, double }) = rig(11) else { return };
    let executor = executor(&double, &kernels, &network(), [1, MOST as i64]).expect("an executor");
    let mut lane = Lane::new(&executor, Feed::Pictures(TENSOR), Finish::Tensors).expect("a lane");
    let frames = frames(3);
    let stream = cuda.new_stream().expect("a stream");
    let surface: Arc<dyn Memory> = Arc::new(DeviceMemory::of(&stream, &frames[1]).expect("memory"));
    let planes = [0, u64::from(FRAME.luma_pitch * FRAME.height), 0].map(|at| (Arc::clone(&surface), at));
    let on_device = DeviceFrame::new(FRAME, planes).expect("a picture");
    let before = Arc::strong_count(&surface);
    let mut pictures = batch(&frames);
    pictures[1].0 = Source::Device(&on_device);
    lane.draw(&pictures).expect("drawn");
    assert!(Arc::strong_count(&surface) > before, "held while it is read");
    assert!(floats(&mut lane).expect("fetched") == wanted(&cpu, &frames));
    assert_eq!(Arc::strong_count(&surface), before);
}

/// A network of fixed batches is given whole ones, and what it says of empty slots is not looked at.
#[test]
fn an_engine_of_fixed_batches_takes_fewer_pictures() {
    let cpu = CpuKernels::load().expect("kernels for the CPU");
    let Some(Rig { kernels, double, .. }) = rig(10) else { return };
    let executor = executor(&double, &kernels, &network(), [3, 3]).expect("an executor");
    assert_eq!(executor.batches(), 3..=3);
    let mut lane = Lane::new(&executor, Feed::Pictures(TENSOR), Finish::Tensors).expect("a lane");
    for count in [1, 3, 2] {
        let frames = frames(count);
        lane.draw(&batch(&frames)).expect("drawn");
        let found = floats(&mut lane).expect("fetched");
        assert_eq!(found.len(), 3 * TENSOR.slot_len());
        assert!(found[..count as usize * TENSOR.slot_len()] == wanted(&cpu, &frames)[..]);
    }
    assert!(matches!(lane.draw(&batch(&frames(4))), Err(LineError::Batch { found: 4, most: 3 })));
    assert!(matches!(lane.draw(&[]), Err(LineError::Batch { found: 0, .. })));
}

#[test]
fn nothing_is_allocated_for_a_batch() {
    let Some(Rig { cuda, kernels, double }) = rig(11) else { return };
    let executor = executor(&double, &kernels, &detector(), [1, MOST as i64]).expect("an executor");
    let mut lane = boxes_of(&executor);
    let frames = frames(4);
    let mut run = |count: usize| {
        lane.draw(&batch(&frames[..count])).expect("drawn");
        lane.boxes(|_, _| ()).expect("decoded")
    };
    run(4);
    run(2);
    let count = |what| cuda.knobs.get(what).expect("a count");
    let before = ["allocations", "launches", "waits"].map(count);
    for _ in 0..5 {
        run(4);
        run(2);
    }
    let after = ["allocations", "launches", "waits"].map(count);
    assert_eq!(after, [before[0], before[1] + 10 * 3, before[2]], "allocations, launches, waits for the device");
}

#[test]
fn a_failure_costs_one_batch_and_is_told_in_tensorrt_s_words() {
    for major in MAJORS {
        let Some(Rig { kernels, double, .. }) = rig(major) else { return };
        let executor = executor(&double, &kernels, &network(), [1, 4]).expect("an executor");
        let mut lane = Lane::new(&executor, Feed::Pictures(TENSOR), Finish::Tensors).expect("a lane");
        let frames = frames(2);
        assert!(double.set("enqueue_fails", 0));
        let error = lane.draw(&batch(&frames)).expect_err("it fails");
        assert!(matches!(&error, LineError::TensorRt(Error::Refused { .. })) && !error.is_lost(), "{error}");
        assert!(matches!(floats(&mut lane), Err(LineError::Misused(_))), "nothing is under way");
        assert!(double.set("enqueue_fails", -1));
        lane.draw(&batch(&frames)).expect("drawn");
        assert!(!floats(&mut lane).expect("fetched").is_empty());
    }
}

#[test]
fn a_recording_that_fails_leaves_the_engine_to_run_plainly() {
    let cpu = CpuKernels::load().expect("kernels for the CPU");
    let Some(Rig { cuda, kernels, double }) = rig(10) else { return };
    let executor = executor(&double, &kernels, &network(), [1, 4]).expect("an executor");
    let mut lane = Lane::new(&executor, Feed::Pictures(TENSOR), Finish::Tensors).expect("a lane");
    assert!(cuda.knobs.set("capture_fails", 1));
    for expected in [Ran::First, Ran::Plain, Ran::Plain] {
        let frames = frames(2);
        lane.draw(&batch(&frames)).expect("drawn");
        assert!(floats(&mut lane).expect("fetched") == wanted(&cpu, &frames));
        assert_eq!(lane.ran(), Some(expected));
    }
}

/// An illegal memory access shows when somebody waits, and from then on at every call.
#[test]
fn a_lost_context_is_known_for_good() {
    let Some(Rig { cuda, kernels, double }) = rig(11) else { return };
    let executor = executor(&double, &kernels, &detector(), [1, 4]).expect("an executor");
    let mut lane = boxes_of(&executor);
    let frames = frames(2);
    lane.draw(&batch(&frames)).expect("drawn");
    lane.boxes(|_, _| ()).expect("decoded");
    assert!(cuda.knobs.set("lost_after", 1));
    lane.draw(&batch(&frames)).expect("on its way");
    let error = lane.boxes(|_, _| ()).expect_err("the scan of it fails");
    assert!(matches!(error, LineError::Lost { code: 700, .. }), "{error}");
    let error = lane.draw(&batch(&frames)).expect_err("nothing runs");
    assert!(error.is_lost(), "{error}");
    // Everything still goes, and does not wait for what never comes.
    drop((lane, executor));
}

#[test]
fn memory_that_runs_out_is_known_as_such() {
    let Some(Rig { cuda, kernels, double }) = rig(11) else { return };
    let executor = executor(&double, &kernels, &network(), [1, 4]).expect("an executor");
    let used = cuda.knobs.get("used").expect("a count");
    assert!(cuda.knobs.set("memory", used + 1000));
    let error = Lane::new(&executor, Feed::Pictures(TENSOR), Finish::Tensors).expect_err("no room");
    assert!(error.is_out_of_memory() && !error.is_lost(), "{error}");
    assert!(cuda.knobs.set("memory", -1));
    let mut lane = Lane::new(&executor, Feed::Pictures(TENSOR), Finish::Tensors).expect("a lane");
    // A batch of larger pictures than there is room for is lost, and the next one is not.
    let frames = frames(2);
    assert!(cuda.knobs.set("memory", cuda.knobs.get("used").expect("a count")));
    assert!(lane.draw(&batch(&frames)).expect_err("no room").is_out_of_memory());
    assert!(cuda.knobs.set("memory", -1));
    lane.draw(&batch(&frames)).expect("drawn");
    assert!(double.set("context_fails", 1));
    let tensor = Lane::new(&executor, Feed::Pictures(TENSOR), Finish::Tensors);
    assert!(tensor.is_ok(), "contexts that are given memory allocate none");
}

#[test]
fn engines_that_are_none_of_ours_are_named() {
    let Some(Rig { kernels, double, .. }) = rig(11) else { return };
    let refused = |onnx: Onnx| executor(&double, &kernels, &onnx.finish(), [1, 2]).map(|_| ()).expect_err("refused").to_string();
    let size = [-1, 3, i64::from(TENSOR.height), i64::from(TENSOR.width)];
    let other = Onnx::default().input("x", &size).input("scale", &[1]).node("Identity", &["x"], "y", &[]).output("y", &size);
    assert!(refused(other).contains("an input \"scale\" that its manifest does not name"));
    let fine = executor(&double, &kernels, &network(), [1, 2]).expect("an executor");
    let tensor = egret_jetson::kernels::letterbox::Tensor { width: TENSOR.width + 8, ..TENSOR };
    let error = Lane::new(&fine, Feed::Pictures(tensor), Finish::Tensors).expect_err("another size");
    assert!(error.to_string().contains("the engine's input has"), "{error}");
    let mut values = Lane::new(&fine, Feed::Values, Finish::Tensors).expect("a lane");
    assert!(matches!(values.draw(&batch(&frames(1))), Err(LineError::Misused(_))));
    values.fill(1, |bytes| bytes.fill(0)).expect("filled");
    assert!(floats(&mut values).expect("fetched").iter().all(|value| value.abs() <= 0.0), "Relu(0 - shift)");
    assert!(matches!(values.boxes(|_, _| ()), Err(LineError::Misused(_))));
}

/// A profiler sees what the host does for each batch.
#[test]
fn a_tool_hears_the_ranges_of_a_batch() {
    let Some(heard) = crate::heard::heard("lane::boxes_are_those_of_the_same_outputs_decoded_on_the_host") else { return };
    let (mut depth, mut paths) = (Vec::new(), std::collections::BTreeSet::new());
    for line in heard.lines().filter_map(|line| line.strip_prefix("1 ")) {
        match line.strip_prefix("> ") {
            Some(name) => {
                depth.push(name);
                paths.insert(depth.join("/"));
            }
            None => assert!(depth.pop().is_some(), "{heard}"),
        }
    }
    assert_eq!(depth, [""; 0], "every range ends");
    for path in ["batch", "batch/upload", "batch/letterbox", "batch/letterbox/slots", "batch/engine", "batch/decode", "results"] {
        assert!(paths.contains(path), "{path} in {paths:?}");
    }
}
