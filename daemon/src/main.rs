//! The `egret` binary: parse the command line, run the command, report.
#![forbid(unsafe_code)]

use std::{
    env,
    io::{self, ErrorKind, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use clap::Parser;
use egret::{
    bundle::complaint,
    cli::{Cli, told},
};

/// Microsoft's packages of ONNX Runtime send word of each start to their maker, and keep it in the home folder until they can. What
/// `ort` offers against it comes after the first message; only this variable comes before.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Starts this program anew, as the same process, with ONNX Runtime's telemetry switched off.
fn without_telemetry() {
    if env::var_os(NO_TELEMETRY).is_some_and(|value| value == "1") {
        return;
    }
    let mut arguments = env::args_os();
    if let (Ok(program), name) = (env::current_exe(), arguments.next()) {
        let mut command = Command::new(program);
        command.args(arguments).env(NO_TELEMETRY, "1");
        if let Some(name) = name {
            command.arg0(name);
        }
        // It returns only where that cannot be, as when the file has been replaced; then the command is more important.
        let _impossible = command.exec();
    }
}

/// Help and versions as they are; a complaint without the passwords that it quotes.
fn complain(error: &clap::Error) -> ExitCode {
    let _nobody =
        if error.use_stderr() { write!(io::stderr().lock(), "{}", complaint(&error.to_string())) } else { error.print() };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn main() -> ExitCode {
    without_telemetry();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return complain(&error),
    };
    match cli.run() {
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
