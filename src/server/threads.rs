//! The worker threads that serve connections, each with its own runtime.
//!
//! A connection stays on the thread that it was assigned to, together with the upstream connections
//! that its requests use: serving it wakes no other thread and needs no shared state.

use crate::telemetry::admin::LivenessProbe;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// One worker thread per core, or the configured number of them.
pub(super) struct WorkerThreads(Vec<WorkerThread>);

struct WorkerThread {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
    /// The thread ends when this is dropped, with all connections that it still serves.
    _end: oneshot::Sender<()>,
}

/// Counts a connection of a thread until it is dropped.
struct ConnectionGuard(Arc<AtomicUsize>);

impl ConnectionGuard {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(connections.clone())
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl WorkerThreads {
    /// Starts `threads` threads; 0 starts one per core.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let threads = match threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let threads = (0..threads).map(WorkerThread::start);
        threads.collect::<io::Result<_>>().map(Self)
    }

    /// Returns a probe that tells whether a thread hangs. It does not keep the threads alive.
    pub(super) fn liveness_probe(&self) -> LivenessProbe {
        LivenessProbe::new(self.0.iter().map(|thread| thread.runtime.clone()).collect())
    }

    fn least_busy(&self) -> &WorkerThread {
        let connections = |thread: &&WorkerThread| thread.connections.load(Ordering::Relaxed);
        let thread = self.0.iter().min_by_key(connections);
        thread.expect("there is at least one thread")
    }

    /// Assigns `connection` to the thread with the fewest connections. Returns the runtime of that
    /// thread, and the future to spawn on it.
    pub(super) fn assign<F>(
        &self,
        connection: F,
    ) -> (&Handle, impl Future<Output = F::Output> + Send + use<F>)
    where
        F: Future + Send,
    {
        let thread = self.least_busy();
        let guard = ConnectionGuard::new(&thread.connections);
        // Without the box, the block below would hold it twice: as captured, and as awaited.
        let connection = Box::pin(connection);
        (&thread.runtime, async move {
            let _guard = guard;
            connection.await
        })
    }
}

impl WorkerThread {
    fn start(index: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel());
        let thread = thread::Builder::new().name(format!("core {index}"));
        thread.spawn(move || run_until(&runtime, ended))?;
        Ok(Self {
            runtime: handle,
            connections: Arc::default(),
            _end: end,
        })
    }
}

fn run_until(runtime: &Runtime, ended: oneshot::Receiver<()>) {
    // Ignore the error: a dropped sender is the signal to end.
    let _ = runtime.block_on(ended);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_evenly() {
        let threads = WorkerThreads::start(3).unwrap();
        let (_close, closed) = tokio::sync::watch::channel(());
        for _ in 0..6 {
            let mut closed = closed.clone();
            let (runtime, connection) = threads.assign(async move { closed.changed().await });
            runtime.spawn(connection);
        }
        let counts = threads
            .0
            .iter()
            .map(|thread| thread.connections.load(Ordering::Relaxed));
        assert_eq!(counts.collect::<Vec<_>>(), [2, 2, 2]);
    }

    #[tokio::test]
    async fn a_thread_that_hangs_is_noticed() {
        let threads = WorkerThreads::start(2).unwrap();
        threads.liveness_probe().responded().await;
        let (go_on, hang) = std::sync::mpsc::channel::<()>();
        let (runtime, connection) = threads.assign(async move { hang.recv().is_ok() });
        let hanging = runtime.spawn(connection);
        let limit = std::time::Duration::from_millis(50);
        assert!(
            tokio::time::timeout(limit, threads.liveness_probe().responded())
                .await
                .is_err()
        );
        go_on.send(()).unwrap();
        assert!(hanging.await.unwrap());
        threads.liveness_probe().responded().await;
    }
}
