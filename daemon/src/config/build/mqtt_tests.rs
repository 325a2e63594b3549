use std::{path::Path, process::Command};

use crate::{
    config::{BrokerConfig, Config, FrameFormat, MqttConfig, MqttVersion, Secret, load_text},
    publish::topics::{CHANNELS, Place},
};

const BASE: &str = "device = \"gate\"\n[mqtt]\nurl = \"mqtt://near\"\n";

fn loaded(rest: &str) -> (Config, Vec<String>) {
    let loaded = load_text(Path::new(""), &format!("{BASE}{rest}")).unwrap_or_else(|problems| panic!("{problems:?}"));
    (loaded.config, loaded.advice.iter().map(|advice| format!("{advice:?}")).collect())
}

fn mqtt(rest: &str) -> MqttConfig {
    loaded(rest).0.mqtt.expect("brokers")
}

#[test]
fn each_broker_has_its_own_way_and_the_topics_are_the_same() {
    let config = mqtt(
        "topics = [\"egret/#\"]\nexcept = [\"egret/+/health\"]\n\
         [[mqtt.broker]]\nname = \"cloud\"\nurl = \"mqtts://far\"\nversion = \"3.1.1\"\nclient_id = \"c\"\nframes = false\n\
         max_bytes_per_second = 20000\ntopics = [\"egret/+/cam/+/event/#\", \"egret/+/status\"]\nkeep_alive = \"2m\"\n\
         [[mqtt.broker]]\nname = \"lab\"\nurl = \"mqtt://ann:pw@lab:1884\"\nframe_format = \"cbor\"\nlistens = true\n\
         [[mqtt.broker]]\nname = \"off\"\nenabled = false\n",
    );
    assert_eq!(config.brokers().map(|broker| broker.listens).collect::<Vec<_>>(), [true, false, true]);
    let names: Vec<&str> = config.brokers().map(|broker| broker.name.as_str()).collect();
    assert_eq!(names, [MqttConfig::FIRST, "cloud", "lab"]);
    let takes = |broker: &BrokerConfig, topic: &str| broker.topics.takes(topic);
    assert!(takes(&config.first, "egret/gate/status") && !takes(&config.first, "egret/gate/health"));
    let [cloud, lab] = &config.others[..] else { panic!("{config:?}") };
    assert_eq!((cloud.host.as_str(), cloud.port, cloud.tls.is_some(), cloud.version), ("far", 8883, true, MqttVersion::V311));
    assert_eq!((cloud.client_id.as_str(), cloud.publish_frames, cloud.max_bytes_per_second), ("c", false, Some(20_000)));
    assert!(takes(cloud, "egret/gate/cam/door/event/yard") && !takes(cloud, "egret/gate/cam/door/frame"));
    assert_eq!((lab.port, lab.client_id.as_str(), lab.frame_format), (1884, "egret-gate", FrameFormat::Cbor));
    assert_eq!(lab.username.as_deref(), Some("ann"));
    assert!(takes(lab, "anything/at/all"));
}

