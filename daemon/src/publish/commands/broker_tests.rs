//! The subscription to commands at a real broker.

use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpListener, sync::mpsc, time::timeout};

use crate::{
    config::{BrokerConfig, MqttConfig, MqttVersion},
    control::{Done, Outcome, Request, Verb},
    listen::Subscription,
    publish::{
        Counters, Family,
        testing::{self, Line, Mosquitto, PATIENCE, config},
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
        line.until("heard", Counters::is_heard).await;
        drop(broker);
        line.until("noticed", |counters| !counters.connected() && !counters.is_heard()).await;
        let _broker = Mosquitto::start_on(dir.path(), port, "allow_anonymous true").expect("the port is ours");
        line.until("heard again", Counters::is_heard).await;
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
    assert!(line.counters.connected() && !line.counters.is_heard());
    drop(stream);
    line.until("noticed", |counters| !counters.connected()).await;
    line.cancel.cancel();
    line.finish().await;
}

/// What a client hears that publishes a command at one of the brokers.
async fn reply(broker: &BrokerConfig, id: &str) -> Value {
    let replies = ["egret/box1/cmd/status/reply".to_owned()];
    let say = ("egret/box1/cmd/status", format!("{{\"id\":\"{id}\"}}").into_bytes());
    let mut subscription = Subscription::saying(broker, &replies, Some(say)).expect("no TLS");
    let heard = async {
        loop {
            if let Some(message) = subscription.next().await.expect("connected") {
                return serde_json::from_slice(&message.payload).expect("JSON");
            }
        }
    };
    timeout(PATIENCE, heard).await.expect("a reply in time")
}

/// Each answers where it was asked; one that is not configured to listen does not.
#[tokio::test]
async fn commands_are_heard_at_the_brokers_that_listen() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let mut running = Vec::new();
    for dir in &dirs {
        let Some(broker) = Mosquitto::start(dir.path(), "allow_anonymous true") else { return };
        running.push(broker);
    }
    let named = |name: &str, at: usize, listens| BrokerConfig {
        name: name.into(),
        listens,
        ..testing::broker(running[at].port, MqttVersion::V5)
    };
    let mut config = commanded(running[0].port, MqttVersion::V5);
    config.others = vec![named("second", 1, true), named("deaf", 2, false)];
    let brokers: Vec<BrokerConfig> = config.brokers().cloned().collect();
    let (door, mut asked) = mpsc::channel::<Request>(4);
    let line = Line::start_obeyed(Some(config), door);
    let obeys = tokio::spawn(async move {
        let mut obeyed = 0;
        while let Some(request) = asked.recv().await {
            request.answer.send(Ok(Done::default())).expect("somebody waits");
            obeyed += 1;
        }
        obeyed
    });
    let heard = |counters: &Counters| counters.brokers().iter().map(|broker| broker.is_heard()).collect::<Vec<_>>();
    line.until("heard", |counters| counters.connected() && heard(counters) == [true, true, false]).await;
    for broker in &brokers[..2] {
        let reply = reply(broker, &broker.name).await;
        assert_eq!((&reply["ok"], &reply["id"]), (&true.into(), &broker.name.as_str().into()), "{reply}");
    }
    let counters = line.finish().await;
    assert_eq!(counters.commands.of(Some(Verb::Status), Outcome::Done), 2);
    assert_eq!(obeys.await.expect("no panic"), 2);
}
