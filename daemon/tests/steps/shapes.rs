//! Networks of oriented boxes, key points and masks, re-created with random outputs, through the whole line: what subscribers read is
//! what the head makes of those outputs, brought from the network's input to the frame by hand.

use std::{fmt::Write as _, fs, path::Path};

use egret::sim::{SimCamera, What};
use egret_models::{
    head::{Extra, Found, Head, HeadSpec, Tensor, Thresholds},
    nms::NmsParams,
    spec::{BatchAxis, InputSpec},
};
use serde_json::Value;

use crate::{finding, onnx, rig::Rig};

/// Side of the networks' inputs, in pixels.
const SIDE: usize = 64;
/// Predictions per picture.
const ROWS: usize = 40;
const CLASSES: usize = 2;
const FRAME: (u32, u32) = (320, 240);
const KEYPOINTS: usize = 5;
const COEFFICIENTS: usize = 4;
const THRESHOLDS: Thresholds = Thresholds {
    confidence: 0.3,
    class_confidence: Vec::new(),
    nms: NmsParams { iou: 0.45, class_agnostic: false, candidates: 1000, detections: 300 },
};

/// Numbers 0..1 that look like chance.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }

    fn between(&mut self, least: f32, most: f32) -> f32 {
        least + (most - least) * self.roll()
    }
}

/// A network: what it always says, and how a picture gets into it.
struct Shapes {
    name: &'static str,
    head: HeadSpec,
    manifest: &'static str,
    outputs: Vec<(&'static str, Vec<usize>, Vec<f32>)>,
    /// From the input to the frame: x and y each times this, after this was taken away.
    way_back: [(f32, f32); 2],
}

impl Shapes {
    /// A table `[4+C+E,A]` whose rows beyond the scores are filled by `more`.
    fn new(name: &'static str, head: HeadSpec, fit: &'static str, seed: u64, more: impl Fn(&mut Dice) -> Vec<f32>) -> Self {
        let mut dice = Dice(seed);
        let columns: Vec<Vec<f32>> = (0..ROWS)
            .map(|row| {
                let place =
                    [dice.between(10.0, 54.0), dice.between(16.0, 48.0), dice.between(6.0, 20.0), dice.between(6.0, 20.0)];
                let score = if row % 4 == 0 { dice.between(0.65, 0.95) } else { dice.between(0.0, 0.2) };
                let scores = if row % 8 == 0 { [score, 0.01] } else { [0.02, score] };
                [place.as_slice(), &scores, &more(&mut dice)].concat()
            })
            .collect();
        let table = (0..columns[0].len()).flat_map(|i| columns.iter().map(move |column| column[i])).collect();
        let outputs = vec![("predictions", vec![columns[0].len(), ROWS], table)];
        let ratio = FRAME.0 as f32 / SIDE as f32;
        let (manifest, way_back) = match fit {
            // A quarter of the input's height is padding, half of it above.
            "centre" => ("place = \"centre\"", [(ratio, 0.0), (ratio, 8.0)]),
            "top-left" => ("place = \"top-left\"", [(ratio, 0.0), (ratio, 0.0)]),
            _ => ("fit = \"stretch\"", [(ratio, 0.0), (FRAME.1 as f32 / SIDE as f32, 0.0)]),
        };
        Self { name, head, manifest, outputs, way_back }
    }

    /// Writes the network and its manifest into a folder of their own.
    fn write(&self, folder: &Path) -> String {
        let folder = folder.join(self.name);
        fs::create_dir(&folder).expect("room");
        let shapes: Vec<Vec<i64>> = self.outputs.iter().map(|(_, shape, _)| shape.iter().map(|n| *n as i64).collect()).collect();
        let outputs: Vec<_> = self
            .outputs
            .iter()
            .zip(&shapes)
            .map(|((name, _, values), shape)| (*name, shape.as_slice(), values.as_slice()))
            .collect();
        fs::write(folder.join("net.onnx"), onnx::always(SIDE as i64, &outputs)).expect("room");
        let names: Vec<_> = self.outputs.iter().map(|(name, ..)| *name).collect();
        let head = match self.head {
            HeadSpec::Pose { .. } => format!("kind = \"pose\"\nkeypoints = {KEYPOINTS}\nvalues = 3"),
            HeadSpec::Segment { .. } => format!("kind = \"segment\"\ncoefficients = {COEFFICIENTS}"),
            _ => "kind = \"obb\"".to_owned(),
        };
        let manifest = format!(
            "name = \"net\"\nfile = \"net.onnx\"\n[input]\nname = \"images\"\nwidth = {SIDE}\nheight = {SIDE}\norder = \"rgb\"\n{}\n\
             [output]\nnames = {names:?}\n[head]\n{head}\n[classes]\nnames = [\"a\", \"b\"]\n[thresholds]\nconfidence = {}\n",
            self.manifest, THRESHOLDS.confidence,
        );
        fs::write(folder.join("model.toml"), manifest).expect("room");
        folder.join("net.onnx").display().to_string()
    }

