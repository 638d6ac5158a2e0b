//! Sends the requests, in the number and at the rate that the options ask for.

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

/// Number and rate of requests.
pub(super) struct Pace {
    /// Total number; without it, requests are sent until the end of `duration`.
    pub(super) repeat: Option<u64>,
    duration: Option<Duration>,
    pub(super) concurrency: u64,
    /// Requests per second, over all connections.
    rate: Option<f64>,
    new_connections: bool,
}

impl Pace {
    /// Reads the options. Without any, `round` requests are sent.
    pub(super) fn new(options: &DeliveryOptions, round: u64) -> Self {
        let default_repeat = options.duration.is_none().then_some(round);
        let repeat = options.repeat.or(default_repeat);
        Self {
            repeat,
            duration: options.duration.map(Duration::from_secs_f64),
            concurrency: options.concurrency.min(repeat.unwrap_or(u64::MAX)),
            rate: options.rate,
            new_connections: options.new_connections,
        }
    }

    /// Returns the time after the start at which the `index`th request is due.
    fn due(&self, index: u64) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| {
            Duration::try_from_secs_f64(index as f64 / rate).unwrap_or(Duration::MAX)
        })
    }
}

/// A run of `send`: its requests, and their results so far.
pub(super) struct LoadRun {
    pub(super) delivery: Delivery,
    pub(super) plan: SendPlan,
    pub(super) pace: Pace,
    began: Instant,
    next: AtomicU64,
    statistics: Mutex<Statistics>,
    stop: CancellationToken,
    progress: ProgressBar,
}

/// Results of a run.
pub(super) struct LoadResult {
    pub(super) statistics: Statistics,
    pub(super) took: Duration,
    /// Did a signal arrive before the last request?
    pub(super) was_interrupted: bool,
}

impl LoadRun {
    pub(super) fn new(delivery: Delivery, plan: SendPlan, pace: Pace) -> Self {
        Self {
            progress: progress(&pace),
            delivery,
            plan,
            pace,
            began: Instant::now(),
            next: AtomicU64::new(0),
            statistics: Mutex::new(Statistics::new()),
            stop: CancellationToken::new(),
        }
    }

    /// Sends all requests, until a signal arrives or the server turns out to be unreachable.
    pub(super) async fn run(self: &Arc<Self>) -> LoadResult {
        let interrupt_task = self.stop_on_interrupt();
        self.send_all().await;
        drop(interrupt_task);
        self.progress.finish_and_clear();
        let statistics = std::mem::replace(&mut *self.statistics(), Statistics::new());
        LoadResult {
            statistics,
            took: self.began.elapsed(),
            was_interrupted: self.stop.is_cancelled(),
        }
    }

    /// Stops the run at SIGINT. Without a signal handler, the run continues to its end.
    fn stop_on_interrupt(&self) -> Option<AbortOnDropHandle<()>> {
        let mut interrupt = signal(SignalKind::interrupt()).ok()?;
        let stop = self.stop.clone();
        let task = tokio::spawn(async move {
            interrupt.recv().await;
            stop.cancel();
        });
        Some(AbortOnDropHandle::new(task))
    }

    async fn send_all(self: &Arc<Self>) {
        let mut workers = JoinSet::new();
        workers.spawn(self.clone().work());
        // One attempt shows whether the server is reachable. If it is, the other workers start
        // before the first response.
        tokio::select! {
            biased;
            () = self.delivery.wait_for_contact() => {}
            _ = workers.join_next() => return,
        }
        for _ in 1..self.pace.concurrency {
            workers.spawn(self.clone().work());
        }
        while workers.join_next().await.is_some() {}
    }

    async fn work(self: Arc<Self>) {
        let mut connection = None;
        while self.send_next(&mut connection).await && self.delivery.first_connected().is_some() {}
        self.close(connection).await;
    }

    /// Sends the next request. Returns `false` if there is none left.
    async fn send_next(&self, connection: &mut Option<ClientConnection>) -> bool {
        let Some(Some((index, since))) = self.stop.run_until_cancelled(self.turn()).await else {
            return false;
        };
        let Some(outcome) = self.send(connection, index).await else {
            return false;
        };
        self.count(index, outcome, since.elapsed());
        self.progress.inc(1);
        if self.pace.new_connections {
            self.close(connection.take()).await;
        }
        true
    }

    /// Sends the `index`th request. Returns `None` if the run was stopped before it was sent.
    async fn send(
        &self,
        connection: &mut Option<ClientConnection>,
        index: u64,
    ) -> Option<RequestOutcome> {
        let request = match self.plan.request(&self.delivery.target, index) {
            Ok(request) => request,
            Err(error) => return Some(RequestOutcome::unsent(&error)),
        };
        let began = Instant::now();
        let delivery = self.delivery.deliver(connection, request);
        match self.stop.run_until_cancelled(delivery).await {
            Some(Ok(response)) => Some(self.plan.judge(index, &response, began.elapsed())),
            Some(Err(outcome)) => Some(outcome),
            // The server may have received the request, and act on it.
            None => connection.take().map(|_| RequestOutcome::interrupted()),
        }
    }

    async fn close(&self, connection: Option<ClientConnection>) {
        if let Some(connection) = connection {
            self.stop.run_until_cancelled(connection.close()).await;
        }
    }

    /// Waits until the next request is due. Returns its index, and the start of its latency.
    async fn turn(&self) -> Option<(u64, Instant)> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if self.pace.repeat.is_some_and(|repeat| index >= repeat) {
            return None;
        }
        let (now, due) = (Instant::now(), self.due(index)?);
        if self.is_over(due.max(now)) {
            return None;
        }
        if due > now {
            sleep_until(due.into()).await;
            // A late timer does not count as latency of the server.
            return Some((index, Instant::now()));
        }
        // A request that is late because all connections are busy counts from when it was due.
        Some((index, if self.pace.rate.is_some() { due } else { now }))
    }

    /// Returns the start of the load: the time before the first contact does not count.
    fn start(&self) -> Instant {
        self.delivery.first_connected().unwrap_or(self.began)
    }

    fn due(&self, index: u64) -> Option<Instant> {
        self.start().checked_add(self.pace.due(index))
    }

    fn is_over(&self, now: Instant) -> bool {
        let duration = self.pace.duration;
        duration.is_some_and(|duration| now >= self.start() + duration)
    }

    fn count(&self, index: u64, outcome: RequestOutcome, latency: Duration) {
        let is_accepted = outcome.reason.status == RequestStatus::Accepted;
        let mut statistics = self.statistics();
        statistics.count(outcome, latency);
        if let Some(token) = self.plan.test_token(index).filter(|_| is_accepted) {
            statistics.note_test(token);
        }
    }

    fn statistics(&self) -> MutexGuard<'_, Statistics> {
        let statistics = self.statistics.lock();
        statistics.unwrap_or_else(PoisonError::into_inner)
    }
}

const WITH_END: &str = "{elapsed_precise} {wide_bar} {pos}/{len}, {per_sec}, {eta} left";
const WITHOUT_END: &str = "{elapsed_precise} {spinner} {pos}, {per_sec}";

/// Returns the progress bar, which is shown on terminals, for more than one request.
fn progress(pace: &Pace) -> ProgressBar {
    let target = match pace.repeat {
        Some(1) => ProgressDrawTarget::hidden(),
        _ => ProgressDrawTarget::stderr(),
    };
    let template = match pace.repeat {
        Some(_) => WITH_END,
        None => WITHOUT_END,
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
