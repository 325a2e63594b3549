//! Where models run: on which processors, whether the machine has them, and whether all that is to lie in a device's memory fits.
//!
//! All of it is decided before anything starts, from what was configured and from what machine and engines say of themselves.

mod account;
mod machine;
mod memory;
mod processor;

pub use account::{Account, Claim, Need};
pub use machine::{Machine, Missing, dla_cores};
pub use memory::{Fits, NoRoom, Share, fit};
pub use processor::{NotAProcessor, Processor};
