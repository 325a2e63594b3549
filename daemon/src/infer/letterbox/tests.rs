//! Against the published preprocessing, written down slowly.

use egret_models::spec::BatchAxis;
use proptest::prelude::*;

use super::*;
use crate::media::{PictureBytes, Plane};

fn input(width: usize, height: usize, order: ChannelOrder) -> InputSpec {
    InputSpec { order, ..InputSpec::yolox("images", BatchAxis::Fixed(1), width, height) }
}

/// A picture with any strides and plane gaps, filled by a small generator.
fn picture(layout: Layout, (w, h): (u32, u32), color: Color, slack: [usize; 3], seed: u32) -> HostPicture {
    let (cw, ch) = (w.div_ceil(2) as usize, h.div_ceil(2) as usize);
    let rows = [h as usize, ch, ch];
    let widths = match layout {
        Layout::I420 => [w as usize, cw, cw],
        Layout::Nv12 => [w as usize, 2 * cw, 0],
    };
    let mut planes = [Plane::default(); 3];
    let mut offset = slack[0];
    for i in 0..3 {
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

fn any_region() -> impl Strategy<Value = Option<BBox>> {
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
