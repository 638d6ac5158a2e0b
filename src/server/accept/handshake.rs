//! The TLS handshake of a connection, unless its client speaks something else.

use super::ConnectionHandler;
use super::admission::silent;
use super::arrival::Arrival;
use super::linger::AlertLinger;
use super::opening::Opening;
use super::refusal::{explained, late};
use super::validation::Hello;
use crate::http::timeout::Deadline;
use crate::proxy::{
    Connection, DRAIN_READ_TIMEOUT, KEEPALIVE_DRAIN_GRACE, TlsFacts, after_shutdown,
};
use crate::tls::{self, Refusal};
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{GetSocketDigest as _, SocketDigest};
use pingora::server::ShutdownWatch;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::pin;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

impl ConnectionHandler {
    /// Performs the TLS handshake. Returns `None` if the client sends nothing, or the process ends.
    pub(super) async fn secure(
        &self,
        mut stream: TcpStream,
        arrival: &Arrival,
        shutdown: &mut ShutdownWatch,
    ) -> Result<Option<Connection>, Refusal> {
        let mut deadline = Deadline::after(self.gate.policy().limits().handshake_timeout);
        let Some(opening) = opening(&stream, arrival, &mut deadline, shutdown).await? else {
            return Ok(silent(arrival.peer));
        };
        let mut rest = Cow::Borrowed(&arrival.rest[..]);
        let hello = self
            .read_hello(&mut stream, &mut rest, arrival, &mut deadline, shutdown)
            .await?;
        let (Some(acceptor), Some(spare)) = (self.acceptor.load_full(), AlertLinger::of(&stream))
        else {
            return Ok(None);
        };
        let stream = with_address(stream, arrival.peer, &rest);
        match hello {
            Hello::Ordinary => {}
            Hello::Ended => return Ok(None),
            Hello::Validation(answer) => {
                Box::pin(self.validate(stream, spare, &answer, arrival.peer)).await;
                return Ok(None);
            }
        }
        // A handshake needs ten times the memory of the connection: its own box releases that
        // afterwards.
        let handshake = Self::handshake_or_linger(&acceptor, stream, spare, deadline);
        let stream = tokio::select! {
            biased;
            stream = Box::pin(handshake) => stream.map_err(|refusal| opening.explain(refusal))?,
            () = after_shutdown(shutdown, DRAIN_READ_TIMEOUT) => return Ok(None),
        };
        self.monitor.handshake(arrival.peer.ip(), Ok(()));
        Ok(Some(secured(stream, arrival)))
    }

    async fn handshake_or_linger(
        acceptor: &TlsAcceptor,
        stream: L4Stream,
        spare: AlertLinger,
        mut deadline: Deadline,
    ) -> Result<TlsStream<L4Stream>, Refusal> {
        let result = handshake(acceptor, stream, &mut deadline).await;
        if result.is_err() {
            spare.linger().await;
        }
        result
    }
}

/// Tells what the client speaks. Returns `None` if it sends nothing, or the process ends.
async fn opening(
    stream: &TcpStream,
    arrival: &Arrival,
    deadline: &mut Deadline,
    shutdown: &mut ShutdownWatch,
) -> Result<Option<Opening>, Refusal> {
    match arrival.rest.is_empty() {
        true => first_in_time(stream, deadline, shutdown).await,
        false => Ok(Some(Opening::of(&arrival.rest))),
    }
}

/// Returns a connection without TLS.
pub(super) fn plain(stream: TcpStream, arrival: &Arrival) -> Connection {
    let stream = with_address(stream, arrival.peer, &arrival.rest);
    let sockets = stream.get_socket_digest();
    Connection::new(stream, sockets, None, arrival.is_anonymous())
}

/// Returns a connection whose handshake is over.
fn secured(stream: TlsStream<L4Stream>, arrival: &Arrival) -> Connection {
    let (socket, session) = stream.get_ref();
    let (sockets, facts) = (socket.get_socket_digest(), TlsFacts::of(session));
    Connection::new(stream, sockets, Some(facts), arrival.is_anonymous())
}

/// Returns a connection as Pingora's, with the address of the client and the bytes that were read.
fn with_address(stream: TcpStream, peer: SocketAddr, rest: &[u8]) -> L4Stream {
    // Ignore the error: it only costs latency.
    let _ = stream.set_nodelay(true);
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    let _ = digest.peer_addr.set(Some(peer.into()));
    let mut stream = L4Stream::from(stream);
    stream.set_socket_digest(digest);
    stream.rewind(rest);
    stream
}

/// Waits for the first bytes, as long as the process does not end.
async fn first_in_time(
    stream: &TcpStream,
    deadline: &mut Deadline,
    shutdown: &mut ShutdownWatch,
) -> Result<Option<Opening>, Refusal> {
    tokio::select! {
        biased;
        first = first_bytes(stream, deadline) => first,
        () = after_shutdown(shutdown, KEEPALIVE_DRAIN_GRACE) => Ok(None),
    }
}

/// Waits for the first bytes. Returns `None` if the client closes the connection without sending
/// any, as the health checks of load balancers do. Until then, no TLS state is allocated.
async fn first_bytes(
    stream: &TcpStream,
    deadline: &mut Deadline,
) -> Result<Option<Opening>, Refusal> {
    let mut first = [0; Opening::LENGTH];
    match deadline.wait(stream.peek(&mut first)).await {
        Ok(Ok(length @ 1..)) => Ok(Some(Opening::of(&first[..length]))),
        Ok(_) => Ok(None),
        Err(_) => Err(late()),
    }
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: L4Stream,
    deadline: &mut Deadline,
) -> Result<TlsStream<L4Stream>, Refusal> {
    let handshake = pin!(deadline.wait(acceptor.accept(stream)));
    let (result, refusal) = tls::observe(handshake).await;
    match result {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(refusal.unwrap_or_else(|| explained(&error.to_string()))),
        Err(_) => Err(refusal.unwrap_or_else(late)),
    }
}
