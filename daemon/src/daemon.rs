//! The daemon: from a checked configuration to an ordered end, with readiness, reload and watchdog around the line.

use std::{sync::Arc, time::Duration};

use egret_jetson::telemetry::Telemetry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Loaded},
    control::{Action, Door, Read, Request},
    infer::LoadError,
    life::{self, Exit, FaultSender, Notifier, Progress, Signals, Supervision},
    observe::{Panel, Server, View, log::Knob},
    pipeline::{Books, Pipeline, StartError},
    status::CameraState,
    throttle,
};

/// How often the status line of `systemctl status` is renewed.
const STATUS_EVERY: Duration = Duration::from_secs(15);

/// What a daemon needs besides its configuration.
pub struct Surroundings<R> {
    /// The line to the service manager.
    pub notifier: Notifier,
    /// Reads the configuration again, for SIGHUP and for commands.
    pub read: R,
    /// Changes the log filter.
    pub log: Option<Knob>,
    /// Told how to look at the line as soon as it runs.
    pub attached: Option<tokio::sync::oneshot::Sender<View>>,
    /// Stops the daemon in order, as SIGTERM does.
    pub cancel: CancellationToken,
}

/// Runs the daemon until it is stopped, its files have ended, or a fault ends it.
pub async fn run<R: Read>(loaded: Loaded, surroundings: Surroundings<R>) -> Exit {
    let Surroundings { notifier, read, log, attached, cancel } = surroundings;
    let door = Door::new(&loaded, read, log);
    let config = loaded.config;
    let (faults, fault_receiver) = life::faults();
    life::log_panics(faults.clone());
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "no signal handlers");
            return Exit::Failure;
        }
    };
    let progress = Progress::new();
    let panel = Panel::new(Arc::clone(&progress));
    if let Err(exit) = listen(&config, &panel, &cancel, &faults).await {
        return exit;
    }
    faults.spawn_task("watchdog", life::watchdog(notifier.clone(), Arc::clone(&progress), cancel.clone()));
    let deadline = config.shutdown_deadline;
    let (ask_reload, reloads) = mpsc::channel(1);
    let line = Line { notifier: &notifier, panel: &panel, cancel: &cancel, reloads, door, attached };
    let watched = Supervision { notifier: &notifier, cancel: &cancel, deadline, faults: fault_receiver };
    let reload = || {
        // One that waits already will read the newest file.
        let _ = ask_reload.try_send(());
    };
    life::supervise(watched, async || signals.next().await, reload, line.run(config, &progress, &faults)).await
}

async fn listen(config: &Config, panel: &Arc<Panel>, cancel: &CancellationToken, faults: &FaultSender) -> Result<(), Exit> {
    let Some(http) = &config.http else { return Ok(()) };
    match Server::bind(http.listen).await {
        Ok(server) => {
            faults.spawn_task("http", server.serve(Arc::clone(panel), cancel.clone()));
            Ok(())
        }
        Err(error) => {
            tracing::error!(%error, "name a free address, or turn the listener off with http.enabled = false");
            Err(if error.may_pass() { Exit::Failure } else { Exit::Configuration })
        }
    }
}

struct Line<'a, R> {
    notifier: &'a Notifier,
    panel: &'a Panel,
    cancel: &'a CancellationToken,
    reloads: mpsc::Receiver<()>,
    door: Door<R>,
    attached: Option<tokio::sync::oneshot::Sender<View>>,
}

