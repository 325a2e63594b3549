//! TLS towards a broker: rustls with ring, the certificate always verified, our own shown where one is configured.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

use super::{counters::Failure, packet::LinkError};
use crate::{
    config::TlsConfig,
    file::{self, Unread},
};

/// Largest file of certificates or keys. A system's whole store has a quarter of it.
const LARGEST: u64 = 1 << 20;

/// Why no TLS connection can be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read the authorities in {path}: {reason}")]
    CaFile { path: PathBuf, reason: String },
    #[error("no authority in {path}")]
    NoCertificate { path: PathBuf },
    #[error("the system's store holds no authority: {reason}")]
    SystemStore { reason: String },
    #[error("cannot read our certificate in {path}: {reason}")]
    CertFile { path: PathBuf, reason: String },
    #[error("cannot read our private key in {path}: {reason}")]
    KeyFile { path: PathBuf, reason: String },
    #[error("our certificate in {cert} and our private key in {key} do not go together: {reason}")]
    Identity { cert: PathBuf, key: PathBuf, reason: String },
    #[error("{0:?} is no name that a certificate could be for")]
    ServerName(String),
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Files {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    file::read(path, LARGEST).map_err(|unread| match unread {
        Unread::Io(error) => error.to_string(),
        Unread::TooLarge(bytes) => format!("{bytes} bytes are more than such a file has"),
    })
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let ca =
            config.ca_file.as_ref().map(|path| bytes(path).map_err(|reason| TlsError::CaFile { path: path.clone(), reason }));
        let identity = config.identity.as_ref().map(|(cert, key)| {
            let certificate = bytes(cert).map_err(|reason| TlsError::CertFile { path: cert.clone(), reason })?;
            let private = bytes(key).map_err(|reason| TlsError::KeyFile { path: key.clone(), reason })?;
            Ok::<_, TlsError>((certificate, private))
        });
        Ok(Self { ca: ca.transpose()?, identity: identity.transpose()? })
    }

    /// The authorities of the file, or of the system; our own certificate, if there is one.
    fn client_config(&self, config: &TlsConfig) -> Result<ClientConfig, TlsError> {
        let roots = match (&config.ca_file, &self.ca) {
            (Some(path), Some(pem)) => authorities(path, pem)?,
            _ => system_authorities()?,
        };
        self.client(config, roots)
    }

    fn client(&self, config: &TlsConfig, roots: RootCertStore) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let mut client = match (&config.identity, &self.identity) {
            (Some((cert, key)), Some((certificates, private))) => {
                let (chain, private) = identity((cert, certificates), (key, private))?;
                let apart =
                    |error: rustls::Error| TlsError::Identity { cert: cert.clone(), key: key.clone(), reason: error.to_string() };
                builder.with_client_auth_cert(chain, private).map_err(apart)?
            }
            _ => builder.with_no_client_auth(),
        };
        client.alpn_protocols = config.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(client)
    }
}

fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let unreadable = |error: rustls::pki_types::pem::Error| TlsError::CaFile { path: path.to_owned(), reason: error.to_string() };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    if roots.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(roots) }
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    // Distributions ship the odd certificate that rustls does not take; the others serve.
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        let reason = native.errors.first().map_or_else(|| "it is empty".to_owned(), ToString::to_string);
        return Err(TlsError::SystemStore { reason });
    }
    Ok(roots)
}

/// Our certificate with its chain, and its key.
fn identity(
    (cert, certificates): (&Path, &[u8]),
    (key, private): (&Path, &[u8]),
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let unreadable = |reason: String| TlsError::CertFile { path: cert.to_owned(), reason };
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(certificates).collect::<Result<_, _>>().map_err(|error| unreadable(error.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable("it holds no PEM certificate".into()));
    }
    let no_key = |error: rustls::pki_types::pem::Error| TlsError::KeyFile { path: key.to_owned(), reason: error.to_string() };
    Ok((chain, PrivateKeyDer::from_pem_slice(private).map_err(no_key)?))
}

