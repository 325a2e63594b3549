//! The daemon as systemd and an operator meet it: a process, its notifications, its signals, its listener, its exit codes.

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    time::Duration,
};

/// Nothing in here takes longer on a machine that is alive.
const PATIENCE: Duration = Duration::from_mins(1);
const EGRET: &str = env!("CARGO_BIN_EXE_egret");

/// A daemon with no camera, a free port, and logs that a program can read.
const CONFIG: &str = r#"
device = "test-box"

[log]
format = "json"

[http]
listen = "127.0.0.1:0"
"#;

struct Daemon {
    child: Child,
    notifications: UnixDatagram,
    logs: BufReader<ChildStderr>,
    folder: tempfile::TempDir,
}

impl Daemon {
    fn start(config: &str, watchdog: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("egret.toml");
        std::fs::write(&file, config).expect("written");
        let socket = folder.path().join("notify");
        let notifications = UnixDatagram::bind(&socket).expect("a socket");
        notifications.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut child = command(&file)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("egret starts");
        let logs = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, notifications, logs, folder }
    }

    /// The next notification that begins like this; others that come before it are passed over.
    fn told(&self, beginning: &str) -> String {
        let mut message = [0; 4096];
        loop {
            let length = self.notifications.recv(&mut message).expect(beginning);
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.starts_with(beginning) {
                return text;
            }
        }
    }

    /// Where the listener is, from the log.
    fn address(&mut self) -> SocketAddr {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.logs.read_line(&mut line).expect("UTF-8") > 0, "egret ended before it listened");
            let entry: serde_json::Value = serde_json::from_str(&line).expect("one JSON object per line");
            if let Some(address) = entry["address"].as_str() {
                return address.parse().expect("an address");
            }
        }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Reads the rest of the log, so that a full pipe holds nothing up, and waits.
    fn end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.logs.read_to_string(&mut rest).expect("UTF-8");
        (self.child.wait().expect("it was started"), rest)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already, in tests that pass.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(config: &Path) -> Command {
    let mut command = Command::new(EGRET);
    command.args(["run", "--config"]).arg(config);
    command.env_remove("JOURNAL_STREAM").env_remove("WATCHDOG_PID");
    command
}

fn get(address: SocketAddr, path: &str) -> String {
    use std::io::Write;
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn without_cameras_it_is_ready_fed_reloaded_and_stopped() {
    let daemon = Daemon::start(CONFIG, Duration::from_millis(300));
    assert!(daemon.told("READY=1").contains("STATUS=0 of 0 cameras online"));
    daemon.told("WATCHDOG=1");
    daemon.signal("-HUP");
    let reloading = daemon.told("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    daemon.told("READY=1");
    daemon.told("WATCHDOG=1");
    daemon.signal("-TERM");
    daemon.told("STOPPING=1");
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(0), "{log}");
}

/// The network of the cameras is down at boot: the service is up all the same, and its watchdog is fed.
#[test]
fn a_camera_that_nothing_is_heard_of_does_not_keep_it_from_being_ready() {
    let street = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/street.onnx");
    let camera = "[[camera]]\nname = \"door\"\nurl = \"rtsp://127.0.0.1:1/door\"\n";
    let config = format!("{CONFIG}\n[[model]]\nname = \"street\"\nfile = \"{street}\"\n\n{camera}");
    let daemon = Daemon::start(&config, Duration::from_millis(300));
    let ready = daemon.told("READY=1");
    assert!(ready.contains("STATUS=0 of 1 cameras online"), "{ready}");
    daemon.told("WATCHDOG=1");
    daemon.signal("-TERM");
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_reload_that_takes_every_camera_away_is_warned_of() {
    let cameras = "[[model]]\nname = \"null\"\nbuiltin = \"null\"\n[[camera]]\nname = \"door\"\nurl = \"test:smpte\"\n";
    let daemon = Daemon::start(&format!("{CONFIG}{cameras}"), PATIENCE);
    daemon.told("READY=1");
    std::fs::write(daemon.folder.path().join("egret.toml"), CONFIG).expect("written");
    daemon.signal("-HUP");
    daemon.told("RELOADING=1");
    daemon.told("READY=1");
    daemon.signal("-INT");
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("no camera is left"), "{log}");
}

#[test]
fn a_broken_reload_leaves_it_running() {
    let daemon = Daemon::start(CONFIG, PATIENCE);
    daemon.told("READY=1");
    std::fs::write(daemon.folder.path().join("egret.toml"), "[mqtt]\nport = 99999\n").expect("written");
    daemon.signal("-HUP");
    daemon.told("RELOADING=1");
    daemon.told("READY=1");
    daemon.signal("-INT");
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("mqtt.port"), "the key is named: {log}");
}

#[test]
fn its_listener_and_its_graph_answer() {
    let mut daemon = Daemon::start(CONFIG, PATIENCE);
    let address = daemon.address();
    daemon.told("READY=1");
    assert!(get(address, "/readyz").starts_with("HTTP/1.0 200"));
    assert!(get(address, "/healthz").starts_with("HTTP/1.0 200"));
    assert!(get(address, "/metrics").contains(r#"device="test-box""#));
    let graph = Command::new(EGRET).args(["graph", "--url", &format!("http://{address}")]).output().expect("egret graph runs");
    let text = String::from_utf8_lossy(&graph.stdout);
    assert!(graph.status.success() && text.starts_with("digraph egret {") && text.contains("test-box"), "{graph:?}");
    let nobody = Command::new(EGRET).args(["graph", "--camera", "nobody", "--url", &format!("http://{address}")]).output();
    let nobody = nobody.expect("egret graph runs");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no camera is called"), "{nobody:?}");
    daemon.signal("-TERM");
    assert_eq!(daemon.end().0.code(), Some(0));
}

#[test]
fn a_wrong_configuration_is_exit_78() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("egret.toml");
    std::fs::write(&file, "[mqtt]\nport = 99999\n[http]\nlisten = \"nowhere\"\n").expect("written");
    let output = command(&file).stdin(Stdio::null()).output().expect("egret runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("mqtt.port") && told.contains("http.listen"), "all problems at once: {told}");
}

#[test]
fn a_port_that_is_taken_is_exit_1_since_it_may_be_free_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("egret.toml");
    std::fs::write(&file, format!("[http]\nlisten = \"{address}\"\n")).expect("written");
    let output = command(&file).stdin(Stdio::null()).output().expect("egret runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("http.listen") && told.contains(&address.to_string()), "{told}");
}
