//! Real networks and bad files through [`load`].

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    config::{CpuRuntime, ModelConfig, ModelSource, RuntimeConfig},
    media::{BBox, Capture, Frame, HostPicture, Pixels, StreamId, TimeBasis, TimeCard},
};

fn nano() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = std::env::var_os("EGRET_TEST_DATA").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let path = data.join("models/yolox_nano.onnx");
    if !path.exists() {
        eprintln!("SKIPPED: no {} (set EGRET_TEST_DATA)", path.display());
    }
    path.exists().then_some(path)
}

pub(super) fn onnxruntime() -> bool {
    let found = super::onnxruntime::Library::find(None);
    if let Err(reason) = &found {
        eprintln!("SKIPPED: no ONNX Runtime: {reason} (set EGRET_ONNXRUNTIME)");
    }
    found.is_ok()
}

fn model(source: ModelSource) -> ModelConfig {
    ModelConfig { confidence: Some(0.25), max_batch: 4, ..ModelConfig::new("m", source) }
}

pub(super) fn runtime(cpu: CpuRuntime) -> RuntimeConfig {
    RuntimeConfig { cpu, onnxruntime_library: None, ..RuntimeConfig::default() }
}

pub(super) fn frame(seq: u64, pixels: Pixels) -> Frame {
    let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
    let times = TimeCard::received(Instant::now());
    Frame { stream: StreamId::new(1, "door"), seq, dispatch: 0, pts: Duration::ZERO, capture, pixels, times }
}

/// Noise that a detector sees things in.
fn noise(seed: u64, (w, h): (u32, u32)) -> Frame {
    let len = (w * h + 2 * w.div_ceil(2) * h.div_ceil(2)) as usize;
    let bytes: Vec<u8> = (0..len).map(|i| ((i / 37) as u64 * 17 + (i % 640 / 80) as u64 * 31 + seed * 13) as u8).collect();
    frame(seed, Pixels::Host(HostPicture::tight_i420((w, h), bytes.into()).unwrap()))
}

#[test]
fn nothing_is_loaded_for_one_who_has_stopped() {
    let stop = CancellationToken::new();
    let models = [model(ModelSource::Onnx("/nowhere.onnx".into())), model(ModelSource::Null)];
    let missing = load_all(&models, &runtime(CpuRuntime::Rten), &stop).map(|_| ()).unwrap_err();
    assert!(matches!(missing, LoadError::Read { .. }), "{missing}");
    stop.cancel();
    let stopped = load_all(&models, &runtime(CpuRuntime::Rten), &stop).map(|_| ()).unwrap_err();
    assert!(matches!(stopped, LoadError::Stopped), "{stopped}");
}

#[test]
fn a_batch_on_a_network_of_one_is_the_same_as_one_by_one() {
    let Some(path) = nano() else { return };
    for cpu in [CpuRuntime::OnnxRuntime, CpuRuntime::Rten] {
        if cpu == CpuRuntime::OnnxRuntime && !onnxruntime() {
            continue;
        }
        let config = ModelConfig { confidence: Some(0.01), ..model(ModelSource::Onnx(path.clone())) };
        let mut detector = load(&config, &runtime(cpu)).unwrap().instances().remove(0);
        assert_eq!(detector.max_batch(), 4);
        let frames = [noise(1, (640, 360)), noise(2, (333, 444)), noise(3, (1920, 1080))];
        let views: Vec<_> = frames.iter().map(View::whole).collect();
        let together = detector.detect(&views).unwrap();
        assert_eq!(together.detections.len(), 3);
        assert!(together.detections.iter().any(|found| !found.is_empty()), "nothing to compare");
        for (view, found) in views.iter().zip(&together.detections) {
            assert_eq!(&detector.detect(&[*view]).unwrap().detections[0], found);
        }
        assert!(detector.detect(&[views[0]; 5]).is_err());
        assert!(detector.detect(&[]).unwrap().detections.is_empty());
    }
}

