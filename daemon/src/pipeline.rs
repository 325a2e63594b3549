//! The one file that knows every stage: it makes the queues, starts the stages and joins them in order.
//!
//! ```text
//! cameras ──Slot──▶ Batcher (one per model) ──▶ engine threads ──ToTrack──▶ track thread ──Tracked──▶ publish thread ──▶ broker
//!                        ▲ control watch, second looks                         │
//!                        └─────────────────────────────────────────────────────┤
//!                                                     ▲                        ▼
//!                                                     └─Answered── step threads ◀── StepQueue (one per step)
//! ```
//!
//! Shutdown is by ownership: cameras stop and drop their slots, the batchers close, each stage finishes what it holds and drops
//! its sender, and publishing says `offline` and disconnects last.

mod books;
mod engines;
mod line;
mod steps;

use std::{
    collections::BTreeMap,
    io, mem,
    path::Path,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use futures::future::join_all;
use gstreamer::glib;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, CameraConfig, Change, Config, Effect},
    control::{self, Request},
    decode::Decoders,
    infer::{self, Detector, LoadError},
    life::{FaultSender, Progress, Stage},
    media::{ModelInfo, StreamId, Tracked},
    observe::View,
    publish,
    recall::{self, Recall},
    source::{self, Camera},
    status::{CameraState, StatusBoard},
    track::{self, ToTrack, Ways},
};

pub use books::Books;
#[cfg(test)]
pub(crate) use books::of_broker;
#[cfg(all(test, feature = "doubles"))]
pub(crate) use line::batcher;
use line::{Line, stream_settings};
use steps::StepLine;

/// Batches that may wait for tracking. Tracking is far faster than inference: the queue is empty but for moments.
const TRACK_QUEUE: usize = 8;
/// Batches of tracked frames that may wait for publishing.
const PUBLISH_QUEUE: usize = 64;

/// Why the line could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A model could not be loaded.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// A step is to look at classes that the other model does not know.
    #[error("model.{step}.of_classes: model `{model}` knows no class {class:?}; it knows {known}")]
    Classes {
        /// Name of the step.
        step: String,
        /// Name of the other model.
        model: String,
        /// The class.
        class: String,
        /// Some of those that it knows.
        known: Box<str>,
    },
    /// A rule is about a class that its camera's model does not know.
    #[error("camera.{camera}.rule.{rule}: model `{model}` knows no class {class:?}; it knows {known}")]
    RuleClasses {
        /// Name of the camera.
        camera: String,
        /// Name of the rule.
        rule: String,
        /// Name of the model.
        model: String,
        /// The class.
        class: String,
        /// Some of those that it knows.
        known: Box<str>,
    },
    /// GStreamer does not work.
    #[error("GStreamer cannot be initialised: {0}; are its libraries installed?")]
    Media(#[from] glib::Error),
    /// The operating system gives no more threads.
    #[error("cannot start the stage {stage}: {source}")]
    Thread {
        /// Which stage.
        stage: String,
        /// Why.
        source: io::Error,
    },
}

/// One camera that runs, or that is switched off.
struct Running {
    config: CameraConfig,
    stream: StreamId,
    camera: Option<Camera>,
}

/// The whole line, running.
pub struct Pipeline {
    config: Config,
    board: Arc<StatusBoard>,
    books: Arc<Books>,
    lines: BTreeMap<String, Line>,
    /// What decodes here.
    decoders: Arc<Decoders>,
    steps: Vec<StepLine>,
    cameras: BTreeMap<String, Running>,
    to_track: mpsc::SyncSender<ToTrack>,
    track: JoinHandle<()>,
    publish: JoinHandle<()>,
    stop_publishing: CancellationToken,
    engines: engines::Jobs,
    /// Writes down what the rules count, to the end.
    recall: Option<Recall>,
    commands: Option<tokio::sync::mpsc::Receiver<Request>>,
    next_stream: u32,
}

