//! The `egret` binary: parse the command line, run the command, report.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use egret::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("egret: {error:#}");
            ExitCode::FAILURE
        }
    }
}
