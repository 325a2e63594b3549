//! `egret replay`: a recording goes through the daemon's own code, the same each time, and what it understood is told and drawn.
//!
//! A recording is a video with its original times, or what was detected once: egret's own messages, or a det.txt in the form of
//! MOTChallenge. Frames go one by one through the very stages of the daemon, the batcher and its caps, the engine, tracking, the rules and
//! the writer of messages, on one thread and by the recording's clock: nothing waits, nothing is replaced, nothing depends on this
//! machine's speed. What would differ from run to run is fixed: the boot id is `replay`, identities count from 1, and each message is
//! written in the moment of its frame's capture. So a recording gives the same bytes each time.

mod boxes;
mod desk;
mod error;
mod film;
mod overlay;
mod pen;
mod recording;
mod reel;
mod run;
mod sheets;
mod video;

pub use error::ReplayError;
pub use recording::{Hints, Recording};
pub use run::{Options, Outputs, Report, run};
