//! What a connection knows about its client: the chain it presented, kept to be judged for each request.

use super::Trust;
use crate::auth::Presented;
use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::protocols::Digest;
use pingora::protocols::tls::TlsRef;
use rustls::pki_types::CertificateDer;
use std::any::Any;
use std::sync::Arc;

/// The chain as the client presented it, leaf first.
struct PresentedChain(Vec<CertificateDer<'static>>);

/// Keeps the client's chain with its connection, after full and resumed handshakes alike.
pub(super) struct KeepChain;

#[async_trait]
impl TlsAccept for KeepChain {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let chain = tls.peer_cert_chain_der()?.to_vec();
        Some(Arc::new(PresentedChain(chain)))
    }
}

/// What the client of a connection presented, judged against the trust of now and not of the handshake: a session or
/// a connection outlives certificates, and a policy that changed.
pub fn presented(digest: Option<&Digest>, trust: &Trust) -> Presented {
    let chain = digest.and_then(|digest| digest.ssl_digest.as_ref()?.extension.get::<PresentedChain>());
    chain.map_or(Presented::Nothing, |chain| trust.judge(&chain.0))
}
