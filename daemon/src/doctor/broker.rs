//! Whether a broker takes us.

use std::time::Duration;

use super::Finding;
use crate::{
    config::BrokerConfig,
    publish::{self, Failure},
};

pub(super) const AREA: &str = "broker";

pub(super) async fn examine(config: &BrokerConfig, limit: Duration) -> Vec<Finding> {
    let name = &config.name;
    let at = format!("{}:{}{}", config.host, config.port, if config.tls.is_some() { " by TLS" } else { "" });
    let found = match tokio::time::timeout(limit, publish::visit(config)).await {
        Ok(Ok(())) => Finding::ok(AREA, format!("{at} takes us")),
        Ok(Err((failure, detail))) => {
            Finding::error(AREA, format!("{at}: {}: {detail}", failure.as_str()), remedy(failure, config))
        }
        Err(_) => {
            let says = format!("{at}: no answer within {} s", limit.as_secs_f64());
            Finding::error(AREA, says, remedy(Failure::Unreachable, config))
        }
    };
    vec![found.of(name)]
}

fn remedy(failure: Failure, config: &BrokerConfig) -> String {
    let key = if config.name == crate::config::MqttConfig::FIRST { "mqtt".to_owned() } else { format!("broker.{}", config.name) };
    match failure {
        Failure::Unreachable | Failure::Timeout => {
            format!("see that the address of {key} is right, the broker runs, and no firewall is in between")
        }
        Failure::Tls => {
            format!("see the authority (ca_file), the name (server_name) and the clock; {key} is what TLS is configured by")
        }
        Failure::AuthFailed => format!("correct the user name and the password of {key}, or let the broker take them"),
        Failure::Refused => "see the broker's log: it refuses this client".to_owned(),
        Failure::Closed | Failure::Protocol => {
            "see that it is an MQTT broker that listens there, with or without TLS as configured".to_owned()
        }
    }
}
