//! What others may tell the daemon to do, and the one door through which it is done: commands over MQTT, the switches of dialects, and
//! SIGHUP.
//!
//! A command is an edit of what was configured. The whole is checked again by the configuration's own code, and taken over as a reload
//! is. Nothing of it outlives the daemon.

mod answer;
mod door;
mod json;
mod order;
mod tally;
mod verb;

pub use answer::{Answer, BrokerCondition, CameraCondition, Changed, Condition, Done, Happening, Reason, Refusal, Status, Wrong};
pub use door::{Door, Read};
pub use order::{Action, CommandMessage, Id, Order, id, parse};
pub use tally::{Outcome, Tally};
use tokio::sync::oneshot;
pub use verb::Verb;

/// Commands that may wait for the door.
pub const WAITING: usize = 8;

/// A command on its way to the door.
#[derive(Debug)]
pub struct Request {
    /// What is to be done.
    pub action: Action,
    /// Where the answer goes. Dropped without one, the daemon is ending.
    pub answer: oneshot::Sender<Answer>,
}
