//! Configuration in two steps: what was typed ([`serde`]) becomes a checked [`Config`] that the rest of the program sees.

mod checked;
mod secret;

pub use checked::*;
pub use secret::Secret;
