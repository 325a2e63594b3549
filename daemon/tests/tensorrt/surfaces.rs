//! From a decoder's surface into an engine: what it is given is what it is given of the same picture in host memory.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use egret::{
    config::{self, CameraConfig},
    decode::{Decoders, FrameSink},
    infer::{Detector, Letterbox, View},
    media::{Frame, HostPicture, Layout, Pixels, StreamId},
    source::{self, Context},
    status::StatusBoard,
};
use egret_jetson::{
    kernels::letterbox::{Element, Samples, Tensor},
    line::{self, Executor, Feed, Finish, Input, Lane, Source},
    probe,
    surface::doubles::{
        SurfaceLibrary,
        elements::{Fails, Knobs, register},
        numbers,
    },
    tensorrt::{Deserialize, Runtime},
};
use gstreamer::prelude::*;

use crate::{Rig, boxes::same, model, networks, rig};

const PICTURES: usize = 8;
/// What the letterbox kernel and the reference may differ by.
const MAX_LEVELS: f32 = 255.0 / (1 << 22) as f32;

fn film(path: &Path) {
    gstreamer::init().expect("GStreamer");
    let line = format!(
        "videotestsrc pattern=smpte num-buffers={PICTURES} horizontal-speed=7 ! \
         video/x-raw,format=I420,width=176,height=144,framerate=25/1 ! x264enc tune=zerolatency ! h264parse ! mp4mux ! \
         filesink location={}",
        path.display()
    );
    let pipeline = gstreamer::parse::launch(&line).expect("a pipeline");
    pipeline.set_state(gstreamer::State::Playing).expect("plays");
    let ends = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let end = pipeline.bus().expect("a bus").timed_pop_filtered(gstreamer::ClockTime::from_seconds(60), &ends);
    pipeline.set_state(gstreamer::State::Null).expect("stops");
    assert_eq!(end.map(|message| message.type_()), Some(gstreamer::MessageType::Eos));
}

/// An Orin's decoders.
fn decoders(library: &SurfaceLibrary) -> Arc<Decoders> {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(root.path().join("etc")).expect("a folder");
    fs::write(root.path().join("etc/nv_tegra_release"), "# R36 (release), REVISION: 4.3, GCID: 1").expect("written");
    let decoders = Decoders::find(&probe(root.path()), root.path(), true, Some(library.folder()));
    assert!(decoders.surfaces().is_some());
    Arc::new(decoders)
}

/// Every picture of the film, where the decoder left it.
async fn decoded(camera: &CameraConfig, decoders: &Arc<Decoders>) -> Vec<Frame> {
    let (board, stream, came) = (StatusBoard::new(), StreamId::new(1, &camera.name), Arc::new(Mutex::new(Vec::new())));
    board.add(&stream);
    let to = Arc::clone(&came);
    let take = move |frame| {
        to.lock().expect("no panic").push(frame);
        true
    };
    let context = Context { decoders: Arc::clone(decoders), device: true, held: PICTURES as u32, ..Context::default() };
    let running = source::start(camera, stream, FrameSink::new(take, || ()), board, context);
    tokio::time::timeout(Duration::from_mins(1), running.ended()).await.expect("the film ends");
    running.stop().await;
    std::mem::take(&mut *came.lock().expect("no panic"))
}

/// A lane that gives back what its engine is given.
fn mirror(rig: &Rig) -> (Lane, Letterbox) {
    let (width, height) = (networks::WIDTH as usize, networks::HEIGHT as usize);
    // Of the detector only the input counts here.
    let spec = model(networks::detector(), &networks::detector_manifest()).on_cpu().0;
    let plan = model(networks::mirror(), &networks::detector_manifest()).plan(rig, &spec, [1, 1]);
    let engine = Runtime::new(&rig.library).expect("a runtime").deserialize(&plan, Deserialize::default()).expect("an engine");
    let input = Input { name: spec.input.name.clone(), shape: vec![3, height, width], constants: Vec::new() };
    let executor = Executor::new(&rig.kernels, &Arc::new(engine), &input).expect("an executor");
    let tensor = Tensor { width: width as u32, height: height as u32, element: Element::F32, interleaved: false };
    (Lane::new(&executor, Feed::Pictures(tensor), Finish::Tensors).expect("a lane"), Letterbox::new(&spec.input, 1))
}

