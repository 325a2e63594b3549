//! Small networks that really compute something, beside their manifests, through [`load`] and both runtimes.

use std::{fs, path::Path};

use egret_models::task::cosine;

use super::{
    onnx_file::{Attribute, Network, colours, colours_manifest},
    tests::{frame, onnxruntime, runtime},
    *,
};
use crate::{
    config::{CpuRuntime, ModelConfig, ModelSource, TilesConfig},
    media::{BBox, Frame, HostPicture, Pixels, Reading},
};

/// A file and its manifest in a folder of their own.
fn model(folder: &Path, name: &str, file: &[u8], manifest: &str) -> ModelConfig {
    fs::write(folder.join(format!("{name}.onnx")), file).unwrap();
    fs::write(folder.join("model.toml"), manifest).unwrap();
    ModelConfig { max_batch: 4, ..ModelConfig::new(name, ModelSource::Onnx(folder.join(format!("{name}.onnx")))) }
}

fn runtimes() -> Vec<CpuRuntime> {
    if onnxruntime() { vec![CpuRuntime::OnnxRuntime, CpuRuntime::Rten] } else { vec![CpuRuntime::Rten] }
}

fn loaded(model: &ModelConfig, cpu: CpuRuntime) -> Box<dyn Detector> {
    load(model, &runtime(cpu)).unwrap_or_else(|error| panic!("{error}")).instances().remove(0)
}

/// A frame whose left half is red and whose right half is blue (BT.601, studio range).
fn red_and_blue((w, h): (usize, usize)) -> Frame {
    let (cw, ch) = (w / 2, h / 2);
    let halves = |width: usize, rows: usize, left: u8, right: u8| -> Vec<u8> {
        (0..rows).flat_map(|_| (0..width).map(move |x| if x < width / 2 { left } else { right })).collect()
    };
    let bytes = [halves(w, h, 81, 41), halves(cw, ch, 90, 240), halves(cw, ch, 240, 110)].concat();
    frame(0, Pixels::Host(HostPicture::tight_i420((w as u32, h as u32), bytes.into()).unwrap()))
}

fn grey(seq: u64, luma: u8) -> Frame {
    let bytes = [vec![luma; 32 * 32], vec![128; 2 * 16 * 16]].concat();
    frame(seq, Pixels::Host(HostPicture::tight_i420((32, 32), bytes.into()).unwrap()))
}

#[test]
fn a_classifier_reads_regions_of_a_frame_as_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let config = model(folder.path(), "colours", &colours(16), &colours_manifest(16));
    let frame = red_and_blue((64, 32));
    let left = View { frame: &frame, region: Some(BBox::new(0.0, 0.0, 30.0, 32.0)) };
    let right = View { frame: &frame, region: Some(BBox::new(34.0, 4.0, 64.0, 30.0)) };
    for cpu in runtimes() {
        let mut classifier = loaded(&config, cpu);
        assert_eq!(
            (classifier.spec().classes.as_slice(), classifier.spec().precision),
            (&["red".into(), "blue".into()][..], "fp32")
        );
        let output = classifier.detect(&[left, right, View::whole(&frame)]).unwrap();
        assert!(output.detections.is_empty());
        let [Reading::Scores(red), Reading::Scores(blue), Reading::Scores(both)] = &output.readings[..] else {
            panic!("{output:?}")
        };
        assert!(red.best().is_some_and(|(class, score)| class == 0 && score > 0.99), "{red:?}");
        assert!(blue.best().is_some_and(|(class, score)| class == 1 && score > 0.99), "{blue:?}");
        assert!(both.values().iter().all(|score| (score - 0.5).abs() < 0.1), "{both:?}");
        assert!(matches!(classifier.watch(&[]), Err(DetectError::NoClips { .. })));
    }
}

