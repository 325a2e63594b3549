//! What is happening to the engines, for whoever looks: log, service manager, metrics, health.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use egret_models::text;
use tokio::sync::Notify;

use super::{Phase, span};

/// Most characters that are told of where a network is cut: it is one line among others.
const MOST_OF_A_CUT: usize = 1000;

/// What is happening to a model's engine.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineState {
    /// It serves.
    Serving,
    /// Another process builds one.
    Waiting,
    /// It is being built; something else serves.
    Building {
        /// From 0 to 1; `None`: not known yet.
        fraction: Option<f64>,
        /// What is left; `None`: not known.
        remaining: Option<Duration>,
    },
    /// It is built, and compared with the float network on frames of the cameras.
    Checking,
    /// It serves, and what served before still stands by.
    OnTrial,
    /// It could not be built, and why. Something else serves.
    Failed(String),
    /// It was built and does not agree, or failed on trial, and why. What served before serves on.
    Rejected(String),
}

impl EngineState {
    /// All words, in the order of an engine's life.
    pub const WORDS: [&str; 7] = ["serving", "waiting", "building", "checking", "on_trial", "failed", "rejected"];

    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Waiting => "waiting",
            Self::Building { .. } => "building",
            Self::Checking => "checking",
            Self::OnTrial => "on_trial",
            Self::Failed(_) => "failed",
            Self::Rejected(_) => "rejected",
        }
    }

    /// Why it does not serve.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Failed(reason) | Self::Rejected(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whole per cent of a build that is under way.
    pub fn percent(&self) -> Option<u8> {
        match self {
            Self::Building { fraction, remaining } => Phase::Building { fraction: *fraction, remaining: *remaining }.percent(),
            _ => None,
        }
    }

    /// Whether something is still to come.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Waiting | Self::Building { .. } | Self::Checking | Self::OnTrial)
    }
}

impl From<&Phase> for EngineState {
    fn from(phase: &Phase) -> Self {
        match phase {
            Phase::Waiting(_) => Self::Waiting,
            Phase::Building { fraction, remaining } => Self::Building { fraction: *fraction, remaining: *remaining },
            Phase::Reading | Phase::Cut(_) => Self::Building { fraction: None, remaining: None },
            Phase::Writing => Self::Building { fraction: Some(1.0), remaining: None },
        }
    }
}

impl fmt::Display for EngineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving => f.write_str("engine serves"),
            Self::Waiting => f.write_str("engine waits for another builder"),
            Self::Checking => f.write_str("engine is compared with the float network"),
            Self::OnTrial => f.write_str("engine serves on trial"),
            Self::Failed(_) => f.write_str("engine cannot be built"),
            Self::Rejected(_) => f.write_str("engine was rejected"),
            Self::Building { remaining, .. } => {
                f.write_str("engine is being built")?;
                if let Some(percent) = self.percent() {
                    write!(f, ", {percent} %")?;
                }
                remaining.map_or(Ok(()), |remaining| write!(f, ", about {} left", span(remaining)))
            }
        }
    }
}

/// The engines of all models that have one, or are to have one.
#[derive(Debug, Default)]
pub struct Board {
    engines: Mutex<Engines>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Engines {
    states: BTreeMap<String, EngineState>,
    cuts: BTreeMap<String, String>,
}

impl Board {
    /// Nothing yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Engines> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what is happening to a model's engine.
    pub fn set(&self, model: &str, state: EngineState) {
        let told = |state: &EngineState| (state.word(), state.percent().map(|percent| percent / 10));
        let now = told(&state);
        let before = self.lock().states.insert(model.to_owned(), state);
        if before.is_none_or(|before| told(&before) != now) {
            self.changed.notify_one();
        }
    }

    /// Writes down what a build tells.
    pub fn hear(&self, model: &str, phase: &Phase) {
        match phase {
            // What is to come may be whole.
            Phase::Waiting(_) | Phase::Reading => drop(self.lock().cuts.remove(model)),
            Phase::Cut(cut) => self.cut(model, cut),
            Phase::Building { .. } | Phase::Writing => {}
        }
        self.set(model, EngineState::from(phase));
    }

