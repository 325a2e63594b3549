//! From the source to the network's input by the published definition of each fit, and back by the letterbox's own placement.

use std::f32::consts::FRAC_PI_2;

use egret_models::spec::{BatchAxis, Fit, InputSpec, Place};
use proptest::prelude::*;

use super::*;
use crate::{
    infer::Letterbox,
    media::{BBox, Extras, HostPicture},
};

/// Where a letterbox puts a region of a black frame of this size.
fn placement(fit: Fit, (width, height): (usize, usize), frame: (u32, u32), region: Option<BBox>) -> Placement {
    let input = InputSpec { fit, ..InputSpec::yolox("images", BatchAxis::Dynamic, width, height) };
    let len = (frame.0 * frame.1 + 2 * frame.0.div_ceil(2) * frame.1.div_ceil(2)) as usize;
    let picture = HostPicture::tight_i420(frame, vec![0; len].into()).unwrap();
    let mut letterbox = Letterbox::new(&input, 1);
    let mut slot = vec![0.0; letterbox.slot_len()];
    letterbox.fill(0, &picture, region, &mut slot).unwrap()
}

/// The scale and the shift of one axis of each fit, from the texts that define them.
fn forward(fit: Fit, input: [usize; 2], rect: [[usize; 2]; 2]) -> [(f64, f64); 2] {
    let [lens, starts] = [rect.map(|axis| axis[1]), rect.map(|axis| axis[0])];
    let ratios = [0, 1].map(|i| input[i] as f64 / lens[i] as f64);
    let (least, most) = (ratios[0].min(ratios[1]), ratios[0].max(ratios[1]));
    [0, 1].map(|i| {
        let (side, len, start) = (input[i] as f64, lens[i] as f64, starts[i] as f64);
        let (scale, shift) = match fit {
            Fit::Letterbox(Place::TopLeft) => (least, 0.0),
            Fit::Letterbox(Place::Centre) => (least, ((side - (len * least).round_ties_even()) / 2.0 - 0.1).round().max(0.0)),
            Fit::Stretch => (ratios[i], 0.0),
            // The side that fills the input is it; the other is truncated to whole pixels, and the middle is cut out.
            Fit::CentreCrop { .. } => {
                let scaled = (len * most + 1e-6).floor().max(side);
                (scaled / len, -((scaled - side) / 2.0).round_ties_even())
            }
        };
        (scale, shift - start * scale)
    })
}

fn found(bbox: [f32; 4], extra: head::Extra) -> Found {
    Found { class: 3, score: 0.5, bbox, extra }
}

fn only(found: Found, placement: &Placement) -> Extra {
    let mut boxes = in_source(&[found], placement);
    boxes.extras.take(0).expect("it lies in the frame")
}

const FITS: [Fit; 4] =
    [Fit::Letterbox(Place::TopLeft), Fit::Letterbox(Place::Centre), Fit::Stretch, Fit::CentreCrop { fraction: 1.0 }];

/// A fit, an input, a frame, and the whole of it or a tile.
fn any_case() -> impl Strategy<Value = (Fit, [usize; 2], (u32, u32), Option<[usize; 4]>)> {
    let region = (0..40_usize, 0..40_usize, 8..60_usize, 8..60_usize);
    (0..FITS.len(), 8..90_usize, 8..90_usize, 40..200_u32, 40..200_u32, prop::option::of(region)).prop_map(
        |(fit, width, height, frame_width, frame_height, region)| {
            let frame = (frame_width, frame_height);
            let region = region.map(|(x, y, w, h)| {
                let (x, y) = (x.min(frame.0 as usize - 8), y.min(frame.1 as usize - 8));
                [x, y, (x + w).min(frame.0 as usize), (y + h).min(frame.1 as usize)]
            });
            (FITS[fit], [width, height], frame, region)
        },
    )
}

