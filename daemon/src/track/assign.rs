//! Who is who: the assignment of rows (tracks) to columns (detections) with the greatest total weight.
//!
//! Only gated pairs exist, so the bipartite graph falls apart into small components. Each is solved on its own, most of them at a
//! glance; the rest by shortest augmenting paths (Kuhn–Munkres with potentials, `O(rows²·columns)`). All buffers are kept.

/// A component that would take more steps than this is matched greedily instead. About 200 objects that all overlap: no scene, but a
/// broken model can claim it.
const LARGEST_EXACT: usize = 8_000_000;

/// A pair that may be matched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) row: u32,
    pub(super) column: u32,
    /// Greater is better, above zero.
    pub(super) weight: f32,
}

/// The solver and its buffers.
#[derive(Default)]
pub(super) struct Assigner {
    parent: Vec<u32>,
    rows: Vec<u32>,
    columns: Vec<u32>,
    cost: Vec<f64>,
    solver: Solver,
}

/// Root of a node, with path halving.
fn find(parent: &mut [u32], mut node: u32) -> u32 {
    while parent[node as usize] != node {
        let up = parent[parent[node as usize] as usize];
        parent[node as usize] = up;
        node = up;
    }
    node
}

impl Assigner {
    /// Adds the matched pairs to `matched`, `(row, column)`. `pairs` is reordered.
    pub(super) fn assign(&mut self, rows: usize, columns: usize, pairs: &mut [Pair], matched: &mut Vec<(u32, u32)>) {
        if pairs.is_empty() {
            return;
        }
        self.parent.clear();
        self.parent.extend(0..(rows + columns) as u32);
        for pair in pairs.iter() {
            let a = find(&mut self.parent, pair.row);
            let b = find(&mut self.parent, rows as u32 + pair.column);
            self.parent[a.max(b) as usize] = a.min(b);
        }
        let parent = &mut self.parent;
        pairs.sort_unstable_by_key(|pair| (find(parent, pair.row), pair.row, pair.column));
        let mut rest = pairs;
        while let Some(first) = rest.first() {
            let root = find(&mut self.parent, first.row);
            let end = rest.iter().position(|pair| find(&mut self.parent, pair.row) != root).unwrap_or(rest.len());
            let (component, tail) = rest.split_at_mut(end);
            self.component(component, matched);
            rest = tail;
        }
    }

    /// Matches all of the shorter side, whatever it costs, as programs do that look at thresholds only afterwards: the assignment of
    /// least total cost in a dense matrix, `cost[row * columns + column]`. `false`: that would take too many steps, nothing was done.
    pub(super) fn complete(&mut self, rows: usize, columns: usize, cost: &[f64], matched: &mut Vec<(u32, u32)>) -> bool {
        let (short, long) = (rows.min(columns), rows.max(columns));
        if short.saturating_mul(short).saturating_mul(long) > LARGEST_EXACT {
            return false;
        }
        let turned = rows > columns;
        self.cost.clear();
        let at = |s: usize, l: usize| if turned { l * columns + s } else { s * columns + l };
        self.cost.extend((0..short).flat_map(|s| (0..long).map(move |l| cost[at(s, l)])));
        self.solver.solve(short, long, &self.cost);
        for (l, &s) in (0u32..).zip(&self.solver.taken[1..]) {
            if s > 0 {
                let s = (s - 1) as u32;
                matched.push(if turned { (l, s) } else { (s, l) });
            }
        }
        true
    }

