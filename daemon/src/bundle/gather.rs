//! What goes into an archive, each piece on its own: what cannot be had is named, and nothing else waits for it.

use std::{
    env,
    fs::{self, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use serde_json::json;
use url::Url;

use super::Part;
use crate::{
    config::{self, Rejected, Sources},
    doctor::{self, Setting},
    observe,
};

/// Most lines of the journal.
const LINES: &str = "20000";
/// Most bytes of one piece.
const LONGEST: usize = 16 << 20;
/// Most files that are listed, and how deep below a folder.
const MOST_FILES: usize = 10_000;
const DEEPEST: usize = 4;
/// How long a broker or a camera may take to answer the doctor.
const ANSWER: Duration = Duration::from_secs(5);

/// What is looked at.
pub struct Surroundings {
    /// Where the configuration comes from.
    pub sources: Sources,
    /// Where a daemon listens, if it does.
    pub http: Option<Url>,
    /// The unit whose journal is read.
    pub unit: String,
    /// Folders whose files are listed: the daemon's state.
    pub folders: Vec<PathBuf>,
    /// `/`, but for tests.
    pub root: PathBuf,
}

/// Gathers everything.
pub async fn gather(around: &Surroundings) -> Vec<Part> {
    let mut parts = vec![
        Part { name: "about.json", about: "versions and machine", content: Ok(about(&around.root)) },
        Part { name: "settings.json", about: "every key that is set, and where", content: settings(&around.sources) },
        Part { name: "check.json", about: "what is wrong with the configuration", content: Ok(check(&around.sources)) },
        Part {
            name: "doctor.json",
            about: "what egret doctor finds, and what to do about it",
            content: Ok(examined(around).await),
        },
    ];
    for (name, page, about) in [
        ("status.json", "/status", "cameras, models and counters of the running daemon"),
        ("metrics.txt", "/metrics", "its metrics"),
        ("health.txt", "/healthz", "whether a stage is stuck"),
        ("ready.txt", "/readyz", "whether it is ready"),
        ("graph.dot", "/graph", "its line, and the cameras' pipelines"),
    ] {
        parts.push(Part { name, about, content: page_of(around.http.as_ref(), page).await });
    }
    let journal =
        |which: &[&str]| command("journalctl", &[which, &["--no-pager", "-o", "short-iso-precise", "-n", LINES]].concat());
    parts.push(Part { name: "journal.txt", about: "the last lines of its log", content: journal(&["-u", &around.unit]) });
    parts.push(Part { name: "kernel.txt", about: "the last lines of the kernel's log", content: journal(&["-k"]) });
    parts.push(Part { name: "files.txt", about: "the files of its state", content: files(&around.folders) });
    parts
}

fn about(root: &Path) -> String {
    let line = |path: &str| fs::read_to_string(root.join(path)).map(|text| text.trim().to_owned()).ok();
    let release = line("etc/os-release").unwrap_or_default();
    let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"').to_owned());
    let features = [("demo", cfg!(feature = "demo")), ("sim", cfg!(feature = "sim")), ("tensorrt", cfg!(feature = "tensorrt"))];
    let features: Vec<_> = features.into_iter().filter_map(|(name, on)| on.then_some(name)).collect();
    let report = json!({
        "egret": env!("CARGO_PKG_VERSION"),
        "features": features,
        "architecture": env::consts::ARCH,
        "system": system,
        "kernel": line("proc/version"),
        "uptime": line("proc/uptime"),
        "memory": line("proc/meminfo").map(|text| text.lines().take(3).collect::<Vec<_>>().join(", ")),
        "model": line("proc/device-tree/model").map(|text| text.trim_end_matches('\0').to_owned()),
        "l4t": line("etc/nv_tegra_release"),
        "hardware": egret_jetson::probe(root).to_string(),
        "time": jiff::Timestamp::now().to_string(),
    });
    format!("{report:#}\n")
}

fn settings(sources: &Sources) -> Result<String, String> {
    serde_json::to_string_pretty(&config::settings(sources)).map_err(|error| error.to_string())
}

fn check(sources: &Sources) -> String {
    let (problems, advice) = match config::examine(sources) {
        Ok(loaded) => (Vec::new(), loaded.advice),
        Err(Rejected { problems, advice, .. }) => (problems, advice),
    };
    format!("{:#}\n", json!({ "ok": problems.is_empty(), "problems": problems, "advice": advice }))
}

/// What `egret doctor --json` prints.
async fn examined(around: &Surroundings) -> String {
    let file = around.sources.file.clone().unwrap_or_else(|| config::DEFAULT_FILE.into());
    let read = (around.sources.file.is_some() || file.exists()).then(|| config::examine(&around.sources));
    let mut findings = doctor::of_configuration(&read, &file);
    findings.extend(doctor::examine(Setting { root: around.root.clone(), ..Setting::here(read, ANSWER) }).await);
    format!("{:#}\n", doctor::report(&findings))
}

async fn page_of(http: Option<&Url>, page: &str) -> Result<String, String> {
    let mut url = http.ok_or("http is switched off in the configuration")?.clone();
    url.set_path(page);
    let reply = observe::get(&url).await.map_err(|error| error.to_string())?;
    Ok(if reply.status == 200 { reply.body } else { format!("{}\n{}", reply.status, reply.body) })
}

/// What a command prints, at most [`LONGEST`] bytes of it.
fn command(program: &str, arguments: &[&str]) -> Result<String, String> {
    let told = |error: io::Error| format!("{program}: {error}");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(told)?;
    let mut text = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(LONGEST as u64).read_to_end(&mut text).map_err(told)?;
    }
    let ended = child.wait_with_output().map_err(told)?;
    if !ended.status.success() && text.is_empty() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&ended.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Size, time of change and path of each file.
fn files(folders: &[PathBuf]) -> Result<String, String> {
    let mut lines = Vec::new();
    for folder in folders {
        list(folder, 0, &mut lines);
    }
    if lines.is_empty() { Err("no state folder is there".to_owned()) } else { Ok(lines.concat()) }
}

fn list(path: &Path, depth: usize, lines: &mut Vec<String>) {
    if lines.len() >= MOST_FILES {
        return;
    }
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    lines.push(line(path, &metadata));
    if !metadata.is_dir() || depth == DEEPEST {
        return;
    }
    match fs::read_dir(path) {
        Ok(entries) => {
            let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            for path in &paths {
                list(path, depth + 1, lines);
            }
        }
        Err(error) => lines.push(format!("{}: {error}\n", path.display())),
    }
}

fn line(path: &Path, metadata: &Metadata) -> String {
    let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let changed = jiff::Timestamp::try_from(changed).unwrap_or_default();
    let end = if metadata.is_dir() { "/" } else { "" };
    format!("{:>12} {changed:.0} {}{end}\n", metadata.len(), path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::testing::free_port;

    fn around(folder: &Path, text: &str) -> Surroundings {
        let file = folder.join("egret.toml");
        fs::write(&file, text).unwrap();
        let sources = Sources { file: Some(file), checking: true, ..Sources::default() };
        let none = "egret-that-is-nowhere".to_owned();
        Surroundings { sources, http: None, unit: none, folders: vec![folder.to_owned()], root: folder.to_owned() }
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_named_and_the_rest_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let parts = gather(&around(folder.path(), "device = 3\n[mqtt]\npassword = \"hunter2\"\n")).await;
        let content = |name: &str| parts.iter().find(|part| part.name == name).unwrap().content.clone();
        assert!(content("about.json").unwrap().contains(env!("CARGO_PKG_VERSION")));
        assert!(content("check.json").unwrap().contains("\"ok\": false"));
        assert!(content("doctor.json").unwrap().contains("\"exit\": 78"));
        assert!(content("settings.json").unwrap().contains("mqtt.password"));
        assert!(content("status.json").unwrap_err().contains("switched off"));
        assert!(content("files.txt").unwrap().contains("egret.toml"));
        assert!(parts.iter().all(|part| part.content.as_ref().map_or_else(|e| !e.is_empty(), |text| !text.contains("hunter2"))));
    }

    #[tokio::test]
    async fn what_the_doctor_finds_is_there_without_passwords() {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let text = format!(
            "[[model]]\nname = \"null\"\nbuiltin = \"null\"\n[[camera]]\nname = \"door\"\nurl = \"rtsp://admin:hunter2@127.0.0.1:{port}/1\"\n"
        );
        let found = examined(&around(folder.path(), &text)).await;
        let report: serde_json::Value = serde_json::from_str(&found).unwrap();
        let camera = report["findings"].as_array().unwrap().iter().find(|one| one["subject"] == "door").unwrap();
        assert_eq!((&camera["area"], &camera["level"], &report["exit"]), (&json!("camera"), &json!("error"), &json!(1)));
        assert!(camera["remedy"].is_string() && !found.contains("hunter2"), "{found}");
    }

    #[test]
    fn a_command_that_is_not_there_is_told() {
        assert!(command("egret-no-such-program", &[]).unwrap_err().starts_with("egret-no-such-program: "));
        assert_eq!(command("echo", &["hello"]).unwrap(), "hello\n");
        assert!(command("sh", &["-c", "echo wrong >&2; exit 3"]).unwrap_err().contains("wrong"));
    }
}
