//! The life of the process: readiness, watchdog, signals, exit codes.
