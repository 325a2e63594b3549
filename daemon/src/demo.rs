//! The demo: simulated cameras, an embedded broker and the daemon in one process.
