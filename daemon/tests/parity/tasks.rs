//! Networks that are no detectors beside the published way to run them (`tests/reference/tasks_reference.py`), on real frames.

use std::{fs, path::Path, process::Command};

use egret::{
    config::{CpuRuntime, ModelConfig, ModelSource, RuntimeConfig},
    infer::{Clip as Frames, Cpu, Cropper, Detector, View, load, load_cpu},
    media::{BBox, Detection, Frame, Reading},
};
use egret_models::task::cosine;
use serde_json::{Value, json};

use crate::{detector, frames::Clip, reference};

const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/tasks_reference.py");
const OSNET: &str = include_str!("../steps/osnet.toml");
/// Cosines between the people of frames 37 and 74 of the surveillance video, both from left to right, as they were measured when
/// the data was collected: rows of the earlier frame. Without the fourth person of frame 37, cut off by the picture's edge, and the
/// first "person" of frame 74, a dustbin.
const COSINES: [[f32; 4]; 3] = [[0.83, 0.76, 0.61, 0.45], [0.69, 0.87, 0.56, 0.44], [0.56, 0.59, 0.82, 0.55]];

/// A network in a folder of its own beside its manifest.
fn network(folder: &Path, name: &str, manifest: &str, workers: usize) -> ModelConfig {
    fs::write(folder.join("model.toml"), manifest).expect("room");
    ModelConfig { max_batch: 8, workers, ..ModelConfig::new(name, ModelSource::Onnx(folder.join(format!("{name}.onnx")))) }
}

fn runtime() -> RuntimeConfig {
    RuntimeConfig { cpu: CpuRuntime::OnnxRuntime, onnxruntime_library: None, ..RuntimeConfig::default() }
}