impl<R: Read> Line<'_, R> {
    async fn run(mut self, config: Config, progress: &Arc<Progress>, faults: &FaultSender) -> Exit {
        self.panel.set_ready(Err("loading models"));
        self.notifier.status("loading models");
        let throttle = config.throttle;
        let mut pipeline = match start(config, progress, faults, self.cancel).await {
            Ok(pipeline) => pipeline,
            Err(StartError::Model(LoadError::Stopped)) => return Exit::Clean,
            Err(error) => {
                tracing::error!(%error, "egret cannot start");
                return match error {
                    // What takes the memory may be gone soon.
                    StartError::Model(LoadError::NoRoom { no_room }) if !no_room.configured => Exit::Failure,
                    StartError::Model(_) | StartError::Classes { .. } | StartError::RuleClasses { .. } => Exit::Configuration,
                    StartError::Media(_) | StartError::Thread { .. } => Exit::Failure,
                };
            }
        };
        pipeline.start_cameras();
        self.panel.attach(pipeline.view());
        look_at_the_board(pipeline.books(), throttle, self.cancel, faults);
        let books = Arc::clone(pipeline.books());
        self.panel.attach_stills(Arc::new(move |name| books.stream(name).map(|stream| books.stills.ask(&stream))));
        if let Some(attached) = self.attached.take() {
            // Whoever wanted to look may have gone.
            let _ = attached.send(pipeline.view());
        }
        self.panel.set_ready(Ok(()));
        self.notifier.ready(&summary(&pipeline));
        self.watch(&mut pipeline).await;
        self.panel.set_ready(Err("stopping"));
        pipeline.stop().await;
        Exit::Clean
    }

    async fn watch(&mut self, pipeline: &mut Pipeline) {
        let mut tell = tokio::time::interval(STATUS_EVERY);
        let mut commands = pipeline.commands();
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = pipeline.ended() => {
                    tracing::info!("every file has been read to its end");
                    return;
                }
                Some(()) = self.reloads.recv() => self.reload(pipeline).await,
                Some(request) = next(&mut commands) => self.obey(request, pipeline).await,
                _ = tell.tick() => self.notifier.status(&summary(pipeline)),
            }
        }
    }

    async fn reload(&mut self, pipeline: &mut Pipeline) {
        self.notifier.reloading();
        match self.door.reload(pipeline).await {
            Ok(done) if done.needs_restart.is_empty() => tracing::info!("configuration reloaded"),
            Ok(done) => {
                tracing::warn!(keys = done.needs_restart.join(", "), "reloaded, but these keys take effect only after a restart");
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                tracing::error!(problems = problems.len(), "the new configuration is wrong: egret goes on with the old one");
            }
        }
        self.notifier.ready(&summary(pipeline));
    }

    /// Carries a command out.
    async fn obey(&mut self, Request { action, answer }: Request, pipeline: &mut Pipeline) {
        let (told, asks) = (format!("{action:?}"), matches!(action, Action::Status | Action::Health));
        let done = self.door.act(action, pipeline).await;
        match &done {
            Ok(_) if asks => tracing::debug!(command = told, "answered"),
            Ok(_) => tracing::info!(command = told, "carried out"),
            Err(refusal) => tracing::warn!(command = told, reason = refusal.reason.as_str(), "refused: {}", refusal.message),
        }
        // Whoever asked may be gone with its connection.
        let _ = answer.send(done);
        self.notifier.status(&summary(pipeline));
    }
}

/// The next command. Nobody commands where publishing has ended.
async fn next(commands: &mut Option<mpsc::Receiver<Request>>) -> Option<Request> {
    match commands {
        Some(commands) => commands.recv().await,
        None => None,
    }
}

async fn start(
    config: Config,
    progress: &Arc<Progress>,
    faults: &FaultSender,
    stop: &CancellationToken,
) -> Result<Pipeline, StartError> {
    let (progress, faults, stop) = (Arc::clone(progress), faults.clone(), stop.clone());
    match tokio::task::spawn_blocking(move || Pipeline::start(config, &progress, &faults, &stop)).await {
        Ok(started) => started,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Looks at the board as long as the daemon runs; rates follow it where they may.
fn look_at_the_board(books: &Arc<Books>, throttle: bool, cancel: &CancellationToken, faults: &FaultSender) {
    let (books, cancel) = (Arc::clone(books), cancel.clone());
    let cameras = Arc::clone(&books);
    let apply = throttle.then_some(move |share| cameras.set_share(share));
    let watch = async move { throttle::watch(Telemetry::here, &books.publishing.hardware, apply, cancel).await };
    faults.spawn_task("board", watch);
}

fn summary(pipeline: &Pipeline) -> String {
    let cameras = pipeline.board().snapshot();
    let online = cameras.iter().filter(|(_, status)| status.state == CameraState::Online).count();
    let total = pipeline.books().total();
    let engines = pipeline.books().publishing.engines.summary().map_or_else(String::new, |engines| format!("; {engines}"));
    let (cameras, inferred, dropped) = (cameras.len(), total.inferred, total.dropped.total());
    format!("{online} of {cameras} cameras online, {inferred} frames inferred, {dropped} dropped{engines}")
}