#[test]
fn both_runtimes_see_the_same() {
    let Some(path) = nano() else { return };
    if !onnxruntime() {
        return;
    }
    let config = ModelConfig { confidence: Some(0.05), ..model(ModelSource::Onnx(path)) };
    let mut detectors = [CpuRuntime::OnnxRuntime, CpuRuntime::Rten].map(|cpu| {
        let loaded = load(&config, &runtime(cpu)).unwrap();
        assert_eq!(loaded.info().sha256.len(), 64);
        loaded.instances().remove(0)
    });
    assert!(detectors[0].spec().runtime.starts_with("onnxruntime 1."), "{}", detectors[0].spec().runtime);
    assert!(detectors[1].spec().runtime.starts_with("rten 0."));
    let frame = noise(5, (640, 360));
    let [a, b] = [0, 1].map(|i| detectors[i].detect(&[View::whole(&frame)]).unwrap().detections.remove(0));
    assert!(!a.is_empty());
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert!(a.class == b.class && (a.confidence - b.confidence).abs() < 1e-3 && a.bbox.iou(&b.bbox) > 0.99, "{a:?} {b:?}");
    }
}

#[test]
fn a_region_gives_boxes_in_pixels_of_the_frame() {
    let Some(path) = nano() else { return };
    let config = ModelConfig { confidence: Some(0.01), ..model(ModelSource::Onnx(path)) };
    let mut detector = load(&config, &runtime(CpuRuntime::Rten)).unwrap().instances().remove(0);
    let frame = noise(5, (640, 360));
    let region = BBox::new(200.0, 100.0, 500.0, 300.0);
    let outside = BBox::new(700.0, 0.0, 800.0, 100.0);
    let views = [View { frame: &frame, region: Some(region) }, View { frame: &frame, region: Some(outside) }];
    let found = detector.detect(&views).unwrap().detections;
    assert!(!found[0].is_empty() && found[1].is_empty());
    for d in &found[0] {
        let b = d.bbox;
        assert!(b.x1 >= 0.0 && b.y1 >= 0.0 && b.x2 <= 640.0 && b.y2 <= 360.0 && b.iou(&region) > 0.0, "{b:?}");
    }
}

#[test]
fn a_frame_without_a_picture_is_an_error() {
    let Some(path) = nano() else { return };
    let mut detector = load(&model(ModelSource::Onnx(path)), &runtime(CpuRuntime::Rten)).unwrap().instances().remove(0);
    let frame = frame(0, Pixels::None { width: 640, height: 480 });
    assert!(matches!(detector.detect(&[View::whole(&frame)]), Err(DetectError::Pixels { .. })));
}

