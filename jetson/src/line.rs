//! A network's way on a device: pictures → input tensor → engine → final boxes, or the tensors that the network leaves.
//!
//! An [`Executor`] is an engine on a stream of its own, or on one that it shares with others ([`Row`]); any number of [`Lane`]s take turns on it. Everything else a lane has for
//! itself: a stream on which pictures are brought and drawn, one on which outputs are decoded and fetched, tensors, pinned memory, all
//! of it there before the first batch. So while one lane's batch is with the engine, the next one's pictures are drawn and the outputs
//! of the one before are decoded: with two lanes, each driven by a thread, a batch takes as long as its longest stage. Streams wait for
//! each other's events; nothing waits for the device as a whole.

mod error;
mod executor;
mod fetch;
mod lane;
mod row;
mod upload;

pub use error::LineError;
pub use executor::{Executor, Input, OutputTensor};
pub use fetch::Fetched;
pub use lane::{Feed, Finish, Lane, Times};
pub use row::Row;
pub use upload::{HostPicture, Source};
