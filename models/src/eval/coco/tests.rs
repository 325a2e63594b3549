use proptest::prelude::*;

use super::*;

fn object(image: usize, class: usize, bbox: [f64; 4]) -> Object {
    Object { image, class, bbox, area: bbox[2] * bbox[3], crowd: false, ignore: false }
}

fn found(image: usize, class: usize, bbox: [f64; 4], score: f64) -> Detected {
    Detected { image, class, bbox, score }
}

const BIG: [f64; 4] = [10.0, 10.0, 100.0, 100.0];
const AWAY: [f64; 4] = [300.0, 10.0, 100.0, 100.0];

/// 1 but for the 2⁻⁵² that keeps `pycocotools` from dividing by nothing.
fn whole(value: Option<f64>) -> bool {
    value.is_some_and(|v| (v - 1.0).abs() < 1e-12)
}

#[test]
fn the_thresholds_are_numpys() {
    // numpy.linspace(.5, .95, 10)
    let numpy = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.899_999_999_999_999_9, 0.95];
    assert_eq!(iou_thresholds().map(f64::to_bits), numpy.map(f64::to_bits));
}

#[test]
fn all_found_is_one_and_what_is_not_there_has_no_figure() {
    let objects = [object(0, 0, BIG), object(1, 0, AWAY)];
    let result = evaluate(2, &objects, &[found(0, 0, BIG, 0.9), found(1, 0, AWAY, 0.2)]);
    assert!(whole(result.total.ap) && whole(result.total.ap75) && whole(result.total.ap_large) && whole(result.total.ar1));
    assert_eq!((result.total.ap_small, result.total.ar_medium), (None, None));
    assert_eq!(result.classes[1], Summary::default());
    assert_eq!(result.classes[0], result.total);
}

#[test]
fn a_wrong_box_above_a_right_one_costs_and_one_below_does_not() {
    let objects = [object(0, 0, BIG)];
    let after = evaluate(1, &objects, &[found(0, 0, BIG, 0.9), found(0, 0, AWAY, 0.1)]);
    assert!(whole(after.total.ap));
    let before = evaluate(1, &objects, &[found(0, 0, BIG, 0.1), found(0, 0, AWAY, 0.9)]);
    assert!((before.total.ap.unwrap() - 0.5).abs() < 1e-12);
    assert_eq!((before.total.ar1, before.total.ar10), (Some(0.0), Some(1.0)));
}

#[test]
fn the_second_box_on_one_object_is_wrong_but_not_on_a_crowd() {
    let boxes = [found(0, 0, BIG, 0.9), found(0, 0, BIG, 0.8), found(0, 0, AWAY, 0.7)];
    let twice = evaluate(1, &[object(0, 0, BIG), object(0, 0, AWAY)], &boxes).total;
    assert!(twice.ap.unwrap() < 0.9);
    let crowd = Object { crowd: true, ..object(0, 0, [0.0, 0.0, 200.0, 200.0]) };
    let result = evaluate(1, &[crowd, object(0, 0, AWAY)], &boxes).total;
    assert!(whole(result.ap), "{result:?}");
}

#[test]
fn ignored_objects_are_neither_to_be_found_nor_wrong() {
    let ignored = Object { ignore: true, ..object(0, 0, BIG) };
    let result = evaluate(1, &[ignored, object(0, 0, AWAY)], &[found(0, 0, BIG, 0.9), found(0, 0, AWAY, 0.8)]).total;
    assert!(whole(result.ap) && whole(result.ar10));
    // Each serves once.
    let twice = [found(0, 0, BIG, 0.9), found(0, 0, BIG, 0.85), found(0, 0, AWAY, 0.8)];
    assert!((evaluate(1, &[ignored, object(0, 0, AWAY)], &twice).total.ap.unwrap() - 0.5).abs() < 1e-12);
    assert_eq!(evaluate(1, &[ignored], &[found(0, 0, BIG, 0.9)]).total, Summary::default());
}

#[test]
fn what_has_no_index_is_left_out() {
    assert_eq!(evaluate(1, &[object(0, 5, BIG)], &[found(0, 9, BIG, 0.5)]).total, Summary::default());
    assert_eq!(evaluate(0, &[], &[]).classes.len(), 0);
}

#[test]
fn a_hundred_boxes_per_picture_and_class_take_part() {
    let mut boxes: Vec<_> = (0..100).map(|_| found(0, 0, AWAY, 0.9)).collect();
    boxes.push(found(0, 0, BIG, 0.8));
    assert_eq!(evaluate(1, &[object(0, 0, BIG)], &boxes).total.ar100, Some(0.0));
    boxes.remove(0);
    assert_eq!(evaluate(1, &[object(0, 0, BIG)], &boxes).total.ar100, Some(1.0));
}

fn any_box() -> impl Strategy<Value = [f64; 4]> {
    [0..60_u8, 0..60_u8, 0..120_u8, 0..120_u8].prop_map(|b| b.map(f64::from))
}

proptest! {
    #[test]
    fn figures_are_shares_and_objects_alone_decide_which_there_are(
        objects in prop::collection::vec((0..3_usize, 0..2_usize, any_box(), any::<bool>()), 0..12),
        boxes in prop::collection::vec((0..3_usize, 0..2_usize, any_box(), 0..10_u8), 0..30),
    ) {
        let objects: Vec<_> = objects.into_iter().map(|(i, c, b, crowd)| Object { crowd, ..object(i, c, b) }).collect();
        let boxes: Vec<_> = boxes.into_iter().map(|(i, c, b, s)| found(i, c, b, f64::from(s) / 10.0)).collect();
        let result = evaluate(2, &objects, &boxes);
        for summary in result.classes.iter().chain([&result.total]) {
            prop_assert!(summary.figures().iter().all(|(_, value)| value.is_none_or(|v| (0.0..=1.0).contains(&v))));
            prop_assert!(summary.ar1 <= summary.ar10 && summary.ar10 <= summary.ar100);
        }
        let there = |class: usize| objects.iter().any(|o| o.class == class && !o.crowd);
        prop_assert_eq!([result.classes[0].ap.is_some(), result.classes[1].ap.is_some()], [there(0), there(1)]);
    }
}
