//! The senders of one thread.

use super::arrivals::Arrivals;
use super::exchange;
use super::tally::Tally;
use super::{Job, Pattern};
use crate::Failure;
use crate::client::{self, Client, Connection};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::task::{JoinSet, spawn_local};

/// How many connections are opened at a time.
const OPENING: usize = 16;

/// The senders, connected and warmed up.
pub(super) struct Senders {
    shared: Rc<Shared>,
    kind: Kind,
    length: Duration,
    rate: Option<f64>,
    seed: u64,
}

enum Kind {
    New {
        senders: usize,
    },
    Http1 {
        pool: Rc<RefCell<VecDeque<Connection>>>,
        busy: usize,
    },
    Http2 {
        connections: Vec<SendRequest<Bytes>>,
        streams: usize,
    },
    Storm {
        senders: usize,
        posts: usize,
    },
}

impl Kind {
    /// Connects. `share` is how many of all connections or senders are for this thread.
    async fn prepare(
        shared: &Rc<Shared>,
        pattern: Pattern,
        share: impl Fn(usize) -> usize,
    ) -> Result<Self, Failure> {
        Ok(match pattern {
            Pattern::New { senders } => Kind::New {
                senders: share(senders),
            },
            Pattern::Storm { senders, posts } => Kind::Storm {
                senders: share(senders),
                posts,
            },
            Pattern::Http1 { connections, busy } => {
                let pool = Rc::new(RefCell::new(open(shared, share(connections)).await?));
                Kind::Http1 {
                    pool,
                    busy: share(busy),
                }
            }
            Pattern::Http2 {
                connections,
                streams,
            } => Kind::Http2 {
                connections: shared.http2(share(connections)).await?,
                streams,
            },
        })
    }
}

struct Shared {
    client: Client,
    sources: u8,
    /// Turns of the sources.
    connected: Cell<usize>,
    http1: Vec<Vec<u8>>,
    http2: Vec<(Request<()>, Bytes)>,
    next: Cell<usize>,
    expected: String,
    tally: RefCell<Tally>,
}

impl Senders {
    /// The share of the thread with this index: connects, and sends for the time of the warm-up.
    pub(super) async fn prepare(job: &Job, index: usize, threads: usize) -> Result<Self, Failure> {
        let shared = Rc::new(Shared::new(job)?);
        let share = |count: usize| count / threads + usize::from(index < count % threads);
        let kind = Kind::prepare(&shared, job.pattern, share).await?;
        let rate = job.rate.map(|rate| rate / threads as f64);
        let senders = Self {
            shared,
            kind,
            length: job.length,
            rate,
            seed: index as u64,
        };
        senders.warm_up(job.warm_up).await?;
        Ok(senders)
    }

