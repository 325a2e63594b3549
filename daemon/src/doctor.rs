//! `egret doctor`: what is there, what is wrong, and what to do about it, one line each.
//!
//! Everything is looked at as the daemon would use it: the same libraries, decoders, brokers and cameras, by the same code. Each question
//! is asked beside the others and has a time limit. Nothing is changed but for a file that is written and removed where the daemon writes.

mod broker;
mod camera;
mod clock;
mod configuration;
mod decoders;
mod hardware;
mod listener;
mod software;
mod storage;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use egret_models::text;
use futures::future::join_all;
use serde::Serialize;

use crate::{
    config::{Config, Loaded, Rejected, Whose},
    decode::redact,
};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// It works, and worse than it could, or not for long.
    Warning,
    /// It does not work.
    Error,
}

impl Level {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One line. It holds no secrets: URLs lose their credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `cuda`, `clock`, `camera`, …
    pub area: &'static str,
    /// Which of several: the name of a camera, of a broker, of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub says: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    fn new(area: &'static str, level: Level, says: impl Into<String>) -> Self {
        Self { area, subject: None, level, says: says.into(), remedy: None }
    }

    fn ok(area: &'static str, says: impl Into<String>) -> Self {
        Self::new(area, Level::Ok, says)
    }

    fn note(area: &'static str, says: impl Into<String>) -> Self {
        Self::new(area, Level::Note, says)
    }

    fn warning(area: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(area, Level::Warning, says) }
    }

    fn error(area: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(area, Level::Error, says) }
    }

    fn of(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// Whoever answered chose some of the words: one line, without credentials.
    fn clean(self) -> Self {
        let clean = |text: String| text::lines(&redact(&text)).into_owned();
        let subject = self.subject.map(clean);
        Self { says: clean(self.says), remedy: self.remedy.map(clean), subject, ..self }
    }
}

/// The exit code of the command: 0 all goes, 1 something does not, 78 the configuration is wrong.
pub fn exit(findings: &[Finding]) -> u8 {
    let error = |finding: &&Finding| finding.level == Level::Error;
    match () {
        () if findings.iter().filter(error).any(|finding| finding.area == configuration::AREA) => 78,
        () if findings.iter().any(|finding| error(&finding)) => 1,
        () => 0,
    }
}

/// The findings as `--json` prints them: `ok`, the exit code and one object for each.
pub fn report(findings: &[Finding]) -> serde_json::Value {
    let exit = exit(findings);
    serde_json::json!({ "ok": exit == 0, "exit": exit, "findings": findings })
}

/// What is looked at.
#[derive(Clone)]
pub struct Setting {
    /// Root of the kernel's files, `/` but for tests.
    pub root: PathBuf,
    /// What the clock says.
    pub now: SystemTime,
    /// Whether the kernel has been told that it is right, where it answers.
    pub synchronised: Option<bool>,
    /// Time limit of each question.
    pub limit: Duration,
    /// Whether GStreamer has an element of this name.
    pub has_element: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// The daemon's state directory, where there is a place for one.
    pub state: Option<PathBuf>,
    /// The configuration, or what could be made of it.
    pub config: Option<Arc<Config>>,
    /// Brokers and cameras that are not asked, and why, as [`unasked`] has them.
    pub unasked: Vec<Unasked>,
}

/// A broker or a camera that is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unasked {
    area: &'static str,
    name: String,
    why: String,
}

impl Setting {
    /// This machine, with what came of reading the configuration.
    pub fn here(read: Read, limit: Duration) -> Self {
        let unasked = unasked(&read);
        let config = match read {
            Some(Ok(loaded)) => Some(Arc::new(loaded.config)),
            Some(Err(rejected)) => rejected.config.map(Arc::from),
            None => None,
        };
        let variable = |name: &str| std::env::var(name).ok();
        let state = crate::store::default_directory(&variable).and_then(|models| models.parent().map(Path::to_owned));
        let has_element = Arc::new(decoders::has_element);
        let synchronised = egret_jetson::clock::is_synchronised().ok();
        Self { root: "/".into(), now: SystemTime::now(), synchronised, limit, has_element, state, config, unasked }
    }
}

/// What came of reading the configuration; `None`: there is none.
pub type Read = Option<Result<Loaded, Rejected>>;

type Asked = Pin<Box<dyn Future<Output = Vec<Finding>> + Send>>;

