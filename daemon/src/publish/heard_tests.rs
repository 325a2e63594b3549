//! What `egret listen` hears of what is published, through a real broker.

use std::{
    process::Command,
    time::{Instant, SystemTime},
};

use tokio::time::timeout;

use super::{
    Family,
    broker_tests::certificates,
    testing::{self, Line, Mosquitto, PATIENCE, frame, to},
};
use crate::{
    config::{BrokerConfig, FrameFormat, MqttConfig, MqttVersion, Secret, TlsConfig},
    listen::{self, Form, Lost, Outcome, Subscription, Tally, Wanted},
    media::StreamId,
};

/// Listens until the broker has taken the subscription.
async fn listening(config: &MqttConfig, wanted: &Wanted) -> Result<Subscription, Lost> {
    let filters = listen::filters(wanted, &config.base_topic).expect("kinds that there are");
    let mut subscription = Subscription::new(&config.first, &filters)?;
    let taken = timeout(PATIENCE, subscription.next()).await.expect("in time")?;
    assert_eq!(taken, None);
    Ok(subscription)
}

/// Each form over each version: all is heard, nothing is missing, and two cameras' aliases are not mixed up.
#[tokio::test]
async fn every_form_is_heard_over_both_versions() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), "allow_anonymous true") else { return };
    let forms = [(FrameFormat::Json, Form::Json), (FrameFormat::Cbor, Form::Cbor), (FrameFormat::Protobuf, Form::Protobuf)];
    for version in [MqttVersion::V5, MqttVersion::V311] {
        for (format, form) in forms {
            let config = to(BrokerConfig { frame_format: format, ..testing::broker(broker.port, version) });
            let wanted = Wanted { kinds: vec!["frame".into()], ..Wanted::default() };
            let mut subscription = listening(&config, &wanted).await.expect("subscribed");
            let line = Line::start(Some(config));
            line.until("connected", super::Counters::connected).await;
            let cameras = [(1, "door"), (2, "yard")].map(|(id, name)| StreamId::new(id, name));
            let mut tally = Tally::default();
            for number in 0..20 {
                line.send(cameras.iter().map(|camera| frame(camera, number)).collect()).await;
                for camera in &cameras {
                    let heard =
                        timeout(PATIENCE, subscription.next()).await.expect("in time").expect("connected").expect("a message");
                    let (came, message) = listen::decode(&heard.payload).expect("ours");
                    assert_eq!(came, form);
                    assert_eq!((message["camera"].as_str(), message["seq"].as_u64()), (Some(camera.name()), Some(number)));
                    assert_eq!(heard.topic, format!("egret/box1/cam/{}/frame", camera.name()));
                    let outcome = tally.take(&message, heard.payload.len(), heard.retained, Instant::now(), SystemTime::now());
                    assert_eq!(outcome, Outcome::InOrder);
                }
            }
            assert!(tally.cameras().all(|(_, camera)| camera.frames == 20 && camera.missing + camera.again == 0));
            let counters = line.finish().await;
            assert_eq!(counters.published(Family::Frame), 40);
        }
    }
}

#[tokio::test]
async fn over_tls_with_a_password_and_not_without() {
    let dir = tempfile::tempdir().expect("a directory");
    if !certificates(dir.path()) {
        return;
    }
    let at = |name: &str| dir.path().join(name).display().to_string();
    let made = Command::new("mosquitto_passwd").args(["-b", "-c", &at("passwords"), "ann", "s3cret"]).output();
    if !made.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: mosquitto_passwd is not installed");
        return;
    }
    let lines = format!(
        "allow_anonymous false\nuser root\npassword_file {}\ncertfile {}\nkeyfile {}",
        at("passwords"),
        at("cert.pem"),
        at("key.pem")
    );
    let Some(broker) = Mosquitto::start(dir.path(), &lines) else { return };
    let everything = Wanted::default();
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let with = |password: &str, ca: &str| {
            to(BrokerConfig {
                tls: Some(TlsConfig { ca_file: Some(dir.path().join(ca)), ..TlsConfig::default() }),
                username: Some("ann".into()),
                password: Some(Secret::new(password)),
                ..testing::broker(broker.port, version)
            })
        };
        listening(&with("s3cret", "ca.pem"), &everything).await.expect("taken");
        let refused = listening(&with("wrong-Pa55", "ca.pem"), &everything).await.map(drop).expect_err("refused");
        assert!(matches!(refused, Lost::Connection(_)) && !refused.to_string().contains("Pa55"), "{refused}");
        let untrusted = listening(&with("s3cret", "missing.pem"), &everything).await.map(drop).expect_err("no authority");
        assert!(untrusted.to_string().contains("missing.pem"), "{untrusted}");
    }
}
