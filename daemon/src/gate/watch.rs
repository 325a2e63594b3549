//! One camera's pictures, looked at as they leave the decoder.

use std::time::Duration;

use super::{
    grid::{Grid, Luma},
    motion::{Hidden, Motion, MotionSettings},
    picture::{Fault, Judge, PictureSettings},
};

/// The view needs a background, too, where motion is not looked for.
const VIEW_ONLY: MotionSettings = MotionSettings { threshold: 5.0, hold: Duration::ZERO };

/// What is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WatchSettings {
    /// Motion, in every picture; `None`: every picture counts as one in which something moves.
    pub motion: Option<MotionSettings>,
    /// Faults, once a second.
    pub picture: PictureSettings,
}

/// What a picture has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Nothing moves in it, and nothing has lately.
    pub still: bool,
    /// What is wrong with it, if it has been for long enough.
    pub fault: Option<Fault>,
}

/// Looks at the pictures of one camera.
#[derive(Debug)]
pub struct Watch {
    settings: WatchSettings,
    grid: Grid,
    motion: Motion,
    judge: Judge,
    fault: Option<Fault>,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(settings: WatchSettings) -> Self {
        let motion = Motion::new(settings.motion.unwrap_or(VIEW_ONLY));
        Self { settings, grid: Grid::default(), motion, judge: Judge::new(settings.picture), fault: None }
    }

    /// Looks for something else from now on; what is known of the camera stays.
    pub fn configure(&mut self, settings: WatchSettings) {
        self.settings = settings;
        self.motion.configure(settings.motion.unwrap_or(VIEW_ONLY));
        self.judge.configure(settings.picture);
        if !settings.picture.any() {
            self.fault = None;
        }
    }

    /// Where nothing is motion; `None`: nowhere.
    pub fn hide(&mut self, hidden: Option<Hidden>) {
        self.motion.hide(hidden);
    }

    /// What was wrong with the last picture that was judged.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether a picture at this media time is looked at.
    pub fn wants(&self, at: Duration) -> bool {
        self.settings.motion.is_some() || self.judge.due(at)
    }

    /// Looks at a picture. `at` is media time; where it goes back, as with a new session, the background is learnt anew.
    pub fn look(&mut self, luma: Luma<'_>, at: Duration) -> Seen {
        let due = self.judge.due(at);
        let mut still = false;
        if due || self.settings.motion.is_some() {
            self.grid.fill(luma);
            let moves = self.motion.look(&self.grid, at);
            still = !moves && self.settings.motion.is_some();
        }
        if due {
            self.fault = self.judge.look(luma, &self.grid, self.motion.background(), at);
        }
        Seen { still, fault: self.fault }
    }
}
