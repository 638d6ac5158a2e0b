//! Connects as Netdata Cloud does, and looks at whom it talks to.

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

/// TLS with servers whose certificate one of `authorities` issued, as who has `identity`.
///
/// The certificate is presented whatever the server asks for, so that its refusal says why. Every
/// connection is a full handshake: Netdata Cloud's sender keeps no sessions.
pub(crate) fn client_config(
    authorities: &[CertificateDer<'static>],
    identity: Option<Arc<CertifiedKey>>,
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A connection on which nothing has been said yet.
pub(crate) async fn dial(place: &WebhookTarget, address: SocketAddr) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    if place.proxy_protocol {
        socket.write_all(b"PROXY UNKNOWN\r\n").await?;
    }
    Ok(socket)
}

/// Speaks TLS with a server that is to have this name.
pub(crate) async fn tls_handshake(
    socket: TcpStream,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config).connect(name, socket).await
}
