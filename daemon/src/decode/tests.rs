mod hardware;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex},
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use super::*;
use crate::{
    media::{Capture, Frame, HostPicture, Layout, Mark, Pixels, StreamId, TimeBasis, TimeCard},
    status::StatusBoard,
};

const DEADLINE: Duration = Duration::from_mins(1);

fn data(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("EGRET_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

/// Splits an H.264 byte stream into access units (H.264 §7.4.1.2.3, as far as these files need it).
fn h264_units(stream: &[u8]) -> Vec<(Bytes, bool)> {
    let mut starts: Vec<usize> = stream.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(i, _)| i).collect();
    starts.push(stream.len());
    let (mut units, mut unit, mut has_slice, mut key) = (Vec::new(), Vec::new(), false, false);
    for pair in starts.windows(2) {
        let nal = &stream[pair[0]..pair[1]];
        let kind = nal.get(3).map_or(0, |b| b & 31);
        let slice = matches!(kind, 1 | 5);
        let first_slice = slice && nal.get(4).is_some_and(|b| b & 0x80 != 0);
        if has_slice && (first_slice || (6..=9).contains(&kind)) {
            units.push((Bytes::from(std::mem::take(&mut unit)), key));
            (has_slice, key) = (false, false);
        }
        unit.extend_from_slice(&[0]);
        unit.extend_from_slice(nal);
        has_slice |= slice;
        key |= kind == 5;
    }
    units.push((Bytes::from(unit), key));
    units
}

fn unit(data: Bytes, random_access: bool, codec: Codec, number: u64) -> AccessUnit {
    AccessUnit {
        stream: StreamId::new(1, "cam"),
        codec,
        pts: Duration::from_millis(40 * number),
        capture: Capture { wall: SystemTime::UNIX_EPOCH + Duration::from_secs(number), basis: TimeBasis::SenderReport },
        random_access,
        loss: 0,
        data,
        times: TimeCard::received(Instant::now()),
    }
}

/// Collects frames; holds them as a batcher would.
#[derive(Default)]
struct Collector {
    frames: Mutex<Vec<Frame>>,
    grown: Condvar,
}

impl Collector {
    fn outlet(self: &Arc<Self>) -> (Arc<Outlet>, Arc<StatusBoard>) {
        let (board, stream) = (StatusBoard::new(), StreamId::new(1, "cam"));
        board.add(&stream);
        let me = Arc::clone(self);
        let sink = FrameSink::new(
            move |frame| {
                me.frames.lock().unwrap().push(frame);
                me.grown.notify_all();
                true
            },
            || (),
        );
        (Outlet::new(stream, sink, Arc::clone(&board), Duration::ZERO), board)
    }

    fn wait(&self, frames: usize) -> usize {
        let all = self.frames.lock().unwrap();
        let (all, _) = self.grown.wait_timeout_while(all, DEADLINE, |all| all.len() < frames).unwrap();
        all.len()
    }

    fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut self.frames.lock().unwrap())
    }
}

fn picture(frame: &Frame) -> &HostPicture {
    match &frame.pixels {
        Pixels::Host(picture) => picture,
        Pixels::Device(_) | Pixels::None { .. } => panic!("no picture in host memory"),
    }
}

/// Pushes without overrunning the queue: waits for the decoder as a camera's frame rate would.
fn push_paced(decoder: &mut Decoder, unit: AccessUnit) {
    let deadline = Instant::now() + DEADLINE;
    while decoder.queued.load(Ordering::Relaxed) > QUEUE / 2 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(decoder.push(unit), Pushed::Queued);
}

fn decode(codec: Codec, units: &[(Bytes, bool)]) -> (Vec<Frame>, Arc<StatusBoard>) {
    let collector = Arc::new(Collector::default());
    let (outlet, board) = collector.outlet();
    let mut decoder = Decoder::new(codec, &outlet, &Setup::default()).unwrap();
    for (number, (data, key)) in units.iter().enumerate() {
        push_paced(&mut decoder, unit(data.clone(), *key, codec, number as u64));
    }
    assert!(decoder.drain(DEADLINE));
    drop(decoder);
    (collector.take(), board)
}

fn i420_sha1(frames: &[Frame]) -> String {
    let mut hash = gst::glib::Checksum::new(gst::glib::ChecksumType::Sha1).unwrap();
    for frame in frames {
        let picture = picture(frame);
        assert_eq!(picture.layout(), Layout::I420);
        for plane in 0..3 {
            let ((row_bytes, rows), (bytes, stride)) = (picture.plane_size(plane), picture.plane(plane));
            for row in 0..rows {
                hash.update(&bytes[row * stride..][..row_bytes]);
            }
        }
    }
    hash.string().unwrap()
}

