//! Connects to a place, and holds a conversation there within a time limit.

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

/// Who connects.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckClient<'t> {
    pub(super) place: &'t WebhookTarget,
    pub(super) address: SocketAddr,
    /// How long a conversation may take.
    pub(super) patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) shown: HandshakeRecord,
    pub(super) was_resumed: bool,
    pub(super) outcome: ExchangeOutcome,
    /// From the first packet to the last of the answer, or to the end.
    pub(super) took: Duration,
}

/// How a conversation ended.
#[derive(Debug)]
pub(super) enum ExchangeOutcome {
    /// There was an answer.
    Answered(ClientResponse),
    /// The server said no in TLS, or broke the handshake off; says how.
    Refused(String),
    /// It hung up without a word when the handshake was over; says how.
    HungUp(String),
    /// Nobody said anything in time.
    Silent,
    /// Something else went wrong.
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
    /// What came instead of a connection.
    fn unconnected(failure: ClientFailure, is_tls: bool) -> Self {
        match failure {
            ClientFailure::HungUp(how) if is_tls => Self::Refused(how.to_owned()),
            _ => failure.into(),
        }
    }
}

impl<'t> CheckClient<'t> {
    /// One request over a connection of its own.
    pub(super) async fn ask(
        &self,
        tls: Option<&RecordingTls>,
        request: &ClientRequest,
    ) -> Exchange {
        self.ask_as(self.place.server_name(), tls, request).await
    }

    /// The same to another name.
    pub(super) async fn ask_as(
        &self,
        name: ServerName<'static>,
        tls: Option<&RecordingTls>,
        request: &ClientRequest,
    ) -> Exchange {
        let began = Instant::now();
        let mut was_resumed = false;
        let conversation = async {
            let mut connection = self.connect(name, tls, &mut was_resumed).await?;
            connection
                .exchange(request)
                .await
                .map_err(ExchangeOutcome::from)
        };
        let outcome = match timeout(self.patience, conversation).await {
            Ok(Ok(answer)) => ExchangeOutcome::Answered(answer),
            Ok(Err(outcome)) => outcome,
            Err(_) => ExchangeOutcome::Silent,
        };
        let took = began.elapsed();
        let shown = tls.map(RecordingTls::take_shown).unwrap_or_default();
        Exchange {
            shown,
            was_resumed,
            outcome,
            took,
        }
    }

    /// A connection that is ready for requests.
    pub(super) async fn open(
        &self,
        tls: Option<&RecordingTls>,
    ) -> Result<ClientConnection, ExchangeOutcome> {
        let mut was_resumed = false;
        match timeout(
            self.patience,
            self.connect(self.place.server_name(), tls, &mut was_resumed),
        )
        .await
        {
            Ok(connected) => connected,
            Err(_) => Err(ExchangeOutcome::Silent),
        }
    }

    /// A connection on which nothing has been said yet.
    pub(super) async fn dial(&self) -> io::Result<TcpStream> {
        client::dial(self.place, self.address).await
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
        let connection = match tls {
            None => ClientConnection::open(socket, Protocol::Http1, self.place).await,
            Some(tls) => {
                let stream = client::tls_handshake(socket, name, tls.config.clone())
                    .await
                    .map_err(unconnected)?;
                *was_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                ClientConnection::open(stream, Protocol::Http1, self.place).await
            }
        };
        connection.map_err(ExchangeOutcome::from)
    }
}
