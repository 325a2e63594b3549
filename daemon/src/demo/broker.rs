//! `rumqttd` behind one adapter: a broker on loopback for the demo and for tests, never for devices (its sources hold
//! hundreds of `unwrap`s, and nothing it keeps survives it).

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Protocol versions on the wire.
const V5: u8 = 5;
const V311: u8 = 4;
/// Longest MQTT payload that the broker takes.
const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

/// A broker in this process. Its threads live as long as the process: rumqttd has no way to stop.
#[derive(Debug)]
pub struct EmbeddedBroker {
    v5: SocketAddr,
    v4: SocketAddr,
}

/// Why the broker did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No port to listen on, or no thread.
    #[error("the embedded broker cannot listen on loopback: {0}")]
    Listen(#[from] io::Error),
    /// It was started but never answered.
    #[error("the embedded broker does not answer on {0} after {1:?}")]
    Silent(SocketAddr, Duration),
}

impl EmbeddedBroker {
    /// Starts a broker on two free loopback ports and waits until it accepts connections.
    pub async fn start() -> Result<Self, BrokerError> {
        // rumqttd wants to bind by itself: take two free ports and let them go just before it does.
        let (first, second) = (listen_anywhere()?, listen_anywhere()?);
        let (v5, v4) = (first.local_addr()?, second.local_addr()?);
        drop((first, second));
        let mut broker = Broker::new(Config {
            router: RouterConfig {
                max_connections: 64,
                max_outgoing_packet_count: 1000,
                max_segment_size: 4 * 1024 * 1024,
                max_segment_count: 10,
                ..RouterConfig::default()
            },
            v5: Some(HashMap::from([("v5".to_owned(), server("v5", v5))])),
            v4: Some(HashMap::from([("v4".to_owned(), server("v4", v4))])),
            ..Config::default()
        });
        thread::Builder::new().name("demo-broker".to_owned()).spawn(move || {
            if let Err(error) = broker.start() {
                tracing::error!(%error, "the embedded broker ended");
            }
        })?;
        let broker = Self { v5, v4 };
        wait_for(v5, V5).await?;
        wait_for(v4, V311).await?;
        Ok(broker)
    }

    /// Where it speaks MQTT 5.
    pub fn v5(&self) -> SocketAddr {
        self.v5
    }

    /// Where it speaks MQTT 3.1.1.
    pub fn v4(&self) -> SocketAddr {
        self.v4
    }
}

fn listen_anywhere() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

fn server(name: &str, listen: SocketAddr) -> ServerSettings {
    ServerSettings {
        name: name.to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 5000,
            max_payload_size: MAX_PAYLOAD_BYTES,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    }
}

/// Speaks MQTT with it until it answers. To connect and hang up would be told by it as an error.
async fn wait_for(address: SocketAddr, version: u8) -> Result<(), BrokerError> {
    let answered = async {
        while greet(address, version).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.map_err(|_| BrokerError::Silent(address, PATIENCE))
}

/// CONNECT, CONNACK, DISCONNECT (MQTT 3.1.1 and 5, §3.1, §3.2, §3.14) of a client that leaves no trace.
async fn greet(address: SocketAddr, version: u8) -> io::Result<()> {
    const CONNECT: u8 = 0x10;
    const CONNACK: u8 = 0x20;
    const DISCONNECT: [u8; 2] = [0xe0, 0];
    const CLEAN: u8 = 0x02;
    const KEEP_ALIVE_S: u8 = 5;
    let mut hello = vec![0, 4, b'M', b'Q', b'T', b'T', version, CLEAN, 0, KEEP_ALIVE_S];
    if version == V5 {
        // No properties.
        hello.push(0);
    }
    // No identifier: the broker gives one of its own each time. It panics, for good, where one comes back too soon.
    hello.extend([0, 0]);
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&[&[CONNECT, hello.len() as u8], &*hello].concat()).await?;
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    stream.read_exact(&mut vec![0; head[1].into()]).await?;
    if head[0] != CONNACK {
        return Err(io::ErrorKind::InvalidData.into());
    }
    stream.write_all(&DISCONNECT).await
}
