//! Verifies at start-up that unauthenticated clients are rejected.
//!
//! A setting that is read and shown but never applied looks exactly like one that is. Therefore the
//! process connects to itself without a certificate, and with one in Netdata's name that a throw-away
//! authority issued. If either is accepted where a certificate is required, the process does not
//! start.
//!
//! Where certificates come by ACME, clients without one are let in to validate a name, and no further:
//! the process also connects as such a client, while a validation is pending.
//!
//! These connections do not use the listening sockets, which another process may share, but are
//! served in the same way from there on.

use super::acme::SELF_TEST_NAME;
use crate::config::{Config, Route, Verify};
use crate::http::path::PathPattern;
use crate::tls::AnyServer;
use crate::tls::acme::{PROTOCOL, UnreadCertificate};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, Error};
use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Maximum duration of a probe. No response counts as a refusal.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The probes that follow from a configuration.
pub(super) struct SelfTest {
    verify: Verify,
    /// One path for each kind of route that requires a certificate.
    paths: Vec<String>,
    /// `true` if the validation of [`SELF_TEST_NAME`] is pending.
    validates: bool,
}

/// A client that must be refused.
struct Probe {
    /// What it presents.
    what: &'static str,
    client: TlsConnector,
    server_name: &'static str,
}

impl SelfTest {
    pub(super) fn new(config: &Config) -> Self {
        let mut demanding = demanding_routes(config);
        // If the handshake requires a certificate, no route is reached, and one is enough.
        if config.verify() == Verify::Require {
            demanding.truncate(1);
        }
        Self {
            verify: config.verify(),
            paths: demanding.into_iter().map(path_of).collect(),
            validates: config.acme().is_some(),
        }
    }

    /// Runs the probes against `serve`, which serves a connection from the given address.
    ///
    /// # Errors
    /// If a probe was accepted, or could not be made.
    pub(super) async fn run<F>(
        &self,
        serve: impl Fn(TcpStream, SocketAddr) -> F,
    ) -> Result<(), String>
    where
        F: Future<Output = ()>,
    {
        if self.verify == Verify::Off {
            return Ok(());
        }
        for probe in probes(self.validates)? {
            for path in &self.paths {
                let status = response_to(&probe, path, &serve).await?;
                self.judge(status)
                    .map_err(|result| format!("a client with {} {result} on {path}", probe.what))?;
            }
        }
        Ok(())
    }

    fn judge(&self, status: Option<u16>) -> Result<(), String> {
        match (self.verify, status) {
            (_, None) | (Verify::Request, Some(403 | 429)) => Ok(()),
            (Verify::Require, Some(status)) => {
                Err(format!("came through the handshake and got {status}"))
            }
            (_, Some(status)) => Err(format!("got {status} instead of 403")),
        }
    }
}

/// Returns the routes that require a certificate, one of each kind: those with the same
/// requirements are equivalent.
fn demanding_routes(config: &Config) -> Vec<&Route> {
    let mut kinds = HashSet::new();
    let routes = config.routes.iter();
    routes
        .filter(|route| route.requirements.client_certificate)
        .filter(|route| kinds.insert((route.kind, route.requirements.authorization.is_empty())))
        .collect()
}

fn path_of(route: &Route) -> String {
    match &route.path {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Subtree(prefix) => format!("{prefix}/"),
    }
}

/// Returns the clients that must be refused; with `validates`, also one that validates a name.
fn probes(validates: bool) -> Result<Vec<Probe>, String> {
    let untrusted = untrusted_certificate()
        .map_err(|error| format!("cannot make a certificate for the self-test: {error}"))?;
    let explain = |error: Error| error.to_string();
    let mut probes = vec![
        Probe {
            what: "no certificate",
            client: client(None).map_err(explain)?,
            server_name: "self-test",
        },
        Probe {
            what: "a certificate of an unknown authority",
            client: client(Some(untrusted)).map_err(explain)?,
            server_name: "self-test",
        },
    ];
    if validates {
        probes.push(Probe {
            what: "the protocol of validations",
            client: validator().map_err(explain)?,
            server_name: SELF_TEST_NAME,
        });
    }
    Ok(probes)
}

/// Returns the status that a client gets on `path`, or `None` if it gets no response.
async fn response_to<F: Future<Output = ()>>(
    probe: &Probe,
    path: &str,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) -> Result<Option<u16>, String> {
    let (ours, theirs, address) = pair()
        .await
        .map_err(|error| format!("cannot connect to itself for the self-test: {error}"))?;
    let asked = timeout(PROBE_TIMEOUT, probe.ask(ours, path));
    let (status, ()) = tokio::join!(asked, serve(theirs, address));
    Ok(status.ok().flatten())
}

