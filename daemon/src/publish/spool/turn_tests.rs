//! Cameras take turns, whether their records may go or have to wait.

use std::collections::BTreeSet;

use super::{
    cut::World,
    queue_tests::{SECOND, open, record, settings},
    *,
};

/// Whatever waited may only leave one at a time: each camera gets its turn, and what is new of others is not held up.
#[test]
fn turns_are_kept_where_delayed_records_have_to_wait() {
    let world = World::default();
    let (mut spool, _) = open(&world, settings());
    for seq in 0..3 {
        for camera in ["a", "b", "c"] {
            spool.append(&record(Class::Event, camera, seq), 1, 100 * SECOND).expect("taken");
        }
    }
    let later = 160 * SECOND;
    spool.append(&record(Class::Event, "new", 0), 1, later).expect("taken");
    let (mut order, mut new) = (Vec::new(), 0);
    for _ in 0..9 {
        new += usize::from(spool.next_if(0, later, false).is_some_and(|delivery| &*delivery.stream == "new"));
        assert!(spool.next_if(0, later, false).is_none() && spool.has_next(0));
        order.extend(spool.next_if(0, later, true).map(|delivery| (delivery.stream.to_string(), delivery.seq)));
    }
    assert_eq!(new, 1);
    let expected: Vec<_> = (0..3).flat_map(|seq| ["a", "b", "c"].map(|camera| (camera.to_owned(), seq))).collect();
    let mut sorted = order.clone();
    sorted.sort_by_key(|(camera, seq)| (*seq, camera.clone()));
    assert_eq!(sorted, expected);
    let in_turn = |three: &[(String, u64)]| three.iter().map(|(camera, _)| camera).collect::<BTreeSet<_>>().len() == 3;
    assert!(order.chunks(3).all(in_turn), "{order:?}");
    assert!(!spool.has_next(0));
}
