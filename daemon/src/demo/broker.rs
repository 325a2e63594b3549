//! `rumqttd` behind one adapter: a broker on loopback for the demo and for tests, never for devices (its sources hold
//! hundreds of `unwrap`s, and nothing it keeps survives it).

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

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
        for address in [v5, v4] {
            wait_for(address).await?;
        }
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

async fn wait_for(address: SocketAddr) -> Result<(), BrokerError> {
    let patience = Duration::from_secs(10);
    let started = Instant::now();
    while started.elapsed() < patience {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(BrokerError::Silent(address, patience))
}
