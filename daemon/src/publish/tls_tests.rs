//! TLS with real brokers: both sides show certificates, which are good, bad, and replaced.

use std::{path::Path, process::Command, sync::Arc};

use rumqttc::tokio_rustls::TlsAcceptor;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::{
    Counters, DropReason, Failure, Family,
    testing::{self, Heard, Line, Mosquitto, PATIENCE, frame, to},
    tls::{Look, Prepared},
};
use crate::{
    config::{BrokerConfig, MqttConfig, MqttVersion, TlsConfig},
    listen::Subscription,
    media::{StreamId, TrackPhase},
};

/// An authority of our own in a folder, and what it signs: NAME.pem and NAME.key.
struct Authority<'a>(&'a Path);

const FOR_EVER: [&str; 2] = ["20200101000000Z", "20491231000000Z"];

impl<'a> Authority<'a> {
    fn new(dir: &'a Path, name: &str) -> Option<Self> {
        let text = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n\
                    unique_subject=no\n[p]\ncommonName=supplied\n";
        std::fs::write(dir.join("ca.conf"), text).expect("written");
        std::fs::write(dir.join("index"), "").expect("written");
        let authority = Self(dir);
        let subject = format!("/CN={name}");
        let made = authority.with_key("ca", &["req", "-x509", "-days", "2", "-subj", &subject, "-out", "ca.pem"]);
        if !made {
            eprintln!("SKIPPED: openssl is not installed or makes no certificates");
        }
        made.then_some(authority)
    }

    fn openssl(&self, arguments: &[&str]) -> bool {
        Command::new("openssl").current_dir(self.0).args(arguments).output().is_ok_and(|output| output.status.success())
    }

    /// With a new key of the fast kind.
    fn with_key(&self, name: &str, arguments: &[&str]) -> bool {
        let file = format!("{name}.key");
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", &file];
        self.openssl(&[arguments, &key].concat())
    }

    /// A certificate for a name, for such a time.
    fn sign(&self, name: &str, alternative: &str, [from, until]: [&str; 2]) {
        std::fs::write(self.0.join("names"), format!("subjectAltName={alternative}")).expect("written");
        let (subject, out) = (format!("/CN={name}"), format!("{name}.pem"));
        assert!(self.with_key(name, &["req", "-subj", &subject, "-out", "request"]));
        let period = ["-startdate", from, "-enddate", until];
        let files = ["-in", "request", "-out", &out, "-cert", "ca.pem", "-keyfile", "ca.key", "-extfile", "names"];
        let how = ["ca", "-batch", "-notext", "-config", "ca.conf"];
        assert!(self.openssl(&[&how[..], &period, &files].concat()), "{name} is signed");
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }

    /// The lines of a broker that shows this certificate.
    fn shows(&self, name: &str) -> String {
        let [cert, key] = [".pem", ".key"].map(|end| self.path(&format!("{name}{end}")));
        format!("allow_anonymous true\nuser root\ncertfile {cert}\nkeyfile {key}")
    }

    fn trusted(&self) -> TlsConfig {
        TlsConfig { ca_file: Some(self.0.join("ca.pem")), ..TlsConfig::default() }
    }

    /// With a certificate of ours.
    fn known(&self, name: &str) -> TlsConfig {
        let identity = (self.0.join(format!("{name}.pem")), self.0.join(format!("{name}.key")));
        TlsConfig { identity: Some(identity), ..self.trusted() }
    }
}

fn with(port: u16, version: MqttVersion, tls: TlsConfig) -> MqttConfig {
    to(BrokerConfig { tls: Some(tls), ..testing::broker(port, version) })
}

/// What is said of a connection that fails.
async fn refusal(port: u16, tls: TlsConfig) -> String {
    let line = Line::start(Some(with(port, MqttVersion::V5, tls)));
    line.until("refused", |c| c.failures(Failure::Tls) >= 1).await;
    let counters = line.finish().await;
    assert_eq!(counters.connects(), 0);
    counters.last_failure().expect("a reason").1
}

#[tokio::test]
async fn both_sides_show_certificates() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(authority) = Authority::new(dir.path(), "authority") else { return };
    authority.sign("broker", "IP:127.0.0.1", FOR_EVER);
    authority.sign("camera", "DNS:camera", FOR_EVER);
    authority.sign("stale", "DNS:stale", ["20200101000000Z", "20200102000000Z"]);
    let lines = format!("{}\ncafile {}\nrequire_certificate true", authority.shows("broker"), authority.path("ca.pem"));
    let Some(broker) = Mosquitto::start(dir.path(), &lines) else { return };
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let line = Line::start(Some(with(broker.port, version, authority.known("camera"))));
        line.until("connected with a certificate", Counters::connected).await;
        line.finish().await;
    }
    let told = refusal(broker.port, authority.trusted()).await;
    assert!(told.contains("cert_file and key_file"), "{told}");
    let told = refusal(broker.port, authority.known("stale")).await;
    assert!(told.contains("cert_file"), "{told}");
}

