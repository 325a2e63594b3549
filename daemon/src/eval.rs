//! `egret eval`: how good networks are on pictures whose truth is known, and how well they agree with one another.
//!
//! Pictures go through the daemon's own decoder, letterbox, runtime, head and suppression, one after the other, through every
//! model in turn; the arithmetic is [`egret_models::eval`].

mod annotations;
mod bounded;
mod classes;
mod error;
mod html;
mod labels;
mod misses;
mod models;
pub(crate) mod pictures;
mod report;
mod run;
mod samples;
mod table;

pub use classes::LeftOut;
pub use egret_models::eval::agreement::Verdict;
pub use error::EvalError;
pub use html::write as write_html;
pub use misses::{Drawn, Mark, Miss};
pub use report::{Report, Row, Times};
pub use run::{Data, Options, run};
#[cfg(feature = "sim")]
pub use samples::Streets;
pub use table::write as write_table;

#[cfg(test)]
mod tests;
