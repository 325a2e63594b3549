//! One connection to a broker: the socket, what waits to be written to it, what has come, and the keep-alive.
//!
//! The packets are `rumqttc`'s, its event loop is not: that one writes to the socket once per message, where a batch of frames leaves in
//! one write here, and it remembers messages across connections in a way that loses some and can lock up for good
//! (bytebeamio/rumqtt#1014, #1056; see the decision records). A connection here has no memory beyond itself.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use rumqttc::tokio_rustls::TlsConnector;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::TcpStream,
    time::{Instant, Sleep, sleep, timeout},
};

use super::{
    counters::Failure,
    outbox::Message,
    packet::{Came, Codec, LinkError, Purpose, Said, Terms},
    sieve::{Sieve, Sieved},
    tls,
};
use crate::config::BrokerConfig;

/// From the name to the broker's word, at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// With so much unwritten, no more is taken: what waits longer is to wait where the oldest can make room.
const HIGH_WATER: usize = 256 << 10;
/// The packet type that a broker begins with.
const CONNACK: u8 = 2;

/// What happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// The broker accepted it.
    Connected(Terms),
    /// All was written up to this [`Connection::position`].
    Wrote(u64),
    /// The broker acknowledged a message, or refused it for a reason.
    Acknowledged { id: u16, refused: Option<u8> },
    /// Somebody said something on a topic that we asked for.
    Heard(Said),
    /// Somebody said more than we take in.
    TooLarge { topic: String, bytes: usize },
    /// The broker has taken a subscription, but for these filters of it, by their places.
    Subscribed { refused: Vec<usize> },
    /// The farewell was written.
    Farewell,
    /// Keep-alive and the like.
    Idle,
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A broker that has accepted us.
struct Accepted {
    socket: Box<dyn Socket>,
    terms: Terms,
    /// What came after its word.
    input: BytesMut,
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<Accepted, LinkError>> + Send>>),
    Open(ReadHalf<Box<dyn Socket>>, WriteHalf<Box<dyn Socket>>),
    Over,
}

/// The connection.
pub(super) struct Connection {
    codec: Codec,
    state: State,
    out: BytesMut,
    input: BytesMut,
    sieve: Sieve,
    /// Bytes written so far.
    written: u64,
    unflushed: bool,
    leaving: bool,
    keep_alive: Duration,
    ping: Pin<Box<Sleep>>,
    awaiting_pong: bool,
}

/// At least 5 s, and the wire holds 16 bits of seconds.
fn keep_alive(config: &BrokerConfig) -> Duration {
    config.keep_alive.clamp(Duration::from_secs(5), Duration::from_secs(u64::from(u16::MAX)))
}

/// Longer silence, or a message unacknowledged for longer, means that the connection is dead.
pub(super) fn longest_silence(config: &BrokerConfig) -> Duration {
    2 * keep_alive(config) + Duration::from_secs(2)
}

impl Connection {
    /// A connection that is made as [`Self::next`] is polled. `will` is what the broker says for us when it breaks.
    pub(super) fn new(
        config: &BrokerConfig,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
        will: Option<(&str, Bytes)>,
        purpose: Purpose,
    ) -> Self {
        let keep_alive = keep_alive(config);
        let codec = || Codec::new(config.version, config.frame_format, purpose);
        let (own, codec) = (codec(), codec());
        let mut hello = BytesMut::new();
        let state = match own.connect(config, keep_alive, will, &mut hello) {
            Ok(()) => {
                let opening = open(config.host.clone(), config.port, tls, codec, hello);
                State::Opening(Box::pin(async {
                    let late = |_| LinkError::new(Failure::Unreachable, "no answer within 10 s");
                    timeout(CONNECT_TIMEOUT, opening).await.map_err(late)?
                }))
            }
            Err(error) => State::Opening(Box::pin(std::future::ready(Err(error)))),
        };
        Self {
            codec: own,
            state,
            out: BytesMut::new(),
            input: BytesMut::new(),
            sieve: Sieve::new(purpose.largest()),
            written: 0,
            unflushed: false,
            leaving: false,
            keep_alive,
            ping: Box::pin(sleep(keep_alive)),
            awaiting_pong: false,
        }
    }

    /// Takes a message to be written; `id` is 0 where nobody acknowledges it. `false`: too much is unwritten already.
    ///
    /// # Errors
    /// The message cannot be put into a packet.
    pub(super) fn send(&mut self, message: &Message, id: u16) -> Result<bool, LinkError> {
        if self.out.len() >= HIGH_WATER {
            return Ok(false);
        }
        self.codec.publish(message, id, &mut self.out)?;
        Ok(true)
    }

    /// Asks for what is said on these topics.
    pub(super) fn subscribe(&mut self, id: u16, topics: &[&str]) {
        self.codec.subscribe(id, topics, &mut self.out);
    }

    /// The end of what was taken so far.
    pub(super) fn position(&self) -> u64 {
        self.written + self.out.len() as u64
    }

    /// Says goodbye after all that was taken, so that the broker does not publish the will.
    pub(super) fn farewell(&mut self) {
        if !self.leaving {
            Codec::disconnect(&mut self.out);
            self.leaving = true;
        }
    }

