//! The camera simulator: any number of RTSP cameras in this process, with faults on demand.
//!
//! A simulated camera is a host and a port of its own, as a real one is, so that one can go away while the others stay:
//! ```text
//! coded pictures ─► feed (the camera's clock) ─► RTSP server on loopback ─► proxy (faults) ─► client
//! ```
//! The pictures are a file's own, untouched, lap after lap without a seam, or are drawn and coded. See [`Fault`] for what can go wrong.

mod camera;
mod coded;
mod datagrams;
mod elements;
mod fault;
mod feed;
mod grammar;
mod main_loop;
mod packet;
mod pictures;
mod proxy;
pub mod scene;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod timeline;
mod truth;
mod wear;
mod wire;

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use gstreamer::glib;
use tokio_util::sync::CancellationToken;

pub use camera::{Credentials, Scheme, SimCamera, What};
pub(crate) use coded::Coded;
pub use elements::MissingElement;
pub use fault::{Fault, GRAMMAR as FAULT_GRAMMAR, NoFault};
pub use grammar::{BadArgument, CAMERA_GRAMMAR, TIMED_GRAMMAR, TimedFault, parse_time};
pub use pictures::PicturesError;
pub use truth::TruthLine;

use self::{camera::Recipe, feed::Showing, pictures::Pictures, proxy::Front, server::Server, truth::Record, wear::Habits};
use crate::media::Codec;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// The address that cameras listen on.
    pub listen: IpAddr,
    /// The first camera's port; each camera takes the next one. 0: any free ports.
    pub port: u16,
    /// The cameras.
    pub cameras: Vec<SimCamera>,
    /// A directory for the ground truth of scenes: `NAME.jsonl`, a [`TruthLine`] per frame sent.
    pub truth: Option<PathBuf>,
}

impl SimConfig {
    /// Cameras on free loopback ports.
    pub fn new(cameras: Vec<SimCamera>) -> Self {
        Self { listen: Ipv4Addr::LOCALHOST.into(), port: 0, cameras, truth: None }
    }
}

/// Why a simulation does not start, or a fault does not happen.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// GStreamer does not start.
    #[error("GStreamer does not start: {0}")]
    Gstreamer(glib::Error),
    /// The name cannot be a path.
    #[error("camera name {0:?}: use 1 to 64 letters, digits, '-' and '_'")]
    Name(String),
    /// Two cameras of the same name.
    #[error("two cameras are called {0:?}")]
    Twice(String),
    /// No pictures.
    #[error("camera {camera}: {source}")]
    Pictures {
        /// Whose.
        camera: String,
        /// Why.
        source: PicturesError,
    },
    /// No such test picture.
    #[error("camera {camera}: there is no test picture {pattern:?}; `gst-inspect-1.0 videotestsrc` lists them")]
    Pattern {
        /// Whose.
        camera: String,
        /// What was asked for.
        pattern: String,
    },
    /// The port cannot be had.
    #[error("camera {camera}: cannot listen on {address}: {source}")]
    Listen {
        /// Whose.
        camera: String,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The ground truth cannot be written.
    #[error("cannot write ground truth in {}: {source}", directory.display())]
    Truth {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The RTSP server does not start.
    #[error("camera {camera}: the RTSP server does not start: {source}")]
    Server {
        /// Whose.
        camera: String,
        /// Why.
        source: glib::BoolError,
    },
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// There is no such camera.
    #[error("there is no camera {0:?}")]
    Unknown(String),
    /// The port did not open or close.
    #[error("camera {0}: its port did not change")]
    Port(String),
}

#[derive(Debug)]
struct Camera {
    setting: SimCamera,
    /// What the camera sends without faults.
    codec: Codec,
    showing: Mutex<Showing>,
    server: Server,
    front: Arc<Front>,
}

/// Simulated cameras that run until this is dropped.
#[derive(Debug)]
pub struct Sim {
    // The order matters: clients go first, then the servers.
    proxy: Option<thread::JoinHandle<()>>,
    cancel: CancellationToken,
    cameras: Vec<Camera>,
}

impl Sim {
    /// Starts the cameras; they answer when this returns. Takes a moment for each file or device, to look at its pictures.
    pub fn start(config: SimConfig) -> Result<Self, SimError> {
        gstreamer::init().map_err(SimError::Gstreamer)?;
        check_names(&config.cameras)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SimError::Thread)?;
        let (cameras, listeners) = match start_cameras(config, &runtime) {
            Ok(started) => started,
            Err(error) => {
                // Dropping it would wait for its threads, which is forbidden within another runtime.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let cancel = CancellationToken::new();
        let cancelled = cancel.clone();
        let proxy = thread::Builder::new()
            .name("sim-proxy".into())
            .spawn(move || {
                runtime.block_on(async {
                    for (front, listener) in listeners {
                        tokio::spawn(front.run(listener));
                    }
                    cancelled.cancelled().await;
                });
            })
            .map_err(SimError::Thread)?;
        Ok(Self { proxy: Some(proxy), cancel, cameras })
    }

    /// The cameras' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.cameras.iter().map(|camera| camera.setting.name.as_str())
    }

    /// Where a camera is watched, without credentials: `rtsp://127.0.0.1:PORT/NAME`.
    pub fn url(&self, name: &str) -> Result<String, SimError> {
        let camera = self.camera(name)?;
        Ok(format!("rtsp://{}/{name}", camera.front.address()))
    }

    /// Lets a camera fail. Returns when the fault is in force for whatever comes next.
    pub fn fault(&self, name: &str, fault: Fault) -> Result<(), SimError> {
        let camera = self.camera(name)?;
        match fault {
            Fault::Size { width, height } => camera.show(|recipe| recipe.size = Some((width, height)))?,
            Fault::Codec(codec) => camera.show(|recipe| recipe.encode = Some(codec))?,
            _ => {}
        }
        camera.change(|faults| faults.add(fault))
    }

    /// Makes a camera sound again.
    pub fn clear(&self, name: &str) -> Result<(), SimError> {
        let camera = self.camera(name)?;
        let plain = Recipe::of(&camera.setting);
        camera.show(|recipe| *recipe = plain)?;
        camera.change(fault::Faults::clear)
    }

    /// Ends it all: connections, servers, threads.
    pub fn stop(self) {
        drop(self);
    }

    fn camera(&self, name: &str) -> Result<&Camera, SimError> {
        self.cameras.iter().find(|c| c.setting.name == name).ok_or_else(|| SimError::Unknown(name.into()))
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(proxy) = self.proxy.take() {
            // A panic there was reported there.
            let _ = proxy.join();
        }
    }
}

impl Camera {
    fn start(setting: SimCamera, address: SocketAddr, truth: Option<&Path>) -> Result<(Self, tokio::net::TcpListener), SimError> {
        let recipe = Recipe::of(&setting);
        let codec = probe(&setting, &recipe)?;
        let name = setting.name.clone();
        let truth = truth.filter(|_| matches!(setting.what, What::Scene(_)));
        let record = Record::new(&name, truth)
            .map_err(|source| SimError::Truth { directory: truth.unwrap_or(Path::new("")).into(), source })?;
        let showing = Showing { version: 0, recipe, record: Arc::new(record) };
        let server = Server::start(&name, codec, showing.clone(), setting.credentials.clone())
            .map_err(|source| SimError::Server { camera: name.clone(), source })?;
        let habits = Habits { sender_reports: setting.sender_reports, clock_offset_ms: setting.clock_offset_ms };
        let (front, listener) = Front::bind(&name, habits, address, server.port()).map_err(|source| SimError::Listen {
            camera: name,
            address,
            source,
        })?;
        Ok((Self { setting, codec, showing: Mutex::new(showing), server, front }, listener))
    }

    /// Changes what is shown. Another codec needs another description.
    fn show(&self, change: impl FnOnce(&mut Recipe)) -> Result<(), SimError> {
        let mut showing = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = showing.recipe.clone();
        let mut recipe = before.clone();
        change(&mut recipe);
        if recipe.size.is_some() && recipe.encode.is_none() {
            recipe.encode = Some(self.codec);
        }
        if recipe == before {
            return Ok(());
        }
        elements::check(&recipe).map_err(|missing| self.no_pictures(missing.into()))?;
        let codec = |recipe: &Recipe| recipe.encode.unwrap_or(self.codec);
        let remount = codec(&recipe) != codec(&before);
        (showing.version, showing.recipe) = (showing.version + 1, recipe);
        if remount {
            // The media on the old description must not be fed the new codec.
            self.server
                .mount(codec(&showing.recipe), showing.clone())
                .map_err(|source| SimError::Server { camera: self.setting.name.clone(), source })?;
            self.front.change(|faults| faults.drops += 1);
        } else {
            self.server.show(showing.clone());
        }
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut fault::Faults)) -> Result<(), SimError> {
        if self.front.change(change) { Ok(()) } else { Err(SimError::Port(self.setting.name.clone())) }
    }

    fn no_pictures(&self, source: PicturesError) -> SimError {
        SimError::Pictures { camera: self.setting.name.clone(), source }
    }
}

