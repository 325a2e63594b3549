//! Commands that are heard on one connection: what is let through to the door, and what is answered.
//!
//! Nobody is obeyed whom the configuration does not name a verb for. A command is bounded in size and in number, carried out once for each
//! name that it has, and answered where its sender says, as long as that forges nothing.

mod recent;
mod response;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot};

use self::{
    recent::{Key, Known, Recent},
    response::Topics,
};
use super::{
    Counters,
    dialect::Wish,
    message::{Kind, ReplyMessage, SCHEMA, Stamp},
    packet::Said,
    topics::{self, Place},
};
use crate::{
    config::MqttConfig,
    control::{self, Action, Answer, Done, Outcome, Reason, Refusal, Request, Verb},
};

/// Largest payload of a command.
pub(super) const LARGEST: usize = 32 << 10;
/// Commands that may come at once.
const BURST: f64 = 50.0;
/// And in each second in the long run.
const PER_SECOND: f64 = 5.0;
/// Of commands that are too many, one is answered so often.
const TOO_MANY_EVERY: Duration = Duration::from_secs(1);
/// Longest name by MQTT 5's correlation data.
const LONGEST_CORRELATION: usize = 1024;

/// An answer as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) correlation: Option<Bytes>,
}

/// Whom an answer is for.
#[derive(Debug)]
struct Asked {
    /// The last level of its topic, if that can be said again.
    word: String,
    verb: Option<Verb>,
    id: Option<String>,
    topic: Arc<str>,
    correlation: Option<Bytes>,
    /// The name by which it is known again.
    key: Option<Key>,
}

/// What is under way.
struct Under {
    asked: Asked,
    answer: Answer,
}

/// Whether cameras may be switched on and off.
pub(super) fn has_switches(config: &MqttConfig) -> bool {
    config.commands.contains(&Verb::CameraEnable) && config.commands.contains(&Verb::CameraDisable)
}

/// The commands of one connection.
pub(super) struct Commands {
    allowed: BTreeSet<Verb>,
    switches: bool,
    topics: Topics,
    filter: String,
    device: String,
    boot_id: String,
    seq: u64,
    door: mpsc::Sender<Request>,
    under_way: FuturesUnordered<BoxFuture<'static, Under>>,
    recent: Recent,
    /// What may still come now, as of then.
    budget: (f64, Instant),
    told_too_many: Option<Instant>,
    counters: Arc<Counters>,
}

impl Commands {
    /// `door`: who carries them out.
    pub(super) fn new(
        config: &MqttConfig,
        device: &str,
        boot_id: &str,
        door: mpsc::Sender<Request>,
        counters: Arc<Counters>,
    ) -> Self {
        let place = Place { base: &config.base_topic, device, verb: "+", ..Place::default() };
        Self {
            allowed: config.commands.clone(),
            switches: has_switches(config),
            topics: Topics::new(config, device),
            filter: topics::COMMAND.topic(place).to_string(),
            device: device.to_owned(),
            boot_id: boot_id.to_owned(),
            seq: 0,
            door,
            under_way: FuturesUnordered::new(),
            recent: Recent::default(),
            budget: (BURST, Instant::now()),
            told_too_many: None,
            counters,
        }
    }

    /// What is to be subscribed to: nothing, where nothing is allowed.
    pub(super) fn filter(&self) -> Option<&str> {
        (!self.allowed.is_empty()).then_some(&*self.filter)
    }