    fn component(&mut self, pairs: &mut [Pair], matched: &mut Vec<(u32, u32)>) {
        if let [only] = pairs {
            matched.push((only.row, only.column));
            return;
        }
        self.rows.clear();
        self.columns.clear();
        for pair in pairs.iter() {
            self.rows.push(pair.row);
            self.columns.push(pair.column);
        }
        self.rows.dedup();
        self.columns.sort_unstable();
        self.columns.dedup();
        let (short, long) = (self.rows.len().min(self.columns.len()), self.rows.len().max(self.columns.len()));
        if short == 1 {
            // One row or one column: the best pair wins, the first one among equals.
            let best = pairs.iter().copied().reduce(|best, pair| if pair.weight > best.weight { pair } else { best });
            matched.extend(best.map(|pair| (pair.row, pair.column)));
        } else if short * short * long > LARGEST_EXACT {
            greedy(pairs, matched);
        } else {
            self.exact(pairs, matched);
        }
    }

    /// A pair that is not gated costs nothing, as leaving both alone does, so a complete assignment of the shorter side always
    /// contains the best partial one.
    fn exact(&mut self, pairs: &[Pair], matched: &mut Vec<(u32, u32)>) {
        let turned = self.rows.len() > self.columns.len();
        let (short, long) = if turned { (&self.columns, &self.rows) } else { (&self.rows, &self.columns) };
        let (n, m) = (short.len(), long.len());
        self.cost.clear();
        self.cost.resize(n * m, 0.0);
        for pair in pairs {
            let (s, l) = if turned { (pair.column, pair.row) } else { (pair.row, pair.column) };
            if let (Ok(i), Ok(j)) = (short.binary_search(&s), long.binary_search(&l)) {
                self.cost[i * m + j] = -f64::from(pair.weight);
            }
        }
        self.solver.solve(n, m, &self.cost);
        for j in 1..=m {
            let i = self.solver.taken[j];
            if i > 0 && self.cost[(i - 1) * m + j - 1] < 0.0 {
                let (s, l) = (short[i - 1], long[j - 1]);
                matched.push(if turned { (l, s) } else { (s, l) });
            }
        }
    }
}

fn greedy(pairs: &mut [Pair], matched: &mut Vec<(u32, u32)>) {
    pairs.sort_unstable_by(|a, b| b.weight.total_cmp(&a.weight).then((a.row, a.column).cmp(&(b.row, b.column))));
    let mut rows = std::collections::HashSet::new();
    let mut columns = std::collections::HashSet::new();
    for pair in pairs.iter() {
        if !rows.contains(&pair.row) && columns.insert(pair.column) {
            rows.insert(pair.row);
            matched.push((pair.row, pair.column));
        }
    }
}

/// Shortest augmenting paths over a dense `n`×`m` cost matrix, `n ≤ m`. Index 0 of each buffer is the path's start.
#[derive(Default)]
struct Solver {
    row_potential: Vec<f64>,
    column_potential: Vec<f64>,
    /// The row that holds a column, counted from 1; 0: none.
    taken: Vec<usize>,
    way: Vec<usize>,
    least: Vec<f64>,
    visited: Vec<bool>,
}

impl Solver {
    fn solve(&mut self, n: usize, m: usize, cost: &[f64]) {
        refill(&mut self.row_potential, n + 1, 0.0);
        refill(&mut self.column_potential, m + 1, 0.0);
        refill(&mut self.taken, m + 1, 0);
        refill(&mut self.way, m + 1, 0);
        for row in 1..=n {
            self.augment(row, m, cost);
        }
    }

    fn augment(&mut self, row: usize, m: usize, cost: &[f64]) {
        refill(&mut self.least, m + 1, f64::INFINITY);
        refill(&mut self.visited, m + 1, false);
        self.taken[0] = row;
        let mut column = 0;
        while self.taken[column] != 0 {
            column = self.step(column, m, cost);
        }
        while column != 0 {
            let before = self.way[column];
            self.taken[column] = self.taken[before];
            column = before;
        }
    }