impl Pipeline {
    /// Loads the models and starts every stage but the cameras. Blocks while models load: not on an async worker.
    ///
    /// # Errors
    /// [`StartError`], [`LoadError::Stopped`] once `stop` is cancelled. A broker that cannot be reached is no error: it is retried.
    pub fn start(
        config: Config,
        progress: &Arc<Progress>,
        faults: &FaultSender,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        gstreamer::init()?;
        let (to_track, from_engines) = mpsc::sync_channel(TRACK_QUEUE);
        let (to_publish, from_track) = tokio::sync::mpsc::channel(PUBLISH_QUEUE);
        let mut lines = BTreeMap::new();
        let loaded = config.models.iter().zip(infer::load_all(&config.models, &config.runtime, stop)?);
        let (of_cameras, of_steps): (Vec<_>, Vec<_>) = loaded.partition(|(model, _)| model.step.is_none());
        for loaded in of_cameras {
            lines.insert(loaded.0.name.clone(), Line::start(loaded, &config, &to_track, progress, faults)?);
        }
        for camera in &config.cameras {
            if let Some(line) = lines.get(&camera.model) {
                known_classes(camera, &line.info)?;
            }
        }
        let mut steps = steps::start(&config, (&lines, of_steps), &to_track, progress, faults)?;
        let board = StatusBoard::new();
        let models = lines.iter().map(|(name, line)| (name.clone(), line.entry())).collect();
        let decoders = Arc::new(decoders(lines.values().any(|line| line.device)));
        let (entries, surfaces) = (steps.iter().map(StepLine::entry).collect(), decoders.surfaces().cloned());
        let books = Books::new(&config, Arc::clone(&board), to_publish.downgrade(), models, entries, surfaces);
        let recall = recall::counts(&config, &books.rules);
        let ways = ways(&lines, &steps, &books);
        let track = start_track(&config, from_engines, to_publish, ways, &books, progress, faults)?;
        let stop_publishing = CancellationToken::new();
        let (command, commands) = tokio::sync::mpsc::channel(control::WAITING);
        let publish = start_publish(&config, from_track, command, &board, &books, stop_publishing.clone(), faults)?;
        let (cameras, commands) = (BTreeMap::new(), Some(commands));
        let coming = lines.values_mut().flat_map(|line| mem::take(&mut line.coming));
        let coming = coming.chain(steps.iter_mut().flat_map(StepLine::coming)).collect();
        let engines = engines::Jobs::start(coming, &books.publishing.engines, faults)?;
        Ok(Self {
            commands,
            config,
            board,
            books,
            lines,
            decoders,
            steps,
            cameras,
            to_track,
            track,
            publish,
            stop_publishing,
            engines,
            recall,
            next_stream: 1,
        })
    }

    /// Starts the cameras of the configuration, on the current runtime. Cameras that cannot be reached are retried.
    pub fn start_cameras(&mut self) {
        for camera in self.config.cameras.clone() {
            self.add_camera(camera, None);
        }
    }

    /// Every number of the line.
    pub fn books(&self) -> &Arc<Books> {
        &self.books
    }

    /// What the cameras are doing.
    pub fn board(&self) -> &Arc<StatusBoard> {
        &self.board
    }

    /// How metrics, health, status and graph look at this line.
    pub fn view(&self) -> View {
        self.books.view()
    }

    /// Resolves when every camera is a file that has been read to its end; never if there is another one, or none.
    pub async fn ended(&self) {
        let files: Vec<_> = self.cameras.values().filter_map(|running| running.camera.as_ref()).map(Camera::ended).collect();
        if files.is_empty() {
            std::future::pending::<()>().await;
        }
        join_all(files).await;
    }

    /// The cameras as they are configured now.
    pub fn cameras(&self) -> &[CameraConfig] {
        &self.config.cameras
    }

    /// What others command, from the brokers. To be taken once; nobody is obeyed before.
    pub fn commands(&mut self) -> Option<tokio::sync::mpsc::Receiver<Request>> {
        self.commands.take()
    }

    /// Takes over a new configuration as far as that works while running; returns what has changed, and the keys that need a restart.
    pub async fn reload(&mut self, new: Config) -> Change {
        let change = config::diff(&self.config, &new);
        for name in &change.cameras_removed {
            if let Some(stream) = self.remove_camera(name).await {
                self.board.remove(&stream);
            }
        }
        let find = |name: &str| new.cameras.iter().find(|camera| camera.name == name).cloned();
        for changed in &change.cameras_changed {
            let Some(camera) = find(&changed.name) else { continue };
            if changed.effect == Effect::Live {
                self.reconfigure(camera);
            } else {
                let before = self.remove_camera(&camera.name).await;
                self.add_camera(camera, before.as_ref());
            }
        }
        change.cameras_added.iter().filter_map(|name| find(name)).for_each(|camera| self.add_camera(camera, None));
        self.config.cameras = new.cameras;
        change
    }

