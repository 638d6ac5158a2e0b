//! When requests are sent.

use super::timer::Timer;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Hands out the moments from which latencies count.
pub(super) enum Arrivals {
    /// As soon as a connection is free, until the end.
    Closed { end: Instant },
    /// At a rate, even if no connection is free: later requests wait in a queue.
    Paced(Rc<Queue>),
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: RefCell<VecDeque<Instant>>,
    changed: Notify,
    closed: Cell<bool>,
}

impl Arrivals {
    pub(super) fn new(length: Duration, rate: Option<f64>, seed: u64) -> io::Result<Self> {
        let end = Instant::now() + length;
        let Some(rate) = rate else {
            return Ok(Self::Closed { end });
        };
        let queue = Rc::new(Queue::default());
        tokio::task::spawn_local(pace(queue.clone(), Timer::new()?, rate, end, seed));
        Ok(Self::Paced(queue))
    }

    /// The next request; `None`, when there are no more.
    pub(super) async fn next(&self) -> Option<Instant> {
        match self {
            Self::Closed { end } => Some(Instant::now()).filter(|now| now < end),
            Self::Paced(queue) => queue.pop().await,
        }
    }

    /// How many have waited in vain.
    pub(super) fn unsent(&self) -> usize {
        match self {
            Self::Closed { .. } => 0,
            Self::Paced(queue) => queue.waiting.borrow().len(),
        }
    }
}

impl Queue {
    async fn pop(&self) -> Option<Instant> {
        loop {
            if self.closed.get() {
                // For other waiting tasks.
                self.changed.notify_one();
                return None;
            }
            if let Some(arrival) = self.waiting.borrow_mut().pop_front() {
                return Some(arrival);
            }
            self.changed.notified().await;
        }
    }

    fn push(&self, arrival: Instant) {
        self.waiting.borrow_mut().push_back(arrival);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.closed.set(true);
        self.changed.notify_one();
    }
}

/// Independent senders: the gaps between them are exponentially distributed, and the same for every
/// server.
async fn pace(queue: Rc<Queue>, timer: Timer, rate: f64, end: Instant, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut due = Instant::now();
    loop {
        let uniform: f64 = random.random_range(f64::MIN_POSITIVE..1.0);
        due += Duration::from_secs_f64(-uniform.ln() / rate);
        if due >= end {
            break;
        }
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() && timer.sleep(early).await.is_err() {
            break;
        }
        // From now, not from `due`: that this process was late is not the server's.
        queue.push(Instant::now());
    }
    queue.close();
}
