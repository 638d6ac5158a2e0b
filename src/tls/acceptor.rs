//! The acceptor of this program's own listener.

use super::{PresentedCertificate, Trust, install_crypto_provider};
use crate::config::{ServerCertificate, Tls, TlsVersion};
use pingora::ErrorType::InternalError;
use pingora::OrErr as _;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Creates the acceptor of this program's own listener.
///
/// It is not Pingora's, which offers neither versions nor session storage, and keeps 4 KiB more for
/// each connection: the handshake that is over, and copies of the client's chain.
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
) -> pingora::Result<TlsAcceptor> {
    install_crypto_provider();
    let presented = match &tls.certificate {
        ServerCertificate::Files(certified) => PresentedCertificate::of(certified.clone()),
        ServerCertificate::Acme(_) => issued.clone(),
    };
    let config = server_config(tls, trust, http2, presented);
    let config = config.or_err(InternalError, "the TLS settings")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
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
