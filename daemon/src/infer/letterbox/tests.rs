//! Against the published preprocessing, written down slowly.

use egret_models::spec::{BatchAxis, Place};
use proptest::prelude::*;

use super::*;
use crate::media::{PictureBytes, Plane};

fn input(width: usize, height: usize, order: ChannelOrder) -> InputSpec {
    InputSpec { order, ..InputSpec::yolox("images", BatchAxis::Fixed(1), width, height) }
}

/// A picture with any strides and plane gaps, filled by a small generator.
fn picture(layout: Layout, size: (u32, u32), color: Color, slack: [usize; 3], seed: u32) -> HostPicture {
    aligned_picture(layout, size, color, (slack, 1), seed)
}

/// The same with planes that begin at multiples of `alignment` bytes.
pub(super) fn aligned_picture(
    layout: Layout,
    (w, h): (u32, u32),
    color: Color,
    (slack, alignment): ([usize; 3], usize),
    seed: u32,
) -> HostPicture {
    let (cw, ch) = (w.div_ceil(2) as usize, h.div_ceil(2) as usize);
    let rows = [h as usize, ch, ch];
    let widths = match layout {
        Layout::I420 => [w as usize, cw, cw],
        Layout::Nv12 => [w as usize, 2 * cw, 0],
    };
    let mut planes = [Plane::default(); 3];
    let mut offset = slack[0];
    for i in 0..3 {
        offset = offset.next_multiple_of(alignment);
        planes[i] = Plane { offset, stride: widths[i] + slack[i] };
        offset += rows[i] * planes[i].stride;
    }
    let mut state = seed | 1;
    let bytes: Vec<u8> = (0..offset)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 11) as u8
        })
        .collect();
    HostPicture::new(layout, (w, h), color, planes, PictureBytes::Owned(bytes.into())).unwrap()
}

/// A pixel's R'G'B' before clamping, chroma repeated to full resolution.
fn rgb(p: &HostPicture, x: usize, y: usize) -> [f64; 3] {
    let sample = |plane: usize, column: usize, row: usize| {
        let (bytes, stride) = p.plane(plane);
        f64::from(bytes[row * stride + column])
    };
    let (u, v) = match p.layout() {
        Layout::I420 => (sample(1, x / 2, y / 2), sample(2, x / 2, y / 2)),
        Layout::Nv12 => (sample(1, x / 2 * 2, y / 2), sample(1, x / 2 * 2 + 1, y / 2)),
    };
    let y = sample(0, x, y);
    let (kr, kb) = if p.color().matrix == ColorMatrix::Bt601 { (0.299, 0.114) } else { (0.2126, 0.0722) };
    let (y, u, v) = if p.color().full_range {
        (y / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0)
    } else {
        ((y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0)
    };
    let red = y + 2.0 * (1.0 - kr) * v;
    let blue = y + 2.0 * (1.0 - kb) * u;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    [red * 255.0, green * 255.0, blue * 255.0]
}

/// `cv2.resize(…, INTER_LINEAR)` of a crop at one output pixel, then clamped; with it how much the two rows differ.
fn resized(p: &HostPicture, rect: Rect, covered: (usize, usize), x: usize, y: usize) -> [(f64, f64); 3] {
    let axis = |out: usize, covered: usize, len: usize| {
        let at = ((out as f64 + 0.5) * len as f64 / covered as f64 - 0.5).clamp(0.0, (len - 1) as f64);
        (at.floor() as usize, (at.floor() as usize + 1).min(len - 1), at.fract())
    };
    let (x0, x1, fx) = axis(x, covered.0, rect.width);
    let (y0, y1, fy) = axis(y, covered.1, rect.height);
    let at = |x: usize, y: usize| rgb(p, rect.x + x, rect.y + y);
    let (a, b, c, d) = (at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1));
    std::array::from_fn(|i| {
        let (upper, lower) = (a[i] * (1.0 - fx) + b[i] * fx, c[i] * (1.0 - fx) + d[i] * fx);
        ((upper * (1.0 - fy) + lower * fy).clamp(0.0, 255.0), (upper - lower).abs())
    })
}

fn check(p: &HostPicture, region: Option<BBox>, spec: &InputSpec, out: &[f32]) -> Result<(), TestCaseError> {
    let (w, h) = (spec.width, spec.height);
    let rect = Rect::of(region, (p.width() as usize, p.height() as usize));
    let covered = rect.map_or((0, 0), |rect| {
        let ratio = (h as f64 / rect.height as f64).min(w as f64 / rect.width as f64);
        (((rect.width as f64 * ratio) as usize).max(1), ((rect.height as f64 * ratio) as usize).max(1))
    });
    for y in 0..h {
        for x in 0..w {
            let expected = match rect {
                Some(rect) if x < covered.0 && y < covered.1 => resized(p, rect, covered, x, y),
                _ => [(114.0, 0.0); 3],
            };
            for (channel, (expected, rows_differ)) in expected.into_iter().enumerate() {
                let plane = if spec.order == ChannelOrder::Bgr { 2 - channel } else { channel };
                let value = f64::from(out[(plane * h + y) * w + x]);
                // Rows are blended by weights in 1/256.
                let tolerance = 2e-3 + rows_differ / 512.0;
                prop_assert!((value - expected).abs() < tolerance, "({x},{y}) channel {channel}: {value} for {expected}");
            }
        }
    }
    Ok(())
}