/// Pictures are those of the H.264 conformance streams, bit by bit, although they lie in the decoder's padded buffers.
#[test]
fn pictures_are_exact() {
    let Some(folder) = data("stream/openh264") else { return };
    let expected = fs::read_to_string(folder.join("EXPECTED_I420_SHA1.tsv")).unwrap();
    let mut checked = 0;
    for (name, sha1) in expected.lines().filter_map(|line| line.split_once('\t')) {
        let (frames, _) = decode(Codec::H264, &h264_units(&fs::read(folder.join(name)).unwrap()));
        assert_eq!(i420_sha1(&frames), sha1, "{name}");
        checked += 1;
    }
    assert!(checked >= 9, "{checked}");
}

/// libav's decoder fills its own padded buffers, and those are what arrives.
#[test]
fn nothing_is_copied() {
    let Some(file) = data("stream/openh264/BA_MW_D.264") else { return };
    let (frames, _) = decode(Codec::H264, &h264_units(&fs::read(file).unwrap()));
    assert!(frames.iter().all(|frame| picture(frame).plane(0).1 > 176), "tight rows: the decoder copied");
}

#[test]
fn damaged_streams_end_in_pictures_and_never_in_a_panic() {
    let Some(folder) = data("stream/openh264") else { return };
    let sound = h264_units(&fs::read(folder.join("BA_MW_D.264")).unwrap());
    for name in ["BA_MW_D_IDR_LOST.264", "BA_MW_D_P_LOST.264", "Error_I_P.264", "SVA_FM1_E.264", "NRF_MW_E.264"] {
        let collector = Arc::new(Collector::default());
        let (outlet, _) = collector.outlet();
        let mut decoder = Decoder::new(Codec::H264, &outlet, &Setup::default()).unwrap();
        let damaged = h264_units(&fs::read(folder.join(name)).unwrap());
        for (number, (data, key)) in damaged.iter().chain(&sound).enumerate() {
            push_paced(&mut decoder, unit(data.clone(), *key, Codec::H264, number as u64));
        }
        assert!(decoder.drain(DEADLINE), "{name}");
        let frames = collector.take();
        let last: Vec<Frame> = frames.into_iter().rev().take(sound.len() - 1).collect();
        assert_eq!(last.len(), sound.len() - 1, "{name}: the sound stream came out whole");
    }
}

/// A Go fuzzing corpus entry: lines of `[]byte("…")` with Go's escapes.
fn go_corpus(text: &str) -> Vec<Vec<u8>> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("[]byte(\"")?.strip_suffix("\")"))
        .map(|literal| {
            let (mut bytes, mut chars) = (Vec::new(), literal.chars());
            while let Some(c) = chars.next() {
                match (c, if c == '\\' { chars.next() } else { None }) {
                    ('\\', Some('x')) => {
                        let hex: String = chars.by_ref().take(2).collect();
                        bytes.push(u8::from_str_radix(&hex, 16).unwrap_or(0));
                    }
                    ('\\', Some(other)) => bytes.push(match other {
                        'n' => b'\n',
                        'r' => b'\r',
                        't' => b'\t',
                        'a' => 7,
                        'b' => 8,
                        'v' => 11,
                        'f' => 12,
                        plain => plain as u8,
                    }),
                    (plain, _) => bytes.extend_from_slice(plain.to_string().as_bytes()),
                }
            }
            bytes
        })
        .collect()
}