    /// Writes down that the network is in two parts: where it was cut, and why there.
    pub fn cut(&self, model: &str, cut: &str) {
        self.lock().cuts.insert(model.to_owned(), text::short(cut, MOST_OF_A_CUT));
    }

    /// Where networks are cut in two, and why there, by the model's name. A network that is not, is not here.
    pub fn cuts(&self) -> BTreeMap<String, String> {
        self.lock().cuts.clone()
    }

    /// Waits until an engine has come into another state, or ten per cent further. One waiter.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// All, by the model's name.
    pub fn snapshot(&self) -> Vec<(String, EngineState)> {
        self.lock().states.iter().map(|(model, state)| (model.clone(), state.clone())).collect()
    }

    /// One line for the service manager, if anything is under way or has gone wrong: `street: engine is being built, 42 %`.
    pub fn summary(&self) -> Option<String> {
        let engines = self.snapshot();
        let worth = engines.iter().filter(|(_, state)| *state != EngineState::Serving);
        let told: Vec<String> = worth.map(|(model, state)| format!("{model}: {state}")).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_or_wrong_is_told_in_one_line() {
        let board = Board::new();
        assert_eq!(board.summary(), None);
        board.set("street", EngineState::Serving);
        assert_eq!(board.summary(), None, "all is well");
        let phase = Phase::Building { fraction: Some(0.42), remaining: Some(Duration::from_secs(130)) };
        board.set("street", EngineState::from(&phase));
        board.set("yard", EngineState::Rejected("recall 0.2".into()));
        assert_eq!(
            board.summary().as_deref(),
            Some("street: engine is being built, 42 %, about 2 min left; yard: engine was rejected")
        );
        assert_eq!(board.snapshot()[1].1.reason(), Some("recall 0.2"));
    }

    #[test]
    fn whoever_waits_hears_of_states_and_of_every_tenth_per_cent() {
        let (board, mut news) = (Board::new(), Vec::new());
        let building = |percent: u32| EngineState::Building { fraction: Some(f64::from(percent) / 100.0), remaining: None };
        for state in [building(1), building(2), building(9), building(10), EngineState::Checking, EngineState::Checking] {
            board.set("street", state);
            news.push(futures::FutureExt::now_or_never(board.changed()).is_some());
        }
        assert_eq!(news, [true, false, false, true, true, false]);
    }

    #[test]
    fn where_a_network_is_cut_stays_written_down() {
        let board = Board::new();
        board.hear("street", &Phase::Reading);
        assert!(board.cuts().is_empty());
        board.hear("street", &Phase::Cut(format!("cut at tensors `b`\n{}", "x".repeat(2000))));
        board.hear("street", &Phase::Building { fraction: Some(0.1), remaining: None });
        board.set("street", EngineState::Serving);
        let cuts = board.cuts();
        assert!(cuts["street"].starts_with("cut at tensors `b`") && cuts["street"].chars().count() < 1010, "{cuts:?}");
        assert!(!cuts["street"].contains('\n') && board.snapshot() == [("street".to_owned(), EngineState::Serving)]);
        board.hear("street", &Phase::Reading);
        assert!(board.cuts().is_empty(), "the next one may be whole");
    }

    #[test]
    fn every_state_has_its_word() {
        let building = EngineState::Building { fraction: None, remaining: None };
        let all = [
            EngineState::Serving,
            EngineState::Waiting,
            building.clone(),
            EngineState::Checking,
            EngineState::OnTrial,
            EngineState::Failed(String::new()),
            EngineState::Rejected(String::new()),
        ];
        assert_eq!(all.each_ref().map(EngineState::word), EngineState::WORDS);
        assert_eq!(building.to_string(), "engine is being built");
        assert_eq!(all.iter().filter(|state| state.is_under_way()).count(), 4);
        assert_eq!(EngineState::from(&Phase::Writing).percent(), Some(100));
    }
}
