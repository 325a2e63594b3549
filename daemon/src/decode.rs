//! Decoding: one GStreamer pipeline per camera.
