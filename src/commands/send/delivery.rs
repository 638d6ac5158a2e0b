//! Takes requests to the server, one at a time on each connection, as Go's client does.

use super::arguments::DeliveryOptions;
use super::credentials::RequestHeaders;
use super::outcome::{RequestOutcome, RequestStatus};
use crate::commands::client::{
    self, ClientConnection, ClientFailure, ClientRequest, ClientResponse, Protocol, WebhookTarget,
};
use crate::config::{read_certificates, read_identity, system_authorities};
use http::header::{HeaderValue, USER_AGENT};
use rustls::{ClientConfig, ProtocolVersion};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, SetOnce};
use tokio::time::timeout;

/// Knows the way, and what to show there.
pub(super) struct Delivery {
    pub(super) place: WebhookTarget,
    tls: Option<Arc<ClientConfig>>,
    /// Whether there is a client certificate to present.
    presents: bool,
    carried: RequestHeaders,
    patience: Duration,
    demands_http2: bool,
    addresses: OnceCell<Vec<SocketAddr>>,
    /// When somebody was met for the first time.
    met: SetOnce<Instant>,
    /// Of the first connection.
    negotiated: OnceLock<Negotiated>,
}

/// What is negotiated on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) protocol: Protocol,
    pub(super) tls: Option<&'static str>,
}

impl Delivery {
    /// The one whom `delivery` describes.
    ///
    /// # Errors
    /// Says which argument, file or variable is wrong.
    pub(super) fn new(delivery: &DeliveryOptions) -> Result<Self, String> {
        let mut place = place(&delivery.url)?;
        place.address = delivery.connect_to;
        if !place.is_https
            && (delivery.cert.is_some()
                || delivery.ca.is_some()
                || delivery.http.as_deref() == Some("2"))
        {
            return Err("--cert, --ca and --http 2 need a URL with https://".into());
        }
        Ok(Self {
            tls: if place.is_https {
                Some(Arc::new(tls(delivery)?))
            } else {
                None
            },
            presents: delivery.cert.is_some(),
            carried: RequestHeaders::new(delivery)?,
            patience: Duration::from_secs(delivery.timeout),
            demands_http2: delivery.http.as_deref() == Some("2"),
            addresses: OnceCell::new(),
            met: SetOnce::new(),
            negotiated: OnceLock::new(),
            place,
        })
    }

    pub(super) fn negotiated(&self) -> Option<Negotiated> {
        self.negotiated.get().copied()
    }

    /// When somebody was met for the first time, if anybody was.
    pub(super) fn met(&self) -> Option<Instant> {
        self.met.get().copied()
    }

    /// Waits until somebody is met.
    pub(super) async fn meet(&self) {
        self.met.wait().await;
    }

    fn has_met(&self) {
        // Only the first time is kept.
        let _ = self.met.set(Instant::now());
    }

    /// Sends a request over `connection`, or another if that has ended or there is none yet.
    pub(super) async fn deliver(
        &self,
        connection: &mut Option<ClientConnection>,
        request: ClientRequest,
    ) -> Result<ClientResponse, RequestOutcome> {
        let delivered = timeout(self.patience, self.try_to_deliver(connection, request)).await;
        delivered
            .unwrap_or(Err(ClientFailure::Silent))
            .map_err(|failure| {
                // Whatever is left on it belongs to nobody.
                let was_connected = connection.take().is_some();
                let ending = RequestOutcome::failed(&failure, was_connected, self.presents);
                if ending.reason.fate != RequestStatus::Unreachable {
                    self.has_met();
                }
                ending
            })
    }

    async fn try_to_deliver(
        &self,
        connection: &mut Option<ClientConnection>,
        mut request: ClientRequest,
    ) -> Result<ClientResponse, ClientFailure> {
        if let Some(open) = connection
            && open.ready().await.is_err()
        {
            *connection = None;
        }
        let open = match connection {
            Some(open) => open,
            None => connection.insert(self.connect().await?),
        };
        self.has_met();
        let agent = match open.protocol() {
            Protocol::Http1 => "Go-http-client/1.1",
            Protocol::Http2 => "Go-http-client/2.0",
        };
        request
            .headers
            .insert(USER_AGENT, HeaderValue::from_static(agent));
        // What is given goes before what is usual.
        request.headers.extend(self.carried.headers.clone());
        let mut answer = open.exchange(&request).await?;
        self.carried.mask(&mut answer);
        Ok(answer)
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

    /// IPv4 first, as Netdata Cloud has nothing else.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, ClientFailure> {
        if let Some(address) = self.place.address {
            return Ok(vec![address]);
        }
        let mut addresses = self
            .place
            .resolve(self.patience)
            .await
            .map_err(ClientFailure::Unresolved)?;
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<ClientConnection, ClientFailure> {
        let socket = client::dial(&self.place, address).await?;
        let Some(tls) = &self.tls else {
            self.negotiated.get_or_init(|| Negotiated {
                protocol: Protocol::Http1,
                tls: None,
            });
            return ClientConnection::open(socket, Protocol::Http1, &self.place).await;
        };
        let stream = client::tls_handshake(socket, self.place.server_name(), tls.clone()).await?;
        let session = stream.get_ref().1;
        let protocol = match session.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ if self.demands_http2 => {
                return Err(ClientFailure::Other(
                    "the server does not speak HTTP/2".into(),
                ));
            }
            _ => Protocol::Http1,
        };
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS 1.3",
        };
        self.negotiated.get_or_init(|| Negotiated {
            protocol,
            tls: Some(version),
        });
        ClientConnection::open(stream, protocol, &self.place).await
    }
}

/// What a URL leads to.
///
/// # Errors
/// Says what is wrong with it, and not which credentials are in it.
pub(super) fn place(url: &str) -> Result<WebhookTarget, String> {
    if url
        .split('/')
        .nth(2)
        .is_some_and(|authority| authority.contains('@'))
    {
        return Err("the URL must not hold credentials: give them with --basic USERNAME --password-file FILE".into());
    }
    WebhookTarget::parse(url)
}

fn tls(delivery: &DeliveryOptions) -> Result<ClientConfig, String> {
    let authorities = match &delivery.ca {
        Some(path) => read_certificates(path)?,
        None => system_authorities()
            .map_err(|error| {
                format!("the server's certificate cannot be judged: {error}, or name some with --ca FILE")
            })?
            .to_vec(),
    };
    let identity = match &delivery.cert {
        Some(certificate) => Some(read_identity(
            certificate,
            delivery.key.as_deref().unwrap_or(certificate),
        )?),
        None => None,
    };
    let mut config =
        client::client_config(&authorities, identity).map_err(|error| match &delivery.ca {
            Some(path) => format!(
                "{} holds a certificate that cannot be trusted: {error}",
                path.display()
            ),
            None => error.to_string(),
        })?;
    config.alpn_protocols = match delivery.http.as_deref() {
        Some("1.1") => vec![b"http/1.1".to_vec()],
        Some("2") => vec![b"h2".to_vec()],
        _ => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}
