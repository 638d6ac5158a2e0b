//! The TLS settings of connections to upstream servers, as Pingora takes them.

use crate::config::{UpstreamIdentity, UpstreamTls};
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// The TLS settings of an upstream.
///
/// Pingora verifies a server only if it has a name to verify. Here there always is one: the
/// configured name, or the host.
pub(super) struct PeerTls {
    pub(super) authorities: Arc<CaType>,
    pub(super) identity: Option<Arc<CertKey>>,
    server_name: Option<String>,
}

impl PeerTls {
    /// Converts `config`, which has been validated: its certificates can be parsed.
    pub(super) fn new(config: &UpstreamTls) -> Self {
        let parsed = |der: &CertificateDer<'_>| WrappedX509::new(der.to_vec(), parse_x509);
        let authorities: Vec<_> = config.authorities.iter().map(parsed).collect();
        let identity = config.identity.as_deref();
        Self {
            authorities: authorities.into(),
            identity: identity.map(|identity| Arc::new(cert_key(identity))),
            server_name: config.server_name.clone(),
        }
    }

    /// Returns the name for SNI, which the certificate must have.
    pub(super) fn name_of(&self, host: &str) -> String {
        self.server_name.as_deref().unwrap_or(host).to_owned()
    }
}

fn cert_key(identity: &UpstreamIdentity) -> CertKey {
    let chain = identity.chain.iter().map(|der| der.to_vec()).collect();
    CertKey::new(chain, identity.key.secret_der().to_vec())
}
