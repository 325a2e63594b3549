//! Decoding by NVIDIA's hardware, through the real code: the stand-ins of its elements, its library and its driver lie behind it.

use egret_jetson::surface::doubles::{elements::Fails, numbers};

use super::*;
use crate::testing::jetson::{Board, board};

fn setup(board: &Board, device: bool) -> Setup {
    Setup { decoders: Arc::clone(&board.decoders), device, ..Setup::default() }
}

/// Decodes, and keeps the frames unless they are to go at once; the frames, how many came, and what broke it.
fn run(codec: Codec, units: &[(Bytes, bool)], setup: &Setup, keep: bool) -> (Vec<Frame>, usize, Option<Fault>) {
    let (board, stream) = (StatusBoard::new(), StreamId::new(1, "cam"));
    board.add(&stream);
    let came = Arc::new(Mutex::new((Vec::new(), 0)));
    let to = Arc::clone(&came);
    let take = move |frame| {
        let mut came = to.lock().unwrap();
        came.1 += 1;
        if keep {
            came.0.push(frame);
        }
        true
    };
    let outlet = Outlet::new(stream, FrameSink::new(take, || ()), board, Duration::ZERO);
    let mut decoder = Decoder::new(codec, &outlet, setup).unwrap();
    for (number, (data, key)) in units.iter().enumerate() {
        let deadline = Instant::now() + DEADLINE;
        while decoder.queued.load(Ordering::Relaxed) > QUEUE / 2 && decoder.fault().is_none() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        if decoder.push(unit(data.clone(), *key, codec, number as u64)) != Pushed::Queued {
            break;
        }
    }
    decoder.drain(DEADLINE);
    let fault = decoder.fault();
    drop(decoder);
    let (frames, count) = std::mem::take(&mut *came.lock().unwrap());
    (frames, count, fault)
}

/// Rows of the planes one after the other, the chroma apart: of I420 and of NV12 the same.
fn samples(picture: &HostPicture) -> Vec<u8> {
    let rows = |plane: usize| {
        let ((bytes, rows), (samples, stride)) = (picture.plane_size(plane), picture.plane(plane));
        (0..rows).flat_map(|row| samples[row * stride..][..bytes].iter().copied()).collect::<Vec<u8>>()
    };
    let chroma = match picture.layout() {
        Layout::I420 => [rows(1), rows(2)].concat(),
        Layout::Nv12 => {
            let both = rows(1);
            both.iter().step_by(2).chain(both[1..].iter().step_by(2)).copied().collect()
        }
    };
    [rows(0), chroma].concat()
}

fn shown(frames: &[Frame]) -> Vec<(Duration, Vec<u8>)> {
    frames.iter().map(|frame| (frame.pts, samples(frame.pixels.host().expect("a picture")))).collect()
}

fn film(size: (u32, u32), pictures: u32) -> Vec<(Bytes, bool)> {
    let (width, height) = size;
    encode(&format!(
        "videotestsrc num-buffers={pictures} pattern=ball ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 ! \
         x264enc tune=zerolatency key-int-max=10 ! {H264}"
    ))
}

#[test]
fn pictures_of_every_memory_are_those_of_the_cpu() {
    let Some(mut board) = board() else { return };
    let units = film((176, 144), 12);
    let (software, ..) = run(Codec::H264, &units, &Setup::default(), true);
    let wanted = shown(&software);
    assert_eq!(wanted.len(), 12);
    let mut pictures = 0;
    for (memory, layout) in [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (4, 1)] {
        board.behave(|knobs| (knobs.memory, knobs.layout) = (memory, layout));
        let (frames, _, fault) = run(Codec::H264, &units, &setup(&board, true), true);
        assert_eq!(fault, None);
        assert!(frames.iter().all(|frame| matches!(frame.pixels, Pixels::Device(_))), "memory {memory}");
        assert!(shown(&frames) == wanted, "memory {memory} layout {layout}");
        pictures += frames.len();
        // The same through nvvidconv.
        let (frames, _, fault) = run(Codec::H264, &units, &setup(&board, false), true);
        assert_eq!(fault, None);
        assert!(frames.iter().all(|frame| matches!(frame.pixels, Pixels::Host(_))));
        assert!(shown(&frames) == wanted, "through host memory, memory {memory} layout {layout}");
        pictures += frames.len();
    }
    eprintln!("{pictures} pictures are the software decoder's");
    for memory in [5, 6] {
        board.behave(|knobs| (knobs.memory, knobs.layout) = (memory, 0));
        let (_, count, fault) = run(Codec::H264, &units, &setup(&board, true), true);
        assert!(count == 0 && matches!(&fault, Some(Fault::Surface(_))), "memory {memory}: {fault:?}");
    }
    assert_eq!((board.library.alive(), board.library.mapped()), (0, 0), "everything went back");
}

#[test]
fn h265_and_jpeg_are_decoded_by_it_too() {
    let Some(board) = board() else { return };
    let h265 = "video/x-h265,stream-format=byte-stream,alignment=au";
    let raw = "videotestsrc num-buffers=6 ! video/x-raw,format=I420,width=64,height=48";
    for (codec, coder) in [(Codec::H265, format!("x265enc tune=zerolatency ! {h265}")), (Codec::Mjpeg, "jpegenc".to_owned())] {
        let units = encode(&format!("{raw} ! {coder}"));
        let (software, ..) = run(codec, &units, &Setup::default(), true);
        let (frames, _, fault) = run(codec, &units, &setup(&board, true), true);
        assert_eq!(fault, None);
        assert!(frames.len() == 6 && shown(&frames) == shown(&software), "{codec:?}");
    }
}

