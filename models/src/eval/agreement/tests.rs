use proptest::prelude::*;

use super::*;

fn at(class: u16, score: f32, x: f32) -> Prediction {
    Prediction { class, score, bbox: [x, 0.0, x + 100.0, 100.0] }
}

fn agree(reference: &[Prediction], other: &[Prediction]) -> Agreement {
    compare(&[reference.to_vec()], &[other.to_vec()], 2, &Matching::default()).unwrap()
}

#[test]
fn what_is_found_again_added_and_moved_is_counted_per_class() {
    // IoU of a shift by 5 is 95/105, of a shift by 20 is 80/120.
    let reference = [at(0, 0.9, 0.0), at(0, 0.8, 500.0), at(1, 0.7, 900.0)];
    let other = [at(0, 0.85, 5.0), at(0, 0.8, 520.0), at(1, 0.5, 900.0), at(1, 0.4, 2000.0)];
    let agreement = agree(&reference, &other);
    let total = &agreement.total;
    assert_eq!((total.reference, total.found, total.other, total.confirmed), (3, 2, 4, 2));
    assert_eq!((total.recall, total.precision), (Some(2.0 / 3.0), Some(0.5)));
    let mean = f64::midpoint(95.0 / 105.0, 1.0);
    assert!((total.mean_iou.unwrap() - mean).abs() < 1e-6 && (total.median_iou.unwrap() - mean).abs() < 1e-6);
    assert!((total.mean_drift.unwrap() - 0.125).abs() < 1e-6 && (total.max_drift.unwrap() - 0.2).abs() < 1e-6);
    let [person, car] = &agreement.classes[..] else { panic!("two classes") };
    assert_eq!((person.recall, person.precision), (Some(0.5), Some(0.5)));
    assert_eq!((car.recall, car.precision), (Some(1.0), Some(0.5)));
}

#[test]
fn a_box_that_hovers_at_the_confidence_is_no_loss() {
    let agreement = agree(&[at(0, 0.31, 0.0)], &[at(0, 0.24, 0.0)]);
    assert_eq!((agreement.total.recall, agreement.total.precision), (Some(1.0), None));
    assert!(agreement.total.mean_drift.unwrap() > 0.06);
    let gone = agree(&[at(0, 0.31, 0.0)], &[at(0, 0.19, 0.0)]);
    assert_eq!(gone.total.recall, Some(0.0));
}

#[test]
fn other_classes_do_not_match_and_one_box_serves_once() {
    assert_eq!(agree(&[at(0, 0.9, 0.0)], &[at(1, 0.9, 0.0)]).total.recall, Some(0.0));
    let twice = agree(&[at(0, 0.9, 0.0), at(0, 0.8, 1.0)], &[at(0, 0.9, 0.0)]);
    assert_eq!((twice.total.recall, twice.total.precision), (Some(0.5), Some(1.0)));
}

#[test]
fn a_faint_twin_takes_no_pair_away() {
    let agreement = agree(&[at(0, 0.9, 0.0)], &[at(0, 0.25, 0.0), at(0, 0.9, 1.0)]);
    assert_eq!((agreement.total.recall, agreement.total.precision), (Some(1.0), Some(1.0)));
    assert_eq!(agreement.total.mean_drift, Some(0.0));
}

#[test]
fn what_is_no_number_matches_nothing() {
    let broken =
        [Prediction { class: 0, score: 0.9, bbox: [f32::NAN; 4] }, Prediction { class: 0, score: f32::NAN, bbox: [0.0; 4] }];
    let agreement = agree(&broken, &broken);
    assert_eq!((agreement.total.reference, agreement.total.found), (1, 0));
    let endless = [Prediction { class: 0, score: 0.9, bbox: [0.0, 0.0, f32::INFINITY, f32::INFINITY] }];
    assert_eq!(agree(&endless, &endless).total.found, 0);
}

#[test]
fn sets_of_other_frames_or_classes_are_refused() {
    let one = [vec![at(1, 0.9, 0.0)]];
    assert_eq!(compare(&one, &[], 2, &Matching::default()).unwrap_err(), AgreementError::Frames { reference: 1, other: 0 });
    let error = compare(&one, &one, 1, &Matching::default()).unwrap_err();
    assert_eq!(error, AgreementError::Class { frame: 0, class: 1, classes: 1 });
}

