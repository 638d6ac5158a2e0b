//! Server-side TLS: the certificate of the server, the trust in client certificates, and refused
//! handshakes.

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
pub use any_server::AnyServer;
pub(crate) use certificate_fault::{CertificateFault, Presenter};
pub(crate) use peer_chain::{presented, presented_before};
pub(crate) use presented::PresentedCertificate;
pub(crate) use refusal::{Refusal, RefusalCode, observe};
pub use trust::{Trust, TrustError};

use crate::config::{ServerCertificate, Tls, TlsVersion};
use pingora::ErrorType::InternalError;
use pingora::OrErr as _;
use pingora::listeners::tls::{Acceptor, TlsSettings};
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
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
    settings_of(PresentedCertificate::of(identity), verifier, http2)
}

fn settings_of(
    presented: PresentedCertificate,
    verifier: Arc<dyn ClientCertVerifier>,
    http2: bool,
) -> pingora::Result<TlsSettings> {
    install_crypto_provider();
    let mut settings = TlsSettings::with_callbacks(Box::new(peer_chain::KeepChain))?;
    settings.set_cert_resolver(Arc::new(presented));
    settings.set_client_cert_verifier(verifier);
    if http2 {
        settings.enable_h2();
    }
    Ok(settings)
}

/// Creates the acceptor of this program's own listener.
///
/// It never resumes a session: Netdata Cloud keeps none, and a resumed session could outlive a
/// policy.
///
/// With files, it presents their certificate; with ACME, the one in `issued` at the time of a
/// handshake, so that a renewal changes nothing else.
pub(crate) fn acceptor(
    tls: &Tls,
    trust: Arc<Trust>,
    http2: bool,
    issued: &PresentedCertificate,
) -> pingora::Result<Acceptor> {
    let presented = match &tls.certificate {
        ServerCertificate::Files(certified) => PresentedCertificate::of(certified.clone()),
        ServerCertificate::Acme(_) => issued.clone(),
    };
    let mut acceptor = settings_of(presented.clone(), trust.clone(), http2)?.build();
    let config =
        server_config(tls, trust, http2, presented).or_err(InternalError, "the TLS settings")?;
    // Pingora's settings offer neither versions nor session storage; its acceptor takes any
    // configuration.
    acceptor.acceptor = Arc::new(config).into();
    Ok(acceptor)
}

fn server_config(
    tls: &Tls,
    trust: Arc<Trust>,
    http2: bool,
    presented: PresentedCertificate,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions(tls.min_version))?
        .with_client_cert_verifier(trust)
        .with_cert_resolver(Arc::new(presented));
    config.alpn_protocols = protocols(http2);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Returns the protocols that ALPN offers, the preferred one first.
fn protocols(http2: bool) -> Vec<Vec<u8>> {
    let protocols: &[&[u8]] = match http2 {
        true => &[b"h2", b"http/1.1"],
        false => &[b"http/1.1"],
    };
    protocols.iter().map(|name| name.to_vec()).collect()
}

/// The versions of TLS that are accepted, the preferred one first.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match oldest {
        TlsVersion::Tls12 => &VERSIONS,
        TlsVersion::Tls13 => &VERSIONS[..1],
    }
}
