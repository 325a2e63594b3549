//! The camera simulator.
pub mod scene;