#[test]
fn an_embedding_is_of_unit_length() {
    let folder = tempfile::tempdir().unwrap();
    let file = Network::new(&[3, 8, 8]).node(
        "ReduceMean",
        &["images"],
        "out",
        &[("axes", Attribute::Ints(vec![2, 3])), ("keepdims", Attribute::Int(0))],
    );
    let manifest = "name = \"look\"\n[input]\nname = \"images\"\nwidth = 8\nheight = 8\nfit = \"centre-crop\"\ncrop = 0.5\n\
                    [output]\nnames = [\"out\"]\n[task]\nkind = \"embed\"\nlen = 3\n";
    let config = model(folder.path(), "look", &file.output("out", &[3]).file(), manifest);
    let frame = red_and_blue((64, 32));
    let view = |x1: f32, x2: f32| View { frame: &frame, region: Some(BBox::new(x1, 0.0, x2, 32.0)) };
    let mut network = loaded(&config, CpuRuntime::Rten);
    let output = network.detect(&[view(0.0, 20.0), view(8.0, 30.0), view(40.0, 64.0)]).unwrap();
    let vectors: Vec<_> =
        output.readings.iter().map(|r| if let Reading::Embedding(v) = r { v.clone() } else { panic!("{r:?}") }).collect();
    assert!((cosine(&vectors[0], &vectors[0]) - 1.0).abs() < 1e-5);
    assert!(cosine(&vectors[0], &vectors[1]) > 0.999 && cosine(&vectors[0], &vectors[2]) < 0.1, "{vectors:?}");
}

#[test]
fn a_segmentation_tells_areas_of_the_picture_without_its_padding() {
    let folder = tempfile::tempdir().unwrap();
    // What is neither red nor blue, as the padding is, is the third class.
    let file = Network::new(&[3, 16, 16])
        .constant("weights", &[3, 3, 1, 1], &[1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 0.0, 0.0, 0.0])
        .node(
            "Conv",
            &["images", "weights"],
            "scores",
            &[
                ("strides", Attribute::Ints(vec![1, 1])),
                ("dilations", Attribute::Ints(vec![1, 1])),
                ("pads", Attribute::Ints(vec![0; 4])),
            ],
        )
        .output("scores", &[3, 16, 16]);
    let manifest = "name = \"areas\"\n[input]\nname = \"images\"\nwidth = 16\nheight = 16\nplace = \"centre\"\nscale = 0.00392156862745098\n\
                    [output]\nnames = [\"scores\"]\n[task]\nkind = \"semantic\"\n[classes]\nnames = [\"red\", \"blue\", \"neither\"]\n";
    let config = model(folder.path(), "areas", &file.file(), manifest);
    for cpu in runtimes() {
        let output = loaded(&config, cpu).detect(&[View::whole(&red_and_blue((64, 32)))]).unwrap();
        let [Reading::Areas(areas)] = &output.readings[..] else { panic!("{output:?}") };
        assert_eq!((areas.width, areas.height, areas.shares.as_slice()), (16, 8, &[0.5, 0.5, 0.0][..]), "{areas:?}");
        assert_eq!(areas.runs.iter().map(|run| run.length).collect::<Vec<_>>(), [8; 16]);
    }
}

#[test]
fn clips_of_consecutive_frames_go_as_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    // The mean of each picture, then whether they rise or fall: [N,3,4,8,8] → [N,4] → [N,2].
    let mean = [("axes", Attribute::Ints(vec![1, 3, 4])), ("keepdims", Attribute::Int(0))];
    let file = Network::new(&[3, 4, 8, 8])
        .constant("slope", &[4, 2], &[-3.0, 3.0, -1.0, 1.0, 1.0, -1.0, 3.0, -3.0])
        .node("ReduceMean", &["images"], "means", &mean)
        .node("MatMul", &["means", "slope"], "logits", &[])
        .output("logits", &[2]);
    let manifest = "name = \"clips\"\n[input]\nname = \"images\"\nwidth = 8\nheight = 8\nclip = 4\nscale = 0.00392156862745098\nmean = [0.43, 0.39, 0.37]\nstd = [0.22, 0.22, 0.21]\n\
                    [output]\nnames = [\"logits\"]\n[task]\nkind = \"clip\"\n[classes]\nnames = [\"brighter\", \"darker\"]\n";
    let config = model(folder.path(), "clips", &file.file(), manifest);
    for cpu in runtimes() {
        let loaded = load(&config, &runtime(cpu)).unwrap_or_else(|error| panic!("{error}"));
        let mut cropper = Cropper::new(&loaded.spec().unwrap().input).expect("it takes clips");
        let mut clip =
            |lumas: [u8; 4]| Clip { crops: lumas.iter().map(|luma| cropper.cut(&grey(0, *luma), None).unwrap()).collect() };
        let clips = [clip([30, 80, 130, 180]), clip([180, 130, 80, 30]), clip([100; 4])];
        let mut network = loaded.instances().remove(0);
        let output = network.watch(&[&clips[0], &clips[1], &clips[2]]).unwrap();
        let scores: Vec<_> =
            output.readings.iter().map(|r| if let Reading::Scores(s) = r { s.clone() } else { panic!("{r:?}") }).collect();
        assert!(scores[0].best().is_some_and(|(class, score)| class == 0 && score > 0.99), "{scores:?}");
        assert!(scores[1].best().is_some_and(|(class, score)| class == 1 && score > 0.99), "{scores:?}");
        assert!((scores[2].values()[0] - 0.5).abs() < 1e-3, "{scores:?}");
        assert!(matches!(network.detect(&[View::whole(&grey(0, 9))]), Err(DetectError::NoClips { takes: "clips", .. })));
        let short = Clip { crops: clips[0].crops[..3].to_vec() };
        assert!(network.watch(&[&short]).is_err());
    }
}

