//! Evaluations from end to end, on streets that egret draws.
#![cfg(feature = "demo")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    config::{CpuRuntime, RuntimeConfig},
    media::HostPicture,
    observe::still,
    sim::scene::{Scene, SceneConfig, Truth},
};

const SEED: u64 = 1_200_000;

fn options(models: &[&str], data: Data) -> Options {
    Options {
        models: models.iter().map(ToString::to_string).collect(),
        results: Vec::new(),
        results_only: false,
        data,
        confidence: 0.001,
        nms: 0.65,
        pictures: 2,
        // The runtime that is compiled in: these tests need no library on the machine.
        runtime: RuntimeConfig { cpu: CpuRuntime::Rten, onnxruntime_library: None, ..RuntimeConfig::default() },
    }
}

fn street_file() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/street.onnx").to_owned()
}

fn evaluate(options: &Options) -> Result<Report, String> {
    run(options, &mut |_, _| {}).map_err(|error| error.to_string())
}

/// `count` frames of a street in a row, I420.
fn street(count: u64) -> Vec<(Vec<u8>, Truth)> {
    let mut scene = Scene::new(SceneConfig { seed: SEED, ..SceneConfig::default() });
    (0..count).map(|i| scene.frame(30 + i)).collect()
}

fn picture(bytes: &[u8]) -> HostPicture {
    HostPicture::tight_i420((640, 360), bytes.to_vec().into()).unwrap()
}

#[test]
fn the_demo_detector_on_streets_it_never_saw() {
    let data = Data::Streets(Streets { seed: SEED, frames: 6, night: false, rain: false });
    let mut heard = Vec::new();
    // The directory stands for the file that its manifest is about.
    let street = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street");
    let report = run(&options(&["builtin:demo", street], data), &mut |done, of| heard.push((done, of))).unwrap();
    assert_eq!(heard.last(), Some(&(6, Some(6))));
    let [demo, file] = &report.rows[..] else { panic!("two rows") };
    assert_eq!((demo.name.as_str(), file.name.as_str(), file.precision.as_str()), ("demo", "street", "fp32"));
    assert_eq!(demo.evaluation, file.evaluation, "the same network");
    assert!(demo.evaluation.as_ref().unwrap().total.ap50.unwrap() > 0.8, "{:?}", demo.evaluation);
    assert!(file.verdict.as_ref().unwrap().passed() && file.agreement.as_ref().unwrap().total.reference > 20);
    assert!(report.unjudged > 0 && report.unjudged < report.objects.unwrap());
    assert!(demo.time.unwrap().median_ms > 0.0);
    assert_eq!(demo.misses.len(), 2);
    assert!(demo.misses[0].loss >= demo.misses[1].loss);
}

#[test]
fn tables_and_html_hold_the_figures() {
    let data = Data::Streets(Streets { seed: SEED, frames: 2, night: true, rain: true });
    let mut report = evaluate(&options(&["builtin:demo", &street_file()], data)).unwrap();
    report.rows[1].name = "<b>other</b>".into();
    report.notes.push("<script>".into());
    let (mut table, mut html) = (Vec::new(), Vec::new());
    write_table(&mut table, &report, true).unwrap();
    write_html(&mut html, &report).unwrap();
    let (table, html) = (String::from_utf8(table).unwrap(), String::from_utf8(html).unwrap());
    let ap = format!("{:.4}", report.rows[0].evaluation.as_ref().unwrap().total.ap.unwrap());
    for text in [&table, &html] {
        assert!(text.contains("streets from seed 1200000 by night, in rain") && text.contains(&ap) && text.contains("person"));
    }
    assert!(table.contains("agreement with demo (boxes from 0.30 on, sought down to 0.20, same class, IoU 0.75)"), "{table}");
    assert!(html.contains("data:image/jpeg;base64,/9j/") && html.contains("<rect class=\"found\""));
    assert!(!html.contains("<script>") && !html.contains("<b>other") && !html.contains("http"), "self-contained");
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["rows"][0]["evaluation"]["total"]["ap"].as_f64().unwrap() > 0.0);
    assert!(json["rows"][1]["agreement"]["total"]["recall"].as_f64().unwrap() > 0.99);
}

/// A folder with JPEG pictures of a street, and annotations that also know zebras.
fn folder(truths: &[(Vec<u8>, Truth)]) -> (TempDir, PathBuf, PathBuf) {
    let folder = TempDir::new().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    let (mut listed, mut objects) = (Vec::new(), Vec::new());
    for (i, (bytes, truth)) in truths.iter().enumerate() {
        let name = format!("{i}.jpg");
        fs::write(images.join(&name), still::encode(&picture(bytes), 640).unwrap()).unwrap();
        listed.push(serde_json::json!({"id": 100 - i, "file_name": name, "width": 640, "height": 360}));
        for object in &truth.objects {
            let [x1, y1, x2, y2] = object.visible_box;
            // What the detector is not judged by is a crowd here: COCO has no other word for it.
            let hidden = object.visible * object.inside < 0.5 || y2 - y1 < 16;
            let class = format!("{:?}", object.class);
            let category = ["Bicycle", "Car", "Person"].iter().position(|name| *name == class).unwrap() + 1;
            objects.push(serde_json::json!({"id": objects.len() + 1, "image_id": 100 - i, "category_id": category,
                "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": u8::from(hidden)}));
        }
    }
    let categories = [(1, "bicycle"), (2, "Car"), (3, "person"), (9, "zebra")];
    let categories = categories.map(|(id, name)| serde_json::json!({"id": id, "name": name}));
    let annotations = folder.path().join("instances.json");
    let text = serde_json::json!({"images": listed, "categories": categories, "annotations": objects});
    fs::write(&annotations, text.to_string()).unwrap();
    (folder, images, annotations)
}

