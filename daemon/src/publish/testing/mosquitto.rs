//! Debian's broker. The standard library alone, so that tests of the whole daemon take this file in too.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// Debian's broker, killed on drop.
pub(crate) struct Mosquitto {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }
}

impl Mosquitto {
    /// Starts one with these lines in its configuration; `None`, said loudly, where it is not installed.
    pub(crate) fn start(dir: &Path, lines: &str) -> Option<Self> {
        (0..5).find_map(|_| Self::start_on(dir, free_port(), lines)).or_else(|| {
            eprintln!("SKIPPED: mosquitto is not installed or does not start");
            None
        })
    }

    pub(crate) fn start_on(dir: &Path, port: u16, lines: &str) -> Option<Self> {
        let file = dir.join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nlog_dest stderr\npersistence false\n{lines}\n");
        std::fs::write(&file, text).expect("configuration written");
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap_or("mosquitto");
        let mut child = Command::new(program).arg("-c").arg(&file).stderr(Stdio::piped()).spawn().ok()?;
        let mut log = BufReader::new(child.stderr.take()?);
        let mut line = String::new();
        while log.read_line(&mut line).is_ok_and(|n| n > 0) {
            if line.contains(" running") {
                // It goes on talking, and must not choke on a full pipe.
                std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
                return Some(Self { child, port });
            }
            line.clear();
        }
        child.wait().expect("gone");
        None
    }
}
