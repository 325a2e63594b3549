//! Whether something moves in a picture: coarse cells against a background that each of them learns.
//!
//! Light that changes everywhere and shakes of the camera are taken out first ([`super::fit`]). What then still differs by more than
//! the cell's own unrest (rain, leaves, noise) must last or stand together in space to count: rain and noise do neither.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    fit::{self, Whole},
    grid::{Grid, slopes, steps},
};

/// Everything counts as motion until the background has been seen this long.
const WARM_UP: Duration = Duration::from_secs(2);
/// A pause after which the background is learnt anew.
const PAUSE: Duration = Duration::from_secs(30);
/// Time constants in seconds: of the background where nothing moves, where something does, and of the unrest of a cell.
const BACKGROUND: f32 = 10.0;
const COVERED: f32 = 20.0;
const UNREST: f32 = 20.0;
/// A cell must differ by this many times its unrest.
const TIMES: f32 = 4.0;
/// Light that changes does so unevenly: by this share of the change.
const UNEVEN: f32 = 0.3;
/// A shift of this many cells is a shake.
const SHAKEN: f32 = 0.02;
/// A change of a cell's light by this much, in 8-bit steps, is one that is not only drifting.
const LIGHT_STEP: f32 = 2.0;
/// Unrest raises the threshold by this much at most, so that no cell goes blind.
const BLINDEST: f32 = 5.0;
/// Looks in a row, from cell to neighbouring cell, that make a trail.
const TRAIL: u8 = 3;
/// In weather a trail must also be this long in seconds, as far as so many looks can tell.
const WEATHER_TRAIL: f32 = 0.35;
const LONGEST_TRAIL: u8 = 7;
/// Cells that differ in this many of the 16 parts of the picture at once are weather rather than somebody.
const SPREAD: u32 = 5;
/// Weather raises all thresholds, up to this many times, by so much in a second; it is over with this time constant in seconds.
const WORST_WEATHER: f32 = 2.5;
const WEATHER_RISE: f32 = 0.3;
const WEATHER: f32 = 30.0;
/// From here on it counts as weather.
const BAD_WEATHER: f32 = 1.15;
/// A trail goes on within this many cells.
const STRIDE: usize = 2;
/// Cells of a 3×3 neighbourhood that make a cluster; clusters in two looks in a row are motion.
const CLUSTER: usize = 4;
/// This share of all cells at once is motion.
const MUCH: f32 = 0.08;
/// This share for [`ANOTHER_AFTER`] is another scene.
const ANOTHER: f32 = 0.5;
const ANOTHER_AFTER: Duration = Duration::from_secs(2);

/// How motion is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MotionSettings {
    /// Least difference of a cell's mean luma, in 8-bit steps, from what is expected of it.
    pub threshold: f32,
    /// For how long a picture with motion makes those after it count, too.
    pub hold: Duration,
}

/// Whether nobody is to look at a place: x and y as shares of the picture's width and height.
pub type Hidden = Arc<dyn Fn(f64, f64) -> bool + Send + Sync>;

/// The background of one camera.
pub struct Motion {
    settings: MotionSettings,
    size: (usize, usize),
    background: Vec<f32>,
    /// What it becomes with the picture at hand.
    next: Vec<f32>,
    /// Mean square of each cell's difference from what was expected.
    unrest: Vec<f32>,
    /// Length of the trail that ends in each cell, this time and last time, with a margin of [`STRIDE`] cells all around.
    trail: Vec<u8>,
    before: Vec<u8>,
    started: Duration,
    last: Option<Duration>,
    moved: Option<Duration>,
    clusters: bool,
    /// What thresholds are multiplied by, from 1 on.
    weather: f32,
    /// The parts of the picture in which cells differ, a bit each.
    parts: u16,
    another: Option<Duration>,
    whole: Whole,
    hidden: Option<Hidden>,
    /// The cells in which nothing is motion.
    blind: Vec<bool>,
}

impl fmt::Debug for Motion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, weather, whole, .. } = self;
        f.debug_struct("Motion").field("size", size).field("weather", weather).field("whole", whole).finish_non_exhaustive()
    }
}