    /// Starts a camera, on the status board in place of the one that it was before.
    fn add_camera(&mut self, config: CameraConfig, before: Option<&StreamId>) {
        // A checked configuration names only models that it has, but those of a reload are loaded only by a restart.
        let Some(line) = self.lines.get(&config.model) else {
            tracing::error!(camera = config.name, model = config.model, "the model of this camera is not loaded: restart egret");
            if let Some(before) = before {
                self.board.remove(before);
            }
            return;
        };
        let stream = StreamId::new(self.next_stream, &config.name);
        self.next_stream += 1;
        let state = if config.enabled { CameraState::Connecting } else { CameraState::Disabled };
        self.board.put(&stream, state, Arc::clone(&config.rules), before);
        self.books.stills.veil(&stream, &config.rules.masks);
        let camera = if config.enabled {
            let slot = line.batcher.add(stream.clone(), stream_settings(&config, &line.config, self.config.track.lost_after));
            tell_kept(&self.to_track, &stream, &config, &line.info);
            watch_rules(&self.to_track, &stream, &config, &line.info);
            let context = source::Context {
                graph_dir: self.config.graph_dir.clone(),
                decoders: Arc::clone(&self.decoders),
                device: line.device,
                held: line.held(&config, !self.steps.is_empty()),
                ..source::Context::default()
            };
            Some(source::start(&config, stream.clone(), slot, Arc::clone(&self.board), context))
        } else {
            None
        };
        self.books.add_camera(&config, stream.clone(), camera.as_ref());
        self.cameras.insert(config.name.clone(), Running { config, stream, camera });
    }

    /// Stops a camera; what it was on the status board, where it still is.
    async fn remove_camera(&mut self, name: &str) -> Option<StreamId> {
        let running = self.cameras.remove(name)?;
        if let Some(camera) = running.camera {
            camera.stop().await;
        }
        self.books.remove_camera(&running.stream);
        self.books.stills.veil(&running.stream, &[]);
        tell(&self.to_track, ToTrack::Gone(running.stream.clone()));
        Some(running.stream)
    }

    fn reconfigure(&mut self, config: CameraConfig) {
        let (Some(running), Some(line)) = (self.cameras.get_mut(&config.name), self.lines.get(&config.model)) else { return };
        line.batcher.configure(&running.stream, stream_settings(&config, &line.config, self.config.track.lost_after));
        tell_kept(&self.to_track, &running.stream, &config, &line.info);
        if running.config.rules != config.rules {
            watch_rules(&self.to_track, &running.stream, &config, &line.info);
            self.board.update(&running.stream, |status| status.rules = Arc::clone(&config.rules));
            self.books.stills.veil(&running.stream, &config.rules.masks);
        }
        if let Some(camera) = &running.camera {
            camera.watch(&config, running.config.rules.masks != config.rules.masks);
        }
        running.config = config;
    }

    /// Ends the line in order: cameras, engines, tracking, publishing. What was taken in is finished first.
    pub async fn stop(self) {
        let Self { board, cameras, lines, steps, to_track, track, publish, stop_publishing, engines, recall, .. } = self;
        let building = engines.stop();
        join_all(cameras.into_values().filter_map(|running| running.camera).map(Camera::stop)).await;
        board.shut_down();
        for line in lines.values() {
            line.batcher.close();
        }
        join(lines.into_values().flat_map(|line| line.engines).chain(building).collect()).await;
        if !steps.is_empty() {
            let (done, asked) = oneshot::channel();
            tell(&to_track, ToTrack::Last(done));
            // Where tracking has failed there is nobody to ask.
            let _ = asked.await;
        }
        drop(to_track);
        // What tracking has asked of the steps is finished.
        steps.iter().for_each(StepLine::close);
        join(steps.into_iter().flat_map(StepLine::into_threads).chain([track]).collect()).await;
        // Tracking has dropped its sender: publishing takes what is left, and says goodbye.
        stop_publishing.cancel();
        join(vec![publish]).await;
        // It takes a disk to write down what was counted last.
        let _done = tokio::task::spawn_blocking(move || drop(recall)).await;
    }
}

/// What decodes here. `device`: something reads pictures on a device.
fn decoders(device: bool) -> Decoders {
    let root = Path::new("/");
    Decoders::find(&egret_jetson::probe(root), root, device, None)
}

/// Waits for threads. A panic in one of them was reported as a fault where it happened.
async fn join(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count());
    if !matches!(joined.await, Ok(0)) {
        tracing::error!("a stage did not end in order");
    }
}

/// Tracking listens as long as this sender lives, unless it has failed: then the daemon ends anyway.
fn tell(to_track: &mpsc::SyncSender<ToTrack>, message: ToTrack) {
    if to_track.send(message).is_err() {
        tracing::error!("tracking has ended");
    }
}

fn tell_kept(to_track: &mpsc::SyncSender<ToTrack>, stream: &StreamId, config: &CameraConfig, info: &ModelInfo) {
    tell(to_track, ToTrack::Keep { stream: stream.clone(), keep: kept(config, info) });
}

