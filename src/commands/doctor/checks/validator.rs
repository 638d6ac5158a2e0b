//! A client that validates a name as an authority does.

use crate::config::Domain;
use crate::tls::acme::{PROTOCOL, Trial, TrialAnswer, UnreadCertificate};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Why a validation does not meet this server.
#[derive(Debug)]
pub(super) enum Miss {
    /// Another server answers validations of the name.
    OtherDigest,
    /// A server that takes no validations goes on with the handshake.
    NoAnswer,
    /// A server refuses the protocol or the name.
    Refused(io::Error),
    /// There is a connection, and no handshake.
    Failed(io::Error),
    /// There is no connection: authorities try another address.
    Unconnected(io::Error),
}

impl Miss {
    /// Describes it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::OtherDigest => {
                "another machine answers the validation, with an answer of its own".into()
            }
            Self::NoAnswer => "another server answers, which takes no validations".into(),
            Self::Refused(error) => format!("a server refuses the validation ({error})"),
            Self::Failed(error) => format!("the handshake fails: {error}"),
            Self::Unconnected(error) => format!("no connection: {error}"),
        }
    }

    /// Returns what to do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::OtherDigest => {
                "remove the address from the name, or let it lead to this machine; if it does, run the doctor with the \
                 configuration of the service, whose tls.acme.state is where the answer is looked up"
            }
            Self::NoAnswer => {
                "remove what ends TLS in front of this server, such as a CDN, or let it pass TCP through; remove \
                 addresses of other machines from the name"
            }
            Self::Refused(_) => {
                "is this the server of this configuration, and does it run? Every address of the name must lead to it"
            }
            Self::Failed(_) | Self::Unconnected(_) => {
                "let every address of the name pass port 443 on to listen.https, and open it for the whole world: \
                 authorities do not publish their own addresses"
            }
        }
    }
}

/// Validates a name at an address.
pub(super) async fn validate(
    trial: &Trial,
    domain: &Domain,
    address: SocketAddr,
    step_timeout: Duration,
) -> Result<(), Miss> {
    let connect = TcpStream::connect(address);
    let socket = within(step_timeout, connect)
        .await
        .map_err(Miss::Unconnected)?;
    match within(step_timeout, ask(trial, domain, socket)).await {
        Ok(TrialAnswer::Right) => Ok(()),
        Ok(TrialAnswer::OtherDigest) => Err(Miss::OtherDigest),
        Ok(TrialAnswer::Missing) => Err(Miss::NoAnswer),
        Err(error) if is_refusal(&error) => Err(Miss::Refused(error)),
        Err(error) => Err(Miss::Failed(error)),
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::other(format!("no answer within {limit:?}"));
    timeout(limit, step).await.unwrap_or_else(|_| Err(late()))
}

/// Makes the handshake of a validation.
async fn ask(trial: &Trial, domain: &Domain, socket: TcpStream) -> io::Result<TrialAnswer> {
    let name = ServerName::try_from(domain.server_name()).map_err(io::Error::other)?;
    let stream = connector()?.connect(name, socket).await?;
    let connection = stream.get_ref().1;
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    Ok(match (connection.alpn_protocol(), certificate) {
        (Some(PROTOCOL), Some(certificate)) => trial.judge(certificate),
        _ => TrialAnswer::Missing,
    })
}

fn is_refusal(error: &io::Error) -> bool {
    let error = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(
        error,
        Some(rustls::Error::AlertReceived(
            AlertDescription::NoApplicationProtocol
                | AlertDescription::AccessDenied
                | AlertDescription::UnrecognisedName
        ))
    )
}

fn connector() -> io::Result<TlsConnector> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(UnreadCertificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
