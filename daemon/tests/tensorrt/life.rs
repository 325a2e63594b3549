//! The life of an engine in a whole line: simulated cameras over RTSP, decoders, batcher, tracking and a broker, over the doubles of
//! TensorRT, of the CUDA driver and of a Jetson's decoder.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    process::Command,
    thread,
    time::Duration,
};

use egret::{batch::Counts, demo::Received, engine::EngineState, media::Downloaded, sim::SimCamera};
use egret_jetson::{
    surface::doubles::{
        SurfaceLibrary,
        elements::{Fails, Knobs, register},
        numbers,
    },
    tensorrt::doubles,
};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{Model, Rig, model, networks, rig, running::Running};

const CAMERAS: [&str; 3] = ["door", "hall", "yard"];
const FPS: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Frames of each camera after a change, that it be seen to last.
const MORE: usize = 15;

/// Whether the calling test is in a process of its own, whose state directory is a fresh one; else it is run in such a one, and that one's
/// failure is this one's.
fn alone() -> bool {
    const MARK: &str = "EGRET_TEST_LIFE";
    if env::var_os(MARK).is_some() {
        return true;
    }
    let state = tempfile::tempdir().expect("a folder");
    let test = thread::current().name().expect("the harness names the thread after the test").to_owned();
    let run = Command::new(env::current_exe().expect("a path"))
        .args(["--exact", &test, "--nocapture"])
        .env(MARK, "1")
        .env("STATE_DIRECTORY", state.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    eprintln!("{said}");
    assert!(run.status.success() && said.contains("test result: ok. 1 passed"), "{test}");
    false
}

/// A device with a network and a disk.
struct Site {
    rig: Rig,
    net: Model,
    folder: tempfile::TempDir,
}

fn site() -> Option<Site> {
    let rig = rig(10)?;
    // Its streams work by themselves, as a device's do.
    assert!(rig.knobs.set("threads", 1));
    let net = model(networks::cells(), &networks::cells_manifest());
    Some(Site { rig, net, folder: tempfile::tempdir().expect("a folder") })
}

impl Site {
    /// `decoder`: as `runtime.decoder` says it.
    async fn start(&self, decoder: &str) -> Seen {
        let egret::config::ModelSource::Onnx(file) = &self.net.config.source else { unreachable!("a file") };
        let models = format!(
            "[runtime]\ndevice = \"tensorrt\"\ncpu = \"rten\"\ntensorrt = \"{}\"\nengines = \"{}\"\ndecoder = {decoder:?}\n\
             [batch]\nstaleness = \"10s\"\n[[model]]\nname = \"net\"\nfile = \"{}\"\nmax_batch = 4\nworkers = 1\n",
            doubles::folder(10).display(),
            self.engines().display(),
            file.display(),
        );
        let cameras = CAMERAS.map(|name| SimCamera { fps: FPS, ..SimCamera::test(name) });
        let line = Running::start(cameras.into(), &CAMERAS, &models, "").await;
        Seen { line, frames: BTreeMap::new(), health: Vec::new(), cameras: BTreeMap::new() }
    }

    fn engines(&self) -> std::path::PathBuf {
        self.folder.path().join("engines")
    }

    /// The only engine's manifest.
    fn manifest(&self) -> egret::engine::Manifest {
        let all = egret::engine::Store::new(&self.engines()).all().expect("a list");
        assert_eq!(all.len(), 1);
        all.into_iter().next().and_then(|listed| listed.manifest.ok()).expect("whole")
    }
}

/// What was said of a frame.
struct Told {
    runtime: String,
    objects: usize,
}

/// A line that runs, and what a subscriber has heard of it.
struct Seen {
    line: Running,
    /// By camera and number.
    frames: BTreeMap<String, BTreeMap<u64, Told>>,
    /// What `health` said of the engine.
    health: Vec<Value>,
    /// The last status of each camera.
    cameras: BTreeMap<String, Value>,
}

impl Seen {
    /// Looks at the line and takes messages, again and again, until `done` or too late. Every look finds the frames accounted for.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !done(self) {
            assert!(Instant::now() < self.line.deadline, "not in time: {what}; {:?}, {:?}", self.state(), self.health.last());
            tokio::select! {
                message = self.line.received.recv() => self.take(&message.expect("the broker stays")),
                _ = look.tick() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        self.line.balanced();
        assert!(self.line.faults.try_recv().is_err(), "a stage has failed");
    }

    fn take(&mut self, message: &Received) {
        let parts: Vec<&str> = message.topic.split('/').collect();
        let Ok(json) = serde_json::from_slice::<Value>(&message.payload) else { return };
        match parts[..] {
            [_, _, "health"] => self.health.push(json["engines"]["net"].clone()),
            [_, _, "cam", camera, "status"] => drop(self.cameras.insert(camera.to_owned(), json)),
            [_, _, "cam", camera, "frame"] => {
                let runtime = json["model"]["runtime"].as_str().expect("a runtime").to_owned();
                let told = Told { runtime, objects: json["objects"].as_array().expect("objects").len() };
                let before =
                    self.frames.entry(camera.to_owned()).or_default().insert(json["frame"].as_u64().expect("a number"), told);
                assert!(before.is_none(), "twice: {json}");
            }
            _ => {}
        }
    }

    /// What is happening to the engine.
    fn state(&self) -> EngineState {
        let engines = self.line.pipeline.books().snapshot().engines;
        engines.into_iter().find(|(model, _)| model == "net").expect("it is told of").1
    }

    /// Waits until `health` says so.
    async fn until_health(&mut self, word: &str) {
        self.until(word, |seen| seen.health.last().is_some_and(|engine| engine["state"] == word)).await;
    }

    /// Waits for more frames of each camera that such a runtime has looked at.
    async fn more(&mut self, runtime: &str) {
        let count = |seen: &Self, camera: &str| {
            let frames = seen.frames.get(camera).into_iter().flat_map(BTreeMap::values);
            frames.filter(|told| told.runtime.starts_with(runtime)).count()
        };
        let before = CAMERAS.map(|camera| count(self, camera));
        let enough = |seen: &Self| CAMERAS.iter().zip(before).all(|(camera, before)| count(seen, camera) >= before + MORE);
        self.until(runtime, enough).await;
    }

    fn downloaded(&self) -> Vec<Downloaded> {
        self.line.pipeline.books().snapshot().cameras.iter().map(|camera| camera.downloaded).collect()
    }

    /// The states of the engine that `health` has told, each once, in order.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.health.iter().filter_map(|engine| Some(engine["state"].as_str()?.to_owned())).collect();
        words.dedup();
        words
    }

    /// The runtimes that have looked at a camera's frames, in order.
    fn runtimes(&self, camera: &str) -> Vec<&str> {
        let word = |told: &Told| if told.runtime.starts_with("rten") { "cpu" } else { "engine" };
        let mut runtimes: Vec<&str> = self.frames[camera].values().map(word).collect();
        runtimes.dedup();
        runtimes
    }

    /// Ends the line. Every frame that was decoded has been told of, but for those that gave way to a newer one; in every one something was
    /// seen, whatever served.
    async fn stop(mut self) -> Self {
        self.until("every camera", |seen| CAMERAS.iter().all(|camera| seen.frames.contains_key(*camera))).await;
        let counts = |seen: &Self| -> Vec<(String, Counts)> {
            seen.line.pipeline.books().snapshot().cameras.into_iter().map(|camera| (camera.name, camera.counts)).collect()
        };
        let now = counts(&self);
        let all_came = |seen: &Self| {
            now.iter()
                .all(|(camera, counts)| seen.frames[camera].last_key_value().is_some_and(|(last, _)| *last >= counts.decoded))
        };
        self.until("the frames of this moment", all_came).await;
        for (camera, counts) in now {
            let dropped = counts.dropped;
            assert_eq!(dropped.total(), dropped.replaced + dropped.stale, "{camera}: {counts:?}");
            let told = self.frames[&camera].range(..counts.decoded).count() as u64;
            let missing = counts.decoded - told;
            assert!(
                (dropped.total()..=dropped.total() + counts.in_flight).contains(&missing),
                "{camera}: {missing} of {counts:?}"
            );
            assert!(self.frames[&camera].values().all(|told| told.objects > 0), "{camera}: something is seen in every frame");
            eprintln!("{camera}: {told} of {} frames, {:?}", counts.decoded, self.runtimes(&camera));
        }
        self
    }

    async fn end(self) {
        self.line.stop().await;
    }
}

