//! What the senders of a thread share: the client, the messages, and the tally.

use super::exchange;
use super::tally::Tally;
use super::{Expected, Job, Pattern};
use crate::Failure;
use crate::client::{self, Client, Connection};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio_rustls::client::TlsStream;

pub(super) struct Shared {
    http1: Side<Vec<u8>>,
    http2: Side<(Request<()>, Bytes)>,
    sources: u8,
    /// Turns of the sources.
    connected: Cell<usize>,
    expected: Expected,
    pub(super) tally: RefCell<Tally>,
}

/// The client of a protocol, and its messages, which have their turns.
struct Side<M> {
    client: Client,
    messages: Vec<M>,
    next: Cell<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A connection of either protocol.
pub(super) enum Link {
    Http1(Box<Connection>),
    Http2(SendRequest<Bytes>),
}

impl Link {
    /// Another stream of this connection, if its protocol has streams.
    pub(super) fn stream(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(requests) => Some(Self::Http2(requests.clone())),
        }
    }

    /// With HTTP/2, this is what happens when nothing refers to the connection any more.
    pub(super) async fn close(self) {
        if let Self::Http1(mut connection) = self {
            // A connection that is closed already is not awaited.
            let _ = connection.stream.shutdown().await;
        }
    }
}

impl<M: Clone> Side<M> {
    fn new(job: &Job, protocol: &[u8], messages: Vec<M>) -> Result<Self, Failure> {
        Ok(Self {
            client: Client {
                source: None,
                address: job.address,
                config: Arc::new(job.identity.client_config(protocol)?),
            },
            messages,
            next: Cell::new(0),
        })
    }

    fn next(&self) -> &M {
        let turn = self.next.get();
        self.next.set((turn + 1) % self.messages.len());
        &self.messages[turn]
    }
}

impl Protocol {
    /// The one with which connections are opened before the work begins.
    pub(super) fn of(pattern: Pattern) -> Self {
        match pattern {
            Pattern::Http2 { .. } => Self::Http2,
            _ => Self::Http1,
        }
    }
}

/// The name of what both sides have agreed on.
fn key_exchange(stream: &TlsStream<TcpStream>) -> Option<String> {
    let group = stream.get_ref().1.negotiated_key_exchange_group()?;
    Some(format!("{:?}", group.name()))
}

impl Shared {
    /// With the messages of one of several threads: those about one node are not to meet.
    pub(super) fn new(job: &Job, index: usize, threads: usize) -> Result<Self, Failure> {
        let skipped = index % job.messages.len();
        let messages = || job.messages.iter().skip(skipped).step_by(threads);
        let http1 = messages().map(exchange::http1).collect();
        let http2: Result<Vec<_>, _> = messages().map(exchange::http2).collect();
        Ok(Self {
            http1: Side::new(job, b"http/1.1", http1)?,
            http2: Side::new(job, b"h2", http2?)?,
            sources: job.sources,
            connected: Cell::new(0),
            expected: job.expected.clone(),
            tally: RefCell::default(),
        })
    }

    /// Keeps what a request has come to; gives back what it was answered with.
    pub(super) fn record<T>(&self, arrival: Instant, result: Result<T, Failure>) -> Option<T> {
        let mut tally = self.tally.borrow_mut();
        match result {
            Ok(value) => {
                tally.answer(arrival.elapsed());
                Some(value)
            }
            Err(failure) => {
                tally.fail(failure);
                None
            }
        }
    }

    /// The client, from the next of its addresses.
    fn at_next_source(&self, client: &Client) -> Client {
        let connected = self.connected.replace(self.connected.get() + 1);
        let source = (self.sources > 1).then(|| {
            let last = 1 + connected % usize::from(self.sources);
            Ipv4Addr::from(Ipv4Addr::LOCALHOST.to_bits() - 1 + last as u32)
        });
        Client {
            source,
            ..client.clone()
        }
    }

    pub(super) async fn connect(&self, protocol: Protocol) -> Result<Link, Failure> {
        match protocol {
            Protocol::Http1 => {
                let client = self.at_next_source(&self.http1.client);
                let connection = client.connect().await?;
                self.tally.borrow_mut().key_exchange = key_exchange(&connection.stream);
                Ok(Link::Http1(Box::new(connection)))
            }
            Protocol::Http2 => self.connect_http2().await,
        }
    }

    async fn connect_http2(&self) -> Result<Link, Failure> {
        let stream = self.at_next_source(&self.http2.client).tls().await?;
        let mut builder = h2::client::Builder::new();
        // Wide enough never to be waited for.
        builder
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 24);
        let (requests, connection) = builder.handshake(stream).await?;
        spawn_local(connection);
        Ok(Link::Http2(requests))
    }

    /// A new connection, and the answer to the first request on it.
    pub(super) async fn first(&self, protocol: Protocol) -> Result<Link, Failure> {
        let mut link = self.connect(protocol).await?;
        self.exchange(&mut link).await?;
        Ok(link)
    }

    /// Sends the next request. Returns `true` if the connection may be used again.
    pub(super) async fn exchange(&self, link: &mut Link) -> Result<bool, Failure> {
        let answer = match link {
            Link::Http1(connection) => connection.exchange(self.http1.next()).await?,
            Link::Http2(requests) => {
                let (request, body) = self.http2.next().clone();
                client::exchange(requests, request, body).await?
            }
        };
        exchange::verify(&answer, &self.expected)?;
        Ok(answer.may_stay)
    }
}