    /// Takes a message. `None`: it is none of ours, or the answer comes later.
    pub(super) fn heard(&mut self, said: &Said, now: Instant) -> Option<Reply> {
        let word = self.topics.verb(&said.topic)?;
        let verb = Verb::from_word(word);
        let word = if topics::is_level(word) { word.to_owned() } else { "_".to_owned() };
        let usual = self.topics.usual(&word);
        let response = said.response_topic.as_deref().map(|topic| self.topics.response(topic));
        let topic = match &response {
            Some(Ok(topic)) => Arc::clone(topic),
            _ => usual,
        };
        let correlation = said.correlation.clone();
        let mut asked = Asked { word, verb, id: None, topic, correlation, key: None };
        if !self.affords(now) {
            return self.too_many(&asked, now);
        }
        if said.payload.len() > LARGEST {
            return Some(self.refuse(&asked, too_large(said.payload.len())));
        }
        asked.id = control::id(&said.payload);
        if said.retained {
            if said.payload.is_empty() {
                // Somebody clears what was retained.
                return None;
            }
            let remedy = "publish it again without the retain flag, and clear what is retained (an empty retained message)";
            let message = "it is retained, so that it would come again with each connection";
            return Some(self.refuse(&asked, Refusal::new(Reason::Retained, message, remedy)));
        }
        let Some(verb) = verb else { return Some(self.unknown(&asked)) };
        if !self.allowed.contains(&verb) {
            let remedy = format!("write {:?} into allow below [mqtt.commands], and start the daemon again", verb.as_str());
            let message = format!("{} is not allowed", verb.as_str());
            return Some(self.refuse(&asked, Refusal::new(Reason::NotAllowed, message, remedy)));
        }
        if let Some(Err(refusal)) = response {
            return Some(self.refuse(&asked, refusal));
        }
        if asked.correlation.as_ref().is_some_and(|correlation| correlation.len() > LONGEST_CORRELATION) {
            asked.correlation = None;
            let message = format!("its correlation data is longer than {LONGEST_CORRELATION} bytes");
            return Some(self.refuse(&asked, Refusal::new(Reason::Malformed, message, "send shorter ones, such as a number")));
        }
        let order = control::parse(verb, &said.payload);
        asked.key = Key::of(asked.correlation.as_deref(), asked.id.as_deref());
        match self.recent.find(asked.key.as_ref(), (verb, &said.payload)) {
            Known::New => {}
            Known::Answered(payload) => {
                self.counters.commands.count(Some(verb), Outcome::Repeated);
                return Some(Reply { topic: asked.topic, payload, correlation: asked.correlation });
            }
            Known::UnderWay => {
                self.counters.commands.count(Some(verb), Outcome::Repeated);
                return None;
            }
            Known::Other => {
                asked.key = None;
                let message = "another command had this name";
                return Some(self.refuse(&asked, Refusal::new(Reason::Reused, message, "give each command a name of its own")));
            }
        }
        match order.action {
            Ok(action) => self.carry_out(action, asked, (verb, &said.payload)),
            Err(refusal) => Some(self.refuse(&Asked { key: None, ..asked }, refusal)),
        }
    }

    /// A message that was too large to be taken in at all.
    pub(super) fn heard_too_large(&mut self, topic: &str, bytes: usize, now: Instant) -> Option<Reply> {
        let word = self.topics.verb(topic).filter(|word| topics::is_level(word))?.to_owned();
        let topic = self.topics.usual(&word);
        let asked = Asked { verb: Verb::from_word(&word), word, id: None, topic, correlation: None, key: None };
        if !self.affords(now) {
            return self.too_many(&asked, now);
        }
        Some(self.refuse(&asked, too_large(bytes)))
    }

    /// A camera is switched by a dialect. Nobody waits for an answer: the camera's status has it.
    pub(super) fn switch(&mut self, Wish { camera, on }: Wish, retained: bool, now: Instant) {
        let verb = if on == Some(true) { Verb::CameraEnable } else { Verb::CameraDisable };
        let refused = if !self.affords(now) {
            Reason::TooMany
        } else if !self.switches {
            Reason::NotAllowed
        } else if retained {
            Reason::Retained
        } else if on.is_none() {
            Reason::Malformed
        } else {
            let (answer, answered) = oneshot::channel();
            match self.door.try_send(Request { action: Action::Switch(camera.clone(), on == Some(true)), answer }) {
                Ok(()) => {
                    let asked = Asked {
                        word: verb.as_str().to_owned(),
                        verb: Some(verb),
                        id: None,
                        topic: Arc::from(""),
                        correlation: None,
                        key: None,
                    };
                    self.under_way.push(answered.map(|answer| Under { asked, answer: told(answer) }).boxed());
                    return;
                }
                Err(error) => undelivered(&error).reason,
            }
        };
        let camera: String = camera.chars().take(64).collect();
        tracing::warn!(camera, reason = refused.as_str(), "a switch of a camera is turned, and nothing is done");
        self.counters.commands.count(Some(verb), Outcome::Refused(refused));
    }

