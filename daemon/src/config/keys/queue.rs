//! The keys of the queue on disk.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Key, Kind, Raw, Section, Shape, Span};

section! {
    /// Events and ends of tracks are kept on disk until the broker has them.
    Queue: Table "queue" {
        /// Whether they are; false: they wait in memory, and are lost with the daemon.
        enabled: Flag = true;
        /// Its folder, for this daemon alone.
        directory: Path, otherwise "queue in systemd's state directory; without one, they wait in memory";
        /// Most megabytes (MiB) of its files. The oldest ends of tracks make room first, then the oldest events.
        max_mb: Count[8 ..= 65536] = 64;
        /// Oldest message, in running time of the machine. What is older is given up.
        max_age: Span["1m" ..= "365d"] = "7d";
        /// How often it is synced: what a power cut may cost.
        sync_interval: Span["0s" ..= "1m"] = "200ms";
        /// For how long what the broker acknowledged is kept. If the broker is lost meanwhile, it is sent again.
        keep_acknowledged: Span["0s" ..= "1m"] = "5s";
        /// Most messages a second of what has waited, once the broker is back. New ones of a camera wait behind: take more than are made.
        replay_rate: Count[1 ..= 100_000] = 500;
    }
}