/// A decoder whose pictures stay on the device.
fn decoder() {
    let library = SurfaceLibrary::load().expect("the stand-ins");
    let knobs = Knobs { library, memory: numbers::DEVICE, layout: 0, format: numbers::NV12, poke: None, fails: Fails::Never };
    register(knobs).expect("elements");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_and_a_second_one() {
    if !alone() {
        return;
    }
    let Some(site) = site() else { return };
    decoder();
    assert!(site.rig.double.set("build_step_us", 300_000));
    let mut first = site.start("auto").await;
    assert!(matches!(first.state(), EngineState::Building { .. }), "{:?}", first.state());
    // The CPU serves, from pictures that lie on the device.
    first.more("rten").await;
    assert!(first.downloaded().iter().all(|count| count.pictures >= MORE as u64), "{:?}", first.downloaded());
    first.until_health("serving").await;
    first.more("tensorrt 10.").await;
    // From here on nothing comes to the host but boxes; nobody has restarted a camera.
    let before = first.downloaded();
    first.more("tensorrt 10.").await;
    let pictures = |counts: &[Downloaded]| counts.iter().map(|count| count.pictures).collect::<Vec<_>>();
    assert_eq!(pictures(&first.downloaded()), pictures(&before));
    let first = first.stop().await;
    assert_eq!(first.words(), ["building", "checking", "on_trial", "serving"]);
    let percent: BTreeSet<u64> = first.health.iter().filter_map(|engine| engine["percent"].as_u64()).collect();
    assert!(percent.len() >= 3 && percent.iter().all(|percent| *percent <= 100), "{percent:?}");
    for camera in CAMERAS {
        let runtimes = first.runtimes(camera);
        assert!(runtimes.first() == Some(&"cpu") && runtimes.last() == Some(&"engine"), "{runtimes:?}");
        let status = &first.cameras[camera];
        assert_eq!((&status["state"], &status["reconnects"]), (&"online".into(), &0.into()), "{status}");
        // This machine calls itself a PC with a GPU, which has no decoder of its own.
        let decoding = &status["decoding"];
        assert_eq!((&decoding["element"], &decoding["on_device"]), (&"nvv4l2decoder".into(), &true.into()), "{status}");
        assert_eq!(decoding["fallback"]["from"], "nvh264dec", "{status}");
    }
    let verdict = site.manifest().verdict.expect("compared");
    assert!(verdict.passed && verdict.reason.starts_with("recall 1.0000, precision 1.0000"), "{}", verdict.reason);
    first.end().await;

    // The engine is there: it looks at the very first frame.
    let mut second = site.start("auto").await;
    assert_eq!(second.state(), EngineState::Serving);
    second.more("tensorrt 10.").await;
    let second = second.stop().await;
    assert!(CAMERAS.iter().all(|camera| second.runtimes(camera) == ["engine"]));
    assert_eq!((second.words(), pictures(&second.downloaded())), (vec!["serving".to_owned()], vec![0; CAMERAS.len()]));
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_sees_something_else_does_not_serve() {
    if !alone() {
        return;
    }
    let Some(site) = site() else { return };
    // A tenth more on every output: boxes half as large again.
    assert!(site.rig.double.set("skew", 100));
    let mut line = site.start("software").await;
    line.until_health("rejected").await;
    line.more("rten").await;
    let line = line.stop().await;
    assert_eq!(line.words().last().map(String::as_str), Some("rejected"));
    let reason = line.health.last().and_then(|engine| engine["reason"].as_str()).expect("a reason").to_owned();
    assert!(reason.contains("it does not agree with rten"), "{reason}");
    assert!(CAMERAS.iter().all(|camera| line.runtimes(camera) == ["cpu"]), "it looked at no frame");
    assert_eq!(site.manifest().rejected(), Some(&*reason));
    line.end().await;

    // A restart knows: nothing is built.
    let mut again = site.start("software").await;
    assert_eq!(again.state(), EngineState::Rejected(reason));
    again.more("rten").await;
    again.stop().await.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_nobody_compared_serves_at_once_and_goes_if_it_sees_something_else() {
    if !alone() {
        return;
    }
    let Some(site) = site() else { return };
    // A daemon that ends before the comparison leaves what the command line leaves: an engine without a verdict.
    let mut line = site.start("software").await;
    line.until("the comparison", |seen| seen.state() == EngineState::Checking).await;
    line.end().await;
    assert_eq!(site.manifest().verdict, None);

    assert!(site.rig.double.set("skew", 100));
    let mut line = site.start("software").await;
    assert_eq!(line.state(), EngineState::Checking);
    line.until_health("rejected").await;
    line.more("rten").await;
    let line = line.stop().await;
    assert_eq!(line.words(), ["checking", "rejected"]);
    for camera in CAMERAS {
        let runtimes = line.runtimes(camera);
        assert!(runtimes.first() == Some(&"engine") && runtimes.last() == Some(&"cpu"), "{runtimes:?}");
    }
    assert!(site.manifest().rejected().is_some());
    line.end().await;
}
