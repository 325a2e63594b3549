//! How far a build is.

use std::{fmt, sync::Arc, time::Duration};

use super::lock::Holder;

/// What a build is at.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Another one builds.
    Waiting(Holder),
    /// The network is being read.
    Reading,
    /// TensorRT refuses nodes of it: where it is cut in two, and why there.
    Cut(String),
    /// TensorRT is at it.
    Building {
        /// From 0 to 1, never back; `None`: TensorRT has not said enough yet.
        fraction: Option<f64>,
        /// What is left at the pace so far; `None`: not known.
        remaining: Option<Duration>,
    },
    /// It is being looked at and written.
    Writing,
}

/// Hears of a build, from whatever thread does it.
pub type Tell = Arc<dyn Fn(&Phase) + Send + Sync>;

impl Phase {
    /// Whole per cent of a build that is under way.
    pub fn percent(&self) -> Option<u8> {
        match self {
            Self::Building { fraction: Some(fraction), .. } => Some((fraction * 100.0).floor().clamp(0.0, 100.0) as u8),
            _ => None,
        }
    }

    /// One word, for tables and topics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Reading => "reading",
            Self::Cut(_) => "cut",
            Self::Building { .. } => "building",
            Self::Writing => "writing",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(holder) => write!(f, "waiting for {holder}"),
            Self::Reading => f.write_str("reading the network"),
            Self::Cut(cut) => f.write_str(cut),
            Self::Writing => f.write_str("writing the engine"),
            Self::Building { remaining, .. } => {
                match self.percent() {
                    Some(percent) => write!(f, "building, {percent} %")?,
                    None => f.write_str("building")?,
                }
                match remaining {
                    Some(remaining) => write!(f, ", about {} left", span(*remaining)),
                    None => f.write_str(", time left not known yet"),
                }
            }
        }
    }
}

/// A span as people say it: seconds below two minutes, minutes below two hours, then hours.
pub fn span(span: Duration) -> String {
    match span.as_secs_f64().round() as u64 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{} h", (seconds + 1800) / 3600),
    }
}

/// Lets through what is worth a line: another phase, or another `step` per cent.
#[derive(Debug)]
pub struct Sparing {
    step: u8,
    last: Option<(&'static str, u8)>,
}

impl Sparing {
    /// A line for each so many per cent.
    pub fn new(step: u8) -> Self {
        Self { step: step.max(1), last: None }
    }

    /// Whether it is worth one.
    pub fn lets(&mut self, phase: &Phase) -> bool {
        let now = (phase.word(), phase.percent().unwrap_or(0) / self.step);
        let news = self.last != Some(now);
        self.last = Some(now);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(fraction: f64, remaining: u64) -> Phase {
        Phase::Building { fraction: Some(fraction), remaining: Some(Duration::from_secs(remaining)) }
    }

    #[test]
    fn it_is_told_as_people_say_it() {
        let told = [
            (Phase::Building { fraction: None, remaining: None }, "building, time left not known yet"),
            (at(0.429, 119), "building, 42 %, about 119 s left"),
            (at(0.429, 120), "building, 42 %, about 2 min left"),
            (at(0.999, 9000), "building, 99 %, about 3 h left"),
            (Phase::Waiting(Holder::default()), "waiting for another process"),
            (Phase::Reading, "reading the network"),
            (Phase::Cut("cut at tensors `b`".into()), "cut at tensors `b`"),
            (Phase::Writing, "writing the engine"),
        ];
        for (phase, text) in told {
            assert_eq!(phase.to_string(), text);
        }
        assert_eq!(Phase::Reading.percent(), None);
    }

    #[test]
    fn a_log_is_spared_what_is_hardly_news() {
        let mut sparing = Sparing::new(10);
        let lets: Vec<bool> =
            [Phase::Reading, at(0.0, 1), at(0.05, 1), at(0.1, 1), at(0.19, 1), at(0.31, 1), Phase::Writing, Phase::Writing]
                .iter()
                .map(|phase| sparing.lets(phase))
                .collect();
        assert_eq!(lets, [true, true, false, true, false, true, true, false]);
    }
}