    /// Grows the tree of alternating paths by the nearest column and returns it.
    fn step(&mut self, column: usize, m: usize, cost: &[f64]) -> usize {
        self.visited[column] = true;
        let row = self.taken[column];
        let (mut nearest, mut delta) = (0, f64::INFINITY);
        for j in 1..=m {
            if self.visited[j] {
                continue;
            }
            let reduced = cost[(row - 1) * m + j - 1] - self.row_potential[row] - self.column_potential[j];
            if reduced < self.least[j] {
                self.least[j] = reduced;
                self.way[j] = column;
            }
            if self.least[j] < delta {
                (nearest, delta) = (j, self.least[j]);
            }
        }
        for j in 0..=m {
            if self.visited[j] {
                self.row_potential[self.taken[j]] += delta;
                self.column_potential[j] -= delta;
            } else {
                self.least[j] -= delta;
            }
        }
        nearest
    }
}

fn refill<T: Clone>(buffer: &mut Vec<T>, len: usize, value: T) {
    buffer.clear();
    buffer.resize(len, value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn solve(rows: usize, columns: usize, pairs: &[Pair]) -> Vec<(u32, u32)> {
        let mut matched = Vec::new();
        Assigner::default().assign(rows, columns, &mut pairs.to_vec(), &mut matched);
        matched.sort_unstable();
        matched
    }

    fn weight(pairs: &[Pair], matched: &[(u32, u32)]) -> f32 {
        let of = |m: &(u32, u32)| pairs.iter().find(|p| (p.row, p.column) == *m).map(|p| p.weight);
        matched.iter().map(|m| of(m).expect("only gated pairs are matched")).sum()
    }

    fn brute(pairs: &[Pair], row: u32, rows: u32, used: &mut Vec<u32>) -> f32 {
        if row == rows {
            return 0.0;
        }
        let mut best = brute(pairs, row + 1, rows, used);
        for pair in pairs.iter().filter(|p| p.row == row) {
            if !used.contains(&pair.column) {
                used.push(pair.column);
                best = best.max(pair.weight + brute(pairs, row + 1, rows, used));
                used.pop();
            }
        }
        best
    }

    #[test]
    fn greedy_would_be_wrong_here() {
        let pair = |row, column, weight| Pair { row, column, weight };
        let pairs = [pair(0, 0, 0.9), pair(0, 1, 0.8), pair(1, 0, 0.8)];
        assert_eq!(solve(2, 2, &pairs), [(0, 1), (1, 0)]);
    }

    #[test]
    fn nothing_gated_nothing_matched() {
        assert_eq!(solve(3, 0, &[]), []);
        assert_eq!(solve(0, 0, &[]), []);
    }

    #[test]
    fn a_hostile_heap_of_boxes_stays_bounded() {
        let n = 1000;
        let pairs: Vec<Pair> = (0..n).flat_map(|row| (0..n).map(move |column| Pair { row, column, weight: 0.5 })).collect();
        let matched = solve(n as usize, n as usize, &pairs);
        assert_eq!(matched.len(), n as usize);
    }

    proptest! {
        #[test]
        fn the_total_is_the_greatest_possible(
            rows in 1u32..6, columns in 1u32..6, cells in prop::collection::vec(prop::option::of(1u16..1000), 36)
        ) {
            let pairs: Vec<Pair> = (0..rows)
                .flat_map(|row| (0..columns).map(move |column| (row, column)))
                .filter_map(|(row, column)| {
                    cells[(row * 6 + column) as usize].map(|w| Pair { row, column, weight: f32::from(w) / 1000.0 })
                })
                .collect();
            let matched = solve(rows as usize, columns as usize, &pairs);
            let mut seen_rows: Vec<u32> = matched.iter().map(|m| m.0).collect();
            let mut seen_columns: Vec<u32> = matched.iter().map(|m| m.1).collect();
            seen_rows.dedup();
            seen_columns.sort_unstable();
            seen_columns.dedup();
            prop_assert_eq!(seen_rows.len(), matched.len());
            prop_assert_eq!(seen_columns.len(), matched.len());
            let best = brute(&pairs, 0, rows, &mut Vec::new());
            prop_assert!((weight(&pairs, &matched) - best).abs() < 1e-4);
        }
    }
}
