//! Gathering the freshest frames of all cameras into batches.