fn refusal(path: &Path, cpu: CpuRuntime) -> String {
    match load(&model(ModelSource::Onnx(path.to_owned())), &runtime(cpu)) {
        Ok(_) => panic!("{} was taken", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn bad_files_are_named_with_reason_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    let said = |bytes: &[u8], words: &[&str]| {
        fs::write(&path, bytes).unwrap();
        let error = refusal(&path, CpuRuntime::Rten);
        assert!(error.contains("m.onnx") && words.iter().all(|word| error.contains(word)), "{error}");
    };
    said(b"", &["empty", "download"]);
    said(b"PK\x03\x04data", &["PyTorch", "export"]);
    said(b"ftrt\0\0\0\0", &["TensorRT engine"]);
    if let Some(nano) = nano() {
        let bytes = fs::read(nano).unwrap();
        said(&bytes[..bytes.len() / 2], &["truncated", "checksum"]);
        fs::write(&path, &bytes).unwrap();
        let config = ModelConfig { classes: Some(vec!["person".into()]), ..model(ModelSource::Onnx(path.clone())) };
        let error = load(&config, &runtime(CpuRuntime::Rten)).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("80 classes, but 1 class names") && error.contains("`classes`"), "{error}");
    }
    let error = refusal(&dir.path().join("none.onnx"), CpuRuntime::Rten);
    assert!(error.contains("none.onnx") && error.contains("No such file"), "{error}");
    let error = refusal(dir.path(), CpuRuntime::Rten);
    assert!(error.contains("a directory, not a file"), "{error}");
}

/// What passes the reader meets a runtime: it may refuse the network too, or run it; it must not crash.
#[test]
fn damaged_networks_are_refused_or_run() {
    let Some(nano) = nano() else { return };
    let whole = fs::read(nano).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    let (mut taken, mut state) = (0, 0x9E37_79B9_7F4A_7C15_u64);
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for round in 0..40 {
        let mut bytes = whole.clone();
        // The operators come first in this file, and little of them can change unnoticed; weights follow.
        let within = if round % 2 == 0 { 26_000 } else { bytes.len() };
        for _ in 0..=random() % 4 {
            bytes[random() % within] ^= 1 << (random() % 8);
        }
        fs::write(&path, &bytes).unwrap();
        match load(&model(ModelSource::Onnx(path.clone())), &runtime(CpuRuntime::Auto)) {
            Ok(_) => taken += 1,
            Err(error) => assert!(error.to_string().contains("m.onnx: "), "{error}"),
        }
    }
    assert!((1..40).contains(&taken), "{taken} of 40 taken: the damage is too small or too large to show anything");
}

#[test]
fn a_huge_file_is_refused_by_its_size_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.onnx");
    fs::File::create(&path).unwrap().set_len(egret_models::onnx::MAX_FILE_BYTES + 1).unwrap();
    assert!(refusal(&path, CpuRuntime::Rten).contains("bytes, more than"));
}

#[test]
fn null_and_scripted_need_no_file_or_theirs() {
    let config = ModelConfig { workers: 3, ..model(ModelSource::Null) };
    let mut instances = load(&config, &runtime(CpuRuntime::Auto)).unwrap().instances();
    assert_eq!(instances.len(), 3);
    let frame = frame(0, Pixels::None { width: 640, height: 480 });
    assert_eq!(instances[0].detect(&[View::whole(&frame)]).unwrap().detections, [vec![]]);
    let missing = load(&model(ModelSource::Scripted("/nowhere.jsonl".into())), &runtime(CpuRuntime::Auto));
    assert!(missing.map(|_| ()).unwrap_err().to_string().contains("/nowhere.jsonl"));
}

/// Its batch axis is open: a batch goes through the network as one.
#[cfg(feature = "demo")]
#[test]
fn the_embedded_network_takes_whole_batches() {
    for cpu in [CpuRuntime::OnnxRuntime, CpuRuntime::Rten] {
        if cpu == CpuRuntime::OnnxRuntime && !onnxruntime() {
            continue;
        }
        let config = ModelConfig { confidence: Some(0.001), ..model(ModelSource::Demo) };
        let mut detector = load(&config, &runtime(cpu)).unwrap().instances().remove(0);
        assert_eq!(detector.spec().classes, ["person", "bicycle", "car"]);
        let frames = [noise(1, (640, 360)), noise(2, (333, 444)), noise(3, (1280, 720))];
        let views: Vec<_> = frames.iter().map(View::whole).collect();
        let together = detector.detect(&views).unwrap().detections;
        assert!(together.iter().any(|found| !found.is_empty()), "nothing to compare");
        for (view, together) in views.iter().zip(&together) {
            let alone = detector.detect(&[*view]).unwrap().detections.remove(0);
            assert_eq!(alone.len(), together.len());
            for (a, b) in alone.iter().zip(together) {
                assert!(a.class == b.class && (a.confidence - b.confidence).abs() < 1e-4 && a.bbox.iou(&b.bbox) > 0.999);
            }
        }
    }
}

#[cfg(not(feature = "demo"))]
#[test]
fn a_device_build_has_no_demo_network() {
    let error = load(&model(ModelSource::Demo), &runtime(CpuRuntime::Rten)).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("name an ONNX file"), "{error}");
}
