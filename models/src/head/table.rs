//! Predictions of one picture as rows and columns, whichever way they lie in memory.

use std::ops::Range;

use super::error::{At, Fault};

/// A sigmoid or softmax computed in floating point stays within this of 0..1.
const PROBABILITY_SLACK: f32 = 1e-3;

pub(super) fn probable(value: f32) -> bool {
    (-PROBABILITY_SLACK..=1.0 + PROBABILITY_SLACK).contains(&value)
}

/// What is wrong with a score that is not [`probable`].
pub(super) fn improbable(value: f32) -> Fault {
    if value.is_finite() { Fault::NotAProbability(value) } else { Fault::NotFinite }
}

/// The scores that are asked for.
#[derive(Clone, Copy)]
pub(super) struct Gate<'a> {
    classes: &'a [f32],
    others: f32,
    /// What no class needs less than.
    pub(super) lowest: f32,
}

impl<'a> Gate<'a> {
    /// `classes` by class; those beyond need `others`.
    pub(super) fn new(classes: &'a [f32], others: f32, count: usize) -> Self {
        let others_count = count > classes.len();
        let lowest = classes.iter().copied().fold(f32::INFINITY, f32::min);
        Self { classes, others, lowest: if others_count { lowest.min(others) } else { lowest } }
    }

    pub(super) fn passes(&self, class: u16, score: f32) -> bool {
        score >= self.classes.get(usize::from(class)).copied().unwrap_or(self.others)
    }
}

/// `f32[rows,columns]`, row after row or (`by_column`) column after column.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    data: &'a [f32],
    pub(super) rows: usize,
    columns: usize,
    by_column: bool,
}

/// Memory of [`Table::best`]: the best class and its score, by row.
#[derive(Default)]
pub(super) struct Best {
    pub(super) scores: Vec<f32>,
    pub(super) classes: Vec<u16>,
}

impl<'a> Table<'a> {
    /// `dims` are the two of one picture: rows first, or with `by_column` columns first.
    pub(super) fn new(data: &'a [f32], dims: &[usize], by_column: bool) -> Self {
        let (first, second) = (dims[0], dims[1]);
        let (rows, columns) = if by_column { (second, first) } else { (first, second) };
        Self { data, rows, columns, by_column }
    }

    pub(super) fn at(&self, row: usize, column: usize) -> f32 {
        if self.by_column { self.data[column * self.rows + row] } else { self.data[row * self.columns + column] }
    }

    pub(super) fn take<const K: usize>(&self, row: usize, first: usize) -> [f32; K] {
        std::array::from_fn(|i| self.at(row, first + i))
    }

    /// The best class of each row among `columns`, which are scores; the first of equals.
    pub(super) fn best(&self, role: usize, columns: Range<usize>, best: &mut Best) -> Result<(), At> {
        best.scores.clear();
        best.scores.resize(self.rows, f32::NEG_INFINITY);
        best.classes.clear();
        best.classes.resize(self.rows, 0);
        let sound =
            if self.by_column { self.best_of_columns(columns.clone(), best) } else { self.best_of_rows(columns.clone(), best) };
        if sound { Ok(()) } else { Err(self.culprit(role, columns)) }
    }

    /// One class after the other, which is how they lie.
    fn best_of_columns(&self, columns: Range<usize>, best: &mut Best) -> bool {
        let mut sound = true;
        for (class, column) in columns.enumerate() {
            let scores = &self.data[column * self.rows..][..self.rows];
            for ((&score, best), best_class) in scores.iter().zip(&mut best.scores).zip(&mut best.classes) {
                sound &= probable(score);
                if score > *best {
                    (*best, *best_class) = (score, class as u16);
                }
            }
        }
        sound
    }

    fn best_of_rows(&self, columns: Range<usize>, best: &mut Best) -> bool {
        let mut sound = true;
        for (row, (best, best_class)) in best.scores.iter_mut().zip(&mut best.classes).enumerate() {
            for (class, &score) in self.data[row * self.columns..][columns.clone()].iter().enumerate() {
                sound &= probable(score);
                if score > *best {
                    (*best, *best_class) = (score, class as u16);
                }
            }
        }
        sound
    }

    fn culprit(&self, role: usize, columns: Range<usize>) -> At {
        let values = (0..self.rows).flat_map(|row| columns.clone().map(move |column| (row, self.at(row, column))));
        let (row, value) = values.into_iter().find(|(_, value)| !probable(*value)).unwrap_or((0, f32::NAN));
        improbable(value).at(role, row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_lie_are_one_table() {
        let by_row = [0.1, 0.9, 0.2, 0.8, 0.3, 0.3];
        let by_column = [0.1, 0.2, 0.3, 0.9, 0.8, 0.3];
        let (a, b) = (Table::new(&by_row, &[3, 2], false), Table::new(&by_column, &[2, 3], true));
        for row in 0..3 {
            assert_eq!(a.take::<2>(row, 0).map(f32::to_bits), b.take::<2>(row, 0).map(f32::to_bits));
        }
        for table in [a, b] {
            let mut best = Best::default();
            table.best(0, 0..2, &mut best).unwrap();
            assert_eq!((&best.scores[..], &best.classes[..]), (&[0.9, 0.8, 0.3][..], &[1, 1, 0][..]));
        }
    }

    #[test]
    fn the_row_of_a_bad_score_is_named() {
        for (bad, fault) in
            [(f32::NAN, Fault::NotFinite), (7.5, Fault::NotAProbability(7.5)), (-2.0, Fault::NotAProbability(-2.0))]
        {
            let data = [0.1, 0.9, 0.2, bad, 0.3, 0.3];
            let result = Table::new(&data, &[3, 2], false).best(1, 0..2, &mut Best::default());
            assert_eq!(result, Err(At { role: 1, row: 1, fault }));
        }
    }

    #[test]
    fn a_gate_knows_its_lowest() {
        assert_eq!(Gate::new(&[0.5, 0.2], 0.1, 2).lowest.to_bits(), 0.2_f32.to_bits());
        assert_eq!(Gate::new(&[0.5, 0.2], 0.1, 3).lowest.to_bits(), 0.1_f32.to_bits());
        let gate = Gate::new(&[0.5], 0.1, 2);
        assert!(!gate.passes(0, 0.4) && gate.passes(0, 0.5) && gate.passes(1, 0.1));
    }
}
