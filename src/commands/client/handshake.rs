//! Connections as Netdata Cloud makes them, which verify the server's certificate.

use super::WebhookTarget;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Returns a TLS configuration that trusts servers of `authorities` and presents `identity`.
///
/// The certificate is presented whichever authorities the server names, so that its refusal has a
/// reason. Every connection makes a full handshake: Netdata Cloud's client keeps no sessions.
pub(crate) fn client_config(
    authorities: &[CertificateDer<'static>],
    identity: Option<Arc<CertifiedKey>>,
) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(authorities)?);
    let mut config = match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    Ok(roots)
}

/// Opens a TCP connection, and sends a PROXY protocol header if the target needs one.
pub(crate) async fn dial(target: &WebhookTarget, address: SocketAddr) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    if target.proxy_protocol {
        socket.write_all(b"PROXY UNKNOWN\r\n").await?;
    }
    Ok(socket)
}

/// Makes a TLS handshake with a server, whose certificate must be for `name`.
pub(crate) async fn tls_handshake(
    socket: TcpStream,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config).connect(name, socket).await
}
