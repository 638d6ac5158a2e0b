//! Delivery of requests to the server, one at a time on each connection, as by Go's client.

use super::arguments::DeliveryOptions;
use super::credentials::RequestHeaders;
use super::outcome::{RequestOutcome, RequestStatus};
use crate::commands::client::{
    self, ClientConnection, ClientFailure, ClientRequest, ClientResponse, Protocol, Stream,
    WebhookTarget,
};
use crate::config::{read_certificates, read_identity, system_authorities};
use http::header::{HeaderValue, USER_AGENT};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ProtocolVersion};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, SetOnce};
use tokio::time::timeout;

/// Delivers requests to one server, with what they are to carry.
pub(super) struct Delivery {
    pub(super) target: WebhookTarget,
    tls: Option<Arc<ClientConfig>>,
    /// Is there a client certificate to present?
    presents_certificate: bool,
    headers: RequestHeaders,
    request_timeout: Duration,
    requires_http2: bool,
    addresses: OnceCell<Vec<SocketAddr>>,
    /// Time of the first contact with the server.
    first_connected: SetOnce<Instant>,
    /// Protocols of the first connection.
    negotiated: OnceLock<Negotiated>,
}

/// Protocols that are used on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) protocol: Protocol,
    pub(super) tls: Option<&'static str>,
}

impl Negotiated {
    const PLAIN: Self = Self {
        protocol: Protocol::Http1,
        tls: None,
    };
}

impl Delivery {
    /// Prepares deliveries with these options.
    ///
    /// # Errors
    /// The argument, file or variable that is wrong.
    pub(super) fn new(options: &DeliveryOptions) -> Result<Self, String> {
        let mut target = parse_target(&options.url)?;
        target.address = options.connect_to;
        Ok(Self {
            tls: tls_of(&target, options)?.map(Arc::new),
            target,
            presents_certificate: options.cert.is_some(),
            headers: RequestHeaders::new(options)?,
            request_timeout: Duration::from_secs(options.timeout),
            requires_http2: options.requires_http2(),
            addresses: OnceCell::new(),
            first_connected: SetOnce::new(),
            negotiated: OnceLock::new(),
        })
    }

    pub(super) fn negotiated(&self) -> Option<Negotiated> {
        self.negotiated.get().copied()
    }

    /// Returns the time of the first contact with the server.
    pub(super) fn first_connected(&self) -> Option<Instant> {
        self.first_connected.get().copied()
    }

    /// Waits for the first contact with the server.
    pub(super) async fn wait_for_contact(&self) {
        self.first_connected.wait().await;
    }

    fn record_contact(&self) {
        // Ignore the error: only the first time is kept.
        let _ = self.first_connected.set(Instant::now());
    }

