//! The matching of greatest total weight between true boxes and tracked ones, or between their identities.
//!
//! The tracker has an assigner of its own, in `f32` and greedy where a hostile frame would cost too much; a judge is exact whatever
//! it costs, in `f64`. Pairs that do not overlap may not be matched, so the graph falls apart into components; each is solved
//! by shortest augmenting paths over a dense matrix (Jonker and Volgenant 1987; in the rectangular form of Crouse 2016).

/// A pair that may be matched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// What is matched on the one side.
    pub row: u32,
    /// What is matched on the other side.
    pub column: u32,
    /// Greater is better, finite and above zero.
    pub weight: f64,
}

/// Indices of the pairs of the heaviest matching, ascending. No two of `pairs` are of the same row and column.
pub(super) fn heaviest(pairs: &[Pair]) -> Vec<usize> {
    let mut chosen = Vec::new();
    for component in components(pairs) {
        if let [only] = component.as_slice() {
            chosen.push(*only);
        } else {
            Matrix::new(pairs, &component).solve(pairs, &mut chosen);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// Root of a node, with path halving.
fn root(parent: &mut [usize], mut node: usize) -> usize {
    while parent[node] != node {
        parent[node] = parent[parent[node]];
        node = parent[node];
    }
    node
}

/// Indices of the pairs that hang together through a row or a column.
fn components(pairs: &[Pair]) -> Vec<Vec<usize>> {
    let rows = pairs.iter().map(|pair| pair.row as usize + 1).max().unwrap_or(0);
    let columns = pairs.iter().map(|pair| pair.column as usize + 1).max().unwrap_or(0);
    let mut parent: Vec<usize> = (0..rows + columns).collect();
    for pair in pairs {
        let a = root(&mut parent, pair.row as usize);
        let b = root(&mut parent, rows + pair.column as usize);
        parent[a.max(b)] = a.min(b);
    }
    let mut rooted: Vec<(usize, usize)> =
        pairs.iter().enumerate().map(|(index, pair)| (root(&mut parent, pair.row as usize), index)).collect();
    rooted.sort_unstable();
    rooted.chunk_by(|a, b| a.0 == b.0).map(|component| component.iter().map(|&(_, index)| index).collect()).collect()
}

/// No pair: matching these two costs what leaving both alone costs.
const NONE: u32 = u32::MAX;

/// One component as a dense matrix, its shorter side as rows.
struct Matrix {
    columns: usize,
    /// Per cell, row by row, the index of its pair.
    cells: Vec<u32>,
}

impl Matrix {
    fn new(pairs: &[Pair], component: &[usize]) -> Self {
        let names = |of: fn(&Pair) -> u32| {
            let mut names: Vec<u32> = component.iter().map(|&index| of(&pairs[index])).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let (rows, columns) = (names(|pair| pair.row), names(|pair| pair.column));
        let turned = rows.len() > columns.len();
        let (short, long) = if turned { (columns, rows) } else { (rows, columns) };
        let mut cells = vec![NONE; short.len() * long.len()];
        for &index in component {
            let Pair { row, column, .. } = pairs[index];
            let (s, l) = if turned { (column, row) } else { (row, column) };
            let (i, j) = (short.partition_point(|&name| name < s), long.partition_point(|&name| name < l));
            cells[i * long.len() + j] = index as u32;
        }
        Self { columns: long.len(), cells }
    }

    fn rows(&self) -> usize {
        self.cells.len() / self.columns
    }

    fn cost(&self, pairs: &[Pair], row: usize, column: usize) -> f64 {
        match self.cells[row * self.columns + column] {
            NONE => 0.0,
            index => -pairs[index as usize].weight,
        }
    }

    fn solve(&self, pairs: &[Pair], chosen: &mut Vec<usize>) {
        let mut paths = Paths::new(self.rows(), self.columns);
        for row in 0..self.rows() {
            paths.augment(row, |row, column| self.cost(pairs, row, column));
        }
        for (column, row) in paths.row_of.iter().enumerate() {
            if let Some(row) = row {
                let index = self.cells[row * self.columns + column];
                if index != NONE {
                    chosen.push(index as usize);
                }
            }
        }
    }
}

/// The state of the shortest augmenting paths.
struct Paths {
    row_price: Vec<f64>,
    column_price: Vec<f64>,
    row_of: Vec<Option<usize>>,
    column_of: Vec<Option<usize>>,
    /// Length of the shortest path found so far to each column, and the row from which it gets there.
    length: Vec<f64>,
    from: Vec<usize>,
    done: Vec<bool>,
}

impl Paths {
    fn new(rows: usize, columns: usize) -> Self {
        Self {
            row_price: vec![0.0; rows],
            column_price: vec![0.0; columns],
            row_of: vec![None; columns],
            column_of: vec![None; rows],
            length: Vec::new(),
            from: vec![0; columns],
            done: Vec::new(),
        }
    }

    /// Gives `start` a column, at the cost of moving others along the shortest path to a free one.
    fn augment(&mut self, start: usize, cost: impl Fn(usize, usize) -> f64) {
        let columns = self.row_of.len();
        self.length.clear();
        self.length.resize(columns, f64::INFINITY);
        self.done.clear();
        self.done.resize(columns, false);
        let (mut row, mut walked) = (start, 0.0);
        let mut seen = vec![start];
        let sink = loop {
            let nearest = self.reach(row, walked, &cost);
            // A row that has no column left to go to does not exist: there are at least as many columns as rows.
            let Some(column) = nearest else { return };
            walked = self.length[column];
            self.done[column] = true;
            match self.row_of[column] {
                None => break column,
                Some(next) => row = next,
            }
            seen.push(row);
        };
        self.reprice(&seen, walked);
        let mut column = sink;
        loop {
            let row = self.from[column];
            self.row_of[column] = Some(row);
            match self.column_of[row].replace(column) {
                Some(before) if row != start => column = before,
                _ => return,
            }
        }
    }

    /// Looks at every column that is not done from `row`, `walked` away from the start, and returns the nearest one; of several,
    /// one that is free.
    fn reach(&mut self, row: usize, walked: f64, cost: &impl Fn(usize, usize) -> f64) -> Option<usize> {
        let mut nearest: Option<usize> = None;
        for column in (0..self.done.len()).filter(|&column| !self.done[column]) {
            let length = walked + cost(row, column) - self.row_price[row] - self.column_price[column];
            if length < self.length[column] {
                self.length[column] = length;
                self.from[column] = row;
            }
            let better = nearest.is_none_or(|best| {
                self.length[column] < self.length[best]
                    || (self.length[column] <= self.length[best] && self.row_of[column].is_none() && self.row_of[best].is_some())
            });
            if better {
                nearest = Some(column);
            }
        }
        nearest
    }

    /// Keeps every reduced cost at zero or above after a path of length `walked` over the rows `seen`.
    fn reprice(&mut self, seen: &[usize], walked: f64) {
        for (at, &row) in seen.iter().enumerate() {
            // The first is the start, every other one was reached through the column it holds.
            let behind = if at == 0 { 0.0 } else { self.column_of[row].map_or(0.0, |column| self.length[column]) };
            self.row_price[row] += walked - behind;
        }
        for column in (0..self.done.len()).filter(|&column| self.done[column]) {
            self.column_price[column] -= walked - self.length[column];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weight(pairs: &[Pair], chosen: &[usize]) -> f64 {
        chosen.iter().map(|&index| pairs[index].weight).sum()
    }

    fn brute(pairs: &[Pair], row: u32, rows: u32, used: &mut Vec<u32>) -> f64 {
        if row == rows {
            return 0.0;
        }
        let mut best = brute(pairs, row + 1, rows, used);
        for pair in pairs.iter().filter(|pair| pair.row == row) {
            if !used.contains(&pair.column) {
                used.push(pair.column);
                best = best.max(pair.weight + brute(pairs, row + 1, rows, used));
                used.pop();
            }
        }
        best
    }

    fn pairs_of(rows: u32, columns: u32, cells: &[Option<u16>]) -> Vec<Pair> {
        (0..rows)
            .flat_map(|row| (0..columns).map(move |column| (row, column)))
            .filter_map(|(row, column)| {
                cells[(row * 7 + column) as usize].map(|weight| Pair { row, column, weight: f64::from(weight) / 64.0 })
            })
            .collect()
    }

    #[test]
    fn taking_the_best_pair_first_would_be_wrong_here() {
        let pair = |row, column, weight| Pair { row, column, weight };
        assert_eq!(heaviest(&[pair(0, 0, 0.9), pair(0, 1, 0.8), pair(1, 0, 0.8)]), [1, 2]);
        assert_eq!(heaviest(&[]), [0_usize; 0]);
    }

    #[test]
    fn a_weight_of_a_thousand_does_not_drown_the_rest() {
        let pair = |row, column, weight| Pair { row, column, weight };
        // CLEAR's weights: whoever was together stays together, the rest by overlap.
        let pairs =
            [pair(0, 0, 1000.5), pair(0, 1, 0.9), pair(1, 0, 0.95), pair(1, 1, 0.6), pair(1, 2, 0.600_000_001), pair(2, 1, 0.7)];
        assert_eq!(heaviest(&pairs), [0, 4, 5]);
    }

    proptest! {
        #[test]
        fn the_total_is_the_greatest_possible(
            rows in 1u32..7, columns in 1u32..7, cells in prop::collection::vec(prop::option::of(1u16..400), 49)
        ) {
            let pairs = pairs_of(rows, columns, &cells);
            let chosen = heaviest(&pairs);
            let mut of_rows: Vec<u32> = chosen.iter().map(|&index| pairs[index].row).collect();
            let mut of_columns: Vec<u32> = chosen.iter().map(|&index| pairs[index].column).collect();
            of_rows.sort_unstable();
            of_rows.dedup();
            of_columns.sort_unstable();
            of_columns.dedup();
            prop_assert_eq!((of_rows.len(), of_columns.len()), (chosen.len(), chosen.len()));
            prop_assert!((weight(&pairs, &chosen) - brute(&pairs, 0, rows, &mut Vec::new())).abs() < 1e-9);
        }

        #[test]
        fn either_side_may_be_the_longer_one(
            rows in 1u32..7, columns in 1u32..7, cells in prop::collection::vec(prop::option::of(1u16..400), 49)
        ) {
            let pairs = pairs_of(rows, columns, &cells);
            let turned: Vec<Pair> = pairs.iter().map(|p| Pair { row: p.column, column: p.row, weight: p.weight }).collect();
            prop_assert!((weight(&pairs, &heaviest(&pairs)) - weight(&turned, &heaviest(&turned))).abs() < 1e-9);
        }
    }
}
