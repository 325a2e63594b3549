//! The camera simulator.
