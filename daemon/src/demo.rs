//! The demo: simulated cameras, an embedded broker and the daemon in one process, and what a subscriber sees of it.

mod broker;
mod subscriber;
mod view;

pub use broker::{BrokerError, EmbeddedBroker};
pub use subscriber::{Received, subscribe};
pub use view::View;