/// The manual's settings for brokers in the cloud, with files where it names some.
#[test]
fn the_manuals_brokers_in_the_cloud_load() {
    let page = include_str!("../../../../docs/mqtt.md");
    let (_, section) = page.split_once("### Brokers in the cloud").expect("a section");
    let (_, sample) = section.split_once("```toml\n").expect("a sample");
    let (sample, _) = sample.split_once("```").expect("its end");
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["aws", "azure"] {
        let [key, out] = [format!("{name}.key"), format!("{name}.pem")];
        let new = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=gate",
        ];
        let made = Command::new("openssl").current_dir(dir.path()).args(new).args(["-keyout", &key, "-out", &out]).output();
        if !made.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: openssl is not installed or makes no certificates");
            return;
        }
    }
    std::fs::write(dir.path().join("hivemq.password"), "s3cret\n").expect("written");
    let config = mqtt(&sample.replace("/etc/egret/", &format!("{}/", dir.path().display())));
    let [aws, azure, hivemq] = &config.others[..] else { panic!("{config:?}") };
    let tls = |broker: &BrokerConfig| broker.tls.clone().expect("TLS");
    assert_eq!((aws.port, tls(aws).alpn, aws.client_id.as_str()), (443, vec!["x-amzn-mqtt-ca".to_owned()], "gate"));
    assert!(tls(aws).identity.is_some() && tls(azure).identity.is_some() && tls(hivemq).identity.is_none());
    assert!(aws.topics.takes("egret/gate/cam/door/track/end") && !aws.topics.takes("egret/gate/cam/door/track/update"));
    assert_eq!((azure.port, azure.username.as_deref(), azure.publish_frames), (8883, Some("gate"), false));
    let password = hivemq.password.as_ref().map(Secret::expose);
    assert_eq!((hivemq.port, hivemq.username.as_deref(), password), (8883, Some("gate"), Some("s3cret")));
    // What the manual says of the longest topic.
    let place = Place { base: "egret", device: "gate", camera: "door", rule: "yard", verb: "status" };
    let slashes = CHANNELS.iter().map(|channel| channel.topic(place).matches('/').count()).max();
    assert_eq!(slashes, Some(5));
}

#[test]
fn two_brokers_on_one_host_have_two_ports() {
    let config = mqtt("[[mqtt.broker]]\nname = \"other\"\nurl = \"mqtt://near:1884\"\n");
    assert_eq!(
        config.brokers().map(|broker| (broker.host.as_str(), broker.port)).collect::<Vec<_>>(),
        [("near", 1883), ("near", 1884)]
    );
}

#[test]
fn what_cannot_be_is_refused_with_its_key() {
    let broker = |rest: &str| format!("[[mqtt.broker]]\nname = \"cloud\"\n{rest}");
    let far = |rest: &str| broker(&format!("url = \"mqtt://far\"\n{rest}"));
    let many: Vec<_> = (0..16).map(|i| format!("[[mqtt.broker]]\nname = \"b{i}\"\nurl = \"mqtt://h{i}\"\n")).collect();
    let many = many.concat();
    for (text, key, part) in [
        (far(&far("")), "mqtt.broker.cloud.name", "has this name too"),
        (far("").replace("cloud", "mqtt"), "mqtt.broker.mqtt.name", "[mqtt] itself"),
        ("[[mqtt.broker]]\nurl = \"mqtt://far\"\n".to_owned(), "mqtt.broker.#1.name", "no name"),
        (broker(""), "mqtt.broker.cloud.url", "address is missing"),
        (broker("url = \"http://far\"\n"), "mqtt.broker.cloud.url", "mqtts://host:8883"),
        (broker("url = \"mqtt://far/site\"\n"), "mqtt.broker.cloud.url", "base_topic holds for all"),
        (far("").replace("far", "near"), "mqtt.broker.cloud.client_id", "mqtt has this host, port and client identifier"),
        (far("topics = [\"egret/#/event\"]\n"), "mqtt.broker.cloud.topics", "only as the last one"),
        (far("except = [\"egret//event\"]\n"), "mqtt.broker.cloud.except", "is empty"),
        (far("topics = []\n"), "mqtt.broker.cloud.topics", "empty"),
        (far("max_bytes_per_second = 0\n"), "mqtt.broker.cloud.max_bytes_per_second", "from 1000 to"),
        (far("ca_file = \"/x\"\n"), "mqtt.broker.cloud.ca_file", "nothing without TLS"),
        (far("password = \"x\"\nversion = \"3.1.1\"\n"), "mqtt.broker.cloud.username", "no password without a user name"),
        (far("base_topic = \"x\"\n"), "mqtt.broker.cloud.base_topic", "no such key"),
        ("max_bytes_per_second = 10\n".to_owned(), "mqtt.max_bytes_per_second", "from 1000 to"),
        ("broker = \"x\"\n".to_owned(), "mqtt.broker", "[[mqtt.broker]]"),
        ("[[mqtt.brokr]]\nname = \"x\"\n".to_owned(), "mqtt.brokr", "did you mean broker?"),
        ("[[broker]]\nname = \"x\"\n".to_owned(), "broker", "[[mqtt.broker]]"),
        (
            "listens = false\n[mqtt.commands]\nallow = [\"status\"]\n".to_owned(),
            "mqtt.commands.allow",
            "no broker is listened to",
        ),
        (many, "mqtt.broker.b15", "more than 16 brokers"),
    ] {
        let problems = load_text(Path::new(""), &format!("{BASE}{text}")).expect_err("refused");
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        let told = format!("{:?}", problems[0]);
        assert!(problems[0].key.starts_with(key) && told.contains(part), "{text}: {told}");
    }
    let alone = load_text(Path::new(""), "[[mqtt.broker]]\nname = \"x\"\nurl = \"mqtt://x\"\n").expect_err("refused");
    assert_eq!((alone.len(), alone[0].key.as_str()), (1, "mqtt.url"));
}

