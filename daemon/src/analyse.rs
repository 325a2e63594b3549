//! From tracks to meaning: rules about where objects are, where they go, and how many they are.
//!
//! A pure function of the stories that leave tracking, one [`Analyst`] for each camera, on tracking's thread. Everything is measured in
//! time, never in frames. What the rules say travels with the frame's story to publishing. [`Masks`] act before tracking.

mod analyst;
mod cameras;
mod clock;
mod combine;
mod counters;
mod definition;
mod each;
mod event;
pub mod geometry;
mod ground;
mod ledger;
mod line;
mod mask;
mod memory;
mod motion;
mod moving;
mod near;
mod occupancy;
mod place;
mod presence;
mod rule;
mod runner;
mod sight;
mod state;
mod summary;
#[cfg(test)]
mod tests;
mod veil;
mod watch;
mod week;
mod zone;

pub use analyst::Analyst;
pub use cameras::Cameras;
pub use counters::{Counters, RuleCounts};
pub use event::{
    Count, Event, EventId, EventPhase, HEAT, MOST_OBJECTS, Measure, Object, Path, Summary, Tally, Unit, Verdicts, Way,
};
pub use ground::{Ground, GroundConfig, GroundError};
pub use ledger::{Ledger, LedgerError};
pub use mask::{Hidden, Masks};
pub use place::{Anchor, Zone};
pub use rule::{CameraRules, HeadingConfig, Limit, LineConfig, MaskConfig, Quantity, RuleConfig, RuleKind, Schedule, Strictness};
pub use sight::Sight;
pub(crate) use veil::{cover, covered};
pub use week::{Week, WeekError};
