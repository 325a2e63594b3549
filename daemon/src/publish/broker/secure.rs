//! TLS of a broker's connections, from files that may change.

use std::sync::Arc;

use rustls::{ClientConfig, pki_types::ServerName};

use super::{
    super::tls::{self, Look, Prepared, TlsError},
    Broker,
};

/// What a connection is secured with, and the name that the broker has to have.
type Secured = (Arc<ClientConfig>, ServerName<'static>);

impl Broker {
    /// TLS from the files as they are now.
    pub(super) async fn secure(&mut self) -> Result<Option<Secured>, TlsError> {
        let Some(config) = &self.way.now().tls else { return Ok(None) };
        let name = tls::server_name(config, &self.way.now().host)?;
        let prepared = self.tls.insert(Prepared::load(config).await?);
        Ok(Some((prepared.client.clone(), name)))
    }

    /// Whether the files of TLS have changed, and can be used.
    pub(super) async fn is_outdated(&mut self) -> bool {
        let (Some(config), Some(prepared)) = (&self.way.now().tls, &mut self.tls) else { return false };
        let broker = &self.way.now().name;
        match prepared.look(config).await {
            Look::Same => return false,
            Look::Changed => {
                tracing::info!(broker, "certificates have changed: connecting anew with them");
                return true;
            }
            Look::Unusable(error) => {
                tracing::warn!(broker, %error, "certificates have changed and cannot be used: the connection stays as it is");
            }
        }
        false
    }
}
