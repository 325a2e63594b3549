//! Cameras whose decoder does not work: the next one takes over, with a reason.

use std::path::{Path, PathBuf};

use egret_jetson::surface::doubles::elements::Fails;

use super::*;
use crate::{
    config::FileConfig,
    media::Pixels,
    testing::{
        film,
        jetson::{Board, board},
    },
};

const PICTURES: &str = "videotestsrc num-buffers=80 pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1";

fn repeated(dir: &Path) -> CameraConfig {
    let path = dir.join("film.mp4");
    film(&path, &format!("{PICTURES} ! x264enc tune=zerolatency key-int-max=20 ! h264parse ! mp4mux"));
    let file = FileConfig { path, repeat: true, realtime: false, every_frame: true };
    CameraConfig { no_data_timeout: Duration::from_secs(1), ..camera(SourceConfig::File(file)) }
}

fn context(board: &Board) -> Context {
    Context { decoders: Arc::clone(&board.decoders), device: true, held: 4, ..hasty() }
}

/// What decodes in the end, whether on the device, and what was said of the one before.
async fn ends(config: &CameraConfig, board: &Board) -> (Option<&'static str>, bool, Option<String>, Vec<Frame>) {
    let rig = Rig::start_with(config, context(board));
    let frames = rig.frames_so_far(60).await;
    let decoding = rig.status().decoding;
    rig.stop().await;
    (decoding.element, decoding.on_device, decoding.fallback.map(|fallback| fallback.reason), frames)
}

#[tokio::test(flavor = "multi_thread")]
async fn hardware_that_works_is_what_decodes() {
    let Some(board) = board() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (element, on_device, reason, frames) = ends(&repeated(dir.path()), &board).await;
    assert_eq!((element, on_device, reason), (Some("nvv4l2decoder"), true, None));
    assert!(frames.iter().all(|frame| matches!(frame.pixels, Pixels::Device(_))));
    let software = CameraConfig { decoder: DecoderChoice::Software, ..repeated(dir.path()) };
    let (element, on_device, reason, _) = ends(&software, &board).await;
    assert_eq!((element, on_device, reason), (Some("avdec_h264"), false, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn surfaces_that_cannot_be_read_come_through_host_memory() {
    let Some(mut board) = board() else { return };
    let dir = tempfile::tempdir().unwrap();
    board.behave(|knobs| knobs.poke = Some((true, 16, 7)));
    let (element, on_device, reason, frames) = ends(&repeated(dir.path()), &board).await;
    assert_eq!((element, on_device), (Some("nvv4l2decoder"), false));
    assert!(reason.as_deref().is_some_and(|reason| reason.contains("unknown layout: layout is 7")), "{reason:?}");
    assert!(frames.iter().all(|frame| matches!(frame.pixels, Pixels::Host(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn hardware_that_fails_at_once_leaves_it_to_the_cpu() {
    let Some(mut board) = board() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (fails, said) in [
        (Fails::AtStart, "/dev/v4l2-nvdec"),
        (Fails::After(3), "the hardware is gone"),
        (Fails::Silently, "no picture comes out"),
    ] {
        board.behave(|knobs| knobs.fails = fails);
        let (element, on_device, reason, frames) = ends(&repeated(dir.path()), &board).await;
        assert_eq!((element, on_device), (Some("avdec_h264"), false), "{fails:?}");
        assert!(reason.as_deref().is_some_and(|reason| reason.contains(said)), "{fails:?}: {reason:?}");
        assert!(frames.len() >= 60);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_hardware_gets_no_other() {
    let Some(mut board) = board() else { return };
    let dir = tempfile::tempdir().unwrap();
    board.behave(|knobs| knobs.fails = Fails::AtStart);
    let config = CameraConfig { decoder: DecoderChoice::Hardware, ..repeated(dir.path()) };
    let rig = Rig::start_with(&config, context(&board));
    let status = rig.until("a failure", |status| !status.detail.is_empty()).await;
    assert!(status.detail.contains("/dev/v4l2-nvdec") && status.decoding.fallback.is_some(), "{status:?}");
    assert_eq!(rig.inbox.len(), 0);
    rig.stop().await;
    // And a machine that has none says so.
    let rig = Rig::start(&config);
    let status = rig.state(CameraState::UnsupportedCodec).await;
    assert!(status.detail.contains("no decoder of NVIDIA's hardware is here"), "{status:?}");
    rig.stop().await;
}

/// A byte stream whose first key frame is gone, but not what it says of the stream; and the same without what comes before the next one.
fn beginnings(dir: &Path) -> [PathBuf; 2] {
    let (whole, [torn, clean]) = (dir.join("whole.h264"), ["torn.h264", "clean.h264"].map(|name| dir.join(name)));
    let coded = "x264enc bframes=0 threads=1 key-int-max=20 option-string=scenecut=0 ! h264parse config-interval=-1";
    film(&whole, &format!("{PICTURES} ! {coded} ! video/x-h264,stream-format=byte-stream"));
    let bytes = std::fs::read(&whole).unwrap();
    let starts: Vec<usize> = bytes.windows(3).enumerate().filter(|(_, start)| *start == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts[1..].iter().copied().chain([bytes.len()]);
    let units: Vec<(u8, &[u8])> = starts.iter().zip(ends).map(|(from, to)| (bytes[from + 3] & 31, &bytes[*from..to])).collect();
    let keys: Vec<usize> = units.iter().enumerate().filter(|(_, (kind, _))| *kind == 5).map(|(at, _)| at).collect();
    assert_eq!((keys.len(), units.iter().filter(|(kind, _)| *kind == 1).count()), (4, 76), "a slice for each picture");
    let write = |path: &Path, parts: &[&[(u8, &[u8])]]| {
        let joined: Vec<u8> = parts.iter().flat_map(|part| part.iter()).flat_map(|(_, unit)| unit.iter().copied()).collect();
        std::fs::write(path, joined).unwrap();
    };
    // What a key frame needs to be read comes right before it.
    let second = units[..keys[1]].iter().rposition(|(kind, _)| *kind == 1).unwrap() + 1;
    write(&torn, &[&units[..keys[0]], &units[keys[0] + 6..]]);
    write(&clean, &[&units[second..]]);
    [torn, clean]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_begins_between_key_frames_is_shown_from_the_first_one_on() {
    let Some(board) = board() else { return };
    let dir = tempfile::tempdir().unwrap();
    let [torn, clean] = beginnings(dir.path());
    let luma = |frame: &Frame| {
        let picture = frame.pixels.host().expect("a picture");
        let ((row, rows), (bytes, stride)) = (picture.plane_size(0), picture.plane(0));
        (0..rows).flat_map(|y| bytes[y * stride..][..row].to_vec()).collect::<Vec<u8>>()
    };
    let play = async |path: PathBuf, decoder| {
        let file = FileConfig { path, repeat: false, realtime: false, every_frame: true };
        let rig = Rig::start_with(&CameraConfig { decoder, ..camera(SourceConfig::File(file)) }, context(&board));
        let status = rig.state(CameraState::Ended).await;
        let frames = rig.inbox.take();
        rig.stop().await;
        (frames.iter().map(luma).collect::<Vec<_>>(), status)
    };
    let (wanted, _) = play(clean, DecoderChoice::Software).await;
    let (shown, status) = play(torn, DecoderChoice::Hardware).await;
    assert_eq!((status.decoding.element, status.decode_errors), (Some("nvv4l2decoder"), 0), "{status:?}");
    assert_eq!((wanted.len(), shown.len()), (60, 60));
    assert!(shown == wanted, "no picture is broken");
}
