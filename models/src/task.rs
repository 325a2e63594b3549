//! Tasks beside detection: what a classifier, an embedding network, a segmenter or a clip classifier says of a picture, read off
//! its outputs, and what becomes of several such readings of one object.

mod appearance;
mod areas;
mod reader;
mod scores;

pub use appearance::{Appearance, cosine, normalise};
pub use areas::{Areas, Run};
pub use reader::{Answer, TaskError, TaskReader};
pub use scores::{Scores, Votes};
