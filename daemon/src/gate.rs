//! What a camera's pictures tell before any network looks at them: whether something moves, and whether the picture is sound.
//!
//! Everything here is pure arithmetic on a coarse grid of the luma plane; time is media time. What is decided with it: the batcher
//! leaves still frames out (reason `gated`), and the status board shows `black`, `blurred` and `moved` pictures.

mod calm;
mod fit;
mod grid;
mod motion;
mod picture;
mod view;
mod watch;

#[cfg(test)]
mod drawn;
#[cfg(test)]
mod tests;

pub use calm::{Activity, Calm};
pub use grid::{Grid, Luma};
pub use motion::{Hidden, Motion, MotionSettings};
pub use picture::{Fault, PictureSettings};
pub use watch::{Seen, Watch, WatchSettings};
