//! A visit to a broker: whether it takes us. And to others by TLS as a broker is met.

use std::{path::Path, sync::Arc};

use rumqttc::tokio_rustls::TlsConnector;
use tokio::net::TcpStream;

use super::{
    connection::{Connection, Happened},
    counters::Failure,
    packet::{LinkError, Purpose},
    tls::{self, TlsError},
    way::Way,
};
use crate::config::{BrokerConfig, TlsConfig};

/// Largest packet that is taken meanwhile.
const LARGEST: usize = 64 << 10;

fn of_link(error: &LinkError) -> (Failure, String) {
    (error.failure, error.detail.clone())
}

fn of_tls(error: &TlsError) -> (Failure, String) {
    (Failure::Tls, error.to_string())
}

fn connection(config: &BrokerConfig) -> Result<Connection, TlsError> {
    let secured = |tls| Ok::<_, TlsError>((tls::client_config(tls)?, tls::server_name(tls, &config.host)?));
    let tls = config.tls.as_ref().map(secured).transpose()?;
    Ok(Connection::new(config, tls, None, Purpose::Listen(LARGEST)))
}

/// Connects as the daemon does, hears the broker's word, and says goodbye. By a name of its own: a broker ends the connection of whoever had the name
/// before. Neither a session nor a will is left.
///
/// # Errors
/// Why it does not take us: in a word, and for people.
pub(crate) async fn visit(config: &BrokerConfig) -> Result<(), (Failure, String)> {
    let client_id = format!("egret-doctor-{}", super::boot_id().get(..8).unwrap_or("x"));
    let mut way = Way::new(BrokerConfig { client_id, ..config.clone() });
    let mut visit = connection(way.now()).map_err(|error| of_tls(&error))?;
    let mut leaving = false;
    loop {
        match visit.next().await {
            Ok(Happened::Connected(_)) => {
                visit.farewell();
                leaving = true;
            }
            Ok(Happened::Farewell) => return Ok(()),
            Ok(_) => {}
            Err(LinkError { turn: Some(turn), failure, detail, .. }) => {
                way.turn(&turn).map_err(|refused| (failure, format!("{detail}; {refused}")))?;
                visit = connection(way.now()).map_err(|error| of_tls(&error))?;
            }
            // It took us, and may answer our goodbye by closing before we have seen it out.
            Err(LinkError { failure: Failure::Closed, .. }) if leaving => return Ok(()),
            Err(error) => return Err(of_link(&error)),
        }
    }
}

/// Connects and meets a server by TLS, whose certificate is to be of these authorities, or of the system's.
///
/// # Errors
/// [`Failure::Unreachable`] or [`Failure::Tls`], and words for people.
pub(crate) async fn shake_hands(host: &str, port: u16, authorities: Option<&Path>) -> Result<(), (Failure, String)> {
    let config = TlsConfig { ca_file: authorities.map(Path::to_owned), ..TlsConfig::default() };
    let (client, name) = tls::client_config(&config)
        .and_then(|client| Ok((client, tls::server_name(&config, host)?)))
        .map_err(|error| of_tls(&error))?;
    let tcp = TcpStream::connect((host, port)).await.map_err(|error| (Failure::Unreachable, error.to_string()))?;
    let shaken = TlsConnector::from(Arc::clone(&client)).connect(name, tcp).await;
    shaken.map(drop).map_err(|error| of_link(&tls::broken(error, Failure::Unreachable)))
}
