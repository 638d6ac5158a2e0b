//! The stand-in for Netdata Cloud: a TLS client that sends a request and sees what comes back.

use crate::commands::client::pki::{Authority, Leaf};
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

/// What a sender sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct DemoRequest<'a> {
    /// GET or POST.
    pub(super) method: &'static str,
    /// The path and the query.
    pub(super) target: &'a str,
    /// The Bearer token.
    pub(super) token: &'a str,
    /// JSON, or what is to be taken for it.
    pub(super) body: &'a str,
}

/// What a sender sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SceneResult {
    /// An HTTP response.
    Response {
        /// Of the status line.
        status: u16,
        /// Whole.
        body: String,
    },
    /// The connection was refused before there was HTTP on it.
    Alert(AlertDescription),
    /// Neither; says what happened.
    ClientFailure(String),
}

/// A client with one identity, or none.
pub(super) struct DemoClient {
    address: SocketAddr,
    place: WebhookTarget,
    tls: Arc<ClientConfig>,
    runtime: Runtime,
}

impl DemoClient {
    /// Sends to `url` at `address`, whose certificate `root` issued, and presents `identity`.
    pub(super) fn new(
        url: &str,
        address: SocketAddr,
        root: &Authority,
        identity: Option<&Leaf>,
    ) -> Result<Self, String> {
        let make = || -> Result<_, Box<dyn std::error::Error>> {
            let identity = identity.map(Leaf::certified).transpose()?;
            let tls = client::client_config(std::slice::from_ref(root.certificate()), identity)?;
            Ok((tls, Builder::new_current_thread().enable_all().build()?))
        };
        let (tls, runtime) = make().map_err(|error| error.to_string())?;
        Ok(Self {
            address,
            place: WebhookTarget::parse(url)?,
            tls: Arc::new(tls),
            runtime,
        })
    }

    /// Sends `message` over a connection of its own.
    pub(super) fn send(&self, message: &DemoRequest<'_>) -> SceneResult {
        let exchange = async { timeout(CHALLENGE_LIMIT, self.exchange(message)).await };
        self.runtime
            .block_on(exchange)
            .unwrap_or(Err(ClientFailure::Silent))
            .unwrap_or_else(|failure| match failure {
                ClientFailure::Alert(alert) => SceneResult::Alert(alert),
                ClientFailure::Silent => SceneResult::ClientFailure(format!(
                    "no whole answer in {} s",
                    CHALLENGE_LIMIT.as_secs()
                )),
                other => SceneResult::ClientFailure(other.to_string()),
            })
    }

    async fn exchange(&self, message: &DemoRequest<'_>) -> Result<SceneResult, ClientFailure> {
        let socket = client::dial(&self.place, self.address).await?;
        let stream =
            client::tls_handshake(socket, self.place.server_name(), self.tls.clone()).await?;
        let mut connection = ClientConnection::open(stream, Protocol::Http1, &self.place).await?;
        let answer = connection.exchange(&self.request(message)?).await?;
        connection.close().await;
        Ok(SceneResult::Response {
            status: answer.status,
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        })
    }

    fn request(&self, message: &DemoRequest<'_>) -> Result<ClientRequest, ClientFailure> {
        let other = |error: http::Error| ClientFailure::Other(error.to_string());
        let mut request =
            ClientRequest::post(&self.place, Bytes::copy_from_slice(message.body.as_bytes()));
        if message.method == "GET" {
            request.headers.clear();
        }
        request.method = message
            .method
            .parse::<Method>()
            .map_err(|error| other(error.into()))?;
        request.target = message.target.to_owned();
        let token = HeaderValue::try_from(format!("Bearer {}", message.token))
            .map_err(|error| other(error.into()))?;
        request.headers.insert(AUTHORIZATION, token);
        request
            .headers
            .insert(USER_AGENT, HeaderValue::from_static("Go-http-client/1.1"));
        Ok(request.last())
    }
}
