//! An ordinary MQTT subscriber: it sees of the daemon what any other would.

use std::{net::SocketAddr, time::Duration};

use rumqttc::v5::{
    AsyncClient, Event, EventLoop, MqttOptions,
    mqttbytes::{QoS, v5::Packet},
};
use tokio::sync::mpsc;

/// Messages that may wait for whoever shows them; the broker holds back the rest.
const QUEUE: usize = 1024;
/// Larger than any message of the daemon.
const MAX_PACKET_BYTES: u32 = 1024 * 1024;

/// One message as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether it was retained by the broker.
    pub retained: bool,
}

/// Subscribes to `filter` and sends on what comes until the receiver is dropped or the broker goes.
pub fn subscribe(broker: SocketAddr, filter: &str) -> mpsc::Receiver<Received> {
    let mut options = MqttOptions::new("egret-demo-subscriber", broker.ip().to_string(), broker.port());
    options.set_keep_alive(Duration::from_secs(30));
    options.set_max_packet_size(Some(MAX_PACKET_BYTES));
    let (client, eventloop) = AsyncClient::new(options, 16);
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(pump(client, eventloop, filter.to_owned(), sender));
    receiver
}

async fn pump(client: AsyncClient, mut eventloop: EventLoop, filter: String, sender: mpsc::Sender<Received>) {
    if let Err(error) = client.subscribe(filter, QoS::AtLeastOnce).await {
        tracing::error!(%error, "the demo cannot subscribe");
        return;
    }
    loop {
        match eventloop.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                let received = Received { topic, payload: publish.payload.to_vec(), retained: publish.retain };
                if sender.send(received).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the demo's subscriber lost the broker");
                return;
            }
        }
    }
}