/// Asks every question, all side by side; the findings in a fixed order.
pub async fn examine(setting: Setting) -> Vec<Finding> {
    let limit = setting.limit;
    let mut asked: Vec<Asked> = vec![
        away(&setting, "board", hardware::board),
        away(&setting, "decoders", decoders::examine),
        away(&setting, "runtime", software::examine),
        away(&setting, "storage", storage::examine),
        away(&setting, "clock", clock::examine),
    ];
    let unasked = &setting.unasked;
    let is_asked = |area, name: &str| !unasked.iter().any(|one| one.area == area && (one.name == name || one.name.is_empty()));
    if let Some(config) = &setting.config {
        let brokers = config.mqtt.iter().flat_map(|mqtt| mqtt.brokers().cloned());
        let brokers = brokers.filter(|broker| is_asked(broker::AREA, &broker.name));
        asked.extend(brokers.map(|config| Box::pin(async move { broker::examine(&config, limit).await }) as Asked));
        let cameras = config.cameras.iter().filter(|camera| is_asked(camera::AREA, &camera.name)).cloned();
        asked.extend(cameras.map(|config| Box::pin(async move { camera::examine(&config, limit).await }) as Asked));
        if let Some(http) = config.http.clone() {
            asked.push(Box::pin(async move { listener::examine(&http).await }));
        }
    }
    let notes = unasked.iter().map(|Unasked { area, name, why }| {
        let note = Finding::note(area, format!("not looked at: {why}"));
        if name.is_empty() { note } else { note.of(name.clone()) }
    });
    asked.push(Box::pin(std::future::ready(notes.collect())));
    join_all(asked).await.into_iter().flatten().map(Finding::clean).collect()
}

/// Whom not to ask, with the wrong password perhaps, and why: whose keys are wrong, or whose password only systemd provides. An empty
/// name: all of them.
pub fn unasked(read: &Read) -> Vec<Unasked> {
    let (withheld, problems, is_some) = match read {
        None => return Vec::new(),
        Some(Ok(loaded)) => (&loaded.withheld, &[][..], true),
        Some(Err(rejected)) => (&rejected.withheld, rejected.problems.as_slice(), rejected.config.is_some()),
    };
    let wrong = problems.iter().map(|problem| (problem.key.as_str(), format!("put {} right first", named(&problem.key))));
    let withheld = withheld
        .iter()
        .map(|key| (key.as_str(), format!("only systemd provides {key}: the log of the service tells whether it is taken")));
    let of_all = |why: String| [broker::AREA, camera::AREA].map(|area| Unasked { area, name: String::new(), why: why.clone() });
    let mut all: Vec<Unasked> = Vec::new();
    for (key, why) in wrong.chain(withheld) {
        match Whose::of(key) {
            Whose::Broker(name) => all.push(Unasked { area: broker::AREA, name: name.to_owned(), why }),
            Whose::Camera(name) => all.push(Unasked { area: camera::AREA, name: name.to_owned(), why }),
            Whose::All => all.extend(of_all(why)),
            Whose::Other => {}
        }
    }
    if !is_some {
        all.extend(of_all("put the configuration right first".to_owned()));
    }
    all.sort_by(|a, b| (a.area, &a.name).cmp(&(b.area, &b.name)));
    all.dedup_by(|a, b| (a.area, &a.name) == (b.area, &b.name));
    all
}

fn named(key: &str) -> &str {
    if key.is_empty() { "the file" } else { key }
}

/// Of a configuration: what is wrong with it.
pub fn of_configuration(read: &Read, file: &Path) -> Vec<Finding> {
    configuration::examine(read, file).into_iter().map(Finding::clean).collect()
}

/// A question whose answer blocks: it is asked on a thread of its own, which is left alone where no answer comes in time.
fn away(setting: &Setting, area: &'static str, ask: fn(&Setting) -> Vec<Finding>) -> Asked {
    let (setting, limit) = (setting.clone(), setting.limit.max(SLOW));
    Box::pin(async move {
        let answer = tokio::task::spawn_blocking(move || ask(&setting));
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(findings)) => findings,
            Ok(Err(panic)) => {
                vec![Finding::error(area, format!("looking at it failed: {panic}"), "report it, with what this machine is")]
            }
            Err(_) => {
                let says = format!("no answer within {} s: a driver, a library or a disk hangs", limit.as_secs());
                vec![Finding::error(area, says, "see dmesg; restart the machine")]
            }
        }
    })
}

/// Libraries of some hundred megabytes and a first scan of all plug-ins take their time, whatever the limit of the network is.
const SLOW: Duration = Duration::from_secs(30);