    /// Works on the connection until something happens. Safe to drop and call again; not after an error.
    ///
    /// # Errors
    /// [`LinkError`]: the connection is over.
    pub(super) async fn next(&mut self) -> Result<Happened, LinkError> {
        let opened = match &mut self.state {
            State::Opening(opening) => Some(opening.await),
            _ => None,
        };
        let result = match opened {
            Some(opened) => opened.map(|accepted| self.accept(accepted)),
            None => self.work().await,
        };
        if matches!(result, Err(_) | Ok(Happened::Farewell)) {
            self.state = State::Over;
        }
        result
    }

    fn accept(&mut self, accepted: Accepted) -> Happened {
        let Accepted { socket, terms, input } = accepted;
        let (reader, writer) = tokio::io::split(socket);
        self.state = State::Open(reader, writer);
        self.input = input;
        self.codec.accepted(terms);
        self.keep_alive = terms.keep_alive.unwrap_or(self.keep_alive);
        self.ping.as_mut().reset(Instant::now() + self.keep_alive);
        Happened::Connected(terms)
    }

    async fn work(&mut self) -> Result<Happened, LinkError> {
        let closed = |error: io::Error| tls::broken(error, Failure::Closed);
        loop {
            match self.sieve.look(&mut self.input) {
                Sieved::TooLarge { topic, bytes } => return Ok(Happened::TooLarge { topic, bytes }),
                Sieved::Waits => {}
                Sieved::Passed => {
                    if let Some(came) = self.codec.decode(&mut self.input)? {
                        return Ok(self.came(came));
                    }
                }
            }
            let Self { state: State::Open(reader, writer), out, input, .. } = self else {
                return Err(LinkError::new(Failure::Closed, "the connection is over"));
            };
            input.reserve(1024);
            let anything = self.unflushed || !out.is_empty();
            tokio::select! {
                wrote = write_or_flush(writer, out), if anything => match wrote.map_err(closed)? {
                    Some(0) => return Err(LinkError::new(Failure::Closed, "the connection takes no more")),
                    Some(wrote) => {
                        self.written += wrote as u64;
                        self.unflushed = true;
                    }
                    None => {
                        self.unflushed = false;
                        if self.leaving {
                            // The broker may be gone already; nothing more is to be told.
                            let _gone = writer.shutdown().await;
                            return Ok(Happened::Farewell);
                        }
                        return Ok(Happened::Wrote(self.written));
                    }
                },
                read = reader.read_buf(input) => {
                    if read.map_err(closed)? == 0 {
                        return Err(LinkError::new(Failure::Closed, "the broker closed the connection"));
                    }
                }
                () = self.ping.as_mut() => {
                    if self.awaiting_pong {
                        return Err(LinkError::new(Failure::Timeout, "a ping was not answered"));
                    }
                    Codec::ping(&mut self.out);
                    self.awaiting_pong = true;
                    self.ping.as_mut().reset(Instant::now() + self.keep_alive);
                }
            }
        }
    }

    fn came(&mut self, came: Came) -> Happened {
        match came {
            Came::Heard(said) => {
                if said.id > 0 {
                    Codec::acknowledge(said.id, &mut self.out);
                }
                Happened::Heard(said)
            }
            Came::Subscribed { refused } => Happened::Subscribed { refused },
            Came::Acknowledged { id, refused } => Happened::Acknowledged { id, refused },
            Came::Pong => {
                self.awaiting_pong = false;
                Happened::Idle
            }
            Came::Accepted(_) | Came::Other => Happened::Idle,
        }
    }
}

/// How much was written; `None`: there was nothing left to write, and all of it has been passed on. Safe to drop and call again.
async fn write_or_flush(writer: &mut (impl AsyncWrite + Unpin), out: &mut BytesMut) -> io::Result<Option<usize>> {
    if out.is_empty() {
        return writer.flush().await.map(|()| None);
    }
    writer.write_buf(out).await.map(Some)
}

/// Makes the connection and hears the broker's word.
async fn open(
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    codec: Codec,
    hello: BytesMut,
) -> Result<Accepted, LinkError> {
    let unreachable = |error: io::Error| LinkError::new(Failure::Unreachable, error);
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(unreachable)?;
    // Messages are written as they come, so waiting to fill a segment would only delay them.
    tcp.set_nodelay(true).map_err(unreachable)?;
    let mut socket: Box<dyn Socket> = match tls {
        None => Box::new(tcp),
        Some((tls, name)) => {
            let secured = TlsConnector::from(tls).connect(name, tcp).await;
            // A handshake that the network cut off is no fault of the certificates.
            Box::new(secured.map_err(|error| tls::broken(error, Failure::Unreachable))?)
        }
    };
    let closed = |error: io::Error| tls::broken(error, Failure::Closed);
    socket.write_all(&hello).await.map_err(closed)?;
    socket.flush().await.map_err(closed)?;
    let mut input = BytesMut::with_capacity(1024);
    loop {
        if input.first().is_some_and(|first| first >> 4 != CONNACK) {
            return Err(LinkError::new(Failure::Protocol, "what answers is no MQTT broker"));
        }
        match codec.decode(&mut input)? {
            Some(Came::Accepted(terms)) => return Ok(Accepted { socket, terms, input }),
            Some(other) => return Err(LinkError::new(Failure::Protocol, format!("{other:?} instead of a CONNACK"))),
            None => {}
        }
        if socket.read_buf(&mut input).await.map_err(closed)? == 0 {
            return Err(LinkError::new(Failure::Closed, "the broker closed the connection"));
        }
    }
}
