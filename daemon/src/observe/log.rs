//! Structured logs: to the terminal as text, as JSON lines, or to journald with its fields.

use std::{
    fs::File,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::fs::MetadataExt},
};

use tracing_subscriber::{EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, reload, util::SubscriberInitExt};

use crate::config::{BadFilter, LogConfig, LogFormat, log_filter};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error("log.filter {filter:?}: {source}")]
    Filter {
        /// As configured.
        filter: String,
        /// What is wrong with it.
        source: BadFilter,
    },
    /// journald was asked for and is not there.
    #[error("log.format journald: {0}")]
    Journald(io::Error),
    /// The log is not there any more.
    #[error("the log has ended: {0}")]
    Ended(String),
    /// Logs were set up before.
    #[error("logs are set up twice: {0}")]
    Twice(String),
}

/// Changes the log filter while the process runs.
#[derive(Clone)]
pub struct Knob(reload::Handle<EnvFilter, Registry>);

impl Knob {
    /// Takes another filter.
    ///
    /// # Errors
    /// It is none, or logging has ended.
    pub fn set(&self, filter: &str) -> Result<(), LogError> {
        let filter = self::filter(filter)?;
        self.0.reload(filter).map_err(|error| LogError::Ended(error.to_string()))
    }
}

/// Sets up logging for the whole process; text and JSON go to standard error. What it returns changes the filter.
///
/// # Errors
/// [`LogError`].
pub fn init(config: &LogConfig) -> Result<Knob, LogError> {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let layer = match config.format {
        LogFormat::Journald => journald()?,
        LogFormat::Auto if stderr_is_journal() => journald()?,
        LogFormat::Auto | LogFormat::Text => text(io::stderr, colour),
        LogFormat::Json => json(io::stderr),
    };
    let (filter, handle) = reload::Layer::new(filter(&config.filter)?);
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(|error| LogError::Twice(error.to_string()))?;
    Ok(Knob(handle))
}

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

fn filter(filter: &str) -> Result<EnvFilter, LogError> {
    log_filter(filter).map_err(|source| LogError::Filter { filter: filter.into(), source })
}

fn text<W>(writer: W, colour: bool) -> Boxed
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(writer).boxed()
}

fn json<W>(writer: W) -> Boxed
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer).boxed()
}

fn journald() -> Result<Boxed, LogError> {
    let layer = tracing_journald::layer().map_err(LogError::Journald)?;
    Ok(layer.with_syslog_identifier("egret".into()).boxed())
}

/// Whether standard error is the stream that systemd connected to the journal (systemd.exec(5), `JOURNAL_STREAM`).
fn stderr_is_journal() -> bool {
    let stderr = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    stderr.is_ok_and(|stderr| is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), stderr.dev(), stderr.ino()))
}

/// `JOURNAL_STREAM` is `device:inode` in decimal. A child whose standard error was redirected inherits the variable, not the stream.
fn is_journal(variable: Option<&str>, device: u64, inode: u64) -> bool {
    let parsed = variable.and_then(|v| v.split_once(':')).and_then(|(d, i)| Some((d.parse().ok()?, i.parse().ok()?)));
    parsed == Some((device, inode))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(layer: fn(Page) -> Boxed, directives: &str) -> String {
        let page = Page::default();
        let filter = filter(directives).expect("a filter");
        let subscriber = tracing_subscriber::registry().with(layer(page.clone()).with_filter(filter));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "egret::source", camera = "door", "online");
            tracing::debug!(target: "egret::source", camera = "door", "packet");
        });
        let bytes = page.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn the_filter_decides_what_is_written() {
        let as_text = |page: Page| text(move || page.clone(), false);
        assert_eq!(logged(as_text, "info").lines().count(), 1);
        assert_eq!(logged(as_text, "info,egret::source=debug").lines().count(), 2);
        assert_eq!(logged(as_text, "warn").lines().count(), 0);
        let line = logged(as_text, "info");
        assert!(line.contains(r#"INFO egret::source: online camera="door""#), "{line}");
    }

    #[test]
    fn the_filter_changes_while_it_runs() {
        let page = Page::default();
        let writer = page.clone();
        let (filter, handle) = reload::Layer::new(filter("info").expect("a filter"));
        let layer = text(move || writer.clone(), false).with_filter(filter);
        let knob = Knob(handle);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let say = || tracing::debug!(target: "egret::source", "packet");
            say();
            knob.set("info,egret::source=debug").expect("taken");
            say();
            assert!(knob.set("egret=loud").is_err());
            say();
            knob.set("warn").expect("taken");
            say();
        });
        let bytes = page.0.lock().expect("no panic").clone();
        assert_eq!(String::from_utf8(bytes).expect("UTF-8").matches("packet").count(), 2);
    }

    #[test]
    fn json_is_one_object_per_line() {
        let lines = logged(|page: Page| json(move || page.clone()), "debug");
        let objects: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(
            (&objects[0]["message"], &objects[0]["camera"], &objects[0]["level"]),
            (&"online".into(), &"door".into(), &"INFO".into())
        );
    }

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        let error = filter("info,egret=loud").expect_err("refused").to_string();
        assert!(error.starts_with(r#"log.filter "info,egret=loud": "#), "{error}");
    }

    #[test]
    fn only_the_very_stream_of_the_journal_counts() {
        assert!(is_journal(Some("8:12345"), 8, 12345));
        for variable in [None, Some(""), Some("8"), Some("8:"), Some("x:y"), Some("8:12346"), Some("9:12345")] {
            assert!(!is_journal(variable, 8, 12345), "{variable:?}");
        }
    }
}
