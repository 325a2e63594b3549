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
/// Time constants in seconds: of the background where nothing moves, where something does, where something new stays, and of the
/// unrest of a cell.
const BACKGROUND: f32 = 10.0;
const COVERED: f32 = 20.0;
const STAYS: f32 = 5.0;
const UNREST: f32 = 20.0;
/// No cell is quieter than this, in 8-bit steps, and none counts as more unquiet than that.
const QUIETEST: f32 = 0.6;
const LOUDEST: f32 = 5.0;
/// Whatever unrest, noise and weather make of it together, a difference of so many 8-bit steps is one: no cell goes blind.
const BLINDEST: f32 = 60.0;
/// A difference counts as at most so many times the unrest when that is learnt: what passes now and then does not make a cell unquiet.
const CLIP: f32 = 3.0;
/// Something that differs moves if it differs by something else than lately, over this time constant in seconds, by this share of
/// the threshold. What was left behind, and what stands, does not.
const LATELY: f32 = 0.7;
const CHANGE: f32 = 0.7;
/// Light that changes does so unevenly: by this share of the change.
const UNEVEN: f32 = 0.3;
/// A shift of this many cells is a shake.
const SHAKEN: f32 = 0.02;
/// A change of a cell's light by this much, in 8-bit steps, is one that is not only drifting.
const LIGHT_STEP: f32 = 2.0;
/// Median of what cells differ by, in units of their unrest, in a picture like any other.
const USUAL: f32 = 0.85;
/// A picture that is noisier than that all over, as key frames are, has its noise taken for up to so many times the usual one.
const NOISIEST: f32 = 4.0;
/// One cell in this many tells how noisy a picture is.
const SAMPLE: usize = 5;
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
    /// Least difference of a cell's mean luma from what is expected of it, in units of what it usually differs by.
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
    /// By how much each cell usually differs from what was expected, in 8-bit steps.
    unrest: Vec<f32>,
    /// What each cell differs by in the picture at hand beyond what light and shake explain, and by how much that is more or less
    /// than lately.
    differences: Vec<f32>,
    changes: Vec<f32>,
    /// What each cell differed by lately, with its sign.
    lately: Vec<f32>,
    scratch: Vec<f32>,
    /// Length of the trail that ends in each cell, this time and last time, with a margin of [`STRIDE`] cells all around.
    trail: Vec<u8>,
    before: Vec<u8>,
    started: Duration,
    last: Option<Duration>,
    moved: Option<Duration>,
    clusters: bool,
    /// What thresholds are multiplied by, from 1 on.
    weather: f32,
    /// How many cells differ, whether they move or not.
    differing: usize,
    /// The parts of the picture in which single cells differ, a bit each.
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
            differences: Vec::new(),
            changes: Vec::new(),
            lately: Vec::new(),
            scratch: Vec::new(),
            trail: Vec::new(),
            before: Vec::new(),
            started: Duration::ZERO,
            last: None,
            moved: None,
            clusters: false,
            weather: 1.0,
            differing: 0,
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
        self.compare(grid, step);
        let hot = self.mark(grid, step, age);
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
        self.unrest = vec![QUIETEST; cells];
        self.differences = vec![0.0; cells];
        self.changes.clone_from(&self.differences);
        self.lately.clone_from(&self.differences);
        let centre = |i: usize, of: usize| (i as f64 + 0.5) / of as f64;
        let places = (0..cells).map(|i| (centre(i % grid.columns, grid.columns), centre(i / grid.columns, grid.rows)));
        self.blind = places.map(|(x, y)| self.hidden.as_ref().is_some_and(|hidden| hidden(x, y))).collect();
        self.blind.iter_mut().enumerate().filter(|(i, _)| grid.is_sliver(*i)).for_each(|(_, blind)| *blind = true);
        self.trail = vec![0; (grid.columns + 2 * STRIDE) * (grid.rows + 2 * STRIDE)];
        self.before.clone_from(&self.trail);
        (self.started, self.moved, self.another, self.clusters) = (at, None, None, false);
    }

    /// Compares each cell with what is expected of it: [`Self::differences`] beyond what light and shake explain.
    fn compare(&mut self, grid: &Grid, step: f32) {
        let lately = (step / LATELY).min(1.0);
        let columns = grid.columns;
        let (dark, bright) = grid.means.iter().fold((255.0_f32, 0.0_f32), |(low, high), mean| (low.min(*mean), high.max(*mean)));
        let whole = &self.whole;
        let shaken = whole.shift.0.abs().max(whole.shift.1.abs()) > SHAKEN;
        for row in 0..grid.rows {
            for x in 0..columns {
                let i = row * columns + x;
                let before = self.background[i];
                // Nothing is brighter than the end of the scale, which the brightest cell shows.
                let light = whole.light(before).clamp(dark, bright);
                let mut difference = grid.means[i] - light;
                let mut tolerance = UNEVEN * (light - before).abs();
                if shaken {
                    difference -= whole.shake(slopes(&self.background, columns, x, i));
                    tolerance += whole.blur(steps(&self.background, columns, x, i));
                }
                self.next[i] = light;
                self.differences[i] = (difference.abs() - tolerance).max(0.0);
                let change = difference - self.lately[i];
                self.changes[i] = (change.abs() - tolerance).max(0.0);
                self.lately[i] += lately * change;
            }
        }
    }

    /// How many times as noisy as usual the picture is all over, from 1 on.
    fn noise(&mut self) -> f32 {
        self.scratch.clear();
        let cells = self.differences.iter().zip(&self.unrest).step_by(SAMPLE);
        self.scratch.extend(cells.map(|(difference, unrest)| difference / unrest));
        let middle = self.scratch.len() / 2;
        let median = *self.scratch.select_nth_unstable_by(middle, f32::total_cmp).1;
        (median / USUAL).clamp(1.0, NOISIEST)
    }

    /// Marks the cells that differ, and learns from all of them; the number of those that differ.
    fn mark(&mut self, grid: &Grid, step: f32, age: Duration) -> usize {
        std::mem::swap(&mut self.trail, &mut self.before);
        self.trail.fill(0);
        self.parts = 0;
        let share = |constant: f32| (step / constant).min(1.0);
        // The first looks count alike, whatever the constants.
        let young = (step / age.as_secs_f32().max(1e-3)).min(0.5);
        let (still, covered, stays) = (share(BACKGROUND).max(young), share(COVERED), share(STAYS));
        let unrest = share(UNREST).max(young);
        self.differing = 0;
        let (columns, wide) = (grid.columns, grid.columns + 2 * STRIDE);
        let times = self.settings.threshold * self.noise() * self.weather;
        let most = self.settings.threshold.max(BLINDEST);
        let mut hot = 0;
        for row in 0..grid.rows {
            for x in 0..columns {
                let i = row * columns + x;
                let (light, difference, usual) = (self.next[i], self.differences[i], self.unrest[i]);
                let least = (times * usual).min(most);
                let differs = !self.blind[i] && difference > least;
                let moves = differs && self.changes[i] > CHANGE * least;
                let learn = match differs {
                    true if moves => covered,
                    true => stays,
                    // After a step of the light what is seen is the better background.
                    false if (light - self.background[i]).abs() > LIGHT_STEP => 1.0,
                    false => still,
                };
                self.next[i] = light + learn * (grid.means[i] - light);
                self.unrest[i] = (usual + unrest * (difference.min(CLIP * usual) - usual)).clamp(QUIETEST, LOUDEST);
                self.differing += usize::from(differs);
                if moves {
                    hot += 1;
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
        if self.differing as f32 > cells * ANOTHER {
            let since = *self.another.get_or_insert(at);
            if at.saturating_sub(since) >= ANOTHER_AFTER {
                let moved = self.moved;
                self.learn_anew(grid, at);
                self.moved = moved;
            }
            return true;
        }
        self.another = None;
        let clusters = self.find_clusters(grid);
        let again = std::mem::replace(&mut self.clusters, clusters) && clusters;
        let trail = self.trail_length(step);
        again || hot as f32 > cells * MUCH || self.trail.iter().any(|length| *length >= trail)
    }

    /// Whether there are clusters; cells that belong to none show the weather.
    fn find_clusters(&mut self, grid: &Grid) -> bool {
        let wide = grid.columns + 2 * STRIDE;
        let differs = |i: usize| self.trail[i] > 0;
        let (mut clusters, mut parts) = (false, 0_u16);
        for row in 0..grid.rows {
            for x in 0..grid.columns {
                let at = (row + STRIDE) * wide + x + STRIDE;
                if !differs(at) {
                    continue;
                }
                let near = [at - wide, at, at + wide].into_iter().flat_map(|middle| [middle - 1, middle, middle + 1]);
                if near.filter(|i| differs(*i)).count() >= CLUSTER {
                    clusters = true;
                } else {
                    parts |= 1 << (row * 4 / grid.rows * 4 + x * 4 / grid.columns);
                }
            }
        }
        self.parts = parts;
        clusters
    }

    /// The background as it is known, `[rows, columns]`.
    pub(super) fn background(&self) -> &[f32] {
        &self.background
    }
}
