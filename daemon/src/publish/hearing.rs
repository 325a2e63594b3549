//! A connection that hears what others say: the daemon's own, with all that it can of versions, TLS and redirects.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    commands::Reply,
    connection::{Connection, Happened},
    counters::BrokerCounters,
    outbox::{Message, Outbox},
    packet::{LinkError, Purpose},
    tls::{self, TlsError},
    way::Way,
};
use crate::config::BrokerConfig;

/// The packet identifiers of the two things that are said.
const SUBSCRIPTION: u16 = 1;
const MESSAGE: u16 = 2;

/// What has come.
pub(crate) enum Heard {
    /// The broker has taken the subscription, but for the filters at these places.
    Subscribed { refused: Vec<usize> },
    /// A message; whether the broker had kept it.
    Message { topic: String, payload: Bytes, retained: bool },
    /// A message of so many bytes, more than are taken, was thrown away.
    TooLarge { topic: String, bytes: usize },
}

/// The connection, of which there are several in a row where a broker redirects.
pub(crate) struct Hearing {
    way: Way,
    connection: Connection,
    filters: Vec<String>,
    /// Said behind the subscription, so that no answer to it is missed.
    say: Option<Message>,
    largest: usize,
}

fn connection(config: &BrokerConfig, largest: usize) -> Result<Connection, TlsError> {
    let secured = |tls| Ok::<_, TlsError>((tls::client_config(tls)?, tls::server_name(tls, &config.host)?));
    let tls = config.tls.as_ref().map(secured).transpose()?;
    Ok(Connection::new(config, tls, None, Purpose::Listen(largest)))
}

/// As it leaves: with QoS 1, not retained.
fn message(topic: &str, payload: Vec<u8>) -> Option<Message> {
    let mut outbox = Outbox::default();
    outbox.push_reply(
        Reply { topic: topic.into(), payload: payload.into(), correlation: None },
        &Arc::new(BrokerCounters::default()),
    );
    outbox.pop(true)
}

impl Hearing {
    /// One that is made as [`Self::next`] is polled; packets are taken up to `largest` bytes.
    pub(crate) fn new(
        config: &BrokerConfig,
        filters: &[String],
        say: Option<(&str, Vec<u8>)>,
        largest: usize,
    ) -> Result<Self, TlsError> {
        let say = say.and_then(|(topic, payload)| message(topic, payload));
        let connection = connection(config, largest)?;
        Ok(Self { way: Way::new(config.clone()), connection, filters: filters.to_vec(), say, largest })
    }

    /// What comes next. Safe to drop and call again; not after an error, which says why there is no connection.
    pub(crate) async fn next(&mut self) -> Result<Heard, String> {
        loop {
            match self.connection.next().await {
                Ok(Happened::Connected(_)) => self.begin().map_err(|error| error.to_string())?,
                Ok(Happened::Subscribed { refused }) => return Ok(Heard::Subscribed { refused }),
                Ok(Happened::Heard(said)) => {
                    return Ok(Heard::Message { topic: said.topic, payload: said.payload, retained: said.retained });
                }
                Ok(Happened::TooLarge { topic, bytes }) => return Ok(Heard::TooLarge { topic, bytes }),
                Ok(_) => {}
                Err(error) => self.turn(&error)?,
            }
        }
    }

    fn begin(&mut self) -> Result<(), LinkError> {
        self.way.held();
        let filters: Vec<&str> = self.filters.iter().map(String::as_str).collect();
        self.connection.subscribe(SUBSCRIPTION, &filters);
        // The first message of a connection always has room.
        self.say.as_ref().map_or(Ok(true), |message| self.connection.send(message, MESSAGE)).map(drop)
    }

    /// Goes where the broker would have us go instead, if it says so.
    fn turn(&mut self, error: &LinkError) -> Result<(), String> {
        let Some(turn) = &error.turn else { return Err(error.to_string()) };
        self.way.turn(turn).map_err(|refused| format!("{error}; {refused}"))?;
        self.connection = connection(self.way.now(), self.largest).map_err(|error| error.to_string())?;
        Ok(())
    }
}
