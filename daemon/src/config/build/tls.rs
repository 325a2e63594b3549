//! TLS towards a broker: whom it trusts, and what it shows of itself.

use std::path::PathBuf;

use super::{Surroundings, login};
use crate::{
    config::{TlsConfig, ledger::Ledger},
    publish,
};

/// Longest protocol name of ALPN (RFC 7301, §3.1).
const LONGEST_PROTOCOL: usize = 255;

/// What was typed about TLS, all of it in one table.
pub(super) struct Typed {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) key_credential: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) alpn: Option<Vec<String>>,
}

impl Typed {
    /// Checks all of it. `tls`: whether the URL asks for it.
    pub(super) fn build(self, table: &str, tls: bool, ledger: &mut Ledger, around: &Surroundings<'_>) -> Option<TlsConfig> {
        let key = |key: &str| format!("{table}.{key}");
        if !tls {
            for name in ["ca_file", "cert_file", "key_file", "key_credential", "server_name", "alpn"] {
                if ledger.is_set(&key(name)) {
                    let remedy = format!("write mqtts:// in {}, or remove it", key("url"));
                    ledger.problem(&key(name), "it means nothing without TLS", remedy);
                }
            }
            return None;
        }
        if !around.settled {
            login::check_ca(&key("ca_file"), self.ca_file.as_deref(), ledger);
        }
        for protocol in self.alpn.iter().flatten().filter(|protocol| protocol.len() > LONGEST_PROTOCOL) {
            let reason = format!("a protocol of {} bytes; at most {LONGEST_PROTOCOL} are possible", protocol.len());
            ledger.problem(&key("alpn"), reason, "write e.g. [\"mqtt\"]");
        }
        if let Some(name) = &self.server_name
            && !publish::is_server_name(name)
        {
            ledger.problem(
                &key("server_name"),
                "no certificate is for such a name",
                "write a host's name, e.g. \"broker.example.com\"",
            );
        }
        let identity = self.identity(table, ledger, around);
        let Self { ca_file, server_name, alpn, .. } = self;
        Some(TlsConfig { ca_file, identity, server_name, alpn: alpn.unwrap_or_default() })
    }

    /// Our certificate and key, which have to go together.
    fn identity(&self, table: &str, ledger: &mut Ledger, around: &Surroundings<'_>) -> Option<(PathBuf, PathBuf)> {
        let key = |key: &str| format!("{table}.{key}");
        let remedy = "write cert_file, and key_file or key_credential";
        let private = match (&self.key_file, &self.key_credential) {
            (Some(_), Some(_)) => {
                ledger.problem(&key("key_credential"), "key_file is given too", "keep one of them");
                return None;
            }
            (Some(file), None) => {
                login::advise_mode(file, &key("key_file"), ledger);
                Some((file.clone(), "key_file"))
            }
            (None, Some(name)) => Some((login::credential(&key("key_credential"), name, ledger, around)?, "key_credential")),
            (None, None) => None,
        };
        let (certificate, (private, private_key)) = match (&self.cert_file, private) {
            (None, None) => return None,
            (Some(_), None) => {
                ledger.missing(table, &key("key_file"), "the private key of cert_file is missing", remedy);
                return None;
            }
            (None, Some((_, given))) => {
                ledger.missing(table, &key("cert_file"), format!("the certificate of {given} is missing"), remedy);
                return None;
            }
            (Some(certificate), Some(private)) => (certificate.clone(), private),
        };
        let alone = TlsConfig { identity: Some((certificate.clone(), private.clone())), ..TlsConfig::default() };
        if let Some((of_key, reason)) = (!around.settled).then(|| publish::check_identity(&alone)).and_then(Result::err) {
            let at = if of_key { private_key } else { "cert_file" };
            let remedy = "name PEM files: our certificate, with those between it and the authority, and its private key";
            ledger.problem(&key(at), reason, remedy);
        }
        Some((certificate, private))
    }
}