/// TLS as it is configured, from the files as they are now.
pub(crate) fn client_config(config: &TlsConfig) -> Result<Arc<ClientConfig>, TlsError> {
    Files::read(config)?.client_config(config).map(Arc::new)
}

/// Whether our certificate and key can be read and go together. What cannot, and whether that is the key.
pub(crate) fn check_identity(config: &TlsConfig) -> Result<(), (bool, String)> {
    let check = || {
        let files = Files::read(&TlsConfig { ca_file: None, ..config.clone() })?;
        files.client(config, RootCertStore::empty()).map(drop)
    };
    check().map_err(|error: TlsError| (matches!(error, TlsError::KeyFile { .. }), error.to_string()))
}

/// Whether a certificate can be for such a name.
pub(crate) fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// TLS from files whose contents are remembered, so that a change is noticed.
pub(super) struct Prepared {
    files: Files,
    pub(super) client: Arc<ClientConfig>,
    /// Why what the files hold now cannot be used, as it was said.
    said: Option<String>,
}

/// What has become of the files.
pub(super) enum Look {
    Same,
    Changed,
    /// They cannot be used as they are: perhaps somebody is still writing them.
    Unusable(TlsError),
}

impl Prepared {
    /// From the files as they are. The disk is asked on another thread.
    pub(super) async fn load(config: &TlsConfig) -> Result<Self, TlsError> {
        let config = config.clone();
        elsewhere(move || {
            let files = Files::read(&config)?;
            let client = Arc::new(files.client_config(&config)?);
            Ok(Self { files, client, said: None })
        })
        .await
    }

    /// Looks at the files again; says of each fault only once that they cannot be used. A store of the system's is not looked at: each new connection
    /// reads it.
    pub(super) async fn look(&mut self, config: &TlsConfig) -> Look {
        if config.ca_file.is_none() && config.identity.is_none() {
            return Look::Same;
        }
        let now = config.clone();
        let look = match elsewhere(move || Files::read(&now)).await {
            Ok(files) if files == self.files => Look::Same,
            Ok(_) => Self::load(config).await.map_or_else(Look::Unusable, |_| Look::Changed),
            Err(error) => Look::Unusable(error),
        };
        let fault = if let Look::Unusable(error) = &look { Some(error.to_string()) } else { None };
        let known = fault.is_some() && fault == self.said;
        self.said = fault;
        if known { Look::Same } else { look }
    }
}

async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> Result<T, TlsError> + Send + 'static) -> Result<T, TlsError> {
    let ended = |error: tokio::task::JoinError| TlsError::SystemStore { reason: error.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

/// The name that the broker's certificate has to be for.
pub(super) fn server_name(config: &TlsConfig, host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = config.server_name.as_deref().unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}

/// What broke a connection: TLS, whose faults rustls tells as it goes, or else what is `otherwise`.
pub(super) fn broken(error: io::Error, otherwise: Failure) -> LinkError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(fault) => LinkError::new(Failure::Tls, explain(fault)),
        None => LinkError::new(otherwise, error),
    }
}