#[test]
fn surfaces_are_registered_once_and_given_up_when_the_size_changes() {
    let Some(mut board) = board() else { return };
    board.behave(|knobs| (knobs.memory, knobs.layout) = (numbers::SURFACE_ARRAY, numbers::BLOCKS));
    let surfaces = board.decoders.surfaces().expect("a device").clone();
    let mut units = film((64, 48), 60);
    units.extend(film((96, 64), 60));
    let (_, count, fault) = run(Codec::H264, &units, &setup(&board, true), false);
    assert_eq!((count, fault), (120, None));
    let counts = surfaces.counts();
    eprintln!("{count} pictures, {counts:?}");
    assert!((2..=8).contains(&counts.registered), "a few buffers of two pools: {counts:?}");
    assert_eq!((counts.alive, counts.copied, board.library.alive(), board.library.mapped()), (0, 0, 0, 0));
    // Frames of the old size that are still held are whole.
    let (frames, ..) = run(Codec::H264, &units, &setup(&board, true), true);
    let (software, ..) = run(Codec::H264, &units, &Setup::default(), true);
    assert!(shown(&frames) == shown(&software));
    drop(frames);
    assert_eq!((surfaces.counts().alive, board.library.alive()), (0, 0));
}

#[test]
fn a_surface_that_is_not_what_it_has_to_be_is_a_fault_and_no_picture() {
    let Some(mut board) = board() else { return };
    let units = film((64, 48), 5);
    // memType, the width of the surface, its format.
    for (poke, said) in [((false, 16, 9), "memType is 9"), ((true, 0, 32), "width is 32"), ((true, 12, 19), "colour format 19")] {
        board.behave(|knobs| knobs.poke = Some(poke));
        let (_, count, fault) = run(Codec::H264, &units, &setup(&board, true), true);
        let text = fault.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(count == 0 && text.contains(said), "{fault:?}");
    }
    board.behave(|knobs| (knobs.poke, knobs.memory) = (None, numbers::SURFACE_ARRAY));
    board.library.fail_mapping(1);
    let (_, count, fault) = run(Codec::H264, &units, &setup(&board, true), true);
    assert!(count == 0 && matches!(&fault, Some(Fault::Surface(why)) if why.contains("NvBufSurfaceMapEglImage")), "{fault:?}");
}

#[test]
fn a_decoder_that_does_not_start_says_so() {
    let Some(mut board) = board() else { return };
    board.behave(|knobs| knobs.fails = Fails::AtStart);
    let collector = Arc::new(Collector::default());
    let (outlet, _) = collector.outlet();
    let fault = Decoder::new(Codec::H264, &outlet, &setup(&board, true)).err();
    assert!(matches!(&fault, Some(Fault::Element { text, .. }) if text.contains("/dev/v4l2-nvdec")), "{fault:?}");
}

#[test]
fn properties_are_set_where_they_are() {
    let Some(board) = board() else { return };
    let property = |setup: &Setup, name: &str| {
        let parts = elements(Codec::H264, setup).unwrap();
        parts[0].property_value(name)
    };
    let plain = Setup { held: 7, ..setup(&board, true) };
    assert_eq!(property(&plain, "num-extra-surfaces").get::<u32>().unwrap(), 7);
    assert!(property(&plain, "enable-max-performance").get::<bool>().unwrap());
    assert!(!property(&plain, "disable-dpb").get::<bool>().unwrap(), "B-frames come");
    let other = Setup { held: 1000, low_delay: true, ..setup(&board, true) };
    assert_eq!(property(&other, "num-extra-surfaces").get::<u32>().unwrap(), 55);
    assert!(property(&other, "disable-dpb").get::<bool>().unwrap());
    // A machine without any of it.
    let none = Setup { choice: crate::config::DecoderChoice::Hardware, ..Setup::default() };
    assert_eq!(elements(Codec::H264, &none).err(), Some(Fault::NoDecoder("is here")));
}

/// What motion and frozen pictures are looked for by comes from the device, row by row, and nothing else does.
#[test]
fn what_is_looked_at_comes_from_the_device() {
    let Some(board) = board() else { return };
    let (status, stream) = (StatusBoard::new(), StreamId::new(1, "cam"));
    status.add(&stream);
    let (stills, seen) = std::sync::mpsc::sync_channel(256);
    let sink = FrameSink::watched(move |_, still| stills.send(still).is_ok(), || ());
    let outlet = Outlet::new(stream, sink, status, Duration::ZERO);
    let motion = Some(crate::gate::MotionSettings { threshold: 5.0, hold: Duration::ZERO });
    outlet.watch(crate::gate::WatchSettings { motion, picture: crate::gate::PictureSettings::default() });
    let mut decoder = Decoder::new(Codec::H264, &outlet, &setup(&board, true)).unwrap();
    let still = encode(&format!(
        "videotestsrc num-buffers=80 pattern=solid-color ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! x264enc tune=zerolatency ! {H264}"
    ));
    for (number, (data, key)) in still.iter().enumerate() {
        push_paced(&mut decoder, unit(data.clone(), *key, Codec::H264, number as u64));
    }
    assert!(decoder.drain(DEADLINE));
    let told: Vec<bool> = seen.try_iter().collect();
    assert!(told.len() == 80 && !told[0] && told[79], "{told:?}");
    assert_eq!((outlet.downloads().rows(), outlet.downloads().pictures()), (80, 0));
}