fn of_host(picture: &HostPicture) -> Source<'_> {
    assert_eq!(picture.layout(), Layout::Nv12);
    let planes = [picture.plane(0), picture.plane(1), (&[][..], 0)];
    let samples = Samples::Nv12;
    Source::Host(line::HostPicture { samples, width: picture.width(), height: picture.height(), planes })
}

fn drawn(lane: &mut Lane, picture: Source<'_>, window: egret_jetson::kernels::letterbox::Window) -> Vec<f32> {
    lane.draw(&[(picture, window)]).expect("drawn");
    let (_, floats) =
        lane.tensors(|outputs| outputs.next().expect("an output").floats().expect("floats").to_vec()).expect("fetched");
    floats
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_s_surfaces_are_drawn_as_the_same_pictures_of_the_host_are() {
    let Some(rig) = rig(11) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    film(&folder.path().join("film.mp4"));
    let text = format!(
        "device = \"box\"\n[[model]]\nname = \"none\"\nbuiltin = \"null\"\n[[camera]]\nname = \"film\"\nurl = \"file:{}\"\nevery_frame = true\nrealtime = false\n",
        folder.path().join("film.mp4").display()
    );
    let config = config::load_text(Path::new("test.toml"), &text).expect("sound").config;
    let library = SurfaceLibrary::load().expect("the stand-ins");
    let decoders = decoders(&library);
    let (mut lane, mut letterbox) = mirror(&rig);
    // Hardly any boxes overlap as much: which of two equal ones is left is no question then.
    let mut net = model(networks::detector(), &networks::detector_manifest());
    net.config.nms_iou = Some(0.95);
    let (spec, mut cpu) = net.on_cpu();
    let mut detector = net.on_device(&rig, &spec, [1, 4]).expect("detectors").remove(0);
    let downloaded = || decoders.surfaces().expect("a device").counts().downloaded;
    let mut reference = vec![0.0; letterbox.slot_len()];
    let (mut pictures, mut boxes) = (0, 0);
    for (memory, layout) in [(numbers::DEVICE, 0), (numbers::SURFACE_ARRAY, 0), (numbers::SURFACE_ARRAY, numbers::BLOCKS)] {
        let knobs = Knobs { library: library.clone(), memory, layout, format: numbers::NV12, poke: None, fails: Fails::Never };
        register(knobs).expect("elements");
        let frames = decoded(&config.cameras[0], &decoders).await;
        assert_eq!(frames.len(), PICTURES);
        let mut shown = Vec::new();
        for mut frame in frames {
            let Pixels::Device(there) = &frame.pixels else { unreachable!("memory {memory}: {frame:?}") };
            let (size, before) = (there.size(), downloaded());
            let window = letterbox.window((size.0 as usize, size.1 as usize), there.color(), None).expect("a window").0;
            let surface = there.picture().frame(lane.drawing()).expect("on the device");
            let of_surface = drawn(&mut lane, Source::Device(&surface), window);
            let there = detector.detect(&[View::whole(&frame)]).expect("detected").detections;
            assert_eq!(downloaded(), before, "nothing came to the host for it");
            // The way back: the CPU looks at what lies on the device, and brings it here, once.
            same(&there, &cpu.detect(&[View::whole(&frame)]).expect("on the CPU").detections);
            let brought = downloaded();
            assert!(brought > before);
            let host = frame.pixels.host().expect("it is here").copied().expect("a copy");
            assert_eq!(downloaded(), brought);
            assert!(drawn(&mut lane, of_host(&host), window) == of_surface, "memory {memory} layout {layout}: other pixels");
            // And beside the reference, whose arithmetic is another.
            letterbox.fill(0, &host, None, &mut reference).expect("drawn");
            let worst = reference.iter().zip(&of_surface).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= MAX_LEVELS, "{worst} of 255");
            frame.pixels = Pixels::Host(host);
            let here = detector.detect(&[View::whole(&frame)]).expect("detected").detections;
            assert_eq!(here, there, "the same boxes");
            boxes += here[0].len();
            pictures += 1;
            shown.push(of_surface);
        }
        assert!(shown.windows(2).all(|pair| pair[0] != pair[1]), "each picture is another");
    }
    eprintln!("{pictures} pictures, {boxes} boxes");
    assert!(boxes > 100);
    assert_eq!((library.alive(), library.mapped()), (0, 0), "everything went back");
}