/// A fault of TLS with what to do about it.
fn explain(fault: &rustls::Error) -> String {
    use rustls::Error as E;
    let remedy = match fault {
        E::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the broker's certificate has expired: it has to be renewed there; or this machine's clock is wrong"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the broker's certificate is not valid yet: most likely this machine's clock is wrong"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the broker's certificate is for another name: connect by a name that it has, or name one by server_name"
            }
            CertificateError::UnknownIssuer => {
                "nobody who is trusted has signed the broker's certificate: name its authority by ca_file"
            }
            CertificateError::BadSignature => {
                "the broker's certificate is not signed by the authority of ca_file, but by another one of this name"
            }
            CertificateError::Revoked => "the broker's certificate has been revoked",
            // webpki's own word for it has no variant here.
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                "the broker shows an authority's own certificate (self-signed): give it one that the authority has signed"
            }
            _ => "the broker's certificate cannot be used",
        },
        E::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => "the broker asks for a certificate of ours: set cert_file and key_file",
            AlertDescription::CertificateExpired => "the broker says that our certificate (cert_file) has expired",
            AlertDescription::CertificateRevoked => "the broker says that our certificate (cert_file) was revoked",
            AlertDescription::UnknownCA => "the broker does not know who has signed our certificate (cert_file)",
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => "the broker does not take our certificate (cert_file)",
            AlertDescription::NoApplicationProtocol => "the broker speaks none of the protocols of alpn",
            AlertDescription::UnrecognisedName => "the broker knows no server of this name (server_name, or the URL's host)",
            AlertDescription::ProtocolVersion => "the broker speaks neither TLS 1.2 nor 1.3",
            AlertDescription::HandshakeFailure => {
                "the broker refuses the handshake: no common cipher, or it asks for a certificate of ours (cert_file)"
            }
            _ => "the broker ended the TLS connection",
        },
        E::InvalidMessage(_) => "what answers does not speak TLS: is this the TLS port?",
        _ => return fault.to_string(),
    };
    format!("{remedy} ({fault})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_holds_no_certificate_is_named() {
        let missing = TlsConfig { ca_file: Some("/nonexistent/ca.pem".into()), ..TlsConfig::default() };
        assert!(client_config(&missing).is_err_and(|e| e.to_string().contains("/nonexistent/ca.pem")));
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "no certificate\n").expect("written");
        let empty = TlsConfig { ca_file: Some(file.path().to_owned()), ..TlsConfig::default() };
        assert!(matches!(client_config(&empty), Err(TlsError::NoCertificate { .. })));
        let identity = |cert: &Path, key: &Path| TlsConfig { identity: Some((cert.into(), key.into())), ..TlsConfig::default() };
        let nowhere = Path::new("/nonexistent/key.pem");
        assert!(matches!(client_config(&identity(nowhere, nowhere)), Err(TlsError::CertFile { .. })));
        assert!(matches!(client_config(&identity(file.path(), nowhere)), Err(TlsError::KeyFile { .. })));
        let told = client_config(&identity(file.path(), file.path())).expect_err("no certificate").to_string();
        assert!(told.contains("no PEM certificate") && told.contains(&file.path().display().to_string()), "{told}");
        std::fs::write(file.path(), vec![b'x'; 2 << 20]).expect("written");
        assert!(client_config(&empty).is_err_and(|error| error.to_string().contains("2097152 bytes")));
    }

    #[test]
    fn the_name_of_the_certificate_is_the_hosts_or_another() {
        let of = |name: Option<&str>, host| {
            server_name(&TlsConfig { server_name: name.map(str::to_owned), ..TlsConfig::default() }, host)
                .map(|n| n.to_str().into_owned())
        };
        assert_eq!(of(None, "broker.local").ok().as_deref(), Some("broker.local"));
        assert_eq!(of(None, "10.0.0.7").ok().as_deref(), Some("10.0.0.7"));
        assert_eq!(of(Some("broker.example"), "10.0.0.7").ok().as_deref(), Some("broker.example"));
        assert!(of(Some("bro ker"), "x").is_err_and(|error| error.to_string().contains("bro ker")));
    }

    #[test]
    fn faults_say_what_to_do() {
        for (fault, part) in [
            (rustls::Error::InvalidCertificate(CertificateError::Expired), "has expired"),
            (rustls::Error::InvalidCertificate(CertificateError::NotValidYet), "clock is wrong"),
            (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), "ca_file"),
            (rustls::Error::InvalidCertificate(CertificateError::NotValidForName), "server_name"),
            (rustls::Error::AlertReceived(AlertDescription::CertificateRequired), "cert_file and key_file"),
            (rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol), "alpn"),
        ] {
            let link = broken(io::Error::new(io::ErrorKind::InvalidData, fault.clone()), Failure::Closed);
            assert!(link.failure == Failure::Tls && link.detail.contains(part), "{fault:?}: {link}");
        }
        let closed = broken(io::ErrorKind::ConnectionReset.into(), Failure::Closed);
        assert_eq!(closed.failure, Failure::Closed);
    }
}
