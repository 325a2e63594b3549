//! `egret sim`.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::sim::{Fault, Sim, SimCamera, SimConfig, TimedFault, parse_time};

/// Arguments of `egret sim`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, override_usage = "egret sim [OPTIONS] --camera <CAMERA>...")]
pub(super) struct Args {
    /// A camera. Repeat for more.
    #[arg(long = "camera", value_name = "CAMERA", required = true)]
    cameras: Vec<SimCamera>,
    /// The first camera's port; each camera takes the next one. 0: any free ports.
    #[arg(long, default_value_t = 8554)]
    port: u16,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Write the ground truth of scenes to DIR/NAME.jsonl.
    #[arg(long, value_name = "DIR")]
    truth: Option<PathBuf>,
    /// A fault at a time. Repeat for more.
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<TimedFault>,
    /// End after this time, e.g. 30s.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    lasting: Option<Duration>,
}

const AFTER_HELP: &str = "\
CAMERA is NAME=WHAT[,OPTION]...
  WHAT       file:PATH       the file's own pictures (H.264, H.265, Motion JPEG), again and again
             webcam:DEVICE   e.g. webcam:/dev/video0
             scene           a street, drawn; scene:seed=7,night for short
             test[:PATTERN]  a test picture: ball, smpte, snow, ...
  any        login=USER:PASSWORD  basic (else digest)  noreports (no RTCP)  offset=MS (its clock is ahead)
  generated  codec=h264|h265|mjpeg  size=WIDTHxHEIGHT (not webcam)  fps=N  bitrate=KBIT
  scene      seed=N  night  rain  density=N  noclock

FAULT is NAME=WHAT@AFTER[+FOR], e.g. street=stall@10s+5s
  stall        nothing comes any more     silent    no media, requests are answered
  drop         connections end, once      away      the port is closed
  refuse       401 to everything          notfound  404 to everything
  alter:RATE[:SEED], cut:RATE[:SEED], lose:RATE[:SEED]   of media packets
  size:WIDTHxHEIGHT  in mid-stream        codec:h264|h265|mjpeg  with the next description
  rtpjump:MS   the media's timestamps     clockjump:MS  what sender reports say

Lines on standard input: fault NAME WHAT, clear NAME, quit. Each is answered with ok or with what is wrong.";

fn time(text: &str) -> Result<Duration, &'static str> {
    parse_time(text).ok_or("times are such as 500ms, 10s or 2m")
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { cameras, port, listen, truth, faults, lasting } = args;
    let sim = Sim::start(SimConfig { listen, port, cameras, truth })?;
    for timed in &faults {
        // Better now than in an hour.
        sim.url(&timed.camera)?;
    }
    for name in sim.names() {
        say(&format!("{name} {}", sim.url(name)?))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(serve(&sim, Schedule::of(faults), lasting))?;
    sim.stop();
    Ok(ExitCode::SUCCESS)
}

async fn serve(sim: &Sim, mut schedule: Schedule, lasting: Option<Duration>) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut lines = input()?;
    let mut listening = true;
    let mut terminated = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let moment = |after: Option<Duration>| async move {
        match after.and_then(|after| began.checked_add(after)) {
            Some(moment) => sleep_until(moment).await,
            None => std::future::pending().await,
        }
    };
    loop {
        tokio::select! {
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            () = moment(lasting) => return Ok(()),
            () = moment(schedule.next()) => {
                for order in schedule.take() {
                    if let Err(error) = obey(sim, &order) {
                        tracing::error!(?order, %error, "a timed fault did not happen");
                    }
                }
            }
            line = lines.recv(), if listening => match line.as_deref().map(str::trim) {
                // Started without a terminal: the faults on the command line are all there are.
                None => listening = false,
                Some("") => {}
                Some("quit") => return Ok(()),
                Some(line) => match read(line).and_then(|order| obey(sim, &order)) {
                    Ok(()) => say("ok")?,
                    Err(error) => say(&format!("{error:#}"))?,
                },
            },
        }
    }
}

