//! Several engine instances finish out of order; a stream's frames are put back into the order in which they were dispatched.

use std::collections::BTreeMap;

/// Restores the order of consecutively numbered items, holding back at most a fixed number of them.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    next: u64,
    limit: usize,
    waiting: BTreeMap<u64, T>,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is in order, perhaps later.
    Taken,
    /// It waits no longer for so many missing ones.
    Skipped(u64),
    /// Its turn is over, or it came twice.
    Late,
}

impl<T> InOrder<T> {
    /// Items are numbered from 0.
    pub(super) fn new(limit: usize) -> Self {
        Self { next: 0, limit, waiting: BTreeMap::new() }
    }

    /// Takes an item; those whose turn has come are handed to `ready` in order. A late item is given back.
    pub(super) fn push(&mut self, number: u64, item: T, mut ready: impl FnMut(T)) -> (Arrival, Option<T>) {
        if number < self.next || self.waiting.contains_key(&number) {
            return (Arrival::Late, Some(item));
        }
        let mut arrival = Arrival::Taken;
        if number == self.next {
            self.next += 1;
            ready(item);
        } else {
            self.waiting.insert(number, item);
            if self.waiting.len() > self.limit
                && let Some(&first) = self.waiting.keys().next()
            {
                arrival = Arrival::Skipped(first - self.next);
                self.next = first;
            }
        }
        while let Some(item) = self.waiting.remove(&self.next) {
            self.next += 1;
            ready(item);
        }
        (arrival, None)
    }

    /// Everything that still waits, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.waiting).into_values()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn push(order: &mut InOrder<u64>, n: u64) -> (Arrival, Vec<u64>) {
        let mut out = Vec::new();
        let (arrival, _) = order.push(n, n, |n| out.push(n));
        (arrival, out)
    }

    #[test]
    fn a_missing_item_is_given_up_at_the_limit() {
        let mut order = InOrder::new(2);
        assert_eq!(push(&mut order, 1), (Arrival::Taken, vec![]));
        assert_eq!(push(&mut order, 3), (Arrival::Taken, vec![]));
        assert_eq!(push(&mut order, 2), (Arrival::Skipped(1), vec![1, 2, 3]));
        assert_eq!(push(&mut order, 0), (Arrival::Late, vec![]));
        assert_eq!(push(&mut order, 4), (Arrival::Taken, vec![4]));
    }

    #[test]
    fn a_duplicate_is_late_and_given_back() {
        let mut order = InOrder::new(4);
        push(&mut order, 2);
        assert_eq!(order.push(2, 7, |_| ()), (Arrival::Late, Some(7)));
        assert_eq!(order.drain().collect::<Vec<_>>(), [2]);
    }

    proptest! {
        #[test]
        fn any_shuffle_within_the_limit_is_restored(seed in prop::collection::vec(0usize..8, 0..200)) {
            // Each item is displaced by fewer places than the limit.
            let mut numbers: Vec<u64> = (0..seed.len() as u64).collect();
            for (i, by) in seed.iter().enumerate() {
                let j = (i + by).min(numbers.len() - 1);
                if j / 8 == i / 8 {
                    numbers.swap(i, j);
                }
            }
            let mut order = InOrder::new(8);
            let mut out = Vec::new();
            for n in &numbers {
                let (arrival, _) = order.push(*n, *n, |n| out.push(n));
                prop_assert_eq!(arrival, Arrival::Taken);
            }
            prop_assert_eq!(out, (0..seed.len() as u64).collect::<Vec<_>>());
        }
    }
}