/// Which detections of its model a camera keeps.
pub(crate) fn kept(config: &CameraConfig, info: &ModelInfo) -> track::Keep {
    let wanted = |names: &Vec<String>| info.classes.iter().map(|class| names.contains(class)).collect();
    track::Keep { classes: config.classes.as_ref().map(wanted), confidence: config.confidence.unwrap_or_default() }
}

/// Whether the camera's model knows every class that its rules are about. Only the loaded model can tell.
pub(crate) fn known_classes(camera: &CameraConfig, info: &ModelInfo) -> Result<(), StartError> {
    match camera.rules.classes().find(|(_, class)| !info.classes.contains(class)) {
        None => Ok(()),
        Some((rule, class)) => Err(StartError::RuleClasses {
            camera: camera.name.clone(),
            rule: rule.to_owned(),
            model: info.name.clone(),
            class: class.clone(),
            known: info.classes.iter().take(20).cloned().collect::<Vec<_>>().join(", ").into(),
        }),
    }
}

fn watch_rules(to_track: &mpsc::SyncSender<ToTrack>, stream: &StreamId, config: &CameraConfig, info: &ModelInfo) {
    // At the start this was refused; a reload goes on, and says what will never happen.
    if let Err(error) = known_classes(config, info) {
        tracing::error!(camera = config.name, %error, "a rule sees nothing");
    }
    tell(to_track, ToTrack::Rules { stream: stream.clone(), rules: Arc::clone(&config.rules) });
}

/// Starts a thread for each instance of a network: `NAME/0` and so on. It works until there is no more; its failure is a fault.
fn start_engines<E: std::error::Error>(
    name: &str,
    instances: Vec<Box<dyn Detector>>,
    work: impl Fn(Box<dyn Detector>, &Stage) -> Result<(), E> + Clone + Send + 'static,
    progress: &Arc<Progress>,
    faults: &FaultSender,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let engines = instances.into_iter().enumerate().map(|(i, detector)| {
        let name = format!("{name}/{i}");
        let (work, stage, fault, stage_name) = (work.clone(), progress.stage(&*name), faults.clone(), name.clone());
        let work = move || {
            if let Err(error) = work(detector, &stage) {
                fault.report(&stage_name, error.to_string());
            }
        };
        faults.spawn_stage(&name, work).map_err(|source| StartError::Thread { stage: name, source })
    });
    engines.collect()
}

/// The ways back from tracking.
fn ways(lines: &BTreeMap<String, Line>, steps: &[StepLine], books: &Books) -> Ways {
    Ways {
        batchers: lines.iter().map(|(name, line)| (name.clone(), Arc::clone(&line.batcher))).collect(),
        steps: steps.iter().map(StepLine::plan).collect(),
        told: lines.iter().map(|(name, line)| (name.clone(), line.telling)).collect(),
        rules: Arc::clone(&books.rules),
    }
}

fn start_track(
    config: &Config,
    input: mpsc::Receiver<ToTrack>,
    output: tokio::sync::mpsc::Sender<Vec<Tracked>>,
    ways: Ways,
    books: &Arc<Books>,
    progress: &Arc<Progress>,
    faults: &FaultSender,
) -> Result<JoinHandle<()>, StartError> {
    let (config, books, stage) = (config.track.clone(), Arc::clone(books), progress.stage("track"));
    let work = move || track::run(&config, &input, &output, &ways, &books.tracking, &books.stills, &stage);
    faults.spawn_stage("track", work).map_err(|source| StartError::Thread { stage: "track".to_owned(), source })
}

/// Publishing and the MQTT connection share one thread and a runtime of its own, so that a batch costs one wake-up and no camera
/// can hold a message up.
fn start_publish(
    config: &Config,
    input: tokio::sync::mpsc::Receiver<Vec<Tracked>>,
    commands: tokio::sync::mpsc::Sender<Request>,
    board: &Arc<StatusBoard>,
    books: &Arc<Books>,
    cancel: CancellationToken,
    faults: &FaultSender,
) -> Result<JoinHandle<()>, StartError> {
    let failed = |source| StartError::Thread { stage: "publish".to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mqtt, site) = (config.mqtt.clone(), publish::Site::of(config));
    let (board, stages, counters) = (Arc::clone(board), Arc::clone(&books.stages), Arc::clone(&books.publishing));
    let work = move || runtime.block_on(publish::run(mqtt, site, (input, commands), board, stages, counters, cancel));
    faults.spawn_stage("publish", work).map_err(failed)
}