/// Hostile bytes may break the decoder, which then says so and is rebuilt; a sound key frame after them comes out.
#[test]
fn hostile_bytes_are_survived() {
    let (Some(fuzz), Some(sound)) = (data("stream/gortsplib_fuzz"), data("stream/openh264/BA_MW_D.264")) else { return };
    let sound = h264_units(&fs::read(sound).unwrap());
    let mut hostile: Vec<Vec<u8>> = fs::read_dir(fuzz)
        .unwrap()
        .flat_map(|entry| go_corpus(&String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap())))
        .flat_map(|bytes| [bytes.clone(), [&[0, 0, 0, 1][..], &bytes].concat(), [&[0, 0, 0, 1, 0x67][..], &bytes].concat()])
        .collect();
    // Sound units with every 97th byte turned over, and cut in half.
    for (data, _) in sound.iter().take(20) {
        let mut turned = data.to_vec();
        for byte in turned.iter_mut().step_by(97) {
            *byte ^= 0xff;
        }
        hostile.push(turned);
        hostile.push(data[..data.len() / 2].to_vec());
    }
    assert!(hostile.len() > 100, "{}", hostile.len());
    for codec in [Codec::H264, Codec::H265, Codec::Mjpeg] {
        let collector = Arc::new(Collector::default());
        let (outlet, _) = collector.outlet();
        let mut decoder = Decoder::new(codec, &outlet, &Setup::default()).unwrap();
        for (number, bytes) in hostile.iter().enumerate() {
            let unit = unit(Bytes::from(bytes.clone()), number % 7 == 0, codec, number as u64);
            let deadline = Instant::now() + DEADLINE;
            while decoder.queued.load(Ordering::Relaxed) > QUEUE / 2 && decoder.fault().is_none() && Instant::now() < deadline {
                std::thread::yield_now();
            }
            if let Pushed::Failed(_) = decoder.push(unit) {
                decoder = Decoder::new(codec, &outlet, &Setup::default()).unwrap();
            }
        }
        if codec == Codec::H264 {
            collector.take();
            for (number, (data, key)) in sound.iter().enumerate() {
                if let Pushed::Failed(_) = decoder.push(unit(data.clone(), *key, codec, number as u64)) {
                    decoder = Decoder::new(codec, &outlet, &Setup::default()).unwrap();
                }
            }
            decoder.drain(DEADLINE);
            assert!(collector.take().len() > sound.len() / 2);
        }
    }
}

#[test]
fn the_resolution_may_change_in_mid_stream() {
    let Some(folder) = data("stream/openh264") else { return };
    let mut units = Vec::new();
    let mut expected = BTreeMap::new();
    for (name, size) in [("BA_MW_D.264", (176, 144)), ("Zhling_1280x720.264", (1280, 720)), ("test_vd_rc.264", (320, 192))] {
        let these = h264_units(&fs::read(folder.join(name)).unwrap());
        expected.insert(size, these.len());
        units.extend(these);
    }
    let (frames, board) = decode(Codec::H264, &units);
    let mut sizes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for frame in &frames {
        *sizes.entry(frame.pixels.size()).or_default() += 1;
    }
    assert_eq!(sizes, expected);
    assert_eq!(board.get(&StreamId::new(1, "cam")).unwrap().size, frames.last().map(|f| f.pixels.size()));
}

/// Runs a pipeline and returns its buffers.
fn encode(description: &str) -> Vec<(Bytes, bool)> {
    encode_timed(description).into_iter().map(|(data, key, _)| (data, key)).collect()
}

/// Runs a pipeline and returns its buffers, each with its number in display order at 25 pictures per second.
fn encode_timed(description: &str) -> Vec<(Bytes, bool, u64)> {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!("{description} ! appsink name=out sync=false")).unwrap();
    let bin = pipeline.downcast_ref::<gst::Bin>().unwrap();
    let sink = bin.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut units = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let pts = buffer.pts().unwrap_or_default().mseconds();
        units.push((Bytes::copy_from_slice(&buffer.map_readable().unwrap()), key, pts));
    }
    let first = units.iter().map(|(_, _, pts)| *pts).min().unwrap_or_default();
    for (_, _, pts) in &mut units {
        *pts = (*pts - first) / 40;
    }
    pipeline.set_state(gst::State::Null).unwrap();
    units
}

const H264: &str = "video/x-h264,stream-format=byte-stream,alignment=au";

#[test]
fn reordered_pictures_keep_their_own_times() {
    let units = encode_timed(&format!(
        "videotestsrc num-buffers=40 ! video/x-raw,format=I420,width=64,height=64,framerate=25/1 ! x264enc bframes=3 b-adapt=false ! {H264}"
    ));
    assert!(units.windows(2).any(|w| w[0].2 > w[1].2), "decoding order differs from display order");
    let collector = Arc::new(Collector::default());
    let (outlet, _) = collector.outlet();
    let mut decoder = Decoder::new(Codec::H264, &outlet, &Setup::default()).unwrap();
    for (data, key, number) in units {
        push_paced(&mut decoder, unit(data, key, Codec::H264, number));
    }
    assert!(decoder.drain(DEADLINE));
    let frames = collector.take();
    let numbers: Vec<u64> = frames.iter().map(|frame| frame.pts.as_millis() as u64 / 40).collect();
    assert_eq!(numbers, (0..40).collect::<Vec<u64>>());
    for (frame, number) in frames.iter().zip(numbers) {
        assert_eq!(frame.capture.wall, SystemTime::UNIX_EPOCH + Duration::from_secs(number));
        assert_eq!(frame.capture.basis, TimeBasis::SenderReport);
        assert!(frame.times.between(Mark::Received, Mark::Decoded).is_some());
    }
}