impl Motion {
    /// Knows nothing yet.
    pub fn new(settings: MotionSettings) -> Self {
        Self {
            settings,
            size: (0, 0),
            background: Vec::new(),
            next: Vec::new(),
            unrest: Vec::new(),
            trail: Vec::new(),
            before: Vec::new(),
            started: Duration::ZERO,
            last: None,
            moved: None,
            clusters: false,
            weather: 1.0,
            parts: 0,
            another: None,
            whole: Whole::SAME,
            hidden: None,
            blind: Vec::new(),
        }
    }

    /// Where nothing is motion: clocks in the picture, flags. `None`: nowhere. Holds from now on.
    pub fn hide(&mut self, hidden: Option<Hidden>) {
        (self.hidden, self.size) = (hidden, (0, 0));
    }

    /// Other settings, the same background.
    pub fn configure(&mut self, settings: MotionSettings) {
        self.settings = settings;
    }

    /// Whether something moves in this picture, or did so lately, or nobody can tell yet.
    pub fn look(&mut self, grid: &Grid, at: Duration) -> bool {
        let gap = self.last.map(|last| at.checked_sub(last));
        let known = self.size == (grid.width, grid.height) && gap.flatten().is_some_and(|gap| gap < PAUSE);
        self.last = Some(at);
        if !known || grid.is_empty() {
            self.learn_anew(grid, at);
            return true;
        }
        let step = gap.flatten().unwrap_or_default().as_secs_f32();
        let age = at.saturating_sub(self.started);
        self.whole = fit::fit(&self.background, &grid.means, grid.columns);
        let hot = self.compare(grid, step, age);
        let now = self.judge(grid, hot, step, at);
        self.feel_weather(step);
        if now {
            self.moved = Some(at);
        }
        age < WARM_UP || self.moved.is_some_and(|moved| at.saturating_sub(moved) <= self.settings.hold)
    }

    fn learn_anew(&mut self, grid: &Grid, at: Duration) {
        self.size = (grid.width, grid.height);
        self.background.clone_from(&grid.means);
        self.next.clone_from(&grid.means);
        let cells = grid.means.len();
        self.unrest = vec![0.25; cells];
        let centre = |i: usize, of: usize| (i as f64 + 0.5) / of as f64;
        let places = (0..cells).map(|i| (centre(i % grid.columns, grid.columns), centre(i / grid.columns, grid.rows)));
        self.blind = places.map(|(x, y)| self.hidden.as_ref().is_some_and(|hidden| hidden(x, y))).collect();
        self.trail = vec![0; (grid.columns + 2 * STRIDE) * (grid.rows + 2 * STRIDE)];
        self.before.clone_from(&self.trail);
        (self.started, self.moved, self.another, self.clusters) = (at, None, None, false);
    }