/// Each certificate that is not good has a report of its own.
#[tokio::test]
async fn bad_certificates_are_told_apart() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(authority) = Authority::new(dir.path(), "authority") else { return };
    authority.sign("expired", "IP:127.0.0.1", ["20200101000000Z", "20200102000000Z"]);
    authority.sign("early", "IP:127.0.0.1", ["20480101000000Z", "20490102000000Z"]);
    authority.sign("elsewhere", "DNS:broker.example", FOR_EVER);
    let trusted = authority.trusted();
    let others = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let Some(stranger) = Authority::new(others[0].path(), "stranger") else { return };
    let Some(namesake) = Authority::new(others[1].path(), "authority") else { return };
    for (name, trusted, part) in [
        ("expired", trusted.clone(), "has expired"),
        ("early", trusted.clone(), "not valid yet"),
        ("elsewhere", trusted.clone(), "for another name"),
        ("elsewhere", stranger.trusted(), "name its authority by ca_file"),
        ("elsewhere", namesake.trusted(), "another one of this name"),
        ("ca", trusted.clone(), "self-signed"),
    ] {
        let Some(broker) = Mosquitto::start(dir.path(), &authority.shows(name)) else { return };
        let told = refusal(broker.port, trusted).await;
        assert!(told.contains(part), "{name}: {told}");
    }
    let Some(broker) = Mosquitto::start(dir.path(), &authority.shows("elsewhere")) else { return };
    let named = TlsConfig { server_name: Some("broker.example".into()), ..trusted };
    let line = Line::start(Some(with(broker.port, MqttVersion::V5, named.clone())));
    line.until("connected by the certificate's name", Counters::connected).await;
    line.finish().await;
    let Some(plain) = Mosquitto::start(dir.path(), "allow_anonymous true") else { return };
    let line = Line::start(Some(with(plain.port, MqttVersion::V5, named)));
    line.until("no TLS there", |c| c.failures(Failure::Tls) + c.failures(Failure::Unreachable) >= 1).await;
    line.finish().await;
}

/// New files are taken while the connection holds: it is left in order, so that nobody hears of an end, and made again.
#[tokio::test]
async fn a_new_certificate_is_taken_without_a_word() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(authority) = Authority::new(dir.path(), "authority") else { return };
    for name in ["broker", "old", "new"] {
        authority.sign(name, "IP:127.0.0.1", FOR_EVER);
    }
    std::fs::copy(dir.path().join("old.pem"), dir.path().join("ours.pem")).expect("copied");
    std::fs::copy(dir.path().join("old.key"), dir.path().join("ours.key")).expect("copied");
    // Who shows the old one may speak of the device alone.
    let rules =
        "user old\ntopic readwrite egret/box1/status\nuser new\ntopic readwrite egret/#\nuser broker\ntopic read egret/#\n";
    std::fs::write(dir.path().join("rules"), rules).expect("written");
    let lines = format!(
        "{}\ncafile {}\nrequire_certificate true\nuse_identity_as_username true\nacl_file {}",
        authority.shows("broker"),
        authority.path("ca.pem"),
        authority.path("rules"),
    );
    let Some(broker) = Mosquitto::start(dir.path(), &lines) else { return };
    let mut heard = listening(broker.port, authority.known("broker")).await;
    let line = Line::start(Some(with(broker.port, MqttVersion::V5, authority.known("ours"))));
    line.until("connected", Counters::connected).await;
    let door = StreamId::new(1, "door");
    let end = |number| {
        let mut tracked = frame(&door, number);
        tracked.tracks[0].phase = TrackPhase::End;
        tracked
    };
    line.send(vec![end(0)]).await;
    line.until("refused to the old one", |c| c.dropped(Family::Track, DropReason::Refused) == 1).await;
    std::fs::rename(dir.path().join("new.key"), dir.path().join("ours.key")).expect("renamed");
    std::fs::rename(dir.path().join("new.pem"), dir.path().join("ours.pem")).expect("renamed");
    line.until("connected anew", |c| c.connects() == 2 && c.connected()).await;
    line.send(vec![end(1)]).await;
    line.until("taken from the new one", |c| c.published(Family::Track) == 1).await;
    let counters = line.finish().await;
    assert_eq!(Failure::ALL.map(|failure| counters.failures(failure)).iter().sum::<u64>(), 0);
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "shutdown") {
        let message = timeout(PATIENCE, heard.recv()).await.expect("in time").expect("connected");
        if message.topic == "egret/box1/status" {
            told.push(message.json()["reason"].as_str().expect("a word").to_owned());
        }
    }
    assert_eq!(told, ["started", "reconnected", "shutdown"], "no end between the two");
}

