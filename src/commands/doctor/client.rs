//! The client of the checks, whose exchanges are limited in time.

use super::recording_client::{HandshakeRecord, RecordingTls};
use crate::commands::client::{
    self, ClientConnection, ClientFailure, ClientRequest, ClientResponse, Protocol, WebhookTarget,
};
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A client of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckClient<'t> {
    pub(super) target: &'t WebhookTarget,
    pub(super) address: SocketAddr,
    /// Limit for each exchange.
    pub(super) step_timeout: Duration,
}

/// An exchange of a request for a response.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) shown: HandshakeRecord,
    pub(super) was_resumed: bool,
    pub(super) outcome: ExchangeOutcome,
    /// Time from the first packet to the end of the response, or to the failure.
    pub(super) took: Duration,
}

/// Outcome of an exchange.
#[derive(Debug)]
pub(super) enum ExchangeOutcome {
    /// The server sent an HTTP response.
    Answered(ClientResponse),
    /// The server sent an alert, or aborted the handshake; holds how.
    Refused(String),
    /// The server closed the connection after the handshake; holds how.
    HungUp(String),
    /// There was no response in time.
    Silent,
    /// The exchange failed for another reason.
    Failed(ClientFailure),
}

impl From<ClientFailure> for ExchangeOutcome {
    fn from(failure: ClientFailure) -> Self {
        match failure {
            ClientFailure::Alert(_) => Self::Refused(failure.to_string()),
            ClientFailure::HungUp(how) => Self::HungUp(how.to_owned()),
            ClientFailure::Silent => Self::Silent,
            _ => Self::Failed(failure),
        }
    }
}

impl ExchangeOutcome {
    /// Returns the outcome of a connection that failed.
    fn unconnected(failure: ClientFailure, is_tls: bool) -> Self {
        match failure {
            ClientFailure::HungUp(how) if is_tls => Self::Refused(how.to_owned()),
            _ => failure.into(),
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Silent)
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self, Self::Answered(_))
    }

    /// Returns the reason why there is no response.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Refused(how) | Self::HungUp(how) => how.clone(),
            Self::Failed(failure) => failure.to_string(),
            Self::Silent | Self::Answered(_) => "no response in time".into(),
        }
    }
}

impl Exchange {
    /// Returns `true` if no other exchange over TLS can succeed either.
    pub(super) fn has_no_tls(&self) -> bool {
        let is_unresponsive = matches!(
            self.outcome,
            ExchangeOutcome::Silent | ExchangeOutcome::Failed(ClientFailure::NotTls)
        );
        self.shown.chain.is_empty() && is_unresponsive
    }
}

impl<'t> CheckClient<'t> {
    /// Sends one request over a new connection.
    pub(super) async fn ask(
        &self,
        tls: Option<&RecordingTls>,
        request: &ClientRequest,
    ) -> Exchange {
        self.ask_as(self.target.server_name(), tls, request).await
    }

    /// Sends one request over a new connection, with another server name.
    pub(super) async fn ask_as(
        &self,
        name: ServerName<'static>,
        tls: Option<&RecordingTls>,
        request: &ClientRequest,
    ) -> Exchange {
        let began = Instant::now();
        let mut was_resumed = false;
        let exchange = self.exchange(name, tls, request, &mut was_resumed);
        let outcome = match timeout(self.step_timeout, exchange).await {
            Ok(Ok(answer)) => ExchangeOutcome::Answered(answer),
            Ok(Err(outcome)) => outcome,
            Err(_) => ExchangeOutcome::Silent,
        };
        Exchange {
            took: began.elapsed(),
            shown: tls.map(RecordingTls::take_shown).unwrap_or_default(),
            was_resumed,
            outcome,
        }
    }

    async fn exchange(
        &self,
        name: ServerName<'static>,
        tls: Option<&RecordingTls>,
        request: &ClientRequest,
        was_resumed: &mut bool,
    ) -> Result<ClientResponse, ExchangeOutcome> {
        let mut connection = self.connect(name, tls, was_resumed).await?;
        Ok(connection.exchange(request).await?)
    }

    /// Opens a connection for requests.
    pub(super) async fn open(
        &self,
        tls: Option<&RecordingTls>,
    ) -> Result<ClientConnection, ExchangeOutcome> {
        let mut was_resumed = false;
        let connection = self.connect(self.target.server_name(), tls, &mut was_resumed);
        match timeout(self.step_timeout, connection).await {
            Ok(connected) => connected,
            Err(_) => Err(ExchangeOutcome::Silent),
        }
    }

    /// Opens a TCP connection.
    pub(super) async fn dial(&self) -> io::Result<TcpStream> {
        client::dial(self.target, self.address).await
    }

    async fn connect(
        &self,
        name: ServerName<'static>,
        tls: Option<&RecordingTls>,
        was_resumed: &mut bool,
    ) -> Result<ClientConnection, ExchangeOutcome> {
        let unconnected =
            |error: io::Error| ExchangeOutcome::unconnected(error.into(), tls.is_some());
        let socket = self.dial().await.map_err(unconnected)?;
        let Some(tls) = tls else {
            return Ok(ClientConnection::open(socket, Protocol::Http1, self.target).await?);
        };
        let handshake = client::tls_handshake(socket, name, tls.config.clone());
        let stream = handshake.await.map_err(unconnected)?;
        *was_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok(ClientConnection::open(stream, Protocol::Http1, self.target).await?)
    }
}