/// Three queries, of which the second sees something: logits `[N,3,2]` and boxes `[N,3,4]` that do not depend on the picture.
fn two_outputs() -> Vec<u8> {
    let rows = [("axes", Attribute::Ints(vec![3])), ("keepdims", Attribute::Int(0))];
    Network::new(&[3, 32, 64])
        .constant("no_logits", &[32, 2], &[0.0; 64])
        .constant("no_boxes", &[32, 4], &[0.0; 128])
        .constant("logits_are", &[3, 2], &[-9.0, -9.0, 3.0, -9.0, -9.0, -9.0])
        .constant("boxes_are", &[3, 4], &[0.1, 0.1, 0.1, 0.1, 0.5, 0.5, 0.2, 0.4, 0.9, 0.9, 0.1, 0.1])
        .node("ReduceMean", &["images"], "rows", &rows)
        .node("MatMul", &["rows", "no_logits"], "l", &[])
        .node("Add", &["l", "logits_are"], "logits", &[])
        .node("MatMul", &["rows", "no_boxes"], "b", &[])
        .node("Add", &["b", "boxes_are"], "boxes", &[])
        .output("logits", &[3, 2])
        .output("boxes", &[3, 4])
        .file()
}

const TWO_OUTPUTS: &str = "name = \"detr\"\n[input]\nname = \"images\"\nwidth = 64\nheight = 32\nfit = \"stretch\"\n\
                           [output]\nnames = [\"logits\", \"boxes\"]\n[head]\nkind = \"detr\"\n[classes]\nnames = [\"cat\", \"dog\"]\n\
                           [thresholds]\nconfidence = 0.9\n";

#[test]
fn a_network_of_two_outputs_is_read_by_its_head() {
    let folder = tempfile::tempdir().unwrap();
    let config = model(folder.path(), "detr", &two_outputs(), TWO_OUTPUTS);
    let frame = red_and_blue((640, 360));
    for cpu in runtimes() {
        let output = loaded(&config, cpu).detect(&[View::whole(&frame); 2]).unwrap();
        let [first, second] = &output.detections[..] else { panic!("{output:?}") };
        assert_eq!((first.len(), first), (1, second));
        let bbox = first[0].bbox;
        // Centre and size in fractions of the input, which is the frame stretched.
        for (edge, expected) in [(bbox.x1, 256.0), (bbox.y1, 108.0), (bbox.x2, 384.0), (bbox.y2, 252.0)] {
            assert!((edge - expected).abs() < 1e-3, "{bbox:?}");
        }
        assert!((first[0].confidence - 0.952_574).abs() < 1e-5, "{first:?}");
    }
}

#[test]
fn the_configuration_is_over_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let config = model(folder.path(), "detr", &two_outputs(), TWO_OUTPUTS);
    let frame = red_and_blue((640, 360));
    let seen =
        |config: &ModelConfig| loaded(config, CpuRuntime::Rten).detect(&[View::whole(&frame)]).unwrap().detections[0].len();
    assert_eq!(seen(&config), 1, "what the manifest asks for");
    assert_eq!(seen(&ModelConfig { confidence: Some(0.96), ..config.clone() }), 0);
    let cats = |confidence| [("cat".to_owned(), confidence)].into();
    assert_eq!(seen(&ModelConfig { class_confidence: cats(0.96), ..config.clone() }), 0);
    assert_eq!(seen(&ModelConfig { confidence: Some(0.99), class_confidence: cats(0.95), ..config.clone() }), 1);
    assert_eq!(seen(&ModelConfig { max_detections: Some(1), confidence: Some(0.00001), ..config.clone() }), 1);
    assert!(seen(&ModelConfig { confidence: Some(0.00001), ..config.clone() }) > 1);
    let tiles = Some(TilesConfig { columns: 2, rows: 1, overlap: 0.2, whole: false });
    let in_tiles = ModelConfig { tiles, ..config };
    assert_eq!(seen(&in_tiles), 2, "one in the middle of each tile");
}

