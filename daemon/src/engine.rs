//! The life of TensorRT engines: built on the device, kept under everything that they depend on, and never used where that has changed.
//!
//! [`Key`] names what an engine is for, [`Manifest`] says how it came about, [`Store`] keeps both safe from power cuts, [`lock`] lets one
//! build at a time. `docs/engines.md` is the manual.

mod error;
#[cfg(feature = "tensorrt")]
mod here;
mod key;
pub mod lock;
mod manifest;
mod progress;
mod store;

pub use error::EngineError;
#[cfg(feature = "tensorrt")]
pub use here::{Elsewhere, Here};
pub use key::{Difference, DlaCore, Flags, Hardware, Input, Key, Profile};
pub use manifest::{Manifest, Placed, Plan, Unreadable, VERSION, Verdict};
pub use progress::{Phase, Sparing, Tell, span};
pub use store::{Listed, Store};
