//! The subscription to commands at a real broker.

use tokio::{io::AsyncWriteExt as _, net::TcpListener, sync::mpsc};

use crate::{
    config::{MqttConfig, MqttVersion},
    control::Verb,
    publish::{
        Counters, Family,
        testing::{Line, Mosquitto, config},
        wire_tests::packet,
    },
};

fn commanded(port: u16, version: MqttVersion) -> MqttConfig {
    let mut config = config(port, version);
    config.commands = [Verb::Status].into();
    config
}

/// Made anew with each connection.
#[tokio::test]
async fn the_subscription_outlives_the_broker() {
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let dir = tempfile::tempdir().expect("a directory");
        let Some(broker) = Mosquitto::start(dir.path(), "allow_anonymous true") else { return };
        let port = broker.port;
        let line = Line::start_obeyed(Some(commanded(port, version)), mpsc::channel(1).0);
        line.until("heard", |counters| counters.commands.is_heard()).await;
        drop(broker);
        line.until("noticed", |counters| !counters.connected() && !counters.commands.is_heard()).await;
        let _broker = Mosquitto::start_on(dir.path(), port, "allow_anonymous true").expect("the port is ours");
        line.until("heard again", |counters| counters.commands.is_heard()).await;
        line.finish().await;
    }
}

/// A broker that refuses it is told of, and everything else goes on.
#[tokio::test]
async fn a_subscription_that_is_refused_is_known() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let line = Line::start_obeyed(Some(commanded(port, MqttVersion::V311)), mpsc::channel(1).0);
    let (mut stream, _) = listener.accept().await.expect("a connection");
    packet(&mut stream).await;
    stream.write_all(&[0x20, 2, 0, 0]).await.expect("CONNACK");
    let subscribe = packet(&mut stream).await;
    assert_eq!(subscribe[0], 0x82, "what is asked for comes first");
    stream.write_all(&[0x90, 3, subscribe[2], subscribe[3], 0x80]).await.expect("SUBACK");
    let status = packet(&mut stream).await;
    // Behind the header of two bytes its topic, and then its identifier; more than 127 bytes of length take one more.
    let at = if status[1] & 0x80 == 0 { 2 } else { 3 };
    let id = at + 2 + usize::from(status[at + 1]);
    stream.write_all(&[0x40, 2, status[id], status[id + 1]]).await.expect("PUBACK");
    line.until("acknowledged", |counters: &Counters| counters.published(Family::DeviceStatus) > 0).await;
    assert!(line.counters.connected() && !line.counters.commands.is_heard());
    drop(stream);
    line.until("noticed", |counters| !counters.connected()).await;
    line.cancel.cancel();
    line.finish().await;
}