/// What is said, over TLS.
async fn listening(port: u16, tls: TlsConfig) -> tokio::sync::mpsc::Receiver<Heard> {
    let broker = BrokerConfig { tls: Some(tls), ..testing::broker(port, MqttVersion::V311) };
    let mut subscription = Subscription::new(&broker, &["egret/#".to_owned()]).unwrap_or_else(|lost| panic!("{lost}"));
    let taken = timeout(PATIENCE, subscription.next()).await.expect("in time");
    assert!(taken.is_ok_and(|taken| taken.is_none()));
    let (out, heard) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok(Some(message)) = subscription.next().await {
            let text = String::from_utf8(message.payload).expect("UTF-8");
            if out.send(Heard { topic: message.topic, retained: message.retained, text }).await.is_err() {
                return;
            }
        }
    });
    heard
}

/// A server that shows this certificate and takes AWS' protocol.
fn asking(authority: &Authority<'_>, name: &str) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(authority.path(&format!("{name}.pem"))).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(authority.path(&format!("{name}.key"))).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a server");
    server.alpn_protocols = vec![b"x-amzn-mqtt-ca".to_vec()];
    Arc::new(server)
}

/// Whoever listens finds the broker as the daemon does: by another name than the URL's, with a certificate, and with a protocol.
#[tokio::test]
async fn who_listens_says_the_configured_name_and_protocol() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(authority) = Authority::new(dir.path(), "authority") else { return };
    authority.sign("broker.example", "DNS:broker.example", FOR_EVER);
    authority.sign("ours", "DNS:ours", FOR_EVER);
    let lines = format!("{}\ncafile {}\nrequire_certificate true", authority.shows("broker.example"), authority.path("ca.pem"));
    let Some(broker) = Mosquitto::start(dir.path(), &lines) else { return };
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let subscribe = async |server_name: Option<&str>| {
            let tls = TlsConfig { server_name: server_name.map(str::to_owned), ..authority.known("ours") };
            let config = BrokerConfig { tls: Some(tls), ..testing::broker(broker.port, version) };
            let mut subscription = Subscription::new(&config, &["egret/#".to_owned()]).expect("certificates");
            timeout(PATIENCE, subscription.next()).await.expect("in time").map(|taken| assert_eq!(taken, None))
        };
        subscribe(Some("broker.example")).await.expect("taken");
        let told = subscribe(None).await.expect_err("another name").to_string();
        assert!(told.contains("server_name"), "{told}");
    }
    // What is said in the handshake, to somebody who writes it down.
    let server = asking(&authority, "broker.example");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let alpn = vec!["x-amzn-mqtt-ca".to_owned()];
    let tls = TlsConfig { server_name: Some("broker.example".into()), alpn, ..authority.known("ours") };
    let config = BrokerConfig { tls: Some(tls), ..testing::broker(port, MqttVersion::V5) };
    let mut subscription = Subscription::new(&config, &["egret/#".to_owned()]).expect("certificates");
    let heard = async {
        let (socket, _) = listener.accept().await.expect("comes");
        let mut socket = TlsAcceptor::from(server).accept(socket).await.expect("a handshake");
        let mut first = [0; 1];
        socket.read_exact(&mut first).await.expect("a CONNECT");
        let (_, session) = socket.get_ref();
        (session.server_name().map(str::to_owned), session.alpn_protocol().map(<[u8]>::to_vec))
    };
    let heard = tokio::select! {
        heard = timeout(PATIENCE, heard) => heard.expect("in time"),
        lost = subscription.next() => panic!("{lost:?}"),
    };
    assert_eq!(heard, (Some("broker.example".into()), Some(b"x-amzn-mqtt-ca".to_vec())));
}