fn cpu(folder: &Path, name: &str, manifest: &str) -> Option<Cpu> {
    match load_cpu(&network(folder, name, manifest, 1), &runtime()) {
        Ok(mut instances) => instances.pop(),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn tool(arguments: &[&str]) {
    let python = std::env::var_os("EGRET_REFERENCE_PYTHON").expect("it was found");
    let output = Command::new(python).arg(TOOL).args(arguments).output().expect("the reference starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What the reference says of these jobs. `exact`: without rounding pictures to whole levels on the way.
fn reference(clip: &Clip, jobs: &[Value], exact: bool) -> Vec<Vec<f32>> {
    let mut jobs = jobs.to_vec();
    for job in &mut jobs {
        job["exact"] = exact.into();
    }
    fs::write(clip.folder().join("jobs.json"), serde_json::to_vec(&jobs).expect("plain data")).expect("room");
    tool(&["run", clip.folder().to_str().expect("a plain path")]);
    let results = fs::read(clip.folder().join("results.json")).expect("the reference answers");
    serde_json::from_slice(&results).expect("valid results")
}

fn worst(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The people of a frame from left to right.
fn people(detector: &mut Cpu, frame: &Frame) -> Vec<BBox> {
    let found = detector.detect(&[View::whole(frame)]).expect("it detects").detections.remove(0);
    let mut people: Vec<Detection> = found.into_iter().filter(|found| found.class == 0).collect();
    people.sort_by(|a, b| a.bbox.x1.total_cmp(&b.bbox.x1));
    people.iter().map(|person| person.bbox).collect()
}

#[test]
fn people_are_known_again_by_their_appearance() {
    let Some((_, data)) = reference::find() else { return };
    let Some(mut nano) = detector(&data, 0.3, 0.45, CpuRuntime::OnnxRuntime) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("osnet.onnx");
    fs::copy(data.join("models/osnet_x0_25_msmt17.onnx"), &file).expect("room");
    let Some(mut osnet) = cpu(folder.path(), "osnet", OSNET) else { return };
    let clip = Clip::of_videos(&data, &[("pedestrian_survaillance.mp4", 37)]);
    let (mut ours, mut jobs) = (Vec::new(), Vec::new());
    for (number, (_, frame)) in clip.frames().enumerate().skip(1).take(2) {
        let people = people(&mut nano, &frame);
        let views: Vec<_> = people.iter().map(|person| View { frame: &frame, region: Some(*person) }).collect();
        let readings = osnet.detect(&views).expect("it looks").readings;
        ours.push(
            readings.into_iter().map(|r| if let Reading::Embedding(v) = r { v } else { panic!("{r:?}") }).collect::<Vec<_>>(),
        );
        jobs.extend(people.iter().map(|b| {
            json!({"model": file, "task": "embed", "frames": [number], "box": [b.x1, b.y1, b.x2, b.y2], "width": 128, "height": 256, "fraction": null})
        }));
    }
    for (what, exact, bound) in [("published", false, 0.998), ("same in floats", true, 0.9999)] {
        let theirs = reference(&clip, &jobs, exact);
        let least = ours.iter().flatten().zip(&theirs).map(|(a, b)| cosine(a, b)).fold(1.0, f32::min);
        let most = ours.iter().flatten().zip(&theirs).map(|(a, b)| worst(a, b)).fold(0.0, f32::max);
        println!("OSNet beside the {what}: {} people, least cosine {least:.6}, largest difference {most:.6}", theirs.len());
        assert!(theirs.len() >= 6 && least > bound, "least cosine {least}");
    }
    println!("OSNet: cosines between frames 37 and 74, rows are the people of frame 37:");
    let table: Vec<Vec<f32>> = ours[0].iter().map(|a| ours[1].iter().map(|b| cosine(a, b)).collect()).collect();
    for row in &table {
        println!("  {row:.2?}");
    }
    assert_eq!((table.len(), table[0].len()), (4, 5), "the detector sees who is there, and the dustbin");
    for (row, expected) in table.iter().zip(COSINES) {
        for (found, expected) in row.iter().skip(1).zip(expected) {
            assert!((found - expected).abs() <= 0.05, "{found} for {expected}: {table:.2?}");
        }
    }
}

fn manifest(name: &str, side: usize, more: &str, classes: usize) -> String {
    format!(
        "name = {name:?}\n[input]\nname = \"input\"\nwidth = {side}\nheight = {side}\norder = \"rgb\"\nscale = 0.00392156862745098\n\
         mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n{more}\n[classes]\ncount = {classes}\n[output]\nnames = [\"output\"]\n"
    )
}

/// Exact shapes with random weights: what is compared is the whole path, tensors and all.
#[test]
fn classifiers_segmenters_and_clips_say_what_the_reference_says() {
    let Some((_, data)) = reference::find() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    tool(&["networks", folder.path().to_str().expect("a plain path")]);
    let clip = Clip::of_videos(&data, &[("street_cars.mp4", 100)]);
    let frames: Vec<Frame> = clip.frames().map(|(_, frame)| frame).collect();
    let file = |name: &str| folder.path().join(format!("{name}.onnx"));

    let resnet = manifest("resnet50", 224, "fit = \"centre-crop\"\ncrop = 0.875\n[task]\nkind = \"classify\"", 1000);
    let Some(mut resnet) = cpu(folder.path(), "resnet50", &resnet) else { return };
    let views: Vec<_> = frames[..8].iter().map(View::whole).collect();
    let ours = resnet.detect(&views).expect("it looks").readings;
    let jobs: Vec<_> = (0..8)
        .map(|i| json!({"model": file("resnet50"), "task": "classify", "frames": [i], "box": null, "width": 224, "height": 224, "fraction": 0.875}))
        .collect();
    println!("{}", compare("ResNet50", &ours, &clip, &jobs));

    let deeplab = manifest("deeplab", 256, "fit = \"stretch\"\n[task]\nkind = \"semantic\"", 21);
    let Some(mut deeplab) = cpu(folder.path(), "deeplab", &deeplab) else { return };
    let ours = deeplab.detect(&views).expect("it looks").readings;
    let jobs: Vec<_> = (0..8)
        .map(|i| json!({"model": file("deeplab"), "task": "semantic", "frames": [i], "box": null, "width": 256, "height": 256, "fraction": null}))
        .collect();
    println!("{}", compare("DeepLab", &ours, &clip, &jobs));

    let clips = manifest("r2plus1d", 112, "clip = 8\nfit = \"stretch\"\n[task]\nkind = \"clip\"", 400);
    let loaded = load(&network(folder.path(), "r2plus1d", &clips, 1), &runtime()).expect("it loads");
    let mut cropper = Cropper::new(&loaded.spec().expect("a network").input).expect("it takes clips");
    let whole = |first: usize, cropper: &mut Cropper| {
        let crops = frames[first..first + 8].iter().map(|frame| cropper.cut(frame, None).expect("a picture"));
        Frames { crops: crops.collect() }
    };
    let (first, second) = (whole(0, &mut cropper), whole(1, &mut cropper));
    let ours = loaded.instances().remove(0).watch(&[&first, &second]).expect("it looks").readings;
    let jobs: Vec<_> = [0, 1]
        .map(|i| {
            let eight: Vec<usize> = (i..i + 8).collect();
            json!({"model": file("r2plus1d"), "task": "clip", "frames": eight, "box": null, "width": 112, "height": 112, "fraction": null})
        })
        .into();
    println!("{}", compare("R(2+1)D", &ours, &clip, &jobs));
}

/// Scores or shares of each picture; classifiers agree on the best class too. Beside the published path, which rounds pictures to
/// whole levels twice, and beside the same arithmetic in floats.
fn compare(name: &str, ours: &[Reading], clip: &Clip, jobs: &[Value]) -> String {
    let mut told = Vec::new();
    for (what, exact, most) in [("published", false, 0.01), ("same in floats", true, 0.002)] {
        let theirs = reference(clip, jobs, exact);
        assert_eq!(ours.len(), theirs.len());
        let mut off = 0.0_f32;
        for (ours, theirs) in ours.iter().zip(&theirs) {
            match ours {
                Reading::Scores(scores) => {
                    off = off.max(worst(scores.values(), theirs));
                    let best = scores.best().map(|(class, _)| theirs[usize::from(class)]);
                    let their_best = theirs.iter().copied().fold(0.0, f32::max);
                    assert!(best.is_some_and(|score| their_best - score <= most), "{name}: another class leads");
                }
                Reading::Areas(areas) => off = off.max(worst(&areas.shares, theirs)),
                _ => off = f32::INFINITY,
            }
        }
        told.push(format!("{name} beside the {what}: {} pictures, at most {off:.6} in any score or share apart", ours.len()));
        assert!(off <= most, "{name}: {off}");
    }
    told.join("\n")
}