    /// Compares each cell with what is expected of it and learns from it; the number of cells that differ.
    fn compare(&mut self, grid: &Grid, step: f32, age: Duration) -> usize {
        std::mem::swap(&mut self.trail, &mut self.before);
        self.trail.fill(0);
        self.parts = 0;
        let share = |constant: f32| (step / constant).min(1.0);
        // The first looks count alike, whatever the constants.
        let young = (step / age.as_secs_f32().max(1e-3)).min(0.5);
        let (still, covered, unrest) = (share(BACKGROUND).max(young), share(COVERED), share(UNREST).max(young * 0.5));
        let (least, columns, wide) = (self.settings.threshold, grid.columns, grid.columns + 2 * STRIDE);
        let most = least * BLINDEST;
        let (dark, bright) = grid.means.iter().fold((255.0_f32, 0.0_f32), |(low, high), mean| (low.min(*mean), high.max(*mean)));
        let shaken = self.whole.shift.0.abs().max(self.whole.shift.1.abs()) > SHAKEN;
        let mut hot = 0;
        for row in 0..grid.rows {
            for x in 0..columns {
                let (i, whole) = (row * columns + x, &self.whole);
                let before = self.background[i];
                // Nothing is brighter than the end of the scale, which the brightest cell shows.
                let light = whole.light(before).clamp(dark, bright);
                let lit = (light - before).abs();
                let mut difference = grid.means[i] - light;
                let mut tolerance = UNEVEN * lit;
                if shaken {
                    difference -= whole.shake(slopes(&self.background, columns, x, i));
                    tolerance += whole.blur(steps(&self.background, columns, x, i));
                }
                let (size, square) = (difference.abs(), self.unrest[i]);
                let differs = !self.blind[i] && size > (square.sqrt() * TIMES).clamp(least, most) * self.weather + tolerance;
                let learn = match differs {
                    true => covered,
                    // After a step of the light what is seen is the better background.
                    false if lit > LIGHT_STEP => 1.0,
                    false => still,
                };
                self.next[i] = light + learn * (grid.means[i] - light);
                // Something that passes is half the unrest of what comes again and again.
                let weight = if differs { unrest * 0.5 } else { unrest };
                let beyond = (size - tolerance).clamp(0.0, most);
                self.unrest[i] += weight * (beyond * beyond - square);
                if differs {
                    hot += 1;
                    self.parts |= 1 << (row * 4 / grid.rows * 4 + x * 4 / columns);
                    let at = (row + STRIDE) * wide + x + STRIDE;
                    self.trail[at] = 1 + self.longest_near(at, wide);
                }
            }
        }
        std::mem::swap(&mut self.background, &mut self.next);
        hot
    }

    fn longest_near(&self, at: usize, wide: usize) -> u8 {
        let rows = (0..=2 * STRIDE).map(|row| at - STRIDE * wide + row * wide - STRIDE);
        rows.flat_map(|start| &self.before[start..=start + 2 * STRIDE]).copied().max().unwrap_or_default().min(LONGEST_TRAIL)
    }

    /// Rain and snow are everywhere at once, and come again and again.
    fn feel_weather(&mut self, step: f32) {
        self.weather += if self.parts.count_ones() >= SPREAD {
            step.min(1.0) * WEATHER_RISE
        } else {
            (1.0 - self.weather) * (step / WEATHER).min(1.0)
        };
        self.weather = self.weather.clamp(1.0, WORST_WEATHER);
    }

    /// Looks that make a trail.
    fn trail_length(&self, step: f32) -> u8 {
        let looks = if self.weather > BAD_WEATHER { WEATHER_TRAIL / step.max(1e-3) } else { 0.0 };
        (looks as u8).clamp(TRAIL, LONGEST_TRAIL)
    }

    fn judge(&mut self, grid: &Grid, hot: usize, step: f32, at: Duration) -> bool {
        let cells = grid.means.len() as f32;
        if hot == 0 {
            (self.clusters, self.another) = (false, None);
            return false;
        }
        let share = hot as f32 / cells;
        if share > ANOTHER {
            let since = *self.another.get_or_insert(at);
            if at.saturating_sub(since) >= ANOTHER_AFTER {
                let moved = self.moved;
                self.learn_anew(grid, at);
                self.moved = moved;
            }
            return true;
        }
        self.another = None;
        let clusters = self.has_cluster(grid);
        let again = std::mem::replace(&mut self.clusters, clusters) && clusters;
        let trail = self.trail_length(step);
        again || share > MUCH || self.trail.iter().any(|length| *length >= trail)
    }

    fn has_cluster(&self, grid: &Grid) -> bool {
        let wide = grid.columns + 2 * STRIDE;
        let differs = |i: usize| self.trail[i] > 0;
        (STRIDE..grid.rows + STRIDE).any(|row| {
            (STRIDE..grid.columns + STRIDE).any(|x| {
                let at = row * wide + x;
                let near = || [at - wide, at, at + wide].into_iter().flat_map(|middle| [middle - 1, middle, middle + 1]);
                differs(at) && near().filter(|i| differs(*i)).count() >= CLUSTER
            })
        })
    }

    /// The background as it is known, `[rows, columns]`.
    pub(super) fn background(&self) -> &[f32] {
        &self.background
    }
}
