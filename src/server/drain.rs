//! Graceful shutdown: stops accepting, and waits until requests in flight are finished.

use super::pid_file::PidFile;
use super::signals::{SignalAction, Signals};
use super::systemd;
use super::upgrade::ListenSockets;
use super::upgrade::launch::Launch;
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Barrier, Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// Announces the shutdown, and tracks the tasks that must finish first.
#[derive(Clone)]
pub(super) struct Drain {
    begun: watch::Sender<bool>,
    /// `true` once draining has started without a successor.
    going_away: watch::Sender<bool>,
    /// `true` once a successor serves.
    succeeded: watch::Sender<bool>,
    /// Accept loops and connections.
    in_flight: TaskTracker,
}

impl Drain {
    pub(super) fn new() -> Self {
        let [begun, going_away, succeeded] = std::array::from_fn(|_| watch::Sender::new(false));
        Self {
            begun,
            going_away,
            succeeded,
            in_flight: TaskTracker::new(),
        }
    }

    /// Returns a watch that becomes `true` when draining starts. If draining has already started,
    /// the new receiver still observes a change.
    pub(super) fn watch(&self) -> ShutdownWatch {
        let mut watch = self.begun.subscribe();
        if *watch.borrow() {
            watch.mark_changed();
        }
        watch
    }

    /// Tracks work that must finish before the process exits.
    pub(super) fn in_flight(&self) -> TaskTracker {
        self.in_flight.clone()
    }

    /// Becomes `true` when draining starts and no successor has taken over. `/readyz` then reports
    /// 503 so that load balancers stop sending traffic.
    pub(super) fn going_away(&self) -> watch::Receiver<bool> {
        self.going_away.subscribe()
    }

    /// Becomes `true` when a successor serves.
    pub(super) fn succeeded(&self) -> watch::Receiver<bool> {
        self.succeeded.subscribe()
    }

    /// Spawns a task that must finish before the process exits.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.in_flight.spawn(task)
    }

    /// Spawns a task on another runtime; it must finish before the process exits.
    pub(super) fn spawn_on(
        &self,
        runtime: &Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.in_flight.spawn_on(task, runtime);
    }

    /// Waits until draining has started and every tracked task is finished.
    pub(super) async fn finished(&self) {
        self.in_flight.wait().await;
    }

    /// Waits, once the runtimes have ended, until each request that this has cut short is dropped: it
    /// reports what is lost with it. Blocks the thread, for `limit` at most.
    pub(super) fn dropped(&self, limit: Duration) {
        self.in_flight.close();
        // Without a runtime, there is nothing to wait with.
        if let Ok(runtime) = Builder::new_current_thread().enable_time().build() {
            // Ignore a timeout: a thread that hangs reports nothing.
            let _ = runtime.block_on(async { timeout(limit, self.in_flight.wait()).await });
        }
    }

    /// Starts draining, and waits at most `limit` until every tracked task is finished.
    async fn complete(&self, limit: Duration) {
        self.going_away.send_replace(!*self.succeeded.borrow());
        self.begun.send_replace(true);
        self.in_flight.close();
        match timeout(limit, self.in_flight.wait()).await {
            Ok(()) => info!(event = "drained", "all requests in flight have finished"),
            Err(_) => self.log_timeout(),
        }
    }

    fn log_timeout(&self) {
        warn!(
            event = "drain_timed_out",
            connections = self.in_flight.len(),
            "shutdown_timeout expired, closing the remaining connections"
        );
    }
}

/// A handle that ends a server from within its process, as SIGTERM does from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Notify>);

impl Stop {
    /// Stops accepting, lets requests in flight finish, and ends.
    pub(crate) fn stop(&self) {
        self.0.notify_one();
    }
}

/// Pingora's shutdown signal: waits for a signal or [`Stop`], and then for the end of the drain.
pub(super) struct UntilDrained {
    pub(super) drain: Drain,
    pub(super) stop: Stop,
    pub(super) shutdown_timeout: Duration,
    pub(super) pid_file: PidFile,
    /// The sockets for a successor. They are closed when draining starts, because this process must
    /// not listen on them any longer.
    pub(super) listen_sockets: Mutex<Option<ListenSockets>>,
    /// The command that starts a successor.
    pub(super) launch: Option<Launch>,
    /// Passed once every signal handler is installed; no connection is accepted before.
    pub(super) signals_installed: Arc<Barrier>,
}