/// Returns both ends of a new connection, and the address of the first. Connections of other
/// processes to the temporary listener are ignored.
async fn pair() -> std::io::Result<(TcpStream, TcpStream, SocketAddr)> {
    let listener = temporary_listener().await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let address = ours.local_addr()?;
    loop {
        let (theirs, peer) = listener.accept().await?;
        if peer == address {
            return Ok((ours, theirs, address));
        }
    }
}

async fn temporary_listener() -> std::io::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await,
    }
}

impl Probe {
    /// Sends a request, and returns the status of the response, if there is one.
    async fn ask(&self, socket: TcpStream, path: &str) -> Option<u16> {
        let name = ServerName::try_from(self.server_name).ok()?;
        let mut stream = self.client.connect(name, socket).await.ok()?;
        stream.write_all(request(path).as_bytes()).await.ok()?;
        let mut status_line = [0; 12];
        stream.read_exact(&mut status_line).await.ok()?;
        std::str::from_utf8(&status_line[9..]).ok()?.parse().ok()
    }
}

fn request(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: self-test\r\nX-Request-Id: self-test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

type CertificateAndKey = (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>);

/// Creates a certificate in Netdata's name, issued by a new authority.
fn untrusted_certificate() -> Result<CertificateAndKey, rcgen::Error> {
    let authority = unknown_authority()?;
    let key = KeyPair::generate()?;
    let leaf = named("app.netdata.cloud").signed_by(&key, &authority)?;
    Ok((leaf.der().clone(), key.serialize_der().into()))
}

fn unknown_authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut authority = named("Netdata Root CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(authority, KeyPair::generate()?)
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, common_name);
    params
}

fn client(credentials: Option<CertificateAndKey>) -> Result<TlsConnector, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        // The server is this very process.
        .with_custom_certificate_verifier(Arc::new(AnyServer::default()));
    let config = match credentials {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key.into())?,
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Returns a client that validates a name, as an authority does, and goes on.
fn validator() -> Result<TlsConnector, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(UnreadCertificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Domain;
    use crate::tls::acme::Answer;

    /// A server that requires no certificate.
    fn careless() -> tokio_rustls::TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key.into())
                .unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }

    async fn serve_carelessly(socket: TcpStream, _: SocketAddr) {
        let Ok(mut stream) = careless().accept(socket).await else {
            return;
        };
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
    }

    #[tokio::test]
    async fn a_listener_that_demands_nothing_is_found_out() {
        for (verify, passes) in [
            (Verify::Require, false),
            (Verify::Request, false),
            (Verify::Off, true),
        ] {
            let test = SelfTest {
                verify,
                paths: vec!["/webhooks/netdata".into()],
                validates: false,
            };
            let verdict = test.run(serve_carelessly).await;
            assert_eq!(verdict.is_ok(), passes, "{verify:?} {verdict:?}");
        }
    }

    #[tokio::test]
    async fn an_open_door_for_validations_is_found_out() {
        // It serves that protocol, with the certificate of an answer, and goes on to requests.
        let domain = Domain::parse(SELF_TEST_NAME).unwrap();
        let answer = Answer::new(&domain, SELF_TEST_NAME, &[0; 32]).unwrap();
        let answer = tokio_rustls::TlsAcceptor::from(answer.config);
        let serve = async |socket: TcpStream, _: SocketAddr| {
            let Ok(mut stream) = answer.accept(socket).await else {
                return;
            };
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        };
        for (validates, passes) in [(true, false), (false, true)] {
            let test = SelfTest {
                verify: Verify::Require,
                paths: vec!["/webhooks/netdata".into()],
                validates,
            };
            let verdict = test.run(serve).await;
            assert_eq!(verdict.is_ok(), passes, "{verdict:?}");
        }
    }

    #[test]
    fn getting_through_is_a_failure() {
        let check = |verify, status: Option<u16>, passes: bool| {
            let test = SelfTest {
                verify,
                paths: Vec::new(),
                validates: false,
            };
            assert_eq!(test.judge(status).is_ok(), passes, "{verify:?} {status:?}");
        };
        check(Verify::Require, None, true);
        for status in [200, 400, 403] {
            check(Verify::Require, Some(status), false);
        }
        check(Verify::Request, None, true);
        check(Verify::Request, Some(403), true);
        for status in [200, 401, 422, 502] {
            check(Verify::Request, Some(status), false);
        }
    }
}
