//! NVIDIA hardware and nothing else. For now: what of it is here.
