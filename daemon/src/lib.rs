//! egret turns a Jetson-class box into a camera appliance. ARCHITECTURE.md is the map.
#![forbid(unsafe_code)]

pub mod analyse;
pub mod batch;
pub mod bench;
pub mod bundle;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod decode;
#[cfg(feature = "demo")]
pub mod demo;
pub mod doctor;
pub mod engine;
pub mod eval;
mod file;
pub mod gate;
pub mod infer;
pub mod life;
pub mod listen;
pub mod media;
pub mod observe;
pub mod pipeline;
pub mod placement;
pub mod precision;
pub mod publish;
pub mod recall;
pub mod replay;
#[cfg(feature = "sim")]
pub mod sim;
pub mod source;
pub mod status;
pub mod step;
pub mod store;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod timecard;
pub mod track;
pub mod trackeval;
