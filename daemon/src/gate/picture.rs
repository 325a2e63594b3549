//! Whether a picture is one that can be looked at: not black, not blurred, and of the place where the camera was hung.
//!
//! Looked at about once a second; a fault must last before it is told, and be gone for a while before it is taken back.

use std::time::Duration;

use super::{
    grid::{Grid, Luma, edges},
    view::{alike, alike_elsewhere, strengths},
};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Mean luma of a black picture, at most, and the mean difference of its cells from that.
const BLACK: f32 = 28.0;
const BLACK_SPREAD: f32 = 2.0;
/// How long a picture is got to know before anything but black is told of it.
const ACQUAINTED: Duration = Duration::from_mins(1);
/// What is usual follows with this time constant, in seconds, while nothing is wrong.
const USUAL: f32 = 600.0;
/// Blurred below this share of the usual sharpness, and no more above that one.
const BLURRED: f32 = 0.35;
const SHARP: f32 = 0.6;
/// Pictures with less energy in their coarse edges have no sharpness.
const FEATURELESS: f32 = 4.0;
/// Moved where the view is less alike than this to the usual one, and is clearly more alike when shifted; where it is less alike than
/// that one, in any case. No more moved above the third.
const SHIFTED: f32 = 0.6;
const SHIFT_GAIN: f32 = 0.15;
const UNLIKE: f32 = 0.2;
const ALIKE: f32 = 0.7;
/// A view that has been another one for so long is the usual one from then on.
const SETTLED: Duration = Duration::from_hours(1);
/// A pause after which what lasted is forgotten.
const PAUSE: Duration = Duration::from_secs(10);

/// What is wrong with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing but black.
    Black,
    /// Far less sharp than usual.
    Blurred,
    /// It shows something else than usual, or the same elsewhere.
    Moved,
}

/// How long each fault lasts before it is told; zero: it never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureSettings {
    /// Black.
    pub black: Duration,
    /// Blurred.
    pub blurred: Duration,
    /// Moved.
    pub moved: Duration,
}

impl PictureSettings {
    /// Whether anything is to be looked for.
    pub(super) fn any(&self) -> bool {
        !(self.black.is_zero() && self.blurred.is_zero() && self.moved.is_zero())
    }
}

/// Tells a fault when it has lasted, and takes it back when it has been gone for half as long.
#[derive(Clone, Copy, Debug, Default)]
struct Debounce {
    told: bool,
    other_since: Option<Duration>,
}

impl Debounce {
    /// `None`: this picture says nothing either way.
    fn note(&mut self, faulty: Option<bool>, after: Duration, at: Duration) -> bool {
        if after.is_zero() {
            *self = Self::default();
            return false;
        }
        match faulty {
            Some(faulty) if faulty != self.told => {
                let since = *self.other_since.get_or_insert(at);
                if at.saturating_sub(since) >= if faulty { after } else { after / 2 } {
                    *self = Self { told: faulty, other_since: None };
                }
            }
            _ => self.other_since = None,
        }
        self.told
    }
}

/// What is usual for one camera, and what is wrong with its picture now.
#[derive(Debug)]
pub(super) struct Judge {
    settings: PictureSettings,
    size: (usize, usize),
    known_since: Duration,
    last: Option<Duration>,
    sharpness: f32,
    /// The edges of the usual view.
    view: Vec<f32>,
    edges: Vec<f32>,
    scratch: Vec<f32>,
    black: Debounce,
    blurred: Debounce,
    moved: Debounce,
    moved_since: Duration,
}

impl Judge {
    pub(super) fn new(settings: PictureSettings) -> Self {
        Self {
            settings,
            size: (0, 0),
            known_since: Duration::ZERO,
            last: None,
            sharpness: 0.0,
            view: Vec::new(),
            edges: Vec::new(),
            scratch: Vec::new(),
            black: Debounce::default(),
            blurred: Debounce::default(),
            moved: Debounce::default(),
            moved_since: Duration::ZERO,
        }
    }

    pub(super) fn configure(&mut self, settings: PictureSettings) {
        self.settings = settings;
    }

    /// Whether the next look is due.
    pub(super) fn due(&self, at: Duration) -> bool {
        self.settings.any() && self.last.is_none_or(|last| at.checked_sub(last).is_none_or(|gap| gap >= EVERY))
    }

