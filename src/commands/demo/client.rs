//! The stand-in for Netdata Cloud: a TLS client that sends one request on each connection.

use crate::commands::client::pki::{Authority, Leaf, NETDATA};
use crate::commands::client::{
    self, CHALLENGE_LIMIT, ClientConnection, ClientFailure, ClientRequest, Protocol, WebhookTarget,
};
use bytes::Bytes;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Method};
use rustls::{AlertDescription, ClientConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// A request of the demo.
#[derive(Clone, Debug)]
pub(super) struct DemoRequest<'a> {
    /// Method of the request.
    pub(super) method: Method,
    /// Path and query of the request.
    pub(super) target: &'a str,
    /// Bearer token of the request.
    pub(super) token: &'a str,
    /// Body of the request.
    pub(super) body: &'a str,
}

/// Certificate of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SceneIdentity {
    /// A certificate like that of Netdata Cloud.
    Netdata,
    NoCertificate,
    /// The right names, but issued by another authority of the same name.
    ForeignCa,
    /// Another common name, issued by the right authority.
    Named(&'static str),
}

impl SceneIdentity {
    /// Returns the common name in the certificate.
    pub(super) fn common_name(self) -> &'static str {
        match self {
            Self::Named(name) => name,
            _ => NETDATA,
        }
    }
}

/// Result of a request, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SceneResult {
    /// The proxy sent an HTTP response.
    Response {
        /// Status of the response.
        status: u16,
        /// Complete body of the response.
        body: String,
    },
    /// The TLS handshake was refused.
    Alert(AlertDescription),
    /// Another failure, in words.
    Failed(String),
}

impl SceneResult {
    fn of_failure(failure: ClientFailure) -> Self {
        match failure {
            ClientFailure::Alert(alert) => Self::Alert(alert),
            ClientFailure::Silent => Self::Failed(format!(
                "no complete response in {} s",
                CHALLENGE_LIMIT.as_secs()
            )),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// A client with one certificate, or without.
pub(super) struct DemoClient {
    address: SocketAddr,
    target: WebhookTarget,
    tls: Arc<ClientConfig>,
    runtime: Runtime,
}

/// Returns the TLS configuration of a client that trusts `root` and presents `identity`.
fn tls(root: &Authority, identity: Option<&Leaf>) -> Result<ClientConfig, rustls::Error> {
    let identity = identity.map(Leaf::certified).transpose()?;
    client::client_config(std::slice::from_ref(root.certificate()), identity)
}

impl DemoClient {
    /// Creates a client of `url` at `address`, whose certificate `root` issued, that presents
    /// `identity`.
    pub(super) fn new(
        url: &str,
        address: SocketAddr,
        root: &Authority,
        identity: Option<&Leaf>,
    ) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            address,
            target: WebhookTarget::parse(url)?,
            tls: Arc::new(tls(root, identity).map_err(|error| error.to_string())?),
            runtime: runtime.map_err(|error| error.to_string())?,
        })
    }

    /// Sends a request over a new connection.
    pub(super) fn send(&self, message: &DemoRequest<'_>) -> SceneResult {
        let exchange = async { timeout(CHALLENGE_LIMIT, self.exchange(message)).await };
        let result = self.runtime.block_on(exchange);
        let result = result.unwrap_or(Err(ClientFailure::Silent));
        result.unwrap_or_else(SceneResult::of_failure)
    }

    async fn exchange(&self, message: &DemoRequest<'_>) -> Result<SceneResult, ClientFailure> {
        let mut connection = self.connect().await?;
        let answer = connection.exchange(&self.request(message)?).await?;
        connection.close().await;
        Ok(SceneResult::Response {
            status: answer.status,
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        })
    }

    async fn connect(&self) -> Result<ClientConnection, ClientFailure> {
        let socket = client::dial(&self.target, self.address).await?;
        let name = self.target.server_name();
        let stream = client::tls_handshake(socket, name, self.tls.clone()).await?;
        ClientConnection::open(stream, Protocol::Http1, &self.target).await
    }

    fn request(&self, message: &DemoRequest<'_>) -> Result<ClientRequest, ClientFailure> {
        let body = Bytes::copy_from_slice(message.body.as_bytes());
        let mut request = ClientRequest::post(&self.target, body);
        if message.method == Method::GET {
            request.headers.clear();
        }
        request.method = message.method.clone();
        request.target = message.target.to_owned();
        let token = HeaderValue::try_from(format!("Bearer {}", message.token));
        let token = token.map_err(|error| ClientFailure::Other(error.to_string()))?;
        request.headers.insert(AUTHORIZATION, token);
        let agent = HeaderValue::from_static("Go-http-client/1.1");
        request.headers.insert(USER_AGENT, agent);
        Ok(request.last())
    }
}
