//! The command line. Each command lives in a file of its own and returns the process's exit code.

mod bench;
mod broker;
mod bundle;
mod check;
mod command;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod engine;
mod eval;
mod graph;
mod init;
mod listen;
mod manual;
mod model;
mod replay;
mod run;
mod schema;
#[cfg(feature = "sim")]
mod sim;
mod track_eval;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use egret_models::text;

/// egret: cameras in, detections out.
#[derive(Debug, Parser)]
#[command(name = "egret", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Run(run::Args),
    /// Check a configuration and print every problem at once.
    Check(check::Args),
    /// Write a first configuration, by asking or from options.
    Init(init::Args),
    /// Say what is there, what is wrong and what to do about it, one line each.
    Doctor(doctor::Args),
    /// Print the JSON Schema of the configuration, or what describes the messages.
    Schema(schema::Args),
    /// Print the live pipeline of a running daemon as a Graphviz graph.
    Graph(graph::Args),
    /// Show what daemons publish: lines, or a table with gaps and latencies.
    Listen(listen::Args),
    /// Tell a daemon over its broker what to do, and wait for the reply.
    #[command(name = "command")]
    Tell(command::Args),
    /// Pack what somebody who is asked for help wants to see into one archive, without passwords.
    Bundle(bundle::Args),
    /// Inspect, store and download networks.
    Model(model::Args),
    /// Build, list, inspect, measure and remove TensorRT's engines.
    Engine(engine::Args),
    /// Measure the daemon's own cost.
    Bench(bench::Args),
    /// Measure models on pictures whose truth is known, side by side.
    Eval(eval::Args),
    /// Judge trackers on sequences whose truth is known, side by side.
    TrackEval(track_eval::Args),
    /// Feed a recording through the daemon's own code, the same each time, and draw what it understood.
    Replay(replay::Args),
    /// Write man pages and shell completions.
    #[command(hide = true)]
    Manual(manual::Args),
    /// Simulate RTSP cameras.
    #[cfg(feature = "sim")]
    Sim(sim::Args),
    /// Simulated cameras, an embedded broker and the daemon: see it work.
    #[cfg(feature = "demo")]
    Demo(demo::Args),
}

/// An error and its causes on one line. A cause that the error before it quotes already is left out.
pub fn told(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    // Whoever made a file chose what is quoted of it.
    text::lines(&line).into_owned()
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever the command could not do; `main` prints it and exits 1.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(args) => run::run(args),
            Command::Check(args) => check::run(&args),
            Command::Init(args) => init::run(args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Schema(args) => schema::run(&args),
            Command::Graph(args) => graph::run(&args),
            Command::Listen(args) => listen::run(args),
            Command::Tell(args) => command::run(&args),
            Command::Bundle(args) => bundle::run(args),
            Command::Model(args) => model::run(args),
            Command::Engine(args) => engine::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Eval(args) => eval::run(args),
            Command::TrackEval(args) => track_eval::run(args),
            Command::Replay(args) => replay::run(&args),
            Command::Manual(args) => manual::run(&args),
            #[cfg(feature = "sim")]
            Command::Sim(args) => sim::run(args),
            #[cfg(feature = "demo")]
            Command::Demo(args) => demo::run(args),
        }
    }
}

/// What a command line that must be refused is told, whether by its reader or by the command.
#[cfg(test)]
fn refused(words: &str) -> String {
    match Cli::try_parse_from(std::iter::once("egret").chain(words.split(' '))) {
        Err(error) => error.to_string(),
        Ok(cli) => cli.run().expect_err("refused").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot listen: {source}")]
    struct Quoting {
        source: std::io::Error,
    }

    #[test]
    fn causes_are_told_once() {
        let cause = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let error = Err::<(), _>(Quoting { source: cause() }).context("is the daemon running?").expect_err("an error");
        assert_eq!(told(&error), "is the daemon running?: cannot listen: broken pipe");
        let error = Err::<(), _>(cause()).context("standard output").expect_err("an error");
        assert_eq!(told(&error), "standard output: broken pipe");
    }
}
