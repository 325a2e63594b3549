//! Queues per device: which cameras are whose.

/// Loads must differ by so much for a camera to move.
const WORTH_MOVING: f64 = 1.1;

/// A camera as far as its place matters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Frames a second, or its weight where its rate is not known.
    pub(super) rate: f64,
    /// The group of instances that has it.
    pub(super) group: usize,
}

/// The next camera that is to move and where to, if any: from the group that has the most to do for what it can (`capacities`, frames a
/// second) to the one that would have the least with it, if that is clearly less than what the first one has.
pub(super) fn next_move(cameras: &[Load], capacities: &[f64]) -> Option<(usize, usize)> {
    let load = |group: usize| cameras.iter().filter(|c| c.group == group).map(|c| c.rate).sum::<f64>() / capacities[group];
    let groups = 0..capacities.len();
    let from = groups.clone().max_by(|a, b| load(*a).total_cmp(&load(*b)))?;
    let each = cameras.iter().enumerate().filter(|(_, camera)| camera.group == from);
    let options = each.flat_map(|(at, camera)| groups.clone().filter(|to| *to != from).map(move |to| (at, to, camera.rate)));
    let then = |to: usize, rate: f64| load(to) + rate / capacities[to];
    let (at, to, rate) = options.min_by(|a, b| then(a.1, a.2).total_cmp(&then(b.1, b.2)))?;
    (then(to, rate) * WORTH_MOVING < load(from)).then_some((at, to))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settle(mut cameras: Vec<Load>, capacities: &[f64]) -> Vec<Load> {
        let mut moves = 0;
        while let Some((at, to)) = next_move(&cameras, capacities) {
            cameras[at].group = to;
            moves += 1;
            assert!(moves < 1000, "it never ends");
        }
        cameras
    }

    #[test]
    fn cameras_go_where_there_is_room_for_them() {
        let all: Vec<Load> = (0..10).map(|_| Load { rate: 30.0, group: 0 }).collect();
        let placed = settle(all, &[400.0, 100.0]);
        assert_eq!(placed.iter().filter(|camera| camera.group == 1).count(), 2);
        assert_eq!(next_move(&[], &[1.0, 1.0]), None);
        assert_eq!(next_move(&[Load { rate: 30.0, group: 0 }], &[1.0]), None);
    }

    proptest! {
        #[test]
        fn it_ends_and_no_single_move_would_make_it_clearly_better(rates in prop::collection::vec(1.0_f64..60.0, 0..20),
                capacities in prop::collection::vec(10.0_f64..1000.0, 1..5)) {
            let placed = settle(rates.iter().map(|rate| Load { rate: *rate, group: 0 }).collect(), &capacities);
            prop_assert_eq!(next_move(&placed, &capacities), None);
        }
    }
}
