//! Opens connections to upstream servers.

use super::tls::PeerTls;
use crate::config::{Endpoint, Upstream as UpstreamConfig};
use crate::tls::install_crypto_provider;
use pingora::ErrorType;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::upstreams::peer::{HttpPeer, Scheme};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::NamedTempFile;
use thiserror::Error;

/// Connects to all upstream servers. Its own pool stays empty: see
/// [`exchange`](crate::upstream::exchange).
static CONNECTOR: OnceLock<TransportConnector> = OnceLock::new();

/// A file that is empty on every system.
const EMPTY_FILE: &str = "/dev/null";

/// The reason why a connection cannot be opened.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// The connection was refused, or the certificate of the server is not accepted.
    #[error("{0}")]
    Refused(String),
    /// The connection was not established in time.
    #[error("{0}")]
    Timeout(String),
}

/// Creates the connector, unless it exists.
///
/// # Errors
/// Returns an error if no file can be read as the system's authorities: Pingora would panic.
pub(crate) fn make_connector() -> io::Result<()> {
    if CONNECTOR.get().is_some() {
        return Ok(());
    }
    install_crypto_provider();
    // Pingora reads the system's authorities and panics if it cannot, unless it has another file.
    // It gets an empty one: each server has its own list of trusted authorities.
    let connector = match File::open(EMPTY_FILE) {
        Ok(_) => connector_with(Path::new(EMPTY_FILE))?,
        // In a root directory of its own there may be no devices.
        Err(_) => connector_with(NamedTempFile::new()?.path())?,
    };
    // Ignore the error: another thread has created an equal connector.
    let _ = CONNECTOR.set(connector);
    Ok(())
}

fn connector_with(authorities: &Path) -> io::Result<TransportConnector> {
    let authorities = authorities
        .to_str()
        .ok_or_else(|| io::Error::other("the path of the temporary directory is not UTF-8"))?;
    Ok(TransportConnector::new(Some(ConnectorOptions {
        ca_file: Some(authorities.to_owned()),
        ..ConnectorOptions::new(1)
    })))
}

fn connector() -> io::Result<&'static TransportConnector> {
    make_connector()?;
    Ok(CONNECTOR.get().expect("the connector has been created"))
}

/// Opens a connection to `peer`, with a TLS handshake if its scheme is HTTPS.
pub(super) async fn open(peer: &HttpPeer) -> Result<Stream, ConnectError> {
    let connector = connector().map_err(|error| ConnectError::Refused(error.to_string()))?;
    Ok(connector.new_stream(peer).await?)
}

impl From<Box<pingora::Error>> for ConnectError {
    fn from(error: Box<pingora::Error>) -> Self {
        let message = format!("cannot connect: {}", describe(&error));
        match error.etype() {
            ErrorType::ConnectTimedout => Self::Timeout(message),
            _ => Self::Refused(message),
        }
    }
}

/// Returns the reason alone. Pingora says it at the end of a chain of contexts.
fn describe(error: &pingora::Error) -> String {
    match error.etype() {
        ErrorType::ConnectTimedout => "the server did not respond within connect_timeout".into(),
        ErrorType::ConnectRefused => "the server refuses connections".into(),
        ErrorType::ConnectNoRoute => "there is no route to the server".into(),
        ErrorType::TLSHandshakeFailure => describe_handshake(&error.to_string()),
        _ => match error.root_cause().downcast_ref::<io::Error>() {
            Some(cause) => describe_io(cause),
            None => error.root_cause().to_string(),
        },
    }
}

/// Returns the reason of a failed handshake, which is that of rustls within the chain.
fn describe_handshake(chain: &str) -> String {
    let reason = match chain.rsplit_once("tls connect error cause: ") {
        Some((_, reason)) => reason,
        None => chain.trim(),
    };
    let end = [", SNI: ", " cause: "]
        .into_iter()
        .filter_map(|next| reason.find(next));
    let reason = &reason[..end.min().unwrap_or(reason.len())];
    match reason.strip_prefix("invalid peer certificate: ") {
        Some("UnknownIssuer") => {
            "the server's certificate was not issued by a trusted authority".into()
        }
        Some(fault) => format!("the server's certificate is not accepted: {fault}"),
        None => format!("the TLS handshake failed: {reason}"),
    }
}

/// Describes an error of the system without its number.
pub(super) fn describe_io(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

/// Describes `endpoint` at `address` to Pingora.
pub(super) fn peer(
    endpoint: &Endpoint,
    address: &SocketAddr,
    config: &UpstreamConfig,
    tls: Option<&PeerTls>,
) -> HttpPeer {
    let mut peer = HttpPeer::new((Ipv4Addr::UNSPECIFIED, 0), false, String::new());
    peer._address = address.clone();
    peer.options.connection_timeout = Some(config.connect_timeout);
    peer.options.total_connection_timeout = Some(config.connect_timeout);
    let tls = tls.filter(|_| endpoint.is_tls());
    if let (Endpoint::Tcp { host, .. }, Some(tls)) = (endpoint, tls) {
        secure(&mut peer, host, tls);
    }
    peer
}

fn secure(peer: &mut HttpPeer, host: &str, tls: &PeerTls) {
    peer.scheme = Scheme::HTTPS;
    peer.sni = tls.name_of(host);
    peer.client_cert_key = tls.identity.clone();
    peer.options.ca = Some(tls.authorities.clone());
}

/// Returns `peer` without TLS, for a probe that only opens the connection.
pub(super) fn without_tls(peer: &HttpPeer) -> HttpPeer {
    HttpPeer {
        scheme: Scheme::HTTP,
        ..peer.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_handshake_is_described_by_its_reason() {
        for (reason, expected) in [
            (
                "invalid peer certificate: UnknownIssuer",
                "the server's certificate was not issued by a trusted authority",
            ),
            (
                "invalid peer certificate: BadSignature",
                "the server's certificate is not accepted: BadSignature",
            ),
            (
                "received fatal alert: HandshakeFailure",
                "the TLS handshake failed: received fatal alert: HandshakeFailure",
            ),
        ] {
            let chain = format!(
                " TLSHandshakeFailure context: TLS connect() failed:  TLSHandshakeFailure context: \
                 tls connect error cause: {reason}, SNI: app.internal cause: local address 127.0.0.1:1"
            );
            assert_eq!(describe_handshake(&chain), expected);
        }
    }

    #[test]
    fn an_error_of_the_system_has_no_number() {
        let error = io::Error::from_raw_os_error(32);
        assert_eq!(describe_io(&error), "Broken pipe");
        assert_eq!(describe_io(&io::Error::other("x")), "x");
    }
}