    /// Sends a request over `connection`. Opens one if there is none, or if it has ended.
    pub(super) async fn deliver(
        &self,
        connection: &mut Option<ClientConnection>,
        request: ClientRequest,
    ) -> Result<ClientResponse, RequestOutcome> {
        let delivery = self.try_to_deliver(connection, request);
        let failure = match timeout(self.request_timeout, delivery).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(failure)) => failure,
            Err(_) => ClientFailure::Silent,
        };
        // Dropped: a late response would be taken for that of the next request.
        let was_connected = connection.take().is_some();
        Err(self.failed(&failure, was_connected))
    }

    fn failed(&self, failure: &ClientFailure, was_connected: bool) -> RequestOutcome {
        let outcome = RequestOutcome::failed(failure, was_connected, self.presents_certificate);
        if outcome.reason.status != RequestStatus::Unreachable {
            self.record_contact();
        }
        outcome
    }

    async fn try_to_deliver(
        &self,
        connection: &mut Option<ClientConnection>,
        mut request: ClientRequest,
    ) -> Result<ClientResponse, ClientFailure> {
        let open = self.ready(connection).await?;
        self.record_contact();
        let agent = HeaderValue::from_static(user_agent(open.protocol()));
        request.headers.insert(USER_AGENT, agent);
        // Given headers replace usual ones.
        request.headers.extend(self.headers.headers.clone());
        let mut answer = open.exchange(&request).await?;
        self.headers.mask(&mut answer);
        Ok(answer)
    }

    /// Returns the connection, or a new one if it has ended.
    async fn ready<'c>(
        &self,
        connection: &'c mut Option<ClientConnection>,
    ) -> Result<&'c mut ClientConnection, ClientFailure> {
        if let Some(open) = connection
            && open.ready().await.is_err()
        {
            *connection = None;
        }
        match connection {
            Some(open) => Ok(open),
            None => Ok(connection.insert(self.connect().await?)),
        }
    }

    async fn connect(&self) -> Result<ClientConnection, ClientFailure> {
        let mut failure = ClientFailure::Unresolved("it has no address".into());
        for address in self.addresses.get_or_try_init(|| self.resolve()).await? {
            match self.connect_to(*address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Returns the addresses of the server, IPv4 first: Netdata Cloud has no IPv6.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, ClientFailure> {
        if let Some(address) = self.target.address {
            return Ok(vec![address]);
        }
        let addresses = self.target.resolve(self.request_timeout).await;
        let mut addresses = addresses.map_err(ClientFailure::Unresolved)?;
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<ClientConnection, ClientFailure> {
        let socket = client::dial(&self.target, address).await?;
        match &self.tls {
            Some(tls) => self.start_tls(socket, tls.clone()).await,
            None => self.start(socket, Negotiated::PLAIN).await,
        }
    }

    async fn start_tls(
        &self,
        socket: TcpStream,
        tls: Arc<ClientConfig>,
    ) -> Result<ClientConnection, ClientFailure> {
        let stream = client::tls_handshake(socket, self.target.server_name(), tls).await?;
        let negotiated = negotiated(stream.get_ref().1);
        if self.requires_http2 && negotiated.protocol != Protocol::Http2 {
            let why = "the server does not support HTTP/2";
            return Err(ClientFailure::Other(why.into()));
        }
        self.start(stream, negotiated).await
    }

    /// Starts HTTP on a stream.
    async fn start(
        &self,
        stream: impl Stream + 'static,
        negotiated: Negotiated,
    ) -> Result<ClientConnection, ClientFailure> {
        self.negotiated.get_or_init(|| negotiated);
        ClientConnection::open(stream, negotiated.protocol, &self.target).await
    }
}

/// Returns the name by which Go's client introduces itself.
fn user_agent(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "Go-http-client/1.1",
        Protocol::Http2 => "Go-http-client/2.0",
    }
}

fn negotiated(session: &rustls::ClientConnection) -> Negotiated {
    let protocol = match session.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS 1.3",
    };
    Negotiated {
        protocol,
        tls: Some(version),
    }
}

/// Parses the URL of a target.
///
/// # Errors
/// The problem with the URL, without credentials that it may hold.
pub(super) fn parse_target(url: &str) -> Result<WebhookTarget, String> {
    let authority = url.split('/').nth(2);
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err("the URL must not hold credentials: give them with --basic USERNAME --password-file FILE".into());
    }
    WebhookTarget::parse(url)
}

impl DeliveryOptions {
    fn requires_http2(&self) -> bool {
        self.http.as_deref() == Some("2")
    }

    fn has_tls_options(&self) -> bool {
        self.cert.is_some() || self.ca.is_some() || self.requires_http2()
    }

    fn alpn_protocols(&self) -> Vec<Vec<u8>> {
        let protocols: &[&[u8]] = match self.http.as_deref() {
            Some("1.1") => &[b"http/1.1"],
            Some("2") => &[b"h2"],
            _ => &[b"h2", b"http/1.1"],
        };
        protocols.iter().map(|name| name.to_vec()).collect()
    }
}

/// Returns the TLS configuration of a client; `None` for a target without TLS.
fn tls_of(
    target: &WebhookTarget,
    options: &DeliveryOptions,
) -> Result<Option<ClientConfig>, String> {
    if target.is_https {
        return tls(options).map(Some);
    }
    match options.has_tls_options() {
        true => Err("--cert, --ca and --http 2 need a URL with https://".into()),
        false => Ok(None),
    }
}

fn tls(options: &DeliveryOptions) -> Result<ClientConfig, String> {
    let authorities = authorities(options.ca.as_deref())?;
    let config = client::client_config(&authorities, identity(options)?);
    let mut config = config.map_err(|error| match &options.ca {
        Some(path) => format!(
            "{} has a certificate that cannot be used as an authority: {error}",
            path.display()
        ),
        None => error.to_string(),
    })?;
    config.alpn_protocols = options.alpn_protocols();
    Ok(config)
}

/// Returns the authorities in `ca`, or else those of the system.
fn authorities(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    match ca {
        Some(path) => read_certificates(path),
        None => match system_authorities() {
            Ok(authorities) => Ok(authorities.to_vec()),
            Err(error) => Err(format!(
                "cannot verify the server's certificate: {error}, or give an authority with --ca FILE"
            )),
        },
    }
}

fn identity(options: &DeliveryOptions) -> Result<Option<Arc<CertifiedKey>>, String> {
    let Some(certificate) = &options.cert else {
        return Ok(None);
    };
    let key = options.key.as_deref().unwrap_or(certificate);
    read_identity(certificate, key).map(Some)
}
