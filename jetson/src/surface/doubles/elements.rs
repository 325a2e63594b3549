//! Stand-ins for NVIDIA's GStreamer elements.