    /// Looks at a picture. `background`: the view without what moves, `[rows, columns]` of the grid.
    pub(super) fn look(&mut self, luma: Luma<'_>, grid: &Grid, background: &[f32], at: Duration) -> Option<Fault> {
        if grid.is_empty() {
            return None;
        }
        self.catch_up(grid, at);
        let step = self.last.replace(at).map_or(0.0, |last| at.saturating_sub(last).as_secs_f32());
        let black = is_black(grid);
        let acquainted = at.saturating_sub(self.known_since) >= ACQUAINTED;
        // A mean over the first minute, then one that follows slowly.
        let share =
            if acquainted { step / USUAL } else { step / at.saturating_sub(self.known_since).as_secs_f32().max(step).max(1e-3) };
        let share = if step == 0.0 { 1.0 } else { share.min(1.0) };
        let blurred = if black { None } else { self.sharpness(luma, grid, acquainted, share) };
        let unsharp = blurred == Some(true) || self.blurred.told;
        // A blurred view has other edges: it says nothing of where the camera looks.
        let moved = if black || unsharp { None } else { self.view(grid, background, acquainted, share, at) };
        let PictureSettings { black: black_after, blurred: blurred_after, moved: moved_after } = self.settings;
        let was_moved = self.moved.told;
        let faults = [
            (self.black.note(Some(black), black_after, at), Fault::Black),
            (self.blurred.note(blurred, blurred_after, at), Fault::Blurred),
            (self.moved.note(moved, moved_after, at), Fault::Moved),
        ];
        if self.moved.told && !was_moved {
            self.moved_since = at;
        }
        faults.into_iter().find(|(told, _)| *told).map(|(_, fault)| fault)
    }

    /// Starts over after a pause (what is usual stays) or with pictures of another size (nothing stays).
    fn catch_up(&mut self, grid: &Grid, at: Duration) {
        if self.size != (grid.width, grid.height) {
            let settings = self.settings;
            *self = Self { size: (grid.width, grid.height), known_since: at, ..Self::new(settings) };
        }
        if let Some(last) = self.last
            && at.checked_sub(last).is_none_or(|gap| gap > PAUSE)
        {
            // Media time may have begun again: how long it has been known is kept.
            self.known_since = at.saturating_sub(last.saturating_sub(self.known_since));
            self.moved_since = at.saturating_sub(last.saturating_sub(self.moved_since));
            self.last = None;
            for debounce in [&mut self.black, &mut self.blurred, &mut self.moved] {
                debounce.other_since = None;
            }
        }
    }

    /// Whether it is blurred; what is usual follows while it is not.
    fn sharpness(&mut self, luma: Luma<'_>, grid: &Grid, acquainted: bool, share: f32) -> Option<bool> {
        let (fine, coarse) = edges(luma, grid, &mut self.scratch);
        if coarse < FEATURELESS {
            return None;
        }
        let sharpness = fine / coarse;
        let limit = self.sharpness * if self.blurred.told { SHARP } else { BLURRED };
        let blurred = acquainted && sharpness < limit;
        if !blurred && !self.blurred.told {
            self.sharpness += share * (sharpness - self.sharpness);
        }
        acquainted.then_some(blurred)
    }

    /// Whether it is another view; the usual one follows while it is not.
    fn view(&mut self, grid: &Grid, background: &[f32], acquainted: bool, share: f32, at: Duration) -> Option<bool> {
        strengths(background, grid.columns, &mut self.edges);
        if self.view.len() != self.edges.len() || (self.moved.told && at.saturating_sub(self.moved_since) >= SETTLED) {
            self.view.clone_from(&self.edges);
            self.moved = Debounce::default();
            self.known_since = at;
            return None;
        }
        let likeness = alike(&self.view, &self.edges, grid.columns, (0, 0));
        let moved = acquainted
            && if self.moved.told {
                likeness < ALIKE
            } else {
                likeness < UNLIKE
                    || (likeness < SHIFTED && alike_elsewhere(&self.view, &self.edges, grid.columns) > likeness + SHIFT_GAIN)
            };
        if !moved && !self.moved.told {
            self.view.iter_mut().zip(&self.edges).for_each(|(view, edge)| *view += share * (edge - *view));
        }
        acquainted.then_some(moved)
    }
}

fn is_black(grid: &Grid) -> bool {
    let cells = grid.means.len() as f32;
    let mean = grid.means.iter().sum::<f32>() / cells;
    mean <= BLACK && grid.means.iter().map(|cell| (cell - mean).abs()).sum::<f32>() / cells <= BLACK_SPREAD
}
