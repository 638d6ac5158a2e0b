//! Ending without losing what is in flight.

use super::pid_file::PidFile;
use super::signals::{Order, Signals};
use super::systemd;
use super::upgrade::Legacy;
use super::upgrade::launch::Launch;
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Barrier, Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// Says when to end, and knows what is in flight.
#[derive(Clone)]
pub(super) struct Drain {
    begun: watch::Sender<bool>,
    /// Whether it has begun without a successor.
    leaves: watch::Sender<bool>,
    /// Whether a successor serves.
    succeeded: watch::Sender<bool>,
    /// The accept loops and the connections.
    in_flight: TaskTracker,
}

impl Drain {
    pub(super) fn new() -> Self {
        let [begun, leaves, succeeded] = std::array::from_fn(|_| watch::Sender::new(false));
        Self {
            begun,
            leaves,
            succeeded,
            in_flight: TaskTracker::new(),
        }
    }

    /// Turns true when the drain begins. If it has begun, that is news to this one all the same.
    pub(super) fn watch(&self) -> ShutdownWatch {
        let mut watch = self.begun.subscribe();
        if *watch.borrow() {
            watch.mark_changed();
        }
        watch
    }

    /// For who knows best what of its work is to be finished.
    pub(super) fn in_flight(&self) -> TaskTracker {
        self.in_flight.clone()
    }

    /// Turns true when the drain begins and no successor serves: who asks then is not to send
    /// anybody here.
    pub(super) fn leaves(&self) -> watch::Receiver<bool> {
        self.leaves.subscribe()
    }

    /// Turns true when a successor serves.
    pub(super) fn succession(&self) -> watch::Receiver<bool> {
        self.succeeded.subscribe()
    }

    /// Runs what is to be finished before the process ends.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.in_flight.spawn(task)
    }

    /// Likewise, on another runtime.
    pub(super) fn spawn_on(
        &self,
        runtime: &Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.in_flight.spawn_on(task, runtime);
    }

    /// Returns when the drain has begun and everything in flight is finished.
    pub(super) async fn finished(&self) {
        self.in_flight.wait().await;
    }

    /// Asks everything in flight to finish, and waits for that.
    async fn complete(&self, limit: Duration) {
        self.leaves.send_replace(!*self.succeeded.borrow());
        self.begun.send_replace(true);
        self.in_flight.close();
        match timeout(limit, self.in_flight.wait()).await {
            Ok(()) => info!(event = "drained", "all requests in flight have finished"),
            Err(_) => warn!(
                event = "drain_timed_out",
                connections = self.in_flight.len(),
                "shutdown_timeout expired, closing the remaining connections"
            ),
        }
    }
}

/// Ends a server from within its process, as SIGTERM does from without.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Notify>);

impl Stop {
    /// Stops accepting, lets requests in flight finish, and ends.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// What Pingora waits for: a signal or [`Stop`], and then the end of the drain.
pub(super) struct UntilDrained {
    pub(super) drain: Drain,
    pub(super) stop: Stop,
    pub(super) shutdown_timeout: Duration,
    pub(super) pid_file: PidFile,
    /// What a successor gets. It is let go when the drain begins, for then nobody is to listen on
    /// its sockets.
    pub(super) legacy: Mutex<Option<Legacy>>,
    /// How a successor is started.
    pub(super) launch: Option<Launch>,
    /// Passed by everybody who has a signal to listen for: nobody is served before that.
    pub(super) listening: Arc<Barrier>,
}

#[async_trait]
impl ShutdownSignalWatch for UntilDrained {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = Signals::listen();
        self.listening.wait().await;
        if self.until_told(&mut signals).await == Order::End {
            return ShutdownSignal::FastShutdown;
        }
        tokio::select! {
            () = self.drain.complete(self.shutdown_timeout) => ShutdownSignal::GracefulTerminate,
            () = interrupted(&mut signals) => ShutdownSignal::FastShutdown,
        }
    }
}

/// A hand-over that is under way.
type HandOver<'l> = Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'l>>;

impl UntilDrained {
    /// Returns when this process is not to serve any longer, and how it is to end.
    async fn until_told(&self, signals: &mut Signals) -> Order {
        let legacy = self
            .legacy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut under_way: Option<HandOver<'_>> = None;
        loop {
            tokio::select! {
                order = signals.next() => match order {
                    Order::End => return Order::End,
                    Order::Drain => {
                        info!(event = "draining", "SIGTERM received, draining");
                        systemd::stopping();
                        return Order::Drain;
                    }
                    Order::HandOver | Order::Succeed if under_way.is_some() => warn!(event = "upgrade_in_progress", "an upgrade is already in progress, signal ignored"),
                    order if self.has_launched(order) => under_way = legacy.as_ref().map(begin),
                    _ => {}
                },
                () = self.stop.0.notified() => {
                    info!(event = "draining", "draining");
                    systemd::stopping();
                    return Order::Drain;
                }
                result = finished(&mut under_way) => match result {
                    Ok(()) => {
                        info!(event = "draining", "the successor serves requests, draining");
                        self.drain.succeeded.send_replace(true);
                        return Order::Drain;
                    }
                    Err(error) => {
                        error!(event = "upgrade_failed", %error, "upgrade failed, this process continues to serve");
                        under_way = None;
                        self.pid_file.restore();
                    }
                },
            }
        }
    }

    /// Starts a successor, if that is the order. Otherwise somebody else does.
    fn has_launched(&self, order: Order) -> bool {
        match (order, &self.launch) {
            (Order::Succeed, None) => {
                warn!(
                    event = "upgrade_refused",
                    "SIGUSR2 ignored: the command line of this process is unknown"
                );
                false
            }
            (Order::Succeed, Some(_)) if std::process::id() == 1 => {
                // The container ends with its first process, and takes a successor with it.
                error!(
                    event = "upgrade_refused",
                    "SIGUSR2 ignored: this is the first process of its container, replace the container instead"
                );
                false
            }
            (Order::Succeed, Some(launch)) => launch
                .start()
                .inspect_err(
                    |error| error!(event = "upgrade_failed", %error, "cannot start a successor"),
                )
                .is_ok(),
            _ => true,
        }
    }
}

fn begin(legacy: &Legacy) -> HandOver<'_> {
    Box::pin(legacy.hand_over())
}

async fn finished(under_way: &mut Option<HandOver<'_>>) -> io::Result<()> {
    match under_way {
        Some(hand_over) => hand_over.await,
        None => std::future::pending().await,
    }
}

async fn interrupted(signals: &mut Signals) {
    while signals.next().await != Order::End {}
}