#[async_trait]
impl ShutdownSignalWatch for UntilDrained {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = Signals::listen();
        self.signals_installed.wait().await;
        if self.until_shutdown(&mut signals).await == SignalAction::End {
            return ShutdownSignal::FastShutdown;
        }
        tokio::select! {
            () = self.drain.complete(self.shutdown_timeout) => ShutdownSignal::GracefulTerminate,
            () = interrupted(&mut signals) => ShutdownSignal::FastShutdown,
        }
    }
}

/// A handover of the sockets that has started.
type HandoverTask<'l> = Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'l>>;

impl UntilDrained {
    /// Waits until this process must stop serving, and returns how it must end.
    async fn until_shutdown(&self, signals: &mut Signals) -> SignalAction {
        let listen_sockets = self.take_listen_sockets();
        let mut under_way: Option<HandoverTask<'_>> = None;
        loop {
            tokio::select! {
                order = signals.next() => match order {
                    SignalAction::End => return SignalAction::End,
                    SignalAction::Drain => return stop_serving("SIGTERM received, draining"),
                    SignalAction::HandOver | SignalAction::Succeed if under_way.is_some() => {
                        warn!(event = "upgrade_in_progress", "an upgrade is already in progress, signal ignored");
                    }
                    order if self.has_launched(order) => under_way = listen_sockets.as_ref().map(begin),
                    _ => {}
                },
                () = self.stop.0.notified() => return stop_serving("draining"),
                result = finished(&mut under_way) => match result {
                    Ok(()) => return self.yield_to_successor(),
                    Err(error) => {
                        under_way = None;
                        self.resume(&error);
                    }
                },
            }
        }
    }

    fn take_listen_sockets(&self) -> Option<ListenSockets> {
        let sockets = self.listen_sockets.lock();
        sockets.unwrap_or_else(PoisonError::into_inner).take()
    }

    fn yield_to_successor(&self) -> SignalAction {
        info!(
            event = "draining",
            "the successor serves requests, draining"
        );
        self.drain.succeeded.send_replace(true);
        SignalAction::Drain
    }

    /// Continues to serve after an upgrade has failed.
    fn resume(&self, error: &io::Error) {
        error!(event = "upgrade_failed", %error, "upgrade failed, this process continues to serve");
        self.pid_file.restore();
    }

    /// Starts a successor on SIGUSR2; on SIGQUIT, the operator starts it. Returns `false` if the
    /// handover must not begin.
    fn has_launched(&self, order: SignalAction) -> bool {
        if order != SignalAction::Succeed {
            return true;
        }
        let Some(launch) = &self.launch else {
            warn!(
                event = "upgrade_refused",
                "SIGUSR2 ignored: the command line of this process is unknown"
            );
            return false;
        };
        !is_first_process() && has_started(launch)
    }
}

/// Returns `true`, and logs why there is no upgrade, in the first process of a container: the
/// container ends with it, and a successor would end with the container.
fn is_first_process() -> bool {
    let is_first = std::process::id() == 1;
    if is_first {
        error!(
            event = "upgrade_refused",
            "SIGUSR2 ignored: this is the first process of its container, replace the container instead"
        );
    }
    is_first
}

fn has_started(launch: &Launch) -> bool {
    let report =
        |error: &io::Error| error!(event = "upgrade_failed", %error, "cannot start a successor");
    launch.start().inspect_err(report).is_ok()
}

fn stop_serving(why: &str) -> SignalAction {
    info!(event = "draining", "{why}");
    systemd::stopping();
    SignalAction::Drain
}

fn begin(listen_sockets: &ListenSockets) -> HandoverTask<'_> {
    Box::pin(listen_sockets.hand_over())
}

async fn finished(under_way: &mut Option<HandoverTask<'_>>) -> io::Result<()> {
    match under_way {
        Some(hand_over) => hand_over.await,
        None => std::future::pending().await,
    }
}

async fn interrupted(signals: &mut Signals) {
    while signals.next().await != SignalAction::End {}
}