fn near(a: f32, b: f64) -> bool {
    (f64::from(a) - b).abs() < 0.01
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_a_network_sees_lies_where_it_is_in_the_frame((fit, input, frame, region) in any_case(), spots in prop::collection::vec((-0.2..1.2_f64, -0.2..1.2_f64), 5), angle in 0.0..1.57_f32, size in (2.0..20.0_f32, 2.0..20.0_f32)) {
        let whole = [0, 0, frame.0 as usize, frame.1 as usize];
        let [x1, y1, x2, y2] = region.unwrap_or(whole);
        let tile = region.map(|r| BBox::new(r[0] as f32, r[1] as f32, r[2] as f32, r[3] as f32));
        let placement = placement(fit, (input[0], input[1]), frame, tile);
        let [(sx, ox), (sy, oy)] = forward(fit, input, [[x1, x2 - x1], [y1, y2 - y1]]);
        let everything = [-1e4, -1e4, 1e4, 1e4];
        // Points of the source, within the region and a little outside.
        let truth: Vec<(f64, f64)> = spots.iter().map(|(x, y)| (x1 as f64 + x * (x2 - x1) as f64, y1 as f64 + y * (y2 - y1) as f64)).collect();
        let seen: Vec<[f32; 3]> = truth.iter().enumerate().map(|(i, (x, y))| [(x * sx + ox) as f32, (y * sy + oy) as f32, i as f32 / 8.0]).collect();
        let Extra::Keypoints(points) = only(found(everything, head::Extra::Keypoints(seen.clone())), &placement) else { panic!() };
        for ((point, seen), (x, y)) in points.iter().zip(&seen).zip(&truth) {
            prop_assert!(near(point[0], *x) && near(point[1], *y) && point[2].to_bits() == seen[2].to_bits(), "{fit:?}: {point:?} for {x} {y}");
        }
        let oriented = Oriented { centre: [seen[0][0], seen[0][1]], size: [size.0, size.1], angle };
        let Extra::Turned(turned) = only(found(everything, head::Extra::Oriented(oriented)), &placement) else { panic!() };
        let mut theirs = oriented.corners().map(|[x, y]| [(f64::from(x) - ox) / sx, (f64::from(y) - oy) / sy]);
        theirs.swap(0, 2);
        for (corner, expected) in turned.corners.iter().zip(theirs) {
            prop_assert!(near(corner[0], expected[0]) && near(corner[1], expected[1]), "{fit:?}: {corner:?} for {expected:?}");
        }
        // The angle is that of the first side, and a letterbox leaves it as it is.
        let direction = (theirs[1][1] - theirs[0][1]).atan2(theirs[1][0] - theirs[0][0]);
        prop_assert!((f64::from(turned.angle) - direction).abs() < 1e-4, "{} for {direction}", turned.angle);
        prop_assert!((0.0..=FRAC_PI_2).contains(&turned.angle));
        prop_assert!(!matches!(fit, Fit::Letterbox(_)) || (turned.angle - angle).abs() < 1e-6);
    }

    #[test]
    fn a_mask_covers_the_same_pixels_in_the_frame((fit, input, frame, region) in any_case(), edges in prop::array::uniform4(0.0..1.0_f32), seed in any::<u64>()) {
        let tile = region.map(|r| BBox::new(r[0] as f32, r[1] as f32, r[2] as f32, r[3] as f32));
        let placement = placement(fit, (input[0], input[1]), frame, tile);
        let whole = [0, 0, frame.0 as usize, frame.1 as usize];
        let [x1, y1, x2, y2] = region.unwrap_or(whole);
        let [(sx, ox), (sy, oy)] = forward(fit, input, [[x1, x2 - x1], [y1, y2 - y1]]);
        let edge = |i: usize| (edges[i] * input[i % 2] as f32) as u32;
        let (left, top, right, bottom) = (edge(0).min(edge(2)), edge(1).min(edge(3)), edge(0).max(edge(2)) + 1, edge(1).max(edge(3)) + 1);
        let (width, height) = (right - left, bottom - top);
        let covered = |x: u32, y: u32| (seed >> ((x / 3 + 5 * (y / 2)) % 61)) & 1 == 1;
        let mut mask = Mask { left, top, width, height, bits: vec![0; (width as usize * height as usize).div_ceil(8)] };
        for (bit, (x, y)) in (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))).enumerate() {
            mask.bits[bit / 8] |= u8::from(covered(x, y)) << (bit % 8);
        }
        let told = object_mask(&mask, &placement);
        let runs = told.iter().flat_map(|told| told.runs.iter().enumerate());
        let cells: Vec<bool> = runs.flat_map(|(i, run)| std::iter::repeat_n(i % 2 == 1, *run as usize)).collect();
        // A cell of the grid lies in the frame where its pixel of the input does.
        let mut inside = 0;
        for (x, y) in (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))) {
            let place = [(f64::from(x) + 0.5 - ox) / sx, (f64::from(y) + 0.5 - oy) / sy];
            let Some(told) = &told else { continue };
            let cell = [told.bbox.width() / told.size[0] as f32, told.bbox.height() / told.size[1] as f32];
            let column = (place[0] as f32 - told.bbox.x1) / cell[0];
            let row = (place[1] as f32 - told.bbox.y1) / cell[1];
            // Where the drawn side was rounded up from a half, the middle of its last pixel is the frame's very edge.
            let beyond = |at: f32, size: u32| at < -1e-3 || at > size as f32 + 1e-3;
            if beyond(column, told.size[0]) || beyond(row, told.size[1]) {
                continue;
            }
            inside += 1;
            // The last column and row may be cut off at the frame's edge by a part of a pixel.
            let middle = |v: f32| (v.fract() - 0.5).abs() < 0.45;
            if middle(column) && middle(row) {
                let cell = row as usize * told.size[0] as usize + column as usize;
                prop_assert_eq!(cells[cell], covered(x, y), "{:?}: {:?}", fit, place);
            }
        }
        if let Some(told) = &told {
            prop_assert_eq!(inside, told.size[0] * told.size[1]);
            prop_assert_eq!(told.runs.iter().sum::<u32>(), inside);
            let BBox { x1, y1, x2, y2 } = told.bbox;
            prop_assert!(x1 >= 0.0 && y1 >= 0.0 && x2 <= frame.0 as f32 && y2 <= frame.1 as f32);
        }
    }
}