fn images(folder: &Path, annotations: Option<&Path>, skip_missing: bool) -> Data {
    Data::Images { folder: Some(folder.to_owned()), annotations: annotations.map(Path::to_owned), skip_missing }
}

#[test]
fn a_folder_of_pictures_with_coco_annotations() {
    let (_keep, folder, annotations) = folder(&street(3));
    let report = evaluate(&options(&["builtin:demo"], images(&folder, Some(&annotations), false))).unwrap();
    assert_eq!((report.images, &report.classes[..]), (3, &["bicycle", "Car", "person"].map(String::from)[..]));
    assert_eq!(report.left_out.annotated, ["zebra"]);
    assert!(report.rows[0].evaluation.as_ref().unwrap().total.ap50.unwrap() > 0.7, "{report:?}");

    // Nothing annotated: two models agree or do not.
    let two = options(&["builtin:demo", &street_file()], images(&folder, None, false));
    let report = evaluate(&two).unwrap();
    assert!(report.objects.is_none() && report.rows[0].evaluation.is_none());
    assert_eq!(report.rows[1].agreement.as_ref().unwrap().total.recall, Some(1.0));
    let mut table = Vec::new();
    write_table(&mut table, &report, true).unwrap();
    assert!(String::from_utf8(table).unwrap().contains("3 pictures, nothing labelled, 3 classes"));
    let alone = evaluate(&options(&["builtin:demo"], images(&folder, None, false))).unwrap_err();
    assert!(alone.contains("give --annotations or --labels, or a second --model"), "{alone}");
}

#[test]
fn pictures_that_are_missing_broken_or_others_are_told() {
    let (_keep, folder, annotations) = folder(&street(3));
    let told = |skip: bool| evaluate(&options(&["builtin:demo"], images(&folder, Some(&annotations), skip)));
    fs::remove_file(folder.join("0.jpg")).unwrap();
    let error = told(false).unwrap_err();
    assert!(error.contains("1 of 3 annotated pictures cannot be used") && error.contains("--skip-missing"), "{error}");
    fs::write(folder.join("1.jpg"), b"\xff\xd8\xff garbage").unwrap();
    fs::copy(folder.join("2.jpg"), folder.join("stranger.JPG")).unwrap();
    let report = told(true).unwrap();
    assert_eq!(report.images, 1);
    let notes = report.notes.join("\n");
    assert!(notes.contains("1 of 3 annotated pictures were left out") && notes.contains("left out: 1.jpg: "), "{notes}");
    assert!(notes.contains("1 pictures of the folder are not annotated"), "{notes}");

    for (bytes, said) in
        [(&b""[..], "an empty file"), (b"GIF89a", "neither JPEG nor PNG"), (&[0xff, 0xd8, 0xff, 0xd9], "1.jpg: ")]
    {
        fs::write(folder.join("1.jpg"), bytes).unwrap();
        fs::copy(folder.join("2.jpg"), folder.join("0.jpg")).unwrap();
        let error = told(false).unwrap_err();
        assert!(error.contains(said) && error.contains("--skip-missing"), "{error}");
    }
    let small = HostPicture::tight_i420((64, 48), vec![128; 64 * 48 * 3 / 2].into()).unwrap();
    fs::write(folder.join("1.jpg"), still::encode(&small, 640).unwrap()).unwrap();
    let error = told(false).unwrap_err();
    assert!(error.contains("it has 64x48 pixels, the annotations say 640x360"), "{error}");
    let nobody = evaluate(&options(&["builtin:demo"], images(Path::new("/nowhere"), None, false))).unwrap_err();
    assert!(nobody.contains("/nowhere: No such file"), "{nobody}");
}