/// What a camera is told.
#[derive(Clone, Debug, PartialEq)]
enum Order {
    Fault(String, Fault),
    Clear(String),
}

fn obey(sim: &Sim, order: &Order) -> anyhow::Result<()> {
    match order {
        Order::Fault(camera, fault) => sim.fault(camera, *fault)?,
        Order::Clear(camera) => sim.clear(camera)?,
    }
    Ok(())
}

/// A line of the input.
fn read(line: &str) -> anyhow::Result<Order> {
    match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        ["fault", camera, fault] => Ok(Order::Fault(camera.into(), fault.parse()?)),
        ["clear", camera] => Ok(Order::Clear(camera.into())),
        _ => anyhow::bail!("{line:?} is no order: fault NAME WHAT, clear NAME or quit"),
    }
}

/// Orders by the time they are due.
#[derive(Debug, Default)]
struct Schedule(BTreeMap<Duration, Vec<Order>>);

impl Schedule {
    fn of(faults: Vec<TimedFault>) -> Self {
        let mut schedule = Self::default();
        for TimedFault { camera, fault, after, lasting } in faults {
            if let Some(lasting) = lasting {
                schedule.0.entry(after + lasting).or_default().push(Order::Clear(camera.clone()));
            }
            schedule.0.entry(after).or_default().push(Order::Fault(camera, fault));
        }
        schedule
    }

    fn next(&self) -> Option<Duration> {
        self.0.keys().next().copied()
    }

    /// What is due next. Clearing goes first, so that one fault can follow another.
    fn take(&mut self) -> Vec<Order> {
        let mut due = self.0.pop_first().map(|(_, orders)| orders).unwrap_or_default();
        due.sort_by_key(|order| matches!(order, Order::Fault(..)));
        due
    }
}

/// Lines of standard input. The thread that waits for them ends with the process: nothing else can interrupt it.
fn input() -> anyhow::Result<mpsc::Receiver<String>> {
    let (lines, received) = mpsc::channel(16);
    thread::Builder::new()
        .name("sim-input".into())
        .spawn(move || {
            // A line that is no UTF-8 is answered like any other that says nothing sensible.
            for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
                if lines.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        })
        .context("cannot read standard input")?;
    Ok(received)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{CAMERA_GRAMMAR, FAULT_GRAMMAR, TIMED_GRAMMAR};

    #[test]
    fn the_help_names_every_word_of_the_grammar() {
        for word in [CAMERA_GRAMMAR, FAULT_GRAMMAR, TIMED_GRAMMAR].join(" ").split([' ', ',', ';', ':', '[', '=', '|', '@', '+'])
        {
            let literal = word.len() > 3 && word.chars().all(|c| c.is_ascii_lowercase());
            let prose = ["where", "options", "camera", "with", "else", "generated", "pictures", "scene", "times", "such"];
            assert!(!literal || prose.contains(&word) || AFTER_HELP.contains(word), "{word}");
        }
    }

    #[test]
    fn lines_are_orders() {
        assert_eq!(read("clear  door").unwrap(), Order::Clear("door".into()));
        assert_eq!(read("fault door lose:0.5").unwrap(), Order::Fault("door".into(), Fault::Lose { rate: 0.5, seed: 0 }));
        for line in ["fault door", "fault door burn", "clear", "open door"] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn faults_come_in_time_and_clearing_first() {
        let faults = ["a=stall@2s+3s", "b=drop@1s", "a=away@5s"].map(|f| f.parse().unwrap());
        let mut schedule = Schedule::of(faults.into());
        let mut seen = Vec::new();
        while let Some(after) = schedule.next() {
            seen.extend(schedule.take().into_iter().map(|order| (after.as_secs(), order)));
        }
        let (a, b) = (|| "a".to_owned(), "b".to_owned());
        assert_eq!(
            seen,
            [
                (1, Order::Fault(b, Fault::Drop)),
                (2, Order::Fault(a(), Fault::Stall)),
                (5, Order::Clear(a())),
                (5, Order::Fault(a(), Fault::Away)),
            ]
        );
    }
}
