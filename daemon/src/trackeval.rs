//! `egret track-eval`: how well trackers hold identities, by the figures of MOTChallenge.
//!
//! Trackers run with the daemon's own code on the detections that a sequence's folder holds. The figures are those of TrackEval
//! (Luiten and Hoffhues, <https://github.com/JonathonLuiten/TrackEval>, MotChallenge2DBox): CLEAR, identity and HOTA, with its
//! treatment of distractors. `docs/tracking.md` has the definitions and their sources.

mod clear;
mod error;
mod figures;
mod follow;
mod hota;
mod identity;
mod lines;
mod matching;
mod rates;
mod report;
mod results;
mod run;
mod scene;
mod sequence;
mod table;

pub use clear::Clear;
pub use error::TrackEvalError;
pub use figures::{Figures, Outcome};
pub use hota::Hota;
pub use identity::Identity;
pub use matching::Pair;
pub use rates::Rates;
pub use report::{About, Judged, Report, Row};
pub use run::{Options, run};
pub use scene::{Frame, Named, Rect, Scene, Truth, Worth};
pub(crate) use sequence::{Sequence, detections};
pub use table::write as write_table;

#[cfg(test)]
mod tests;