#[test]
fn manifests_that_are_wrong_are_refused_with_file_reason_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let config = model(folder.path(), "detr", &two_outputs(), TWO_OUTPUTS);
    let refused = |config: &ModelConfig, words: &[&str]| {
        let error = load(config, &runtime(CpuRuntime::Rten)).map(|_| ()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let rewritten = |from: &str, to: &str| {
        assert!(TWO_OUTPUTS.contains(from));
        fs::write(folder.path().join("model.toml"), TWO_OUTPUTS.replace(from, to)).unwrap();
    };
    let wrong_sum = format!("sha256 = \"{}\"\n[input]", "0".repeat(64));
    for (from, to, words) in [
        ("width = 64", "width = 96", &["model.toml", "input.width"][..]),
        ("[input]", wrong_sum.as_str(), &["sha256", "get the file again"]),
        ("\"boxes\"]", "\"masks\"]", &["model.toml", "masks"]),
        ("[\"cat\", \"dog\"]", "[\"cat\"]", &["model.toml", "has 2 classes"]),
        ("kind = \"detr\"", "kind = \"unheard\"", &["model.toml", "head"]),
        ("width = 64", "width = \"wide\"", &["model.toml", "input.width"]),
    ] {
        rewritten(from, to);
        refused(&config, words);
    }
    rewritten("[input]", "[input]");
    let classes = Some(vec!["one".to_owned()]);
    refused(&ModelConfig { classes, ..config.clone() }, &["classes = 2", "1 class names"]);
    let unknown = [("cow".to_owned(), 0.5)].into();
    refused(&ModelConfig { class_confidence: unknown, ..config.clone() }, &["\"cow\"", "cat, dog"]);
    // A manifest about another file says nothing of this one.
    rewritten("name = \"detr\"", "name = \"detr\"\nfile = \"other.onnx\"");
    refused(&config, &["detr.onnx", "without a manifest"]);
    let colours_config = model(folder.path(), "colours", &colours(16), &colours_manifest(16));
    let tiles = Some(TilesConfig { columns: 2, rows: 1, overlap: 0.2, whole: false });
    refused(&ModelConfig { tiles, ..colours_config }, &["classify", "tile_columns"]);
}

#[test]
fn an_input_of_16_bit_floats_is_fed_or_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = colours(16);
    let mut network = egret_models::onnx::edit::Model::read(&file).unwrap();
    let options = egret_models::precision::Fp16Options { half_io: true, ..egret_models::precision::Fp16Options::default() };
    egret_models::precision::convert(&mut network, &options, None).unwrap();
    let manifest = colours_manifest(16);
    let halves = manifest.replace("[input]\n", "[input]\nelement = \"f16\"\n");
    let config = model(folder.path(), "colours", &network.write(), &halves);
    let frame = red_and_blue((64, 32));
    let left = View { frame: &frame, region: Some(BBox::new(0.0, 0.0, 30.0, 32.0)) };
    if onnxruntime() {
        let mut classifier = loaded(&config, CpuRuntime::OnnxRuntime);
        assert_eq!(classifier.spec().precision, "fp16");
        let output = classifier.detect(&[left, View::whole(&frame), left]).unwrap();
        let [Reading::Scores(red), Reading::Scores(both), Reading::Scores(again)] = &output.readings[..] else {
            panic!("{output:?}")
        };
        assert!(red.best().is_some_and(|(class, score)| class == 0 && score > 0.99), "{red:?}");
        assert!(both.values().iter().all(|score| (score - 0.5).abs() < 0.1), "{both:?}");
        assert_eq!(red, again);
    }
    let refused = load(&config, &runtime(CpuRuntime::Rten)).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("rten") && refused.contains("16"), "{refused}");
    eprintln!("{refused}");
}
