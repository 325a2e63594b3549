//! The `egret` binary: parse the command line, run the command, report.
#![forbid(unsafe_code)]

use std::{
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use clap::Parser;
use egret::cli::{Cli, told};

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // Whoever stopped reading what we print needs no word about it.
            let unread = error.root_cause().downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe);
            if !unread {
                // Where standard error is closed there is nobody to tell.
                let _nobody = writeln!(io::stderr().lock(), "egret: {}", told(&error));
            }
            ExitCode::FAILURE
        }
    }
}
