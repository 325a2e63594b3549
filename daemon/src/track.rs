//! Following objects from frame to frame.
