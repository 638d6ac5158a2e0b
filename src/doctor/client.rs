//! Connects to a place, and holds a conversation there within a time limit.

use super::http::{self, Answer, Request, Stream};
use super::recorder::{Shown, Tls};
use super::target::Place;
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

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
            let mut stream = self.connect(name, tls, &mut was_resumed).await?;
            http::exchange(stream.as_mut(), request).await
        };
        let outcome = match timeout(self.patience, conversation).await {
            Ok(Ok(answer)) => Outcome::Answered(answer),
            Ok(Err(error)) => explain(&error),
            Err(_) => Outcome::Silent,
        };
        let shown = tls.map(Tls::take_shown).unwrap_or_default();
        let until = match &outcome {
            Outcome::Answered(answer) => answer.at.unwrap_or_else(Instant::now),
            _ => Instant::now(),
        };
        Conversation { shown, was_resumed, outcome, took: until.saturating_duration_since(began) }
    }

    /// A connection that is ready for a request.
    pub(super) async fn open(&self, tls: Option<&Tls>) -> Result<Box<dyn Stream>, Outcome> {
        let mut was_resumed = false;
        match timeout(self.patience, self.connect(self.place.server_name(), tls, &mut was_resumed)).await {
            Ok(connected) => connected.map_err(|error| explain(&error)),
            Err(_) => Err(Outcome::Silent),
        }
    }

    /// A connection on which nothing has been said yet.
    pub(super) async fn dial(&self) -> io::Result<TcpStream> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        if self.place.proxy_protocol {
            socket.write_all(b"PROXY UNKNOWN\r\n").await?;
        }
        Ok(socket)
    }

    async fn connect(
        &self,
        name: ServerName<'static>,
        tls: Option<&Tls>,
        was_resumed: &mut bool,
    ) -> io::Result<Box<dyn Stream>> {
        let socket = self.dial().await?;
        let Some(tls) = tls else { return Ok(Box::new(socket)) };
        let stream = TlsConnector::from(tls.config.clone()).connect(name, socket).await?;
        *was_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok(Box::new(stream))
    }
}

/// What an error says about the server.
fn explain(error: &io::Error) -> Outcome {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

    match (error.get_ref().and_then(|error| error.downcast_ref()), error.kind()) {
        (Some(rustls::Error::AlertReceived(alert)), _) => Outcome::Refused(format!("TLS alert {alert:?}")),
        (None, UnexpectedEof) => Outcome::Refused("the connection was closed".into()),
        (None, ConnectionReset | ConnectionAborted | BrokenPipe) => Outcome::Refused("the connection was reset".into()),
        _ => Outcome::Failed(error.to_string()),
    }
}