#[test]
fn what_is_drawn_of_half_a_pixel_belongs_to_the_picture() {
    // 63 pixels become 7.5, of which 8 are drawn, from the second of 11 on.
    let placement = placement(Fit::Letterbox(Place::Centre), (11, 10), (63, 84), None);
    let told = object_mask(&Mask { left: 0, top: 0, width: 11, height: 1, bits: vec![0xff, 0xff] }, &placement).unwrap();
    assert_eq!((told.size, &told.runs[..]), ([8, 1], &[0, 8][..]));
    assert_eq!((told.bbox.x1, told.bbox.x2), (0.0, 63.0));
}

#[test]
fn noise_has_no_runs_and_padding_no_mask() {
    let placement = placement(Fit::Letterbox(Place::TopLeft), (128, 128), (256, 128), None);
    let (mut mask, len) = (Mask { left: 0, top: 0, width: 128, height: 64, bits: Vec::new() }, 128 * 64 / 8);
    mask.bits = vec![0b0101_0101; len];
    let told = object_mask(&mask, &placement).unwrap();
    assert_eq!((told.size, told.runs.len()), ([128, 64], 0), "more than {} runs", ObjectMask::MAX_RUNS);
    mask.bits = vec![0; len];
    assert_eq!(object_mask(&mask, &placement).unwrap().runs[..], [128 * 64]);
    mask.top = 64;
    assert_eq!(object_mask(&mask, &placement), None, "below the picture is padding");
}

#[test]
fn plain_boxes_have_no_extras_and_the_rest_keeps_its_own() {
    let placement = placement(Fit::Stretch, (64, 64), (128, 128), None);
    let plain = |x: f32| found([x, 0.0, x + 10.0, 10.0], head::Extra::Nothing);
    let boxes = in_source(&[plain(0.0), plain(200.0), plain(20.0)], &placement);
    assert_eq!((boxes.detections.len(), boxes.extras), (2, Extras::default()), "the second lies outside");
    let pointed = |x: f32| found([x, 0.0, x + 10.0, 10.0], head::Extra::Keypoints(vec![[x, 1.0, 0.5]]));
    let boxes = in_source(&[pointed(0.0), pointed(200.0), plain(20.0), pointed(40.0)], &placement);
    assert_eq!(boxes.detections.len(), 3);
    let x =
        |i: usize| boxes.extras.get(i).map(|extra| if let Extra::Keypoints(points) = extra { points[0][0] } else { f32::NAN });
    assert_eq!([x(0), x(1), x(2)], [Some(0.0), None, Some(80.0)]);
}