    /// The next answer to what is under way; `None`: nobody waits for it. Pending while nothing is. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Option<Reply> {
        let Some(Under { asked, answer }) = self.under_way.next().await else { return std::future::pending().await };
        let outcome = answer.as_ref().map_or_else(|refusal| Outcome::Refused(refusal.reason), |_| Outcome::Done);
        self.counters.commands.count(asked.verb, outcome);
        if asked.topic.is_empty() {
            return None;
        }
        let reply = self.reply(&asked, &answer);
        if let Some(key) = &asked.key {
            self.recent.answered(key, &reply.payload);
        }
        Some(reply)
    }

    fn carry_out(&mut self, action: Action, asked: Asked, said: (Verb, &[u8])) -> Option<Reply> {
        let (answer, answered) = oneshot::channel();
        match self.door.try_send(Request { action, answer }) {
            Ok(()) => {
                if let Some(key) = &asked.key {
                    self.recent.begun(key.clone(), said);
                }
                self.under_way.push(answered.map(|answer| Under { asked, answer: told(answer) }).boxed());
                None
            }
            Err(error) => Some(self.refuse(&Asked { key: None, ..asked }, undelivered(&error))),
        }
    }

    /// Whether one more command fits.
    fn affords(&mut self, now: Instant) -> bool {
        let (left, at) = self.budget;
        let passed = now.saturating_duration_since(at).as_secs_f64();
        let left = (left + passed * PER_SECOND).min(BURST);
        let fits = left >= 1.0;
        self.budget = (if fits { left - 1.0 } else { left }, now);
        fits
    }

    fn too_many(&mut self, asked: &Asked, now: Instant) -> Option<Reply> {
        let quiet = self.told_too_many.is_some_and(|at| now.saturating_duration_since(at) < TOO_MANY_EVERY);
        if quiet {
            self.counters.commands.count(asked.verb, Outcome::Refused(Reason::TooMany));
            return None;
        }
        self.told_too_many = Some(now);
        let message = format!("more than {BURST} commands at once, or {PER_SECOND} a second");
        Some(self.refuse(
            asked,
            Refusal::new(Reason::TooMany, message, "send fewer; of those that are too many, one a second is answered"),
        ))
    }

    fn unknown(&mut self, asked: &Asked) -> Reply {
        let names = || Verb::ALL.iter().map(|verb| verb.as_str());
        let remedy = match crate::config::nearest(&asked.word, names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        self.refuse(asked, Refusal::new(Reason::UnknownVerb, "there is no such verb", remedy))
    }

    fn refuse(&mut self, asked: &Asked, refusal: Refusal) -> Reply {
        self.counters.commands.count(asked.verb, Outcome::Refused(refusal.reason));
        tracing::warn!(verb = asked.word, reason = refusal.reason.as_str(), "a command is refused: {}", refusal.message);
        self.reply(asked, &Err(refusal))
    }

    fn reply(&mut self, asked: &Asked, answer: &Answer) -> Reply {
        let none = Done::default();
        let (done, error) = match answer {
            Ok(done) => (done, None),
            Err(refusal) => (&none, Some(refusal)),
        };
        let message = ReplyMessage {
            schema: SCHEMA,
            kind: Kind::Reply,
            device: &self.device,
            boot_id: &self.boot_id,
            seq: self.seq,
            verb: &asked.word,
            id: asked.id.as_deref(),
            ok: error.is_none(),
            error,
            changed: &done.changed,
            outlives_restart: asked.verb.filter(|_| error.is_none()).and_then(Verb::outlives_restart),
            needs_restart: &done.needs_restart,
            status: done.status.as_ref(),
            health: done.health.as_ref(),
            published_at: Stamp(SystemTime::now()),
        };
        self.seq += 1;
        let payload = serde_json::to_vec(&message).unwrap_or_else(|error| {
            tracing::error!(%error, "a reply could not be written");
            Vec::new()
        });
        Reply { topic: Arc::clone(&asked.topic), payload: payload.into(), correlation: asked.correlation.clone() }
    }
}

/// Dropped without a word, the daemon is ending.
fn told(answer: Result<Answer, oneshot::error::RecvError>) -> Answer {
    answer.unwrap_or_else(|_| Err(stopping()))
}

fn stopping() -> Refusal {
    Refusal::new(Reason::Stopping, "the daemon is starting or ending", "send it again, with a new id, when status says online")
}

fn undelivered(error: &mpsc::error::TrySendError<Request>) -> Refusal {
    match error {
        mpsc::error::TrySendError::Full(_) => {
            Refusal::new(Reason::Busy, "other commands are still being carried out", "send it again after their replies")
        }
        mpsc::error::TrySendError::Closed(_) => stopping(),
    }
}

fn too_large(bytes: usize) -> Refusal {
    Refusal::new(Reason::TooLarge, format!("{bytes} bytes"), format!("a command has at most {LARGEST} bytes"))
}

#[cfg(test)]
mod broker_tests;
#[cfg(test)]
mod tests;
