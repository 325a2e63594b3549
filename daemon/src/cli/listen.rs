//! `egret listen`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use super::broker::{self, BrokerArgs};
use crate::{
    config::{self, MqttConfig},
    life::{Exit, Signals},
    listen::{self, Arrived, Bad, Lost, Subscription, Tally, Wanted, printable},
};

/// How often the table is drawn anew.
const REDRAW: Duration = Duration::from_millis(500);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(250);

/// Arguments of `egret listen`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Only of this device.
    #[arg(long, value_name = "NAME", value_parser = broker::name)]
    device: Option<String>,
    /// Only of this camera; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = broker::name)]
    camera: Vec<String>,
    /// Only messages of this kind, as their `kind` says; may be repeated.
    #[arg(long, value_name = "KIND", value_parser = listen::kind)]
    kind: Vec<String>,
    /// This topic filter instead; may be repeated.
    #[arg(long, value_name = "FILTER", value_parser = filter, conflicts_with_all = ["device", "camera", "kind"])]
    topic: Vec<String>,
    /// Print each message as a line of JSON.
    #[arg(long, group = "form")]
    json: bool,
    /// Print each message as a line for people.
    #[arg(long, group = "form")]
    pretty: bool,
    /// Show a table of the cameras [default on a terminal; elsewhere it is printed at the end].
    #[arg(long, group = "form")]
    table: bool,
    /// End after this long, e.g. 20s or 5m.
    #[arg(long = "for", value_name = "DURATION", value_parser = span)]
    duration: Option<Duration>,
}

const AFTER_HELP: &str = "\
Frames are read in each of their forms: JSON, CBOR, Protobuf. Gaps are found by seq and boot_id. At the end, standard error has a table and
the latencies. Lines of JSON have the form of `egret demo --json`, and `egret replay` reads them.

Exit codes: 0 it was listened until the end, or until it was interrupted; 1 the broker was not reached or refused us all that time, or what
is printed could not be written; 2 the command line is wrong; 78 the configuration is wrong. Without --for it tries again and again.

Examples:
  egret listen --broker mqtt://broker.local --pretty --kind event
  egret listen --config /etc/egret/egret.toml --camera door --json --for 1m > door.jsonl
  egret listen --config /etc/egret/egret.toml --broker cloud --pretty";

fn span(text: &str) -> Result<Duration, String> {
    config::span(text).ok_or_else(|| "write it such as 20s, 500ms or 5m".to_owned())
}

/// A topic filter (MQTT 5, section 4.7).
fn filter(text: &str) -> Result<String, String> {
    let last = text.split('/').count() - 1;
    let good = |(at, level): (usize, &str)| match level {
        "+" => true,
        "#" => at == last,
        level => !level.contains(['+', '#', '\0']),
    };
    let valid = (1..=65_535).contains(&text.len()) && text.split('/').enumerate().all(good);
    valid
        .then(|| text.to_owned())
        .ok_or_else(|| "no topic filter: `+` and `#` stand for whole levels, `#` for the last".to_owned())
}

/// How messages are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Pretty,
    Table { live: bool },
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (mqtt, _) = match broker::resolve(&args.broker) {
        Ok(mqtt) => mqtt?,
        Err(problems) => return super::run::refuse(&problems),
    };
    let form = match (args.json, args.pretty, args.table) {
        (true, ..) => Form::Json,
        (_, true, _) => Form::Pretty,
        (.., table) => Form::Table { live: table || io::stdout().is_terminal() },
    };
    let wanted = Wanted { device: args.device, cameras: args.camera, kinds: args.kind, topics: args.topic };
    let filters = listen::filters(&wanted, &mqtt.base_topic).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    let exit = runtime.block_on(async {
        let mut listener = Listener { form, tally: Tally::default(), begun: Instant::now(), reached: false };
        let exit = listener.run(&mqtt, &filters, args.duration).await?;
        listener.summary()?;
        Ok::<_, anyhow::Error>(exit)
    })?;
    Ok(exit.into())
}

struct Listener {
    form: Form,
    tally: Tally,
    begun: Instant,
    /// Whether the broker ever took a subscription.
    reached: bool,
}

