//! Measuring the daemon with the daemon.
