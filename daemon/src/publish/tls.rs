//! TLS towards a broker: rustls with ring, the certificate always verified.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::config::TlsConfig;

/// Why no TLS connection can be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read the authorities in {path}: {reason}")]
    CaFile { path: PathBuf, reason: String },
    #[error("no authority in {path}")]
    NoCertificate { path: PathBuf },
    #[error("the system's store holds no authority: {reason}")]
    SystemStore { reason: String },
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The authorities of the file, or of the system.
pub(crate) fn client_config(config: &TlsConfig) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.ca_file {
        let unreadable =
            |error: rustls::pki_types::pem::Error| TlsError::CaFile { path: path.clone(), reason: error.to_string() };
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            roots.add(certificate.map_err(unreadable)?)?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate { path: path.clone() });
        }
    } else {
        let native = rustls_native_certs::load_native_certs();
        // Distributions ship the odd certificate that rustls does not take; the others serve.
        roots.add_parsable_certificates(native.certs);
        if roots.is_empty() {
            let reason = native.errors.first().map_or_else(|| "it is empty".to_owned(), ToString::to_string);
            return Err(TlsError::SystemStore { reason });
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_holds_no_certificate_is_named() {
        let missing = TlsConfig { ca_file: Some("/nonexistent/ca.pem".into()) };
        assert!(client_config(&missing).is_err_and(|e| e.to_string().contains("/nonexistent/ca.pem")));
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "no certificate\n").expect("written");
        let empty = TlsConfig { ca_file: Some(file.path().to_owned()) };
        assert!(matches!(client_config(&empty), Err(TlsError::NoCertificate { .. })));
    }
}
