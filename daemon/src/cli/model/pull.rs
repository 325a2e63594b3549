//! `egret model pull`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use super::StoreArgs;
use crate::store::{self, Network};

/// How often the bar moves.
const REDRAW: Duration = Duration::from_millis(100);
/// Cells of the bar.
const CELLS: u64 = 30;

/// Arguments of `egret model pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    /// A name of the catalogue (`egret model list --catalogue`) or of the store, or a model.toml with a url.
    model: String,
    /// Put it in the place of a model that has the same name, whatever the store has pinned for that one.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let store = args.store.open()?;
    let (manifest, text) = super::manifest(&args.model, &store)?;
    if let Some(note) = &manifest.card.license_note {
        writeln!(io::stderr().lock(), "licence of {}: {note}", manifest.card.name)?;
    }
    let network = Network::new(&|name| std::env::var(name).ok());
    let mut bar = Bar::new(manifest.card.name.clone());
    let result = store::pull(&store, (manifest, &text), args.replace, &network, &mut |done, total| bar.show(done, total));
    bar.end();
    let pulled = result?;
    let mut out = io::stdout().lock();
    let file = pulled.entry.file.display();
    if pulled.already {
        writeln!(out, "{file}: here already, {} bytes, its sha256 is right", pulled.bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let resumed =
        if pulled.resumed > 0 { format!(", {} of them from an earlier attempt", pulled.resumed) } else { String::new() };
    writeln!(out, "{file}: {} bytes{resumed}", pulled.bytes)?;
    let sha256 = &pulled.entry.manifest.card.sha256;
    if pulled.pinned {
        let manifest = pulled.entry.path.display();
        writeln!(out, "nobody had written down its sha256 before: {sha256} is pinned in {manifest} from now on")?;
    } else {
        writeln!(out, "its sha256 is right: {sha256}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A bar on a terminal; nothing elsewhere.
struct Bar {
    name: String,
    shown: bool,
    started: Instant,
    first: Option<u64>,
    next: Instant,
}

impl Bar {
    fn new(name: String) -> Self {
        let now = Instant::now();
        Self { name, shown: io::stderr().is_terminal(), started: now, first: None, next: now }
    }

    fn show(&mut self, done: u64, total: Option<u64>) {
        let now = Instant::now();
        let first = *self.first.get_or_insert(done);
        if !self.shown || (now < self.next && Some(done) != total) {
            return;
        }
        self.next = now + REDRAW;
        let rate = done.saturating_sub(first) as f64 / now.duration_since(self.started).as_secs_f64().max(0.1);
        let line = line(&self.name, done, total, rate);
        // A terminal that is gone is no reason to stop a download.
        let _ = write!(io::stderr().lock(), "\r{line}\x1b[K");
    }

    fn end(&self) {
        if self.shown && self.first.is_some() {
            let _ = writeln!(io::stderr().lock());
        }
    }
}

/// The text of a bar; `rate` in bytes per second.
fn line(name: &str, done: u64, total: Option<u64>, rate: f64) -> String {
    let mega = |bytes: u64| bytes as f64 / 1e6;
    match total.filter(|total| *total > 0) {
        None => format!("{name}  {:.1} MB, {:.1} MB/s", mega(done), rate / 1e6),
        Some(total) => {
            let full = (done.min(total) * CELLS / total) as usize;
            let bar = "#".repeat(full) + &".".repeat(CELLS as usize - full);
            let percent = done.min(total) * 100 / total;
            format!("{name}  [{bar}] {percent:>3} % of {:.1} MB, {:.1} MB/s", mega(total), rate / 1e6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_bar_fills_up() {
        assert_eq!(line("net", 1_500_000, None, 2e6), "net  1.5 MB, 2.0 MB/s");
        let half = format!("net  [{}{}]  50 % of 2.0 MB, 0.5 MB/s", "#".repeat(15), ".".repeat(15));
        assert_eq!(line("net", 1_000_000, Some(2_000_000), 5e5), half);
        assert!(line("net", 9, Some(3), 0.0).contains("100 %"));
        assert!(line("net", 0, Some(0), 0.0).contains("0.0 MB"));
    }
}
