//! Sends as many requests as are wanted, as fast as is wanted.

use super::arguments::DeliveryOptions;
use super::delivery::Delivery;
use super::outcome::{RequestOutcome, RequestStatus};
use super::plan::SendPlan;
use super::statistics::Statistics;
use crate::commands::client::ClientConnection;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How often, and how fast.
pub(super) struct Pace {
    /// How many in all; without, until the end of `duration`.
    pub(super) repeat: Option<u64>,
    duration: Option<Duration>,
    pub(super) concurrency: u64,
    /// How many each second.
    rate: Option<f64>,
    new_connections: bool,
}

impl Pace {
    /// What `delivery` asks for; `round` requests where it asks for nothing.
    pub(super) fn new(delivery: &DeliveryOptions, round: u64) -> Self {
        let repeat = delivery.repeat.or(if delivery.duration.is_some() {
            None
        } else {
            Some(round)
        });
        Self {
            repeat,
            duration: delivery.duration.map(Duration::from_secs_f64),
            concurrency: delivery.concurrency.min(repeat.unwrap_or(u64::MAX)),
            rate: delivery.rate,
            new_connections: delivery.new_connections,
        }
    }

    /// When the `index`th request is due, after the beginning.
    fn due(&self, index: u64) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| {
            Duration::try_from_secs_f64(index as f64 / rate).unwrap_or(Duration::MAX)
        })
    }
}

/// Requests that are under way.
pub(super) struct LoadRun {
    pub(super) courier: Delivery,
    pub(super) plan: SendPlan,
    pub(super) pace: Pace,
    began: Instant,
    next: AtomicU64,
    statistics: Mutex<Statistics>,
    stop: CancellationToken,
    progress: ProgressBar,
}

/// What came of it.
pub(super) struct LoadResult {
    pub(super) statistics: Statistics,
    pub(super) took: Duration,
    /// Whether a signal came before the last request.
    pub(super) was_interrupted: bool,
}

impl LoadRun {
    pub(super) fn new(courier: Delivery, plan: SendPlan, pace: Pace) -> Self {
        Self {
            progress: progress(&pace),
            courier,
            plan,
            pace,
            began: Instant::now(),
            next: AtomicU64::new(0),
            statistics: Mutex::new(Statistics::new()),
            stop: CancellationToken::new(),
        }
    }

    /// Sends everything, unless a signal comes before that or there is nobody to send to.
    pub(super) async fn run(self: &Arc<Self>) -> LoadResult {
        // Without signals it goes on to the end.
        let watch = signal(SignalKind::interrupt()).ok().map(|mut interrupt| {
            let stop = self.stop.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                interrupt.recv().await;
                stop.cancel();
            }))
        });
        self.send_all().await;
        drop(watch);
        self.progress.finish_and_clear();
        let statistics = std::mem::replace(&mut *self.statistics(), Statistics::new());
        LoadResult {
            statistics,
            took: self.began.elapsed(),
            was_interrupted: self.stop.is_cancelled(),
        }
    }

    async fn send_all(self: &Arc<Self>) {
        let mut workers = JoinSet::new();
        let first = self.clone();
        workers.spawn(async move { first.work().await });
        // Where nobody can be connected to, trying once is enough. Where somebody can, nobody waits
        // for the first answer.
        tokio::select! {
            biased;
            () = self.courier.meet() => {}
            _ = workers.join_next() => return,
        }
        for _ in 1..self.pace.concurrency {
            let load_run = self.clone();
            workers.spawn(async move { load_run.work().await });
        }
        while workers.join_next().await.is_some() {}
    }

    async fn work(&self) {
        let mut connection = None;
        while self.send_next(&mut connection).await && self.courier.met().is_some() {}
        self.close(connection).await;
    }

    /// Sends the next request, and says whether there was one left.
    async fn send_next(&self, connection: &mut Option<ClientConnection>) -> bool {
        let Some(Some((index, since))) = self.stop.run_until_cancelled(self.turn()).await else {
            return false;
        };
        let request = self.plan.request(&self.courier.place, index);
        let began = Instant::now();
        let delivered = self
            .stop
            .run_until_cancelled(self.courier.deliver(connection, request))
            .await;
        let ending = match delivered {
            Some(Ok(answer)) => self.plan.judge(index, &answer, began.elapsed()),
            Some(Err(ending)) => ending,
            // The server may have got it, and act on it.
            None if connection.take().is_some() => RequestOutcome::interrupted(),
            None => return false,
        };
        self.count(index, ending, since.elapsed());
        self.progress.inc(1);
        if self.pace.new_connections {
            self.close(connection.take()).await;
        }
        true
    }

    async fn close(&self, connection: Option<ClientConnection>) {
        if let Some(connection) = connection {
            self.stop.run_until_cancelled(connection.close()).await;
        }
    }

    /// The index of the next request, and from when on it waits, once it is due.
    async fn turn(&self) -> Option<(u64, Instant)> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if self.pace.repeat.is_some_and(|repeat| index >= repeat) {
            return None;
        }
        // How long it takes to find out whether anybody is there is nobody's time.
        let start = self.courier.met().unwrap_or(self.began);
        let (now, due) = (Instant::now(), start.checked_add(self.pace.due(index))?);
        let is_over = |duration| due.max(now) >= start + duration;
        if self.pace.duration.is_some_and(is_over) {
            return None;
        }
        if due > now {
            sleep_until(due.into()).await;
            // That a timer is late is not the server's fault.
            return Some((index, Instant::now()));
        }
        // But that everybody was still busy when it was due, is.
        Some((index, if self.pace.rate.is_some() { due } else { now }))
    }

    fn count(&self, index: u64, ending: RequestOutcome, latency: Duration) {
        let token = self
            .plan
            .test_token(index)
            .filter(|_| ending.reason.fate == RequestStatus::Accepted);
        let mut statistics = self.statistics();
        statistics.count(ending, latency);
        token
            .into_iter()
            .for_each(|token| statistics.note_test(token));
    }

    fn statistics(&self) -> MutexGuard<'_, Statistics> {
        self.statistics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shown on a terminal alone, and if it is worth it.
fn progress(pace: &Pace) -> ProgressBar {
    let target = match pace.repeat {
        Some(1) => ProgressDrawTarget::hidden(),
        _ => ProgressDrawTarget::stderr(),
    };
    let template = match pace.repeat {
        Some(_) => "{elapsed_precise} {wide_bar} {pos}/{len}, {per_sec}, {eta} left",
        None => "{elapsed_precise} {spinner} {pos}, {per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::with_draw_target(pace.repeat, target).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_one_after_the_other() {
        let pace = |rate| Pace {
            repeat: None,
            duration: None,
            concurrency: 1,
            rate,
            new_connections: false,
        };
        assert_eq!(pace(None).due(7), Duration::ZERO);
        assert_eq!(pace(Some(10.0)).due(7), Duration::from_millis(700));
        assert_eq!(pace(Some(0.001)).due(u64::MAX), Duration::MAX);
    }
}
