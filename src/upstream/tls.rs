//! How TLS is spoken with servers, in the form that Pingora takes it in.

use crate::config::UpstreamTls;
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use std::sync::Arc;

/// What the connections to the servers of an upstream have in common.
///
/// Pingora verifies a server if it has a name to verify. Here it always has: the one that is
/// configured, or the host.
pub(super) struct PeerTls {
    pub(super) authorities: Arc<CaType>,
    pub(super) identity: Option<Arc<CertKey>>,
    server_name: Option<String>,
}

impl PeerTls {
    /// What cannot be parsed has been refused with the configuration.
    pub(super) fn new(config: &UpstreamTls) -> Self {
        let parsed = |der: &[u8]| WrappedX509::new(der.to_vec(), parse_x509);
        let authorities: Vec<_> = config
            .authorities
            .iter()
            .map(|authority| parsed(authority))
            .collect();
        let identity = config.identity.as_ref().map(|identity| {
            let chain = identity
                .chain
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect();
            Arc::new(CertKey::new(chain, identity.key.secret_der().to_vec()))
        });
        Self {
            authorities: authorities.into(),
            identity,
            server_name: config.server_name.clone(),
        }
    }

    /// The name that is asked for, and that the certificate must have.
    pub(super) fn name_of(&self, host: &str) -> String {
        self.server_name.as_deref().unwrap_or(host).to_owned()
    }
}