    /// What the head makes of the outputs, in pixels of the input.
    fn decoded(&self) -> Vec<Found> {
        let input = InputSpec::yolox("images", BatchAxis::Dynamic, SIDE, SIDE);
        let shapes: Vec<Vec<usize>> = self.outputs.iter().map(|(_, shape, _)| [&[1], shape.as_slice()].concat()).collect();
        let dims: Vec<Vec<Option<usize>>> = shapes.iter().map(|shape| shape.iter().copied().map(Some).collect()).collect();
        let declared: Vec<_> = self.outputs.iter().zip(&dims).map(|((name, ..), dims)| (*name, dims.as_slice())).collect();
        let mut head = Head::new(&self.head, &input, &declared, CLASSES).expect("it fits");
        let tensors: Vec<_> =
            self.outputs.iter().zip(&shapes).map(|((name, _, data), shape)| Tensor { name, shape, data }).collect();
        let mut found = Vec::new();
        head.decode(&tensors, 1, &THRESHOLDS, &mut found).expect("it can be read");
        found.remove(0)
    }

    fn in_frame(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [(sx, ox), (sy, oy)] = self.way_back;
        [(x - ox) * sx, (y - oy) * sy]
    }

    /// Compares what a message says of its objects with what the head says.
    fn compare(&self, objects: &[Value]) {
        let found = self.decoded();
        assert!(found.len() >= 5, "{}: {} boxes say nothing", self.name, found.len());
        assert_eq!(objects.len(), found.len(), "{}", self.name);
        for (object, found) in objects.iter().zip(&found) {
            assert_eq!(object["class"], ["a", "b"][usize::from(found.class)]);
            assert!((number(&object["confidence"]) - found.score).abs() < 1e-4);
            let [x1, y1, x2, y2] = found.bbox;
            let corners = [self.in_frame([x1, y1]), self.in_frame([x2, y2])];
            let clamped = corners.map(|[x, y]| [x.clamp(0.0, FRAME.0 as f32), y.clamp(0.0, FRAME.1 as f32)]);
            near(&numbers(&object["box"]), clamped.as_flattened(), "box");
            self.compare_extra(object, &found.extra);
        }
    }

