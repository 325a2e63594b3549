//! Looking on from the side: logs, metrics, health, graph. Nothing here can slow the line.

mod stages;

pub use stages::{StageSummary, StageTimes};
