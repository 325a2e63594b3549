//! The kernels of a GPU, run on the CPU, beside the CPU's letterbox: the same pictures, windows and formats. Prints how far apart they
//! are. Needs a C++ compiler; without one the tests say loudly that they were skipped.

use egret_jetson::kernels::{
    cpu::{Cells, CpuError, CpuKernels, HostFrame},
    letterbox as device,
};
use egret_models::spec::{BatchAxis, Place};
use half::f16;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use super::{
    tests::{aligned_picture, any_region},
    *,
};

/// Column weights are rounded once by the kernels (exact in integers until then), and from double precision by the CPU: one unit in the
/// last place of a weight, times the largest step between two samples, in levels. Nothing else differs.
const MAX_LEVELS: f32 = 255.0 / (1 << 22) as f32;

/// The kernels on the CPU. `None`: no compiler, which is said.
pub(in crate::infer) fn kernels() -> Option<CpuKernels> {
    match CpuKernels::load() {
        Ok(kernels) => Some(kernels),
        Err(CpuError::NoCompiler(error)) => {
            eprintln!("SKIPPED: no C++ compiler for the kernels: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn host_frame(p: &HostPicture) -> HostFrame<'_> {
    let samples = if p.layout() == Layout::Nv12 { device::Samples::Nv12 } else { device::Samples::I420 };
    let planes = [0, 1, 2].map(|i| if i < p.plane_count() { p.plane(i) } else { (&[][..], 0) });
    let [luma_pitch, chroma_pitch] = [planes[0].1 as u32, planes[1].1 as u32];
    let frame = device::Frame { samples, width: p.width(), height: p.height(), luma_pitch, chroma_pitch };
    HostFrame { frame, planes: planes.map(|(bytes, _)| bytes) }
}

/// The chroma of NV12 lies on whole pairs of bytes, as every decoder has it.
fn picture(layout: Layout, size: (u32, u32), color: Color, slack: [usize; 3], seed: u32) -> HostPicture {
    aligned_picture(layout, size, color, (slack, 2), seed)
}

/// Any sizes, with bytes between the rows.
fn any_picture() -> impl Strategy<Value = HostPicture> {
    let color = (any::<bool>(), any::<bool>()).prop_map(|(bt709, full_range)| Color {
        matrix: if bt709 { ColorMatrix::Bt709 } else { ColorMatrix::Bt601 },
        full_range,
    });
    let layout = prop_oneof![3 => Just(Layout::Nv12), 1 => Just(Layout::I420)];
    let side = prop_oneof![Just(1), Just(2), 3..200_u32];
    (layout, side.clone(), side, color, [0..9_usize, 0..9], any::<u32>()).prop_map(|(layout, w, h, color, slack, seed)| {
        picture(layout, (w, h), color, [slack[0], 2 * slack[1], 2 * slack[1]], seed)
    })
}

fn any_fit() -> impl Strategy<Value = Fit> {
    prop_oneof![
        Just(Fit::Letterbox(Place::TopLeft)),
        Just(Fit::Letterbox(Place::Centre)),
        Just(Fit::Stretch),
        Just(Fit::CentreCrop { fraction: 0.875 }),
        Just(Fit::CentreCrop { fraction: 1.0 }),
    ]
}

fn any_input() -> impl Strategy<Value = InputSpec> {
    (any_fit(), any::<[bool; 3]>(), 1..150_usize, 1..100_usize).prop_map(|(fit, [bgr, nhwc, plain], width, height)| InputSpec {
        order: if bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb },
        layout: if nhwc { TensorLayout::Nhwc } else { TensorLayout::Nchw },
        fit,
        scale: if plain { 1.0 } else { 1.0 / 255.0 },
        mean: if plain { [0.0; 3] } else { [0.485, 0.456, 0.406] },
        std: if plain { [1.0; 3] } else { [0.229, 0.224, 0.225] },
        ..InputSpec::yolox("images", BatchAxis::Dynamic, width, height)
    })
}

fn tensor_of(spec: &InputSpec, element: device::Element) -> device::Tensor {
    let interleaved = spec.layout == TensorLayout::Nhwc;
    device::Tensor { width: spec.width as u32, height: spec.height as u32, element, interleaved }
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    batches: usize,
    pictures: usize,
    values: usize,
    differ: usize,
    /// In levels of 0..255.
    farthest: f32,
}

/// What a batch becomes on the CPU, and by the kernels as 32-bit floats.
fn both(kernels: &mut CpuKernels, spec: &InputSpec, batch: &[(HostPicture, Option<BBox>)]) -> (Vec<f32>, Vec<f32>) {
    let mut letterbox = Letterbox::new(spec, batch.len());
    let len = letterbox.slot_len();
    let mut expected = vec![0.0; batch.len() * len];
    for (slot, ((picture, region), out)) in batch.iter().zip(expected.chunks_exact_mut(len)).enumerate() {
        letterbox.fill(slot, picture, *region, out);
    }
    let windows: Vec<_> =
        batch.iter().map(|(picture, region)| (host_frame(picture), window(&letterbox, picture, *region), true)).collect();
    // What the kernels do not write stays NaN.
    let mut found = vec![f32::NAN; expected.len()];
    kernels.letterbox(&tensor_of(spec, device::Element::F32), &windows, &mut Cells::F32(&mut found)).expect("drawn");
    kernels.descending = !kernels.descending;
    (expected, found)
}

fn window(letterbox: &Letterbox, picture: &HostPicture, region: Option<BBox>) -> device::Window {
    let size = (picture.width() as usize, picture.height() as usize);
    letterbox.window(size, picture.color(), region).map_or_else(|| letterbox.nothing(), |(window, _)| window)
}

#[test]
fn batches_of_any_pictures_equal_the_cpu() {
    let Some(mut kernels) = kernels() else { return };
    let mut seen = Seen::default();
    let mut runner = TestRunner::deterministic();
    let strategy = (any_input(), prop::collection::vec((any_picture(), any_region()), 1..6));
    for _ in 0..300 {
        let (spec, batch) = strategy.new_tree(&mut runner).expect("a value").current();
        let (expected, found) = both(&mut kernels, &spec, &batch);
        seen.batches += 1;
        seen.pictures += batch.len();
        for (i, (expected, found)) in expected.iter().zip(&found).enumerate() {
            let levels = (expected - found).abs() / spec.scale * spec.std[0].max(spec.std[1]).max(spec.std[2]);
            assert!(levels <= MAX_LEVELS, "{i}: {found} for {expected} with {spec:?} of {batch:?}");
            seen.values += 1;
            seen.differ += usize::from(expected.to_bits() != found.to_bits());
            seen.farthest = seen.farthest.max(levels);
        }
    }
    println!("letterbox, 32-bit floats: {seen:?}; at most {MAX_LEVELS} levels allowed");
    assert!(seen.values > 1_000_000);
}

#[test]
fn large_and_odd_pictures_equal_the_cpu() {
    let Some(mut kernels) = kernels() else { return };
    let spec = |width, height, fit| InputSpec { fit, ..InputSpec::yolox("images", BatchAxis::Dynamic, width, height) };
    let nv12 = |w, h, slack: usize| (picture(Layout::Nv12, (w, h), Color::default(), [slack, slack & !1, 0], w + h), None);
    for (spec, batch) in [
        (spec(640, 640, Fit::Letterbox(Place::Centre)), vec![nv12(1920, 1080, 128), nv12(1280, 720, 0)]),
        (spec(416, 416, Fit::Letterbox(Place::TopLeft)), vec![nv12(1920, 1080, 0), nv12(3840, 2160, 0), nv12(640, 480, 32)]),
        (spec(640, 384, Fit::Stretch), vec![nv12(2, 1080, 30), nv12(4096, 2, 0), nv12(1, 1, 1)]),
        (spec(224, 224, Fit::CentreCrop { fraction: 0.875 }), vec![nv12(4096, 1, 0), nv12(1, 4096, 1), nv12(1919, 1079, 1)]),
    ] {
        let (expected, found) = both(&mut kernels, &spec, &batch);
        let farthest = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let differ = expected.iter().zip(&found).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        println!("{batch:?} to {}x{} {:?}: {differ} of {} differ, by {farthest}", spec.width, spec.height, spec.fit, found.len());
        assert!(farthest <= MAX_LEVELS && found.iter().all(|v| v.is_finite()));
    }
}

/// Every other element is the rounded float.
#[test]
fn other_elements_are_the_rounded_floats() {
    let Some(mut kernels) = kernels() else { return };
    let step = 0.02;
    let mut runner = TestRunner::deterministic();
    let strategy = (any_input(), prop::collection::vec((any_picture(), any_region()), 1..4));
    for _ in 0..100 {
        let (spec, batch) = strategy.new_tree(&mut runner).expect("a value").current();
        let (_, floats) = both(&mut kernels, &spec, &batch);
        let letterbox = Letterbox::new(&spec, batch.len());
        let windows: Vec<_> =
            batch.iter().map(|(picture, region)| (host_frame(picture), window(&letterbox, picture, *region), true)).collect();
        let (mut halves, mut bytes, mut quantised) = (vec![0; floats.len()], vec![0; floats.len()], vec![0; floats.len()]);
        for (element, mut cells) in [
            (device::Element::F16, Cells::F16(&mut halves)),
            (device::Element::U8, Cells::U8(&mut bytes)),
            (device::Element::I8 { step }, Cells::I8(&mut quantised)),
        ] {
            kernels.letterbox(&tensor_of(&spec, element), &windows, &mut cells).expect("drawn");
        }
        for (i, float) in floats.iter().enumerate() {
            assert_eq!(halves[i], f16::from_f32(*float).to_bits(), "{float}");
            assert_eq!(bytes[i], float.round() as u8, "{float}");
            assert_eq!(quantised[i], (float / step).round_ties_even() as i8, "{float}");
        }
    }
}

/// Padding that is there already is left alone, and nothing beyond the tensor is touched.
#[test]
fn only_what_is_asked_for_is_written() {
    let Some(kernels) = kernels() else { return };
    let spec = InputSpec { fit: Fit::Letterbox(Place::Centre), ..InputSpec::yolox("images", BatchAxis::Dynamic, 70, 40) };
    let letterbox = Letterbox::new(&spec, 1);
    let p = picture(Layout::Nv12, (30, 30), Color::default(), [2, 2, 0], 3);
    let windows = [(host_frame(&p), window(&letterbox, &p, None), false)];
    let tensor = tensor_of(&spec, device::Element::F32);
    let mut out = vec![f32::NAN; tensor.slot_len() + 100];
    kernels.letterbox(&tensor, &windows, &mut Cells::F32(&mut out)).expect("drawn");
    let written = out.iter().filter(|v| v.is_finite()).count();
    assert_eq!(written, 3 * 40 * 40);
    assert!(out[tensor.slot_len()..].iter().all(|v| v.is_nan()));
    let columns = |x: usize| (15..55).contains(&x);
    assert!((0..70).all(|x| out[x].is_finite() == columns(x)));
    // As a whole, then without the padding: the same.
    let mut whole = vec![f32::NAN; tensor.slot_len()];
    kernels.letterbox(&tensor, &[(windows[0].0, windows[0].1, true)], &mut Cells::F32(&mut whole)).expect("drawn");
    assert!(whole.iter().all(|v| v.is_finite()));
    kernels.letterbox(&tensor, &windows, &mut Cells::F32(&mut whole)).expect("drawn");
    assert!(whole.iter().zip(&out).all(|(a, b)| b.is_nan() || a.to_bits() == b.to_bits()));
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let spec = InputSpec::yolox("images", BatchAxis::Dynamic, 64, 64);
    let letterbox = Letterbox::new(&spec, 1);
    let tensor = tensor_of(&spec, device::Element::F32);
    let (window, _) = letterbox.window((100, 50), Color::default(), None).expect("a window");
    let frame = device::Frame { samples: device::Samples::Nv12, width: 100, height: 50, luma_pitch: 100, chroma_pitch: 100 };
    assert!(tensor.slot(&frame, [0, 2, 0], &window, true).is_ok());
    for (bad, planes) in [
        (device::Frame { luma_pitch: 99, ..frame }, [0, 2, 0]),
        (device::Frame { chroma_pitch: 98, ..frame }, [0, 2, 0]),
        (device::Frame { chroma_pitch: 101, ..frame }, [0, 2, 0]),
        (frame, [0, 3, 0]),
    ] {
        let error = tensor.slot(&bad, planes, &window, true).expect_err("a pitch");
        assert!(error.to_string().starts_with("a 100x50 picture cannot have pitches of"), "{error}");
    }
    // A picture of another size than the window was made for, a window for another tensor.
    for (bad, tensor) in [
        (device::Frame { width: 99, ..frame }, tensor),
        (frame, device::Tensor { width: 60, ..tensor }),
        (device::Frame { height: 49, ..frame }, tensor),
    ] {
        let error = tensor.slot(&bad, [0, 2, 0], &window, true).expect_err("an axis");
        assert!(matches!(error, device::WindowError::Axis { .. }), "{error}");
    }
}
