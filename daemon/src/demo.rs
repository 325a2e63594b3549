//! The demo: simulated cameras, an embedded broker and the daemon in one process, and what a subscriber sees of it.
//!
//! Nothing is faked: the cameras speak RTSP, the daemon is the one that `egret run` starts, and what is shown went through a broker.

mod broker;
mod subscriber;
mod view;

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use broker::{BrokerError, EmbeddedBroker};
pub use subscriber::{Received, subscribe};
pub use view::View;

use crate::{
    config::{self, Edits, Loaded, Problem, Texts},
    daemon::{self, Surroundings},
    life::{Exit, Notifier},
    sim::{
        Sim, SimCamera, SimConfig, SimError, What,
        scene::{SceneConfig, TimeOfDay},
    },
};

/// How often the terminal is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);
/// How long messages that are still under way are waited for after the daemon has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Topics of the demo's daemon.
const TOPICS: &str = "egret/demo/";

/// What the demo is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Simulated cameras, 1 to 16.
    pub cameras: usize,
    /// Frames per second of each.
    pub fps: u32,
    /// How long; `None`: until interrupted.
    pub duration: Option<Duration>,
    /// Print what a subscriber receives as JSON lines instead of drawing it.
    pub json: bool,
    /// The first camera's scene; the others follow.
    pub seed: u64,
}

/// Why the demo could not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// No cameras.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The demo's own configuration was refused: a bug.
    #[error("the demo's configuration was refused: {0}")]
    Config(String),
    /// The terminal is gone.
    #[error("cannot write what was received: {0}")]
    Output(#[from] io::Error),
}

/// Runs the demo. [`Exit::Clean`] only if every camera was seen and something was detected on it.
pub async fn run(options: Options) -> Result<Exit, DemoError> {
    let broker = EmbeddedBroker::start().await?;
    let sim = Sim::start(SimConfig::new(cameras(&options)))?;
    let config = configuration(&sim, &broker)?;
    writeln!(io::stderr().lock(), "the broker: mqtt://{} (MQTT 5), mqtt://{} (MQTT 3.1.1)", broker.v5(), broker.v4())?;
    let received = subscribe(broker.v5(), &format!("{TOPICS}#"));
    let cancel = CancellationToken::new();
    let surroundings = Surroundings {
        notifier: Notifier::silent(),
        read: |_: Option<Texts>, _: Edits| Err(Vec::<Problem>::new()),
        log: None,
        attached: None,
        cancel: cancel.clone(),
    };
    let daemon = daemon::run(config, surroundings);
    let mut show = Show::new(&options, received);
    let shown = {
        let show = show.until_ended(cancel);
        tokio::pin!(show, daemon);
        tokio::select! {
            exit = &mut daemon => Ended::Daemon(exit),
            shown = &mut show => Ended::Show(shown, daemon.await),
        }
    };
    let exit = match shown {
        Ended::Daemon(exit) => exit,
        Ended::Show(shown, exit) => {
            shown?;
            exit
        }
    };
    show.last_words().await?;
    sim.stop();
    let verdict = show.verdict(options.cameras)?;
    Ok(if exit == Exit::Clean { verdict } else { exit })
}

enum Ended {
    Daemon(Exit),
    Show(io::Result<()>, Exit),
}

/// Day, night, day in the rain, night in the rain, and again.
fn cameras(options: &Options) -> Vec<SimCamera> {
    let kinds = [
        ("day", TimeOfDay::Day, false),
        ("night", TimeOfDay::Night, false),
        ("rain", TimeOfDay::Day, true),
        ("late", TimeOfDay::Night, true),
    ];
    let camera = |i: usize| {
        let (name, time, rain) = kinds[i % kinds.len()];
        let name = if i < kinds.len() { name.to_owned() } else { format!("{name}{}", i / kinds.len() + 1) };
        let scene = SceneConfig { fps: options.fps, seed: options.seed + i as u64, time, rain, ..SceneConfig::default() };
        SimCamera { fps: options.fps, ..SimCamera::new(&name, What::Scene(scene)) }
    };
    (0..options.cameras).map(camera).collect()
}

fn configuration(sim: &Sim, broker: &EmbeddedBroker) -> Result<Loaded, DemoError> {
    let mut text = format!(
        "device = \"demo\"\n[mqtt]\nurl = \"mqtt://{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[model]]\nname = \"street\"\nbuiltin = \"demo\"\n",
        broker.v5()
    );
    for name in sim.names() {
        let url = sim.url(name)?;
        // Writing to a string cannot fail.
        let _ = write!(text, "[[camera]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    }
    let refused =
        |problems: Vec<Problem>| DemoError::Config(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    config::load_text(Path::new("demo.toml"), &text).map_err(refused)
}

/// What is shown of the messages.
struct Show {
    view: View,
    received: mpsc::Receiver<Received>,
    json: bool,
    terminal: bool,
    until: Option<tokio::time::Instant>,
    cameras: usize,
}

impl Show {
    fn new(options: &Options, received: mpsc::Receiver<Received>) -> Self {
        Self {
            view: View::default(),
            received,
            json: options.json,
            terminal: !options.json && io::stdout().is_terminal(),
            until: options.duration.map(|duration| tokio::time::Instant::now() + duration),
            cameras: options.cameras,
        }
    }

    /// Shows until the time is up, then has the daemon stop.
    async fn until_ended(&mut self, cancel: CancellationToken) -> io::Result<()> {
        let mut redraw = tokio::time::interval(REDRAW);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let until = self.until;
        let time_up = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(time_up);
        let outcome = loop {
            tokio::select! {
                () = &mut time_up => break Ok(()),
                message = self.received.recv() => match message {
                    Some(message) => if let Err(error) = self.take(&message) { break Err(error) },
                    // The broker is in this process: it does not go before the daemon does.
                    None => std::future::pending().await,
                },
                _ = redraw.tick(), if self.terminal => if let Err(error) = self.draw() { break Err(error) },
            }
        };
        cancel.cancel();
        outcome
    }

    fn take(&mut self, message: &Received) -> io::Result<()> {
        let Ok(payload) = serde_json::from_slice::<serde_json::Value>(&message.payload) else { return Ok(()) };
        let topic = message.topic.strip_prefix(TOPICS).unwrap_or(&message.topic);
        self.view.take(topic, &payload, Instant::now());
        if self.json {
            let line = serde_json::json!({ "topic": message.topic, "retained": message.retained, "payload": payload });
            writeln!(io::stdout().lock(), "{line}")?;
        }
        Ok(())
    }

    /// From the upper left corner over what stands there.
    fn draw(&self) -> io::Result<()> {
        let picture = self.view.draw(true).replace('\n', "\x1b[K\n");
        let mut out = io::stdout().lock();
        write!(out, "\x1b[H{picture}\x1b[J")?;
        out.flush()
    }

    async fn last_words(&mut self) -> io::Result<()> {
        while let Ok(Some(message)) = tokio::time::timeout(LAST_WORDS, self.received.recv()).await {
            self.take(&message)?;
        }
        Ok(())
    }

    fn verdict(&self, cameras: usize) -> io::Result<Exit> {
        let (with_detections, known) = self.view.seen();
        let mut err = io::stderr().lock();
        if !self.json {
            write!(err, "{}", self.view.summary())?;
        }
        writeln!(err, "{with_detections} of {cameras} cameras were seen and detected on")?;
        Ok(if with_detections == self.cameras && known >= cameras { Exit::Clean } else { Exit::Failure })
    }
}
