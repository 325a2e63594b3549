//! `egret manual`: man pages and shell completions, for packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::config;

/// Names under which the program is installed.
const NAMES: [&str; 2] = ["egret", "egret-demo"];

/// Arguments of `egret manual`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write man/NAME.1, a page for each command, man/NAME.toml.5, and completions for bash, zsh and fish below this folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What the program is called where it is installed.
    #[arg(long, value_name = "NAME", default_value = NAMES[0], value_parser = NAMES)]
    name: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Clap keeps names for as long as the program runs.
    let name = NAMES.into_iter().find(|name| *name == args.name).unwrap_or(NAMES[0]);
    write(&args.folder, name)?;
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, name: &'static str) -> anyhow::Result<()> {
    let pages = folder.join("man");
    let here = || folder.display().to_string();
    fs::create_dir_all(&pages).with_context(here)?;
    let command = || Cli::command().name(name).bin_name(name);
    clap_mangen::generate_to(command(), &pages).with_context(here)?;
    if name == NAMES[0] {
        fs::write(pages.join("egret.toml.5"), config::page()).with_context(here)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command(), name, folder).with_context(here)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_completions_know_every_command() {
        for name in NAMES {
            let folder = tempfile::tempdir().expect("a folder");
            write(folder.path(), name).expect("written");
            let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            let completions = [format!("{name}.bash"), format!("_{name}"), format!("{name}.fish")].map(|file| read(&file));
            let command = Cli::command();
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                let page = read(&format!("man/{name}-{}.1", sub.get_name()));
                assert!(page.contains(".SH SYNOPSIS"), "{page}");
                assert!(completions.iter().all(|text| text.contains(sub.get_name())), "{}", sub.get_name());
            }
            assert!(read(&format!("man/{name}.1")).contains("Camera appliance daemon"));
            assert!(!folder.path().join(format!("man/{name}-manual.1")).exists(), "it is for packages");
            assert_eq!(folder.path().join("man/egret.toml.5").exists(), name == "egret");
        }
    }

    #[test]
    fn what_cannot_be_written_is_told_with_its_place() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let told = super::super::refused(&format!("manual {}", file.path().display()));
        assert!(told.contains(&file.path().display().to_string()), "{told}");
        assert!(super::super::refused("manual --name owl /nowhere").contains("egret-demo"), "names that are");
    }
}
