//! `egret init`.

mod ask;
mod place;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;

use crate::config::{self, First, Overrides, Sources};

/// Arguments of `egret init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without any of --camera, --broker, --model and --device it asks, where there is a terminal.\n\
                        User names and passwords of URLs are taken out, and the passwords written to files of their own, mode 0600. A\n\
                        password within a path, a query or a GStreamer fragment cannot be: it stays in the file, which is told.")]
pub(super) struct Args {
    /// The configuration file to write.
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_FILE)]
    config: PathBuf,
    /// Replace a configuration, and passwords, that are there. Each is kept as FILE.old, the next one as FILE.old.2, and so on.
    #[arg(long)]
    force: bool,
    /// Print the configuration, without passwords, and write nothing.
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    options: Overrides,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { config: file, force, print, mut options } = args;
    if !print {
        // Before anything is asked.
        place::free(&file, force)?;
    }
    let host_name = Sources::of_process(None, Overrides::default()).host_name;
    if asks(&options) {
        let input = io::stdin();
        anyhow::ensure!(
            input.is_terminal(),
            "there is nothing to write and nobody to ask: name at least one camera, --camera NAME=rtsp://HOST/PATH"
        );
        let asked = ask::options(&mut input.lock(), &mut io::stderr().lock(), host_name.trim(), ask::without_echo)?;
        options = Overrides { http: options.http, log: options.log, ..asked };
    }
    let here = env::current_dir().context("the folder that this runs in")?;
    let first = match config::first(&options, &host_name, &here) {
        Ok(first) => first,
        Err(problems) => return super::run::refuse(&problems),
    };
    let mut out = io::stdout().lock();
    if print {
        write!(out, "{}", first.shown())?;
        return Ok(ExitCode::SUCCESS);
    }
    place::apart(&file, &first, force)?;
    let written = place::put(&file, &first)?;
    for path in written {
        writeln!(out, "wrote {}", path.display())?;
    }
    tell_next(&mut out, &file, &first)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether nothing says yet what is to be watched and told.
fn asks(options: &Overrides) -> bool {
    let Overrides { cameras, broker, model, device, http: _, log: _, tracker: _ } = options;
    cameras.is_empty() && broker.is_none() && model.is_none() && device.is_none()
}

fn tell_next(out: &mut impl io::Write, file: &Path, first: &First) -> io::Result<()> {
    if !first.text.contains("[[camera]]") {
        writeln!(out, "There is no camera yet: add a [[camera]] with name and url.")?;
    }
    if !first.text.contains("\n[mqtt]") {
        writeln!(out, "There is no broker, so nothing is published: write [mqtt] with url = \"mqtt://…\", or use --broker.")?;
    }
    for kept in &first.kept {
        writeln!(out, "The source of {} holds a password, which stays in {} (mode 0600).", kept.whose, file.display())?;
    }
    if file == Path::new(config::DEFAULT_FILE) {
        return writeln!(out, "Next: egret check, then egret run (or systemctl enable --now egret).");
    }
    let option = format!(" --config {}", quoted(file));
    writeln!(out, "Next: egret check{option}, then egret run{option}.")
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::refused;

    #[test]
    fn a_first_configuration_is_written_and_the_next_one_needs_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("etc/egret.toml");
        let write = |url: &str, force| {
            let cameras = vec![config::Secret::new(format!("door={url}"))];
            let options = Overrides { cameras, model: Some("builtin:null".into()), ..Overrides::default() };
            run(Args { config: file.clone(), force, print: false, options })
        };
        write("rtsp://u:one@10.0.0.1/", false).unwrap();
        let before = fs::read_to_string(&file).unwrap();
        let again = write("rtsp://u:two@10.0.0.2/", false).unwrap_err().to_string();
        assert!(again.contains("--force") && again.contains("egret.toml"), "{again}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        let password = file.with_file_name("camera-door.password");
        assert_eq!(fs::read_to_string(&password).unwrap(), "one\n");
        write("rtsp://u:two@10.0.0.2/", true).unwrap();
        assert_eq!(fs::read_to_string(file.with_extension("toml.old")).unwrap(), before);
        assert_eq!(fs::read_to_string(&password).unwrap(), "two\n");
        let sources = Sources { file: Some(file), ..Sources::default() };
        assert!(config::examine(&sources).unwrap().advice.is_empty(), "nothing of it is unwise");
    }

    #[test]
    fn what_is_next_is_told_as_a_shell_reads_it() {
        let told = |file: &str, text: &str| {
            let options = Overrides {
                cameras: vec![config::Secret::new(text)],
                model: Some("builtin:null".into()),
                ..Overrides::default()
            };
            let first = config::first(&options, "host", Path::new("/srv")).unwrap();
            let mut out = Vec::new();
            tell_next(&mut out, Path::new(file), &first).unwrap();
            String::from_utf8(out).unwrap()
        };
        let own = told("/srv/my door's.toml", "door=rtsp://10.0.0.1/s?token=hunter2");
        assert!(own.contains("egret run --config '/srv/my door'\\''s.toml'.") && !own.contains("systemctl"), "{own}");
        assert!(own.contains("no broker") && own.contains("camera door holds a password") && !own.contains("hunter2"), "{own}");
        assert!(told(config::DEFAULT_FILE, "door=rtsp://10.0.0.1/s").contains("systemctl enable"));
    }

    #[test]
    fn options_that_say_nothing_of_cameras_are_no_answer() {
        let http = Overrides { http: Some("off".into()), log: Some("debug".into()), ..Overrides::default() };
        assert!(asks(&http) && !asks(&Overrides { device: Some("gate".into()), ..Overrides::default() }));
    }

    #[test]
    fn nothing_is_written_of_what_is_wrong_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("egret.toml");
        let words = format!("init --config {} --camera door=http://10.0.0.1/", file.display());
        let cli = <super::super::Cli as clap::Parser>::try_parse_from(std::iter::once("egret").chain(words.split(' '))).unwrap();
        assert_eq!(format!("{:?}", cli.run().unwrap()), format!("{:?}", ExitCode::from(78)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        if !io::stdin().is_terminal() {
            let told = refused(&format!("init --config {}", file.display()));
            assert!(told.contains("--camera"), "{told}");
        }
    }
}