    fn compare_extra(&self, object: &Value, extra: &Extra) {
        match extra {
            Extra::Nothing => unreachable!("{} tells more than boxes", self.name),
            Extra::Oriented(oriented) => {
                let mut corners = oriented.corners().map(|corner| self.in_frame(corner));
                corners.swap(0, 2);
                let told: Vec<f32> = object["corners"].as_array().expect("corners").iter().flat_map(numbers).collect();
                near(&told, corners.as_flattened(), "corners");
                assert!((number(&object["angle"]) - oriented.angle).abs() < 1e-4, "{object}: a letterbox turns nothing");
            }
            Extra::Keypoints(points) => {
                let told = object["keypoints"].as_array().expect("key points");
                assert_eq!(told.len(), KEYPOINTS);
                for (told, [x, y, visibility]) in told.iter().zip(points) {
                    let [x, y] = self.in_frame([*x, *y]);
                    near(&numbers(told), &[x, y, *visibility], "key point");
                }
            }
            Extra::Mask(mask) => {
                let told = &object["mask"];
                let size: Vec<u32> = numbers(&told["size"]).iter().map(|n| *n as u32).collect();
                assert_eq!(size, [mask.width, mask.height]);
                let corners = [[mask.left, mask.top], [mask.left + mask.width, mask.top + mask.height]]
                    .map(|c| self.in_frame(c.map(|v| v as f32)));
                near(&numbers(&told["box"]), corners.as_flattened(), "box of the mask");
                let runs = numbers(&told["runs"]);
                let cells: Vec<bool> =
                    runs.iter().enumerate().flat_map(|(i, run)| std::iter::repeat_n(i % 2 == 1, *run as usize)).collect();
                assert_eq!(cells.len(), (mask.width * mask.height) as usize);
                for (i, cell) in cells.iter().enumerate() {
                    let (x, y) = (i as u32 % mask.width, i as u32 / mask.width);
                    assert_eq!(*cell, mask.covers(mask.left + x, mask.top + y), "{x} {y}");
                }
            }
        }
    }
}

fn number(value: &Value) -> f32 {
    value.as_f64().expect("a number") as f32
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(number).collect()
}

/// Messages tell hundredths of pixels.
fn near(told: &[f32], expected: &[f32], what: &str) {
    assert_eq!(told.len(), expected.len(), "{what}");
    for (a, b) in told.iter().zip(expected) {
        assert!((a - b).abs() < 0.011, "{what}: {told:?} for {expected:?}");
    }
}

fn networks() -> [Shapes; 3] {
    let pose = HeadSpec::Pose { keypoints: KEYPOINTS, values: 3, end_to_end: false };
    let pose = Shapes::new("pose", pose, "centre", 1, |dice| {
        (0..KEYPOINTS).flat_map(|_| [dice.between(-5.0, 70.0), dice.between(-5.0, 70.0), dice.roll()]).collect()
    });
    // As published: from -45° to 135°.
    let obb = Shapes::new("obb", HeadSpec::Obb { end_to_end: false }, "top-left", 2, |dice| vec![dice.between(-0.785, 2.356)]);
    let segment = HeadSpec::Segment { coefficients: COEFFICIENTS, end_to_end: false };
    let mut segment =
        Shapes::new("segment", segment, "stretch", 3, |dice| (0..COEFFICIENTS).map(|_| dice.between(-1.0, 1.0)).collect());
    let mut dice = Dice(4);
    let prototypes = (0..COEFFICIENTS * 16 * 16).map(|_| dice.between(-1.0, 1.0)).collect();
    segment.outputs.push(("prototypes", vec![COEFFICIENTS, 16, 16], prototypes));
    [pose, obb, segment]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_heads_tell_beside_boxes_reaches_the_subscriber() {
    let folder = tempfile::tempdir().expect("a folder");
    let networks = networks();
    let cameras = networks.iter().map(|network| SimCamera {
        fps: 5,
        ..SimCamera::new(network.name, What::Test { pattern: "smpte".into(), width: FRAME.0, height: FRAME.1 })
    });
    let mut models = String::from("[batch]\nstaleness = \"5s\"\n[track]\nhigh_confidence = 0.3\n");
    let mut files = Vec::new();
    for network in &networks {
        let file = network.write(folder.path());
        write!(models, "[[model]]\nname = {:?}\nfile = {file:?}\nworkers = 1\nmax_batch = 2\ndetails = true\n", network.name)
            .expect("memory");
        files.push(file);
    }
    // The same networks as steps: one that tells key points of tracks, and one that may not tell its masks.
    write!(
        models,
        "[[model]]\nname = \"limbs\"\nfile = {:?}\non = \"tracks\"\nof = \"obb\"\nevery = \"200ms\"\nworkers = 1\n",
        files[0]
    )
    .expect("memory");
    write!(
        models,
        "[[model]]\nname = \"parts\"\nfile = {:?}\non = \"frames\"\nof = \"obb\"\nevery = \"200ms\"\nworkers = 1\n",
        files[2]
    )
    .expect("memory");
    let mut rig = Rig::start_with(cameras.collect(), &models, "model = \"NAME\"\n").await;
    let limbs = |object: &Value| finding(object, "limbs").is_some();
    let told = |rig: &Rig| {
        networks.iter().all(|network| rig.frames(network.name).count() >= 3 && rig.tracks(network.name).count() >= 5)
            && rig.frames("obb").any(|frame| frame["objects"].as_array().is_some_and(|all| all.iter().any(limbs)))
            && rig.frames("obb").any(|frame| finding(frame, "parts").is_some())
    };
    rig.until("frames, tracks and findings of all networks", told).await;
    for network in &networks {
        for frame in rig.frames(network.name) {
            network.compare(frame["objects"].as_array().expect("a list"));
        }
        let key = ["keypoints", "corners", "mask"]
            .into_iter()
            .find(|key| rig.frames(network.name).any(|f| !f["objects"][0][key].is_null()));
        let key = key.expect("something beside the box");
        // What a track's message says is what its object in the frame says.
        let mut compared = 0;
        for track in rig.tracks(network.name).filter(|track| track["phase"] != "end") {
            let Some(frame) = rig.frames(network.name).find(|frame| frame["frame"] == track["frame"]) else { continue };
            let of_it = frame["objects"].as_array().expect("a list").iter().find(|object| object["track"] == track["track"]);
            if let Some(object) = of_it {
                assert_eq!((&track[key], &track["angle"]), (&object[key], &object["angle"]), "{}", network.name);
                assert!(!track[key].is_null(), "{track}");
                compared += 1;
            }
        }
        assert!(compared >= 3, "{}: only {compared} tracks", network.name);
    }
    // Second stages: key points lie in the frame's pixels, near the object; masks were not asked for.
    let objects = rig.frames("obb").flat_map(|frame| frame["objects"].as_array().expect("a list"));
    let mut points = 0;
    for seen in objects.filter_map(|object| finding(object, "limbs")).flat_map(|f| f["objects"].as_array().expect("a list")) {
        points += seen["keypoints"].as_array().expect("key points").len();
    }
    assert!(points >= KEYPOINTS);
    for parts in rig.frames("obb").filter_map(|frame| finding(frame, "parts")) {
        assert!(
            parts["objects"].as_array().is_some_and(|all| !all.is_empty() && all.iter().all(|one| one.get("mask").is_none()))
        );
    }
    rig.stop().await;
}