#[test]
fn live_streams_without_reordering_come_out_at_once() {
    let units = encode(&format!(
        "videotestsrc num-buffers=30 ! video/x-raw,format=I420,width=64,height=64 ! x264enc tune=zerolatency ! {H264}"
    ));
    let collector = Arc::new(Collector::default());
    let (outlet, _) = collector.outlet();
    let mut decoder = Decoder::new(Codec::H264, &outlet, &Setup::default()).unwrap();
    for (number, (data, key)) in units.into_iter().enumerate() {
        assert_eq!(decoder.push(unit(data, key, Codec::H264, number as u64)), Pushed::Queued);
        assert_eq!(collector.wait(number + 1), number + 1, "each picture comes before the next unit goes in");
    }
}

#[test]
fn layouts_that_need_a_converter_say_so_and_then_work_with_one() {
    let yuv422 = encode(&format!(
        "videotestsrc num-buffers=10 ! video/x-raw,format=Y42B,width=64,height=64 ! x264enc tune=zerolatency ! {H264}"
    ));
    let gray = encode("videotestsrc num-buffers=10 ! video/x-raw,format=GRAY8,width=64,height=64 ! jpegenc");
    for (codec, units, name) in [(Codec::H264, yuv422, "Y42B"), (Codec::Mjpeg, gray, "GRAY8")] {
        let collector = Arc::new(Collector::default());
        let (outlet, _) = collector.outlet();
        let mut decoder = Decoder::new(codec, &outlet, &Setup::default()).unwrap();
        decoder.push(unit(units[0].0.clone(), true, codec, 0));
        assert!(!decoder.chain.wait_for_end(DEADLINE));
        assert_eq!(decoder.fault(), Some(Fault::Format(name.into())));
        let mut decoder = Decoder::new(codec, &outlet, &Setup { convert: true, ..Setup::default() }).unwrap();
        for (number, (data, key)) in units.iter().enumerate() {
            push_paced(&mut decoder, unit(data.clone(), *key, codec, number as u64));
        }
        assert!(decoder.drain(DEADLINE));
        assert_eq!(collector.take().len(), 10, "{name}");
    }
}

#[test]
fn motion_jpeg_and_h265_decode() {
    let jpeg = encode("videotestsrc num-buffers=5 ! video/x-raw,format=I420,width=64,height=48 ! jpegenc");
    let (frames, _) = decode(Codec::Mjpeg, &jpeg);
    assert_eq!(frames.len(), 5);
    assert!(picture(&frames[0]).color().full_range);
    let Some(file) = data("stream/cros/bear.h265") else { return };
    let units = encode(&format!(
        "filesrc location={} ! h265parse ! video/x-h265,stream-format=byte-stream,alignment=au",
        Path::new(&file).display()
    ));
    let (frames, _) = decode(Codec::H265, &units);
    assert_eq!(frames.len(), units.len());
}

/// A line that takes nothing fills the queue; then units are refused, not piled up.
#[test]
fn the_queue_before_the_decoder_is_bounded() {
    let units = encode(&format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=I420,width=64,height=64 ! x264enc tune=zerolatency ! {H264}"
    ));
    let (board, stream) = (StatusBoard::new(), StreamId::new(1, "cam"));
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (waits, opens) = (Arc::clone(&gate), Arc::clone(&gate));
    let sink = FrameSink::new(
        move |_| {
            let open = waits.0.lock().unwrap();
            drop(waits.1.wait_while(open, |open| !*open).unwrap());
            false
        },
        move || {
            *opens.0.lock().unwrap() = true;
            opens.1.notify_all();
        },
    );
    let outlet = Outlet::new(stream, sink, board, Duration::ZERO);
    let mut decoder = Decoder::new(Codec::H264, &outlet, &Setup::default()).unwrap();
    let mut queued = 0;
    while decoder.push(unit(units[0].0.clone(), true, Codec::H264, queued)) == Pushed::Queued {
        queued += 1;
        assert!(queued < 2 * QUEUE as u64 + 16);
    }
    assert!(queued >= QUEUE as u64);
    outlet.interrupt();
    drop(decoder);
}

#[test]
fn a_decoder_s_graph_shows_no_properties() {
    let collector = Arc::new(Collector::default());
    let (outlet, _) = collector.outlet();
    let decoder = Decoder::new(Codec::H264, &outlet, &Setup::default()).unwrap();
    let graph = decoder.chain().graph();
    assert!(graph.contains("avdec_h264") && graph.contains("digraph"), "{graph}");
    assert!(!graph.contains("max-threads"));
}
