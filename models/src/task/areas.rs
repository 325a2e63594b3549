//! Semantic segmentation: a class for each pixel, told as shares of the picture and as run lengths.

/// Most runs that are kept; a mask with more is noise, and only its shares are told.
const MAX_RUNS: usize = 20_000;

/// Pixels of one class in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index into the class names.
    pub class: u16,
    /// How many pixels.
    pub length: u32,
}

/// Which class covers what of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Areas {
    /// Share of the picture per class, 0..1, in the order of the classes; they add up to 1.
    pub shares: Vec<f32>,
    /// Width of the mask in pixels: the network's output without what lies over padding.
    pub width: usize,
    /// Its height.
    pub height: usize,
    /// The mask row by row from the top left, runs reaching over the ends of rows. Empty if it has more than 20 000 runs.
    pub runs: Vec<Run>,
}

/// The part of a mask that the picture covers, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) right: usize,
    pub(super) bottom: usize,
}

impl Window {
    /// Of a mask of `width`×`height`, what `[x1,y1,x2,y2]` in fractions of the network's input covers: the pixels whose centre lies
    /// inside, at least one.
    pub(super) fn of([x1, y1, x2, y2]: [f32; 4], width: usize, height: usize) -> Self {
        let edge = |at: f32, side: usize| ((at * side as f32 - 0.5).ceil().max(0.0) as usize).min(side);
        let span = |from: f32, to: f32, side: usize| {
            let start = edge(from, side).min(side - 1);
            (start, edge(to, side).max(start + 1))
        };
        let ((left, right), (top, bottom)) = (span(x1, x2, width), span(y1, y2, height));
        Self { left, top, right, bottom }
    }
}

impl Areas {
    /// From a function that tells each pixel's class.
    pub(super) fn collect(classes: usize, window: Window, class_of: impl Fn(usize, usize) -> u16) -> Self {
        let Window { left, top, right, bottom } = window;
        let mut counts = vec![0_u64; classes];
        let mut runs: Vec<Run> = Vec::new();
        let mut too_many = false;
        for y in top..bottom {
            for x in left..right {
                let class = class_of(x, y);
                if let Some(count) = counts.get_mut(usize::from(class)) {
                    *count += 1;
                }
                match runs.last_mut() {
                    Some(run) if run.class == class => run.length += 1,
                    _ => too_many |= runs.len() == MAX_RUNS,
                }
                if !too_many && runs.last().is_none_or(|run| run.class != class) {
                    runs.push(Run { class, length: 1 });
                }
            }
        }
        if too_many {
            runs.clear();
        }
        let (width, height) = (right - left, bottom - top);
        let pixels = (width * height) as f64;
        let shares = counts.into_iter().map(|count| (count as f64 / pixels) as f32).collect();
        Self { shares, width, height, runs }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_and_runs_of_a_small_mask() {
        let mask = [[0, 0, 1, 1], [1, 1, 1, 2]];
        let window = Window::of([0.0, 0.0, 1.0, 1.0], 4, 2);
        let areas = Areas::collect(3, window, |x, y| mask[y][x]);
        assert_eq!(areas.shares, [0.25, 0.625, 0.125]);
        let runs = [(0, 2), (1, 5), (2, 1)].map(|(class, length)| Run { class, length });
        assert_eq!(areas.runs, runs);
        // A letterboxed picture covers the left half only.
        let half = Areas::collect(3, Window::of([0.0, 0.0, 0.5, 1.0], 4, 2), |x, y| mask[y][x]);
        assert_eq!((half.width, half.height, half.shares), (2, 2, vec![0.5, 0.5, 0.0]));
        assert_eq!(Window::of([2.0, -1.0, 3.0, f32::NAN], 4, 2), Window { left: 3, top: 0, right: 4, bottom: 1 });
    }

    #[test]
    fn noise_is_told_by_its_shares_alone() {
        let areas = Areas::collect(2, Window { left: 0, top: 0, right: 200, bottom: 200 }, |x, y| ((x + y) % 2) as u16);
        assert!(areas.runs.is_empty() && (areas.shares[0] - 0.5).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn runs_add_up_to_the_mask(w in 1..40_usize, h in 1..40_usize, seed in any::<u64>()) {
            let class = |x: usize, y: usize| ((seed >> ((x / 3 + y) % 60)) & 3) as u16;
            let areas = Areas::collect(4, Window { left: 0, top: 0, right: w, bottom: h }, class);
            prop_assert_eq!(areas.runs.iter().map(|run| run.length as usize).sum::<usize>(), w * h);
            prop_assert!((areas.shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let flat: Vec<u16> = areas.runs.iter().flat_map(|run| std::iter::repeat_n(run.class, run.length as usize)).collect();
            for (i, class_there) in flat.into_iter().enumerate() {
                prop_assert_eq!(class_there, class(i % w, i / w));
            }
        }
    }
}