type Listener = (Arc<Front>, tokio::net::TcpListener);

fn start_cameras(config: SimConfig, runtime: &tokio::runtime::Runtime) -> Result<(Vec<Camera>, Vec<Listener>), SimError> {
    // The runtime's reactor takes the sockets.
    let _within = runtime.enter();
    let mut cameras = Vec::new();
    let mut listeners = Vec::new();
    for (number, setting) in config.cameras.into_iter().enumerate() {
        let port = if config.port == 0 { 0 } else { config.port.saturating_add(number as u16) };
        let (camera, listener) = Camera::start(setting, (config.listen, port).into(), config.truth.as_deref())?;
        listeners.push((camera.front.clone(), listener));
        cameras.push(camera);
    }
    Ok((cameras, listeners))
}

fn check_names(cameras: &[SimCamera]) -> Result<(), SimError> {
    let mut seen = HashSet::new();
    for SimCamera { name, .. } in cameras {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(1..=64).contains(&name.len()) || !name.chars().all(legal) {
            return Err(SimError::Name(name.clone()));
        }
        if !seen.insert(name) {
            return Err(SimError::Twice(name.clone()));
        }
    }
    Ok(())
}

/// Proves that there are pictures before anybody asks for them, and finds a file's codec.
fn probe(setting: &SimCamera, recipe: &Recipe) -> Result<Codec, SimError> {
    let camera = || setting.name.clone();
    if let What::Test { pattern, .. } = &setting.what
        && !pictures::is_pattern(pattern)
    {
        return Err(SimError::Pattern { camera: camera(), pattern: pattern.clone() });
    }
    let failed = |source| SimError::Pictures { camera: camera(), source };
    if let (What::Test { .. } | What::Scene(_), Some(codec)) = (&setting.what, recipe.encode) {
        return elements::check(recipe).map(|()| codec).map_err(|missing| failed(missing.into()));
    }
    let codec = Pictures::open(recipe, 0).and_then(|pictures| pictures.probe()).map_err(failed)?;
    elements::check_payloader(codec).map_err(|missing| failed(missing.into()))?;
    Ok(codec)
}
