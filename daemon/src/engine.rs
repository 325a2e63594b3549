//! The life of TensorRT engines: built on the device, kept under everything that they depend on, and never used where that has changed.
//!
//! [`Key`] names what an engine is for, [`Manifest`] says how it came about, [`Store`] keeps both safe from power cuts, [`lock`] lets one
//! build at a time. `docs/engines.md` is the manual.

#[cfg(feature = "tensorrt")]
mod bench;
mod board;
#[cfg(feature = "tensorrt")]
mod build;
mod choose;
mod error;
#[cfg(feature = "tensorrt")]
mod here;
mod key;
pub mod lock;
mod manifest;
#[cfg(feature = "tensorrt")]
mod open;
#[cfg(feature = "tensorrt")]
mod parted;
mod place;
mod progress;
mod store;

pub use board::{Board, EngineState};
pub use choose::{Choice, choose};
pub use error::EngineError;
pub use key::{Difference, DlaCore, Flags, Hardware, Input, Key, Profile};
pub use manifest::{Manifest, Placed, Plan, TailPart, Unreadable, VERSION, Verdict};
pub use place::folder;
#[cfg(feature = "tensorrt")]
pub use place::location;
pub use progress::{Phase, Sparing, Tell, span};
pub use store::{Listed, Parts, Store};
#[cfg(feature = "tensorrt")]
pub use {
    bench::{BenchError, Figures, Measure, bench},
    build::{Asked, BuildError, Built, Order, build, now},
    here::{Elsewhere, Here},
    open::{OpenError, Opened, open},
    parted::PartError,
};

#[cfg(all(test, feature = "doubles"))]
mod doubles_tests;