impl Listener {
    async fn run(&mut self, mqtt: &MqttConfig, filters: &[String], duration: Option<Duration>) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen().context("signals are not heard")?;
        let until = duration.map(|duration| tokio::time::Instant::now() + duration);
        let mut subscription = Subscription::new(&mqtt.first, filters)?;
        let mut redraw = interval(REDRAW);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let over = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                _ = signals.next() => break,
                () = &mut over => break,
                _ = redraw.tick(), if self.form == Form::Table { live: true } => self.draw()?,
                came = subscription.next() => match came {
                    Ok(Some(message)) => self.take(&message)?,
                    Ok(None) => self.reached = true,
                    Err(lost @ (Lost::Tls(_) | Lost::Refused(_))) => return Err(lost.into()),
                    Err(lost) => {
                        writeln!(io::stderr().lock(), "no connection to {}:{}: {}", mqtt.first.host, mqtt.first.port, printable(&lost.to_string()))?;
                        tokio::select! {
                            _ = signals.next() => break,
                            () = &mut over => break,
                            () = sleep(AGAIN) => {}
                        }
                        subscription = Subscription::new(&mqtt.first, filters)?;
                    }
                },
            }
        }
        Ok(if self.reached { Exit::Clean } else { Exit::Failure })
    }

    fn take(&mut self, message: &Arrived) -> io::Result<()> {
        let Arrived { topic, bytes, payload, retained } = message;
        let read = if *bytes > payload.len() { Err(Bad::TooLarge(*bytes)) } else { listen::decode(payload) };
        let outcome = if let Ok((_, value)) = &read {
            self.tally.take(value, *bytes, *retained, Instant::now(), SystemTime::now())
        } else {
            self.tally.unread(*bytes);
            listen::Outcome::NotFollowed
        };
        let line = match (self.form, &read) {
            (Form::Table { .. }, _) => return Ok(()),
            (Form::Json, Ok((_, value))) => listen::json_line(topic, *retained, Ok(value), outcome),
            (Form::Json, Err(bad)) => listen::json_line(topic, *retained, Err((bad, payload)), outcome),
            (Form::Pretty, Ok((_, value))) => listen::pretty(topic, value, outcome),
            (Form::Pretty, Err(bad)) => printable(&format!("{topic}: {bytes} bytes, {bad}")).into_owned(),
        };
        writeln!(io::stdout().lock(), "{line}")
    }

    /// From the upper left corner over what stands there.
    fn draw(&self) -> io::Result<()> {
        let table = self.tally.table(self.begun.elapsed(), Some(Instant::now())).replace('\n', "\x1b[K\n");
        let mut out = io::stdout().lock();
        write!(out, "\x1b[H{table}\x1b[J")?;
        out.flush()
    }

    fn summary(&self) -> io::Result<()> {
        let mut err = io::stderr().lock();
        write!(err, "{}{}", self.tally.table(self.begun.elapsed(), None), self.tally.latencies())
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::refused;

    #[test]
    fn what_cannot_be_listened_to_is_refused_with_its_remedy() {
        for (words, why) in [
            ("listen --kind movie", "there are device_status, camera_status"),
            ("listen --ca-file /x --broker mqtt://host", "write mqtts://"),
            ("listen --password-file /nonexistent/password", "--username"),
            ("listen --username ann --password-file /nonexistent/password", "/nonexistent/password"),
            ("listen --topic a/#/b", "`#` for the last"),
            ("listen --topic a/b+", "`+` and `#` stand for whole levels"),
            ("listen --camera a/#", "--topic takes filters"),
            ("listen --device +", "--topic takes filters"),
            ("listen --json --table", "cannot be used with"),
            ("listen --mqtt 4", "write 5 or 3.1.1"),
            ("listen --for soon", "write it such as 20s"),
            ("listen --topic a --camera b", "cannot be used with"),
            ("listen --broker off", "nobody to connect to"),
        ] {
            let said = refused(words);
            assert!(said.contains(why), "{words}: {said}");
        }
    }
}
