//! The senders of one thread.

use super::arrivals::Arrivals;
use super::shared::{Link, Protocol, Shared};
use super::tally::Tally;
use super::{Job, Pattern};
use crate::Failure;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many connections are opened at a time.
const OPENING: usize = 16;

/// The senders, connected and warmed up.
pub(super) struct Senders {
    shared: Rc<Shared>,
    /// With this thread's share of all connections and senders.
    pattern: Pattern,
    /// Connections that are open before the work begins.
    pool: Pool,
    length: Duration,
    rate: Option<f64>,
    seed: u64,
}

type Pool = Rc<RefCell<VecDeque<Link>>>;

impl Senders {
    /// The share of the thread with this index: connects, and sends for the time of the warm-up.
    pub(super) async fn prepare(job: &Job, index: usize, threads: usize) -> Result<Self, Failure> {
        let shared = Rc::new(Shared::new(job, index, threads)?);
        let share = |count: usize| count / threads + usize::from(index < count % threads);
        let pattern = job.pattern.share(share);
        let pool = open(&shared, pattern).await?;
        let senders = Self {
            shared,
            pattern,
            pool: Rc::new(RefCell::new(pool)),
            length: job.length,
            rate: job.rate.map(|rate| rate / threads as f64),
            seed: index as u64,
        };
        senders.warm_up(job.warm_up).await?;
        Ok(senders)
    }

    /// What fails while warming up would fail later, too.
    async fn warm_up(&self, length: Duration) -> Result<(), Failure> {
        if let Pattern::Crowd { .. } = self.pattern {
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
        match self.pattern {
            Pattern::New { senders } => {
                for _ in 0..senders {
                    slots.spawn_local(send_new(shared(), arrivals()));
                }
            }
            Pattern::Http1 { busy, .. } => {
                for _ in 0..busy {
                    slots.spawn_local(send_warm(shared(), arrivals(), self.pool.clone()));
                }
            }
            Pattern::Http2 { streams, .. } => {
                let pool = self.pool.borrow();
                for stream in pool.iter().flat_map(|link| vec![link; streams]) {
                    let stream = stream.stream().expect("it is an HTTP/2 connection");
                    slots.spawn_local(send_stream(shared(), arrivals(), stream));
                }
            }
            Pattern::Crowd {
                senders,
                http2,
                posts,
                window,
            } => {
                let mut random = SmallRng::seed_from_u64(self.seed);
                for index in 0..senders {
                    let protocol = if index < http2 {
                        Protocol::Http2
                    } else {
                        Protocol::Http1
                    };
                    let delay = window.mul_f64(random.random());
                    slots.spawn_local(send_one_of_crowd(shared(), protocol, delay, posts));
                }
            }
        }
        slots
    }
}

/// Opens the connections of a pattern, several at a time, and sends once over each, so that the
/// server has served all of them.
async fn open(shared: &Rc<Shared>, pattern: Pattern) -> Result<VecDeque<Link>, Failure> {
    let count = pattern.connections();
    let mut opening = JoinSet::new();
    let mut pool = VecDeque::with_capacity(count);
    for _ in 0..count {
        if opening.len() >= OPENING
            && let Some(opened) = opening.join_next().await
        {
            pool.push_back(opened??);
        }
        let shared = shared.clone();
        opening.spawn_local(async move { shared.first(Protocol::of(pattern)).await });
    }
    while let Some(opened) = opening.join_next().await {
        pool.push_back(opened??);
    }
    Ok(pool)
}

async fn send_new(shared: Rc<Shared>, arrivals: Rc<Arrivals>) {
    while let Some(arrival) = arrivals.next().await {
        let result = shared.first(Protocol::Http1).await;
        if let Some(link) = shared.record(arrival, result) {
            link.close().await;
        }
    }
}

async fn send_warm(shared: Rc<Shared>, arrivals: Rc<Arrivals>, pool: Pool) {
    while let Some(arrival) = arrivals.next().await {
        // The connection that has rested longest, so that all of them are used.
        let Some(mut link) = pool.borrow_mut().pop_front() else {
            return;
        };
        let result = shared.exchange(&mut link).await;
        if shared.record(arrival, result) == Some(true) {
            pool.borrow_mut().push_back(link);
            continue;
        }
        shared.tally.borrow_mut().reconnected += 1;
        // A failed reconnection has been counted, and ends this sender.
        if let Ok(link) = shared.connect(Protocol::Http1).await {
            pool.borrow_mut().push_back(link);
        }
    }
}

async fn send_stream(shared: Rc<Shared>, arrivals: Rc<Arrivals>, mut stream: Link) {
    while let Some(arrival) = arrivals.next().await {
        let result = shared.exchange(&mut stream).await;
        if shared.record(arrival, result).is_none() {
            return;
        }
    }
}

async fn send_one_of_crowd(shared: Rc<Shared>, protocol: Protocol, delay: Duration, posts: usize) {
    sleep(delay).await;
    let arrival = Instant::now();
    let first = shared.first(protocol).await;
    let Some(mut link) = shared.record(arrival, first) else {
        // Those behind it are as lost.
        (1..posts).for_each(|_| shared.tally.borrow_mut().fail("lost with the connection"));
        return;
    };
    for _ in 1..posts {
        let arrival = Instant::now();
        let result = shared.exchange(&mut link).await;
        shared.record(arrival, result);
    }
    link.close().await;
}
