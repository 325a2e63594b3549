//! `egret doctor`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    config::{self, Overrides},
    doctor::{self, Finding, Level, Setting},
    life,
};

/// Arguments of `egret doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 nothing is wrong, or only what is noted or warned of; 1 something does not work; 78 the configuration is wrong.
Libraries, decoders, brokers and cameras are asked as the daemon asks them, all side by side. Brokers meet a client of the name
egret-doctor-…, cameras a DESCRIBE. Whatever the daemon may only as its own user shows only to that user: sudo -u egret egret doctor.")]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE", help = format!("The configuration file [default: {}, if it is there]", config::DEFAULT_FILE))]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// How long a broker or a camera may take to answer.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = limit)]
    timeout: Duration,
    #[command(flatten)]
    overrides: Overrides,
}

fn limit(text: &str) -> Result<Duration, String> {
    let limits = Duration::from_millis(100)..=Duration::from_mins(5);
    config::span(text).filter(|span| limits.contains(span)).ok_or_else(|| "write it such as 5s or 500ms, up to 5m".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let file = args.config.clone().unwrap_or_else(|| config::DEFAULT_FILE.into());
    let is_there = args.config.is_some() || file.exists() || args.overrides != Overrides::default();
    let read = is_there.then(|| super::check::examine(args.config.clone(), args.overrides.clone()));
    // Where options alone are the configuration, no file is to be named.
    let file = if is_there && args.config.is_none() && !file.exists() { "options".into() } else { file };
    let mut findings = doctor::of_configuration(&read, &file);
    // A library or a disk that hangs is left behind with its thread.
    findings.extend(life::run(doctor::examine(Setting::here(read, args.timeout))).context("no async runtime")?);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", doctor::report(&findings))?;
    } else {
        print(&mut out, &findings)?;
    }
    Ok(ExitCode::from(doctor::exit(&findings)))
}

/// One line each, and how many of each kind.
fn print(out: &mut impl io::Write, findings: &[Finding]) -> io::Result<()> {
    let name = |finding: &Finding| match &finding.subject {
        Some(subject) => format!("{} {subject}", finding.area),
        None => finding.area.to_owned(),
    };
    let width = findings.iter().map(|finding| name(finding).chars().count()).max().unwrap_or(0);
    for finding in findings {
        write!(out, "{:<8} {:<width$}  {}", finding.level.as_str(), name(finding), finding.says)?;
        match &finding.remedy {
            Some(remedy) => writeln!(out, " -> {remedy}")?,
            None => writeln!(out)?,
        }
    }
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let counted = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    writeln!(out, "{}, {}", counted(count(Level::Error), "error"), counted(count(Level::Warning), "warning"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_line_has_its_level_what_was_looked_at_what_was_found_and_what_to_do() {
        let finding = |area, subject: Option<&str>, level, remedy: Option<&str>| Finding {
            area,
            subject: subject.map(str::to_owned),
            level,
            says: "so it is".to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let findings = [finding("clock", None, Level::Ok, None), finding("camera", Some("door"), Level::Error, Some("mend it"))];
        let mut out = Vec::new();
        print(&mut out, &findings).expect("memory");
        let expected = "ok       clock        so it is\nerror    camera door  so it is -> mend it\n1 error, 0 warnings\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    /// Whatever machine this runs on: an answer. With --nocapture it shows.
    #[test]
    fn this_machine() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("egret.toml");
        let text = "[[model]]\nname = \"null\"\nbuiltin = \"null\"\n[[camera]]\nname = \"door\"\n\
                    url = \"rtsp://admin:geheim@127.0.0.1:9/1\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:9\"\n";
        std::fs::write(&file, text).expect("room");
        let file = file.to_str().expect("a name").to_owned();
        let cli = Cli::try_parse_from(["egret", "doctor", "--timeout", "2s", "--config", &file]).expect("a command");
        assert_eq!(cli.run().expect("an answer"), ExitCode::from(1), "neither camera nor broker is there");
    }
}
