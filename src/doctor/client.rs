//! Connects to a place, and holds a conversation there within a time limit.

use super::recorder::{Shown, Tls};
use crate::sender::{self, Answer, Connection, Failure, Place, Protocol, Request};
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Who connects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'t> {
    pub(super) place: &'t Place,
    pub(super) address: SocketAddr,
    /// How long a conversation may take.
    pub(super) patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) shown: Shown,
    pub(super) was_resumed: bool,
    pub(super) outcome: Outcome,
    /// From the first packet to the head of the answer, or to the end.
    pub(super) took: Duration,
}

/// How a conversation ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There was an answer.
    Answered(Answer),
    /// The server said no in TLS, or hung up; says how.
    Refused(String),
    /// Nobody said anything in time.
    Silent,
    /// Something else went wrong; says what.
    Failed(String),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Alert(_) | Failure::HungUp(_) => Self::Refused(failure.to_string()),
            Failure::Silent => Self::Silent,
            _ => Self::Failed(failure.to_string()),
        }
    }
}

impl<'t> Client<'t> {
    /// One request over a connection of its own.
    pub(super) async fn ask(&self, tls: Option<&Tls>, request: &Request) -> Conversation {
        self.ask_as(self.place.server_name(), tls, request).await
    }

    /// The same to another name.
    pub(super) async fn ask_as(&self, name: ServerName<'static>, tls: Option<&Tls>, request: &Request) -> Conversation {
        let began = Instant::now();
        let mut was_resumed = false;
        let conversation = async {
            let mut connection = self.connect(name, tls, &mut was_resumed).await?;
            connection.exchange(request).await
        };
        let outcome = match timeout(self.patience, conversation).await {
            Ok(Ok(answer)) => Outcome::Answered(answer),
            Ok(Err(failure)) => failure.into(),
            Err(_) => Outcome::Silent,
        };
        let shown = tls.map(Tls::take_shown).unwrap_or_default();
        let until = match &outcome {
            Outcome::Answered(answer) => answer.at.unwrap_or_else(Instant::now),
            _ => Instant::now(),
        };
        Conversation { shown, was_resumed, outcome, took: until.saturating_duration_since(began) }
    }

    /// A connection that is ready for requests.
    pub(super) async fn open(&self, tls: Option<&Tls>) -> Result<Connection, Outcome> {
        let mut was_resumed = false;
        match timeout(self.patience, self.connect(self.place.server_name(), tls, &mut was_resumed)).await {
            Ok(connected) => connected.map_err(Outcome::from),
            Err(_) => Err(Outcome::Silent),
        }
    }

    /// A connection on which nothing has been said yet.
    pub(super) async fn dial(&self) -> io::Result<TcpStream> {
        sender::dial(self.place, self.address).await
    }

    async fn connect(
        &self,
        name: ServerName<'static>,
        tls: Option<&Tls>,
        was_resumed: &mut bool,
    ) -> Result<Connection, Failure> {
        let socket = self.dial().await?;
        let Some(tls) = tls else { return Connection::open(socket, Protocol::Http1, self.place).await };
        let stream = sender::shake_hands(socket, name, tls.config.clone()).await?;
        *was_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        Connection::open(stream, Protocol::Http1, self.place).await
    }
}
