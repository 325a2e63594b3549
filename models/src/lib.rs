//! What a network expects and what its outputs mean.
#![forbid(unsafe_code)]