fn any_picture() -> impl Strategy<Value = HostPicture> {
    let color = (any::<bool>(), any::<bool>()).prop_map(|(bt709, full_range)| Color {
        matrix: if bt709 { ColorMatrix::Bt709 } else { ColorMatrix::Bt601 },
        full_range,
    });
    let layout = prop_oneof![Just(Layout::I420), Just(Layout::Nv12)];
    (layout, 1..90_u32, 1..90_u32, color, [0..9_usize, 0..9, 0..9], any::<u32>())
        .prop_map(|(layout, w, h, color, slack, seed)| picture(layout, (w, h), color, slack, seed))
}

pub(super) fn any_region() -> impl Strategy<Value = Option<BBox>> {
    prop::option::of((-20.0..100.0_f32, -20.0..100.0_f32, 0.0..60.0_f32, 0.0..60.0_f32))
        .prop_map(|region| region.map(|(x, y, w, h)| BBox::new(x, y, x + w, y + h)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Several pictures of different sizes through one slot: each as if the slot were fresh.
    #[test]
    fn equals_the_published_preprocessing(pictures in prop::collection::vec((any_picture(), any_region()), 1..4),
                                          bgr in any::<bool>(), size in (1..4_usize, 1..4_usize)) {
        let order = if bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb };
        let spec = input(32 * size.0, 32 * size.1, order);
        let mut letterbox = Letterbox::new(&spec, 1);
        let mut out = vec![0.0; letterbox.slot_len()];
        for (picture, region) in &pictures {
            letterbox.fill(0, picture, *region, &mut out);
            check(picture, *region, &spec, &out)?;
        }
    }
}

#[test]
fn a_box_comes_back_to_where_it_was() {
    let spec = input(416, 416, ChannelOrder::Bgr);
    let mut letterbox = Letterbox::new(&spec, 1);
    let mut out = vec![0.0; letterbox.slot_len()];
    let p = picture(Layout::I420, (1920, 1080), Color::default(), [0; 3], 7);
    let placement = letterbox.fill(0, &p, None, &mut out).unwrap();
    let ratio = 416.0 / 1920.0;
    let source = placement.to_source([100.0 * ratio, 50.0 * ratio, 300.0 * ratio, 250.0 * ratio]);
    for (found, expected) in [(source.x1, 100.0), (source.y1, 50.0), (source.x2, 300.0), (source.y2, 250.0)] {
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }
    let beyond = placement.to_source([-5.0, -5.0, 500.0, 500.0]);
    assert_eq!(beyond, BBox::new(0.0, 0.0, 1920.0, 1080.0));
    let region = BBox::new(600.5, 300.0, 1016.0, 508.0);
    let placement = letterbox.fill(0, &p, Some(region), &mut out).unwrap();
    assert_eq!(placement.to_source([0.0, 0.0, 416.0, 208.0]), BBox::new(600.0, 300.0, 1016.0, 508.0));
}

#[test]
fn a_region_outside_the_picture_is_padding() {
    let spec = input(32, 32, ChannelOrder::Bgr);
    let mut letterbox = Letterbox::new(&spec, 1);
    let mut out = vec![0.0; letterbox.slot_len()];
    let p = picture(Layout::Nv12, (64, 48), Color::default(), [3; 3], 9);
    let nan = BBox::new(f32::NAN, f32::NAN, f32::NAN, f32::NAN);
    for region in [BBox::new(64.0, 0.0, 80.0, 20.0), BBox::new(-9.0, -9.0, -1.0, -1.0), BBox::new(9.0, 9.0, 3.0, 3.0), nan] {
        assert!(letterbox.fill(0, &p, None, &mut out).is_some());
        assert_eq!(letterbox.fill(0, &p, Some(region), &mut out), None);
        assert!(out.iter().all(|v| v.to_bits() == 114.0_f32.to_bits()));
    }
}

/// Where output pixel `out` of `side` samples `len` source pixels, and how much of the axis is drawn: the published preprocessings,
/// written down plainly.
fn sampled(fit: Fit, (w, h): (usize, usize), (width, height): (usize, usize), (x, y): (usize, usize)) -> Option<(f64, f64)> {
    let centres = |out: f64, scaled: f64, len: usize| ((out + 0.5) * len as f64 / scaled - 0.5).clamp(0.0, (len - 1) as f64);
    let ratio = (width as f64 / w as f64).min(height as f64 / h as f64);
    match fit {
        Fit::Stretch => Some((centres(x as f64, width as f64, w), centres(y as f64, height as f64, h))),
        // ultralytics/data/augment.py, LetterBox: new_unpad = round(w·r), left = round(dw/2 − 0.1).
        Fit::Letterbox(Place::Centre) => {
            let new = ((w as f64 * ratio).round_ties_even().max(1.0), (h as f64 * ratio).round_ties_even().max(1.0));
            let left = ((width as f64 - new.0) / 2.0 - 0.1).round_ties_even().max(0.0);
            let top = ((height as f64 - new.1) / 2.0 - 0.1).round_ties_even().max(0.0);
            let (x, y) = (x as f64 - left, y as f64 - top);
            (x >= 0.0 && y >= 0.0 && x < new.0 && y < new.1).then(|| (centres(x, new.0, w), centres(y, new.1, h)))
        }
        // torchvision: Resize of the shorter side to side/fraction, CenterCrop with round((h − th) / 2).
        Fit::CentreCrop { fraction } => {
            let shorter = (width as f64 / f64::from(fraction)).round_ties_even();
            let scaled = if w <= h {
                (shorter, (shorter * h as f64 / w as f64 + 1e-6).floor())
            } else {
                ((shorter * w as f64 / h as f64 + 1e-6).floor(), shorter)
            };
            let cut = (((scaled.0 - width as f64) / 2.0).round_ties_even(), ((scaled.1 - height as f64) / 2.0).round_ties_even());
            Some((centres(x as f64 + cut.0, scaled.0, w), centres(y as f64 + cut.1, scaled.1, h)))
        }
        Fit::Letterbox(Place::TopLeft) => panic!("checked elsewhere"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Every other way to fit a picture in, with its own mean and deviation per colour, planar and interleaved.
    #[test]
    fn other_fits_equal_their_published_preprocessing(pictures in prop::collection::vec(any_picture(), 1..3), way in 0..3_usize,
                                                      bgr in any::<bool>(), interleaved in any::<bool>(), side in 8..40_usize) {
        let fit = [Fit::Stretch, Fit::Letterbox(Place::Centre), Fit::CentreCrop { fraction: 0.875 }][way];
        let order = if bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb };
        let layout = if interleaved { TensorLayout::Nhwc } else { TensorLayout::Nchw };
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let spec = InputSpec { fit, layout, scale: 1.0 / 255.0, mean, std, ..input(side, side, order) };
        let mut letterbox = Letterbox::new(&spec, 1);
        let mut out = vec![0.0; letterbox.slot_len()];
        for p in &pictures {
            let placement = letterbox.fill(0, p, None, &mut out).unwrap();
            let size = (p.width() as usize, p.height() as usize);
            let clamp = |axis: f64, len: usize| (axis.floor() as usize, (axis.floor() as usize + 1).min(len - 1), axis.fract());
            for y in 0..side {
                for x in 0..side {
                    let at = sampled(fit, size, (side, side), (x, y));
                    for channel in 0..3 {
                        let (expected, differ) = at.map_or((114.0, 0.0), |(sx, sy)| {
                            let ((x0, x1, fx), (y0, y1, fy)) = (clamp(sx, size.0), clamp(sy, size.1));
                            let colour = if bgr { 2 - channel } else { channel };
                            let corner = |x: usize, y: usize| rgb(p, x, y)[colour];
                            let upper = corner(x0, y0) * (1.0 - fx) + corner(x1, y0) * fx;
                            let lower = corner(x0, y1) * (1.0 - fx) + corner(x1, y1) * fx;
                            ((upper * (1.0 - fy) + lower * fy).clamp(0.0, 255.0), (upper - lower).abs())
                        });
                        let expected = (expected / 255.0 - f64::from(mean[channel])) / f64::from(std[channel]);
                        let at = if interleaved { (y * side + x) * 3 + channel } else { (channel * side + y) * side + x };
                        let tolerance = (2e-3 + differ / 512.0) / 255.0 / f64::from(std[channel]) + 1e-5;
                        prop_assert!((f64::from(out[at]) - expected).abs() < tolerance, "({x},{y}) {channel}: {} for {expected}", out[at]);
                    }
                }
            }
            // A point of the input comes from where its pixel was sampled.
            if let Some((sx, sy)) = sampled(fit, size, (side, side), (side / 2, side / 2)) {
                let (px, py) = placement.point(side as f32 / 2.0 + 0.5, side as f32 / 2.0 + 0.5);
                let (far_x, far_y) = placement.extent(1.0, 1.0);
                let near = |found: f32, sampled: f64, pixel: f32| (f64::from(found) - sampled - 0.5).abs() < f64::from(pixel) + 1.0;
                prop_assert!(near(px, sx, far_x) && near(py, sy, far_y), "{px} {py} for {sx} {sy}");
            }
        }
    }
}