#[test]
fn classes_without_a_common_name_and_files_that_lead_away_are_refused() {
    let (keep, folder, annotations) = folder(&street(1));
    let text = fs::read_to_string(&annotations).unwrap();
    let with = |from: &str, to: &str| {
        let path = keep.path().join("other.json");
        fs::write(&path, text.replace(from, to)).unwrap();
        evaluate(&options(&["builtin:demo"], images(&folder, Some(&path), false))).unwrap_err()
    };
    let error = with("0.jpg", "../images/0.jpg");
    assert!(error.contains("is no file name inside the folder"), "{error}");
    let others = text.replace("bicycle", "x").replace("Car", "y").replace("person", "z");
    let path = keep.path().join("others.json");
    fs::write(&path, others).unwrap();
    let error = evaluate(&options(&["builtin:demo"], images(&folder, Some(&path), false))).unwrap_err();
    assert!(
        error.contains("no class name in common: the model has person, bicycle, car, the annotations have x, y, z, zebra"),
        "{error}"
    );
    let empty = keep.path().join("empty.json");
    fs::write(&empty, r#"{"images":[],"categories":[{"id":1,"name":"car"}],"annotations":[]}"#).unwrap();
    let error = evaluate(&options(&["builtin:demo"], images(&folder, Some(&empty), false))).unwrap_err();
    assert!(error.contains("not one picture to look at"), "{error}");
    let error = evaluate(&options(&["/dev/zero"], images(&folder, Some(&annotations), false))).unwrap_err();
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn a_png_is_read_and_a_picture_beyond_the_limits_is_not() {
    gst::init().unwrap();
    let folder = TempDir::new().unwrap();
    let draw = |size: &str, name: &str| {
        let path = folder.path().join(name);
        let launch = format!("videotestsrc num-buffers=1 pattern=black ! video/x-raw,{size} ! pngenc ! filesink name=out");
        let pipeline = gst::parse::launch(&launch).unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.by_name("out").unwrap().set_property("location", path.to_str().unwrap());
        play(&pipeline);
        path
    };
    let picture = pictures::read_image(&draw("width=33,height=17", "odd.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (33, 17));
    let error = pictures::read_image(&draw("width=9000,height=2", "wide.png")).unwrap_err();
    assert!(error.contains("8192"), "{error}");
}

fn play(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &ends).expect("it ends");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A Motion JPEG video of a street and its labels, in the form of `egret sim --truth`.
fn video(folder: &Path, street: &[(Vec<u8>, Truth)]) -> (PathBuf, PathBuf) {
    gst::init().unwrap();
    let (file, labels) = (folder.join("street.mkv"), folder.join("street.jsonl"));
    let launch = "appsrc name=in format=time caps=video/x-raw,format=I420,width=640,height=360,framerate=15/1 \
                  ! jpegenc quality=95 ! matroskamux ! filesink name=out";
    let pipeline = gst::parse::launch(launch).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("out").unwrap().set_property("location", file.to_str().unwrap());
    let input = pipeline.by_name("in").unwrap().downcast::<gstreamer_app::AppSrc>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut lines = String::new();
    for (i, (bytes, truth)) in street.iter().enumerate() {
        let mut buffer = gst::Buffer::from_slice(bytes.clone());
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(i as u64 * 67));
        input.push_buffer(buffer).unwrap();
        let line = crate::sim::TruthLine {
            camera: "street".into(),
            captured_unix_us: 0,
            size: [640, 360],
            truth: Truth { frame: i as u64, ..truth.clone() },
        };
        lines += &serde_json::to_string(&line).unwrap();
        lines.push('\n');
    }
    input.end_of_stream().unwrap();
    play(&pipeline);
    fs::write(&labels, lines).unwrap();
    (file, labels)
}

#[test]
fn a_video_with_labels() {
    let folder = TempDir::new().unwrap();
    let street = street(5);
    let (file, labels) = video(folder.path(), &street);
    let of = |labels: &Path, every| Data::Video { file: file.clone(), labels: Some(labels.to_owned()), every };
    let report = evaluate(&options(&["builtin:demo"], of(&labels, 2))).unwrap();
    assert_eq!(report.images, 3, "frames 0, 2 and 4");
    assert!(report.rows[0].evaluation.as_ref().unwrap().total.ap50.unwrap() > 0.7);
    let shown: usize = [0, 2, 4].iter().map(|i: &usize| street[*i].1.objects.len()).sum();
    assert_eq!(report.objects, Some(shown));

    let few = folder.path().join("few.jsonl");
    fs::write(&few, "{\"frame\":1,\"objects\":[{\"class\":\"car\",\"box\":[0,0,50,50]}]}\n{\"frame\":99,\"objects\":[]}\n")
        .unwrap();
    let report = evaluate(&options(&["builtin:demo"], of(&few, 1))).unwrap();
    assert_eq!((report.images, &report.classes[..]), (1, &["car".to_owned()][..]));
    assert!(report.notes[0].contains("1 labelled frames lie beyond the end of the video, which has 5"), "{:?}", report.notes);

    fs::write(folder.path().join("text.mp4"), "no video").unwrap();
    let two = |file: PathBuf| options(&["builtin:demo", &street_file()], Data::Video { file, labels: None, every: 1 });
    let error = evaluate(&two(folder.path().join("text.mp4"))).unwrap_err();
    assert!(error.contains("text.mp4: "), "{error}");
    assert!(evaluate(&two("/nowhere.mp4".into())).unwrap_err().contains("No such file"));
}