    /// What fails while warming up would fail later, too.
    async fn warm_up(&self, length: Duration) -> Result<(), Failure> {
        if let Kind::Storm { .. } = self.kind {
            return Ok(());
        }
        self.send(length, None).await;
        match self.shared.tally.take().outcome().first_failure {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }

    /// Sends, and says how it went.
    pub(super) async fn work(self) -> Tally {
        self.send(self.length, self.rate).await;
        self.shared.tally.take()
    }

    async fn send(&self, length: Duration, rate: Option<f64>) {
        let start = Instant::now();
        let arrivals = match Arrivals::new(length, rate, self.seed) {
            Ok(arrivals) => Rc::new(arrivals),
            Err(error) => return self.shared.tally.borrow_mut().fail(error),
        };
        let mut slots = self.spawn(&arrivals);
        while slots.join_next().await.is_some() {}
        self.shared
            .tally
            .borrow_mut()
            .end(start.elapsed(), arrivals.unsent());
    }

    /// Starts the senders, each of which sends when `arrivals` says so.
    fn spawn(&self, arrivals: &Rc<Arrivals>) -> JoinSet<()> {
        let mut slots = JoinSet::new();
        let (shared, arrivals) = (|| self.shared.clone(), || arrivals.clone());
        match &self.kind {
            Kind::New { senders } => {
                for _ in 0..*senders {
                    slots.spawn_local(send_new(shared(), arrivals()));
                }
            }
            Kind::Http1 { pool, busy } => {
                for _ in 0..*busy {
                    slots.spawn_local(send_http1(shared(), arrivals(), pool.clone()));
                }
            }
            Kind::Http2 {
                connections,
                streams,
            } => {
                for requests in connections.iter().flat_map(|it| vec![it; *streams]) {
                    slots.spawn_local(send_http2(shared(), arrivals(), requests.clone()));
                }
            }
            Kind::Storm { senders, posts } => {
                for _ in 0..*senders {
                    slots.spawn_local(send_storm(shared(), *posts));
                }
            }
        }
        slots
    }
}

/// Opens connections, several at a time, and sends once over each, so that the server has served
/// all of them.
async fn open(shared: &Rc<Shared>, count: usize) -> Result<VecDeque<Connection>, Failure> {
    let mut opening = JoinSet::new();
    let mut pool = VecDeque::with_capacity(count);
    for _ in 0..count {
        if opening.len() >= OPENING
            && let Some(opened) = opening.join_next().await
        {
            pool.push_back(opened??);
        }
        let shared = shared.clone();
        opening.spawn_local(async move { shared.first().await });
    }
    while let Some(opened) = opening.join_next().await {
        pool.push_back(opened??);
    }
    Ok(pool)
}

async fn send_new(shared: Rc<Shared>, arrivals: Rc<Arrivals>) {
    while let Some(arrival) = arrivals.next().await {
        let result = shared.first().await;
        if let Some(connection) = shared.record(arrival, result) {
            close(connection).await;
        }
    }
}

async fn send_http1(
    shared: Rc<Shared>,
    arrivals: Rc<Arrivals>,
    pool: Rc<RefCell<VecDeque<Connection>>>,
) {
    while let Some(arrival) = arrivals.next().await {
        // The connection that has rested longest, so that all of them are used.
        let Some(mut connection) = pool.borrow_mut().pop_front() else {
            return;
        };
        let result = shared.exchange(&mut connection).await;
        if shared.record(arrival, result) == Some(true) {
            pool.borrow_mut().push_back(connection);
            continue;
        }
        shared.tally.borrow_mut().reconnected += 1;
        // A failed reconnection has been counted, and ends this sender.
        if let Ok(connection) = shared.connect().await {
            pool.borrow_mut().push_back(connection);
        }
    }
}

async fn send_http2(shared: Rc<Shared>, arrivals: Rc<Arrivals>, requests: SendRequest<Bytes>) {
    while let Some(arrival) = arrivals.next().await {
        let result = shared.stream(&requests).await;
        if shared.record(arrival, result).is_none() {
            return;
        }
    }
}

async fn send_storm(shared: Rc<Shared>, posts: usize) {
    let arrival = Instant::now();
    let first = shared.first().await;
    let Some(mut connection) = shared.record(arrival, first) else {
        // Those behind it are as lost.
        (1..posts).for_each(|_| shared.tally.borrow_mut().fail("lost with the connection"));
        return;
    };
    for _ in 1..posts {
        let arrival = Instant::now();
        let result = shared.exchange(&mut connection).await;
        shared.record(arrival, result);
    }
    close(connection).await;
}

async fn close(mut connection: Connection) {
    // A connection that is closed already is not awaited.
    let _ = connection.stream.shutdown().await;
}

impl Shared {
    fn new(job: &Job) -> Result<Self, Failure> {
        let protocol: &[u8] = match job.pattern {
            Pattern::Http2 { .. } => b"h2",
            _ => b"http/1.1",
        };
        let http2: Result<Vec<_>, _> = job.messages.iter().map(exchange::http2).collect();
        Ok(Self {
            client: Client {
                source: None,
                address: job.address,
                config: Arc::new(job.identity.client_config(protocol)?),
            },
            sources: job.sources,
            connected: Cell::new(0),
            http1: job.messages.iter().map(exchange::http1).collect(),
            http2: http2?,
            next: Cell::new(0),
            expected: job.expected.clone(),
            tally: RefCell::default(),
        })
    }

    /// Keeps what a request has come to; gives back what it was answered with.
    fn record<T>(&self, arrival: Instant, result: Result<T, Failure>) -> Option<T> {
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

    fn turn(&self, of: usize) -> usize {
        let turn = self.next.get();
        self.next.set((turn + 1) % of);
        turn
    }

    fn next_http1(&self) -> &[u8] {
        &self.http1[self.turn(self.http1.len())]
    }

    fn next_http2(&self) -> (Request<()>, Bytes) {
        self.http2[self.turn(self.http2.len())].clone()
    }

    /// The client, from the next of its addresses.
    fn next_client(&self) -> Client {
        let connected = self.connected.replace(self.connected.get() + 1);
        let source = (self.sources > 1).then(|| {
            let last = 1 + connected % usize::from(self.sources);
            Ipv4Addr::from(Ipv4Addr::LOCALHOST.to_bits() - 1 + last as u32)
        });
        Client {
            source,
            ..self.client.clone()
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        self.next_client().connect().await
    }

    /// A new connection, and the answer to the first request on it.
    async fn first(&self) -> Result<Connection, Failure> {
        let mut connection = self.connect().await?;
        self.exchange(&mut connection).await?;
        Ok(connection)
    }

    /// Sends the next request. Returns `true` if the connection may be used again.
    async fn exchange(&self, connection: &mut Connection) -> Result<bool, Failure> {
        let answer = connection.exchange(self.next_http1()).await?;
        exchange::verify(&answer, &self.expected)?;
        Ok(answer.may_stay)
    }

    async fn stream(&self, requests: &SendRequest<Bytes>) -> Result<(), Failure> {
        let (request, body) = self.next_http2();
        let answer = client::exchange(requests, request, body).await?;
        exchange::verify(&answer, &self.expected)
    }

    async fn http2(&self, count: usize) -> Result<Vec<SendRequest<Bytes>>, Failure> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = self.next_client().tls().await?;
            let mut builder = h2::client::Builder::new();
            // Wide enough never to be waited for.
            builder
                .initial_window_size(1 << 20)
                .initial_connection_window_size(1 << 24);
            let (requests, connection) = builder.handshake(stream).await?;
            spawn_local(connection);
            connections.push(requests);
        }
        Ok(connections)
    }
}
