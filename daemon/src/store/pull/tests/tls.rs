//! Over TLS, from a server whose authority is made here.

use std::{path::PathBuf, process::Command, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::*;

/// An authority, and a server that it signs for.
struct Authority {
    folder: TempDir,
}

impl Authority {
    /// `None`, said loudly, without OpenSSL's tool. `name`: whom the server's certificate is for.
    fn new(name: &str) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("names"), format!("subjectAltName={name}\nbasicConstraints=CA:FALSE\n")).expect("written");
        // Two authorities of one name would be told apart by their signatures alone.
        let subject = format!("/CN=authority {}", folder.path().file_name().unwrap_or_default().display());
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let run = |arguments: &[&str]| {
            let made = Command::new("openssl").args(arguments).current_dir(folder.path()).output();
            made.is_ok_and(|made| made.status.success())
        };
        let authority = ["req", "-x509", "-days", "2", "-subj", &subject, "-keyout", "ca.key", "-out", "ca.pem"];
        let request = ["req", "-subj", "/CN=server", "-keyout", "key.pem", "-out", "request.pem"];
        let signed = ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
        let made = run(&[&authority[..], &key].concat())
            && run(&[&request[..], &key].concat())
            && run(&[&signed[..], &["-extfile", "names", "-out", "cert.pem"]].concat());
        if !made {
            eprintln!("SKIPPED: openssl is not installed or makes no certificates");
        }
        made.then_some(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn serve(&self, content: &[u8]) -> Server {
        let chain = vec![CertificateDer::from_pem_file(self.path("cert.pem")).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(self.path("key.pem")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        Server::tls(content, Arc::new(config.expect("a configuration")))
    }

    /// A client that trusts this authority alone, through a proxy if there is one.
    fn trusted(&self, proxy: Option<String>) -> Network {
        let file = self.path("ca.pem").display().to_string();
        Network::new(&move |name| match name {
            "SSL_CERT_FILE" => Some(file.clone()),
            "https_proxy" => proxy.clone(),
            _ => None,
        })
    }
}

fn over_tls(server: &Server, host: &str) -> String {
    format!("https://{host}:{}/street.onnx", server.address().port())
}

#[test]
fn a_trusted_server_is_downloaded_from() {
    let Some(authority) = Authority::new("DNS:localhost,DNS:models.invalid") else { return };
    let bench = Bench::new();
    let server = authority.serve(&bench.content);
    let bench = Bench { network: authority.trusted(None), ..bench };
    bench.pull(&over_tls(&server, "localhost"), &bench.right()).expect("pulled");
    assert!(bench.is_stored());
    assert!(server.requests()[0].starts_with("GET /street.onnx"), "{:?}", server.requests());
    // The same through a proxy, which is only asked to connect.
    let proxy = server::Proxy::start(server.address());
    let bench = Bench { network: authority.trusted(Some(proxy.url())), ..Bench::new() };
    bench.pull("https://models.invalid/street.onnx", &bench.right()).expect("pulled");
    assert!(bench.is_stored());
    assert_eq!(proxy.asked(), ["models.invalid:443"]);
}

#[test]
fn who_cannot_be_trusted_is_not_downloaded_from() {
    let (Some(authority), Some(other)) = (Authority::new("DNS:localhost"), Authority::new("DNS:localhost")) else { return };
    let bench = Bench::new();
    let server = authority.serve(&bench.content);
    let url = over_tls(&server, "localhost");
    let refused = |network: Network, url: &str| {
        let bench = Bench { network, ..Bench::new() };
        let error = refusal(bench.pull(url, "unknown"));
        assert!(bench.is_empty() && server.requests().is_empty(), "{error}");
        error
    };
    // Another authority; a name that the certificate is not for; authorities that are not there.
    let error = refused(other.trusted(None), &url);
    assert!(error.contains(&url) && error.contains("UnknownIssuer") && error.contains("SSL_CERT_FILE"), "{error}");
    let error = refused(authority.trusted(None), &over_tls(&server, "127.0.0.1"));
    assert!(error.contains("not valid for name") && error.contains("SSL_CERT_FILE"), "{error}");
    let missing = authority.path("missing.pem").display().to_string();
    let error = refused(Network::new(&|name| (name == "SSL_CERT_FILE").then(|| missing.clone())), &url);
    assert!(error.contains(&missing) && error.contains("no certificate authorities"), "{error}");
}
