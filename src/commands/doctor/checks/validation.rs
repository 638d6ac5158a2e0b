//! Check: an authority that validates a name reaches this server, at each of its addresses.

use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::config::{Acme, Domain};
use crate::tls::acme::{PROTOCOL, Trial, UnreadCertificate, open_existing, unix_now};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const CHECK: Check = Check("ACME validation");

/// The port that authorities connect to.
const PORT: u16 = 443;

/// Tries the validation of each name, as an authority makes it.
pub(in crate::commands::doctor) async fn check(
    acme: &Acme,
    step_timeout: Duration,
) -> CheckFinding {
    let mut reached = Vec::new();
    for domain in &acme.domains {
        match check_domain(acme, domain, step_timeout).await {
            Ok(addresses) => reached.extend(addresses.iter().map(ToString::to_string)),
            Err(finding) => return finding,
        }
    }
    CHECK.pass(format!("{} lead here", reached.join(", ")))
}

/// Returns the addresses of a name if all of them lead to this server.
async fn check_domain(
    acme: &Acme,
    domain: &Domain,
    step_timeout: Duration,
) -> Result<Vec<SocketAddr>, CheckFinding> {
    let addresses = resolve(domain, step_timeout).await.map_err(|error| {
        let text = format!("{domain} cannot be resolved: {error}");
        CHECK.fail(text, "add an A or AAAA record, which authorities look up")
    })?;
    let store = open_existing(acme).map_err(|error| CHECK.skip(error))?;
    let trial = Trial::begin(store, domain, unix_now())
        .await
        .map_err(|error| CHECK.skip(error))?;
    let mut failure = None;
    for address in &addresses {
        if let Err((text, remedy)) = probe(&trial, domain, *address, step_timeout).await {
            failure = Some(CHECK.fail(format!("{domain} at {address}: {text}"), remedy));
            break;
        }
    }
    trial.end().await;
    match failure {
        None => Ok(addresses),
        Some(failure) => Err(failure),
    }
}

async fn resolve(domain: &Domain, step_timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Domain::Ip(address) = domain {
        return Ok(vec![(*address, PORT).into()]);
    }
    let found = timeout(step_timeout, lookup_host((domain.to_string(), PORT))).await;
    let addresses: Vec<_> = found.map_err(|_| io::ErrorKind::TimedOut)??.collect();
    match addresses.is_empty() {
        true => Err(io::Error::other("it has no address")),
        false => Ok(addresses),
    }
}

/// Validates a name at an address. An error is a description and a remedy.
async fn probe(
    trial: &Trial,
    domain: &Domain,
    address: SocketAddr,
    step_timeout: Duration,
) -> Result<(), (String, &'static str)> {
    let handshake = async {
        let socket = TcpStream::connect(address).await?;
        let name = ServerName::try_from(domain.server_name()).map_err(io::Error::other)?;
        let stream = connector()?.connect(name, socket).await?;
        let connection = stream.get_ref().1;
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let has_negotiated = connection.alpn_protocol() == Some(PROTOCOL);
        let is_answer = certificate.is_some_and(|it| trial.is_answered_by(it));
        Ok::<_, io::Error>(has_negotiated && is_answer)
    };
    match timeout(step_timeout, handshake).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err((
            "another server answers".into(),
            "remove what ends TLS in front of this server, such as a CDN, or let it pass TCP through",
        )),
        Ok(Err(error)) if is_refusal(&error) => Err((
            format!("a server refuses the validation ({error})"),
            "is this the server of this configuration, and does it run? Every address of the name must lead to it",
        )),
        Ok(Err(error)) => Err((
            error.to_string(),
            "let every address of the name pass port 443 on to listen.https; authorities try IPv6 first",
        )),
        Err(_) => Err((
            format!("no answer within {step_timeout:?}"),
            "open port 443 in the firewall, for the whole world: authorities do not publish their addresses",
        )),
    }
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