#[test]
fn a_filter_that_takes_nothing_is_told() {
    let advice = |topics: &str| loaded(&format!("topics = [{topics}]\n")).1;
    assert!(advice("\"egret/+/cam/+/event/#\", \"+/gate/status\", \"#\"").is_empty());
    let told = advice("\"egert/#\"");
    assert!(told.len() == 1 && told[0].contains("begin with egret/gate/"), "{told:?}");
    let frigate = loaded("topics = [\"frigate/events\"]\n[mqtt.frigate]\nenabled = true\n").1;
    assert!(frigate.is_empty(), "{frigate:?}");
}

/// The keys of TLS: those that do not go together, and those that mean nothing.
#[test]
fn certificates_are_looked_at_before_they_are_used() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("written");
        dir.path().join(name).display().to_string()
    };
    let (nothing, missing) = (file("nothing.pem", "nothing\n"), dir.path().join("missing").display().to_string());
    let secure = |rest: &str| format!("[[mqtt.broker]]\nname = \"x\"\nurl = \"mqtts://far\"\n{rest}");
    for (text, key, part) in [
        (secure(&format!("cert_file = \"{nothing}\"\n")), "key_file", "key of cert_file is missing"),
        (secure(&format!("key_file = \"{nothing}\"\n")), "cert_file", "certificate of key_file is missing"),
        (secure(&format!("cert_file = \"{nothing}\"\nkey_file = \"{nothing}\"\n")), "cert_file", "no PEM certificate"),
        (secure(&format!("cert_file = \"{nothing}\"\nkey_file = \"{missing}\"\n")), "key_file", "No such file"),
        (secure(&format!("key_file = \"{nothing}\"\nkey_credential = \"k\"\n")), "key_credential", "key_file is given too"),
        (secure("key_credential = \"a/b\"\n"), "key_credential", "no slash"),
        (secure("server_name = \"bro ker\"\n"), "server_name", "no certificate is for such a name"),
        (secure(&format!("alpn = [\"{}\"]\n", "x".repeat(256))), "alpn", "256 bytes"),
        (secure("alpn = [\"mqtt\"]\n").replace("mqtts", "mqtt"), "alpn", "nothing without TLS"),
        (secure("server_name = \"x\"\n").replace("mqtts", "mqtt"), "server_name", "nothing without TLS"),
    ] {
        let problems = load_text(Path::new(""), &format!("{BASE}{text}")).expect_err("refused");
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        let told = format!("{:?}", problems[0]);
        assert!(problems[0].key == format!("mqtt.broker.x.{key}") && told.contains(part), "{text}: {told}");
    }
    let config = mqtt(&secure("server_name = \"iot.example\"\nalpn = [\"x-amzn-mqtt-ca\", \"mqtt\"]\n"));
    let tls = config.others[0].tls.as_ref().expect("TLS");
    assert_eq!((tls.server_name.as_deref(), tls.alpn.len(), &tls.identity), (Some("iot.example"), 2, &None));
}