#[test]
fn the_gate_opens_for_what_agrees() {
    let boxes = [at(0, 0.9, 0.0), at(1, 0.8, 500.0)];
    let verdict = Gate::default().judge(&agree(&boxes, &boxes));
    assert!(verdict.passed() && verdict.weak.is_empty());
    assert_eq!(verdict.to_string(), "passes");
}

#[test]
fn the_gate_says_what_failed_and_by_how_much() {
    let reference: Vec<_> = (0..10).map(|i| at(u16::from(i > 7), 0.9, 200.0 * i as f32)).collect();
    let mut other: Vec<_> = reference[..8].iter().map(|p| Prediction { score: 0.8, ..*p }).collect();
    other.push(at(0, 0.9, 5000.0));
    let verdict = Gate::default().judge(&agree(&reference, &other));
    assert_eq!(
        verdict.to_string(),
        "recall 0.8000 is 0.1700 below 0.97: 2 of 10 boxes of the float network are gone\n\
         precision 0.8889 is 0.0811 below 0.97: 1 of 9 boxes are not the float network's\n\
         mean score drift 0.1000 is 0.0700 above 0.03 (at most 0.100 in one box)"
    );
    assert_eq!(verdict.weak, [0, 1]);
}

#[test]
fn the_gate_stays_shut_over_nothing_and_over_generous_figures() {
    let verdict = Gate::default().judge(&agree(&[], &[]));
    assert_eq!(verdict.failures, [Failure::Nothing { frames: 1 }]);
    let boxes = [vec![at(0, 0.9, 0.0)]];
    let loose = compare(&boxes, &boxes, 1, &Matching { iou: 0.5, ..Matching::default() }).unwrap();
    assert_eq!(Gate::default().judge(&loose).failures, [Failure::Matching { got: 0.5, wanted: 0.75 }]);
}

fn any_set() -> impl Strategy<Value = Vec<Prediction>> {
    let any = (0..2_u16, 0..100_u8, 0..60_u8, 0..60_u8, 10..40_u8, 10..40_u8).prop_map(|(class, score, x, y, w, h)| {
        let (x, y, w, h) = (f32::from(x), f32::from(y), f32::from(w), f32::from(h));
        Prediction { class, score: f32::from(score) / 100.0, bbox: [x, y, x + w, y + h] }
    });
    prop::collection::vec(any, 0..20)
}

proptest! {
    #[test]
    fn swapping_the_sets_swaps_recall_and_precision(a in any_set(), b in any_set(), iou in 1..10_u8) {
        let matching = Matching { iou: f32::from(iou) / 10.0, ..Matching::default() };
        let forth = compare(std::slice::from_ref(&a), std::slice::from_ref(&b), 2, &matching).unwrap().total;
        let back = compare(std::slice::from_ref(&b), std::slice::from_ref(&a), 2, &matching).unwrap().total;
        prop_assert_eq!((forth.reference, forth.other), (back.other, back.reference));
        prop_assert!(forth.found <= forth.reference && forth.confirmed <= forth.other);
        // Equal IoUs may be paired differently: only then may the counts differ.
        let ious: Vec<f32> = a.iter().flat_map(|a| b.iter().map(|b| super::iou(&a.bbox, &b.bbox))).filter(|v| *v > 0.0).collect();
        let distinct: std::collections::BTreeSet<u32> = ious.iter().map(|v| v.to_bits()).collect();
        if distinct.len() == ious.len() {
            prop_assert_eq!((forth.found, forth.confirmed), (back.confirmed, back.found));
        }
    }

    #[test]
    fn a_set_agrees_with_itself(a in any_set()) {
        let same = compare(std::slice::from_ref(&a), std::slice::from_ref(&a), 2, &Matching::default()).unwrap();
        prop_assert_eq!(same.total.found, same.total.reference);
        let gate = Gate { drift: 1.0, ..Gate::default() };
        prop_assert!(same.total.reference == 0 || gate.judge(&same).passed());
    }
}
