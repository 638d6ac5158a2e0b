//! Server-side TLS: the certificate of the server, the trust in client certificates, and refused
//! handshakes.

#[cfg(feature = "server")]
mod acceptor;
#[cfg(feature = "server")]
pub(crate) mod acme;
#[cfg(feature = "server")]
mod any_server;
mod certificate_fault;
mod distrust;
mod memory;
mod path;
mod peer_chain;
mod presented;
mod pss_key;
mod reach;
mod refusal;
mod trust;

#[cfg(feature = "server")]
pub(crate) use acceptor::acceptor;
#[cfg(feature = "server")]
pub use any_server::AnyServer;
pub(crate) use certificate_fault::{CertificateFault, Presenter};
pub(crate) use peer_chain::PresentedChain;
pub(crate) use presented::PresentedCertificate;
pub(crate) use refusal::{Refusal, RefusalCode, observe};
pub use trust::{Trust, TrustError};

use pingora::listeners::tls::TlsSettings;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Installs aws-lc-rs as the crypto provider of the process. Otherwise Pingora would install ring.
pub(crate) fn install_crypto_provider() {
    // Ignore the error: a provider is installed already.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Creates settings that serve `identity` and keep the client's chain with its connection.
///
/// A listener with these settings resumes sessions, which is safe: the client certificate is
/// evaluated again for each request.
pub(crate) fn settings(
    identity: Arc<CertifiedKey>,
    verifier: Arc<dyn ClientCertVerifier>,
    http2: bool,
) -> pingora::Result<TlsSettings> {
    install_crypto_provider();
    let mut settings = TlsSettings::with_callbacks(Box::new(peer_chain::KeepChain))?;
    settings.set_cert_resolver(Arc::new(PresentedCertificate::of(identity)));
    settings.set_client_cert_verifier(verifier);
    if http2 {
        settings.enable_h2();
    }
    Ok(settings)
}