#[tokio::test]
async fn changes_of_files_are_seen_and_bad_ones_are_not_taken() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(authority) = Authority::new(dir.path(), "authority") else { return };
    authority.sign("one", "DNS:one", FOR_EVER);
    authority.sign("two", "DNS:two", FOR_EVER);
    let config = authority.known("one");
    let mut prepared = Prepared::load(&config).await.expect("good files");
    assert!(matches!(prepared.look(&config).await, Look::Same));
    std::fs::copy(dir.path().join("two.pem"), dir.path().join("one.pem")).expect("copied");
    let Look::Unusable(error) = prepared.look(&config).await else { panic!("the key is another one's") };
    assert!(matches!(prepared.look(&config).await, Look::Same), "it is said once");
    assert!(error.to_string().contains("one.key") && error.to_string().contains("do not go together"), "{error}");
    std::fs::copy(dir.path().join("two.key"), dir.path().join("one.key")).expect("copied");
    assert!(matches!(prepared.look(&config).await, Look::Changed));
    std::fs::remove_file(dir.path().join("ca.pem")).expect("removed");
    assert!(matches!(prepared.look(&config).await, Look::Unusable(_)));
}

/// The way to AWS IoT Core on port 443: its name and its protocol are asked for in the handshake.
#[tokio::test]
async fn the_server_is_told_its_name_and_the_protocol() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(authority) = Authority::new(dir.path(), "authority") else { return };
    authority.sign("broker", "DNS:iot.example", FOR_EVER);
    let server = asking(&authority, "broker");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = TlsAcceptor::from(server);
    let asked = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let (_, connection) = stream.get_ref();
            let asked = (connection.server_name().map(str::to_owned), connection.alpn_protocol().map(<[u8]>::to_vec));
            stream.write_all(&[0x20, 3, 0, 0, 0]).await.expect("CONNACK");
            stream.flush().await.expect("flushed");
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            return asked;
        }
    });
    let asking = |protocol: &str| TlsConfig {
        server_name: Some("iot.example".into()),
        alpn: vec![protocol.into()],
        ..authority.trusted()
    };
    let told = refusal(port, asking("h2")).await;
    assert!(told.contains("none of the protocols of alpn"), "{told}");
    let line = Line::start(Some(with(port, MqttVersion::V5, asking("x-amzn-mqtt-ca"))));
    line.until("connected", Counters::connected).await;
    line.task.abort();
    let asked = timeout(PATIENCE, asked).await.expect("in time").expect("no panic");
    assert_eq!(asked, (Some("iot.example".to_owned()), Some(b"x-amzn-mqtt-ca".to_vec())));
}

/// A second broker of another make: rumqttd, which is built here without TLS, behind an end of a tunnel that asks for certificates.
#[cfg(feature = "demo")]
mod embedded {
    use std::net::SocketAddr;

    use rustls::{RootCertStore, server::WebPkiClientVerifier};
    use tokio::net::TcpStream;

    use super::*;
    use crate::{demo::EmbeddedBroker, publish::testing::Subscriber};

    /// The end of the tunnel, and its port.
    async fn tunnel(authority: &Authority<'_>, to: SocketAddr) -> u16 {
        let chain = vec![CertificateDer::from_pem_file(authority.path("broker.pem")).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(authority.path("broker.key")).expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.path("ca.pem")).expect("an authority")).expect("good");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().expect("a verifier");
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .expect("a server");
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("a connection");
                let Ok(mut near) = acceptor.accept(socket).await else { continue };
                let mut far = TcpStream::connect(to).await.expect("the broker");
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
            }
        });
        port
    }

    #[tokio::test]
    async fn another_broker_hears_it_over_mutual_tls() {
        let dir = tempfile::tempdir().expect("a directory");
        let Some(authority) = Authority::new(dir.path(), "authority") else { return };
        authority.sign("broker", "IP:127.0.0.1", FOR_EVER);
        authority.sign("camera", "DNS:camera", FOR_EVER);
        for version in [MqttVersion::V5, MqttVersion::V311] {
            // One for each: rumqttd 0.20 panics when it hands a message with MQTT 5 properties to a subscriber of 3.1.1.
            let broker = EmbeddedBroker::start().await.expect("a broker");
            let address = if version == MqttVersion::V5 { broker.v5() } else { broker.v4() };
            let mut subscriber = Subscriber::connect_as(version, address.port()).await;
            let port = tunnel(&authority, address).await;
            let line = Line::start(Some(with(port, version, authority.known("camera"))));
            line.until("connected", Counters::connected).await;
            line.send((0..5).map(|number| frame(&StreamId::new(1, "door"), number)).collect()).await;
            line.until("delivered", |c| c.published(Family::Track) == 5 && c.published(Family::Frame) == 5).await;
            for number in 0..5 {
                let update = subscriber.until(|heard| heard.topic.contains("/track/")).await;
                assert_eq!(update.json()["seq"], number);
            }
            line.finish().await;
            let told = refusal(port, authority.trusted()).await;
            assert!(told.contains("cert_file and key_file"), "{told}");
        }
    }
}
