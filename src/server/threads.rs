//! The threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on the thread that it was given to, with the connections to the application
//! that its requests use: serving it wakes no other thread, and nothing is shared on its way.

use crate::telemetry::admin::LivenessProbe;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread for each core, or as many as the configuration says.
pub(super) struct Cores(Vec<Core>);

struct Core {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
    /// The thread ends when this is dropped, and takes with it what it still serves.
    _end: oneshot::Sender<()>,
}

/// A connection's place on a core, until this is dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Cores {
    /// Starts `threads` threads; 0 is one for each core.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let threads = match threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        (0..threads)
            .map(Core::start)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Returns a probe that tells whether a thread hangs. It does not keep the threads alive.
    pub(super) fn liveness_probe(&self) -> LivenessProbe {
        LivenessProbe::new(self.0.iter().map(|core| core.runtime.clone()).collect())
    }

    /// The runtime of the thread that serves the fewest connections, and what is to be served
    /// there.
    pub(super) fn place<F>(
        &self,
        connection: F,
    ) -> (&Handle, impl Future<Output = F::Output> + Send + use<F>)
    where
        F: Future + Send,
    {
        let core = self
            .0
            .iter()
            .min_by_key(|core| core.connections.load(Ordering::Relaxed));
        let core = core.expect("there is at least one thread");
        core.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place(core.connections.clone());
        // Otherwise the block below would hold it twice: as it was captured, and as it is awaited.
        let connection = Box::pin(connection);
        (&core.runtime, async move {
            let _place = place;
            connection.await
        })
    }
}

impl Core {
    fn start(index: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel::<()>());
        thread::Builder::new()
            .name(format!("core {index}"))
            .spawn(move || {
                // An error says that the sender is gone, which is the signal.
                let _ = runtime.block_on(ended);
            })?;
        Ok(Self {
            runtime: handle,
            connections: Arc::default(),
            _end: end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_evenly() {
        let cores = Cores::start(3).unwrap();
        let (_close, closed) = tokio::sync::watch::channel(());
        for _ in 0..6 {
            let mut closed = closed.clone();
            let (runtime, connection) = cores.place(async move { closed.changed().await });
            runtime.spawn(connection);
        }
        let counts = cores
            .0
            .iter()
            .map(|core| core.connections.load(Ordering::Relaxed));
        assert_eq!(counts.collect::<Vec<_>>(), [2, 2, 2]);
    }

    #[tokio::test]
    async fn a_thread_that_hangs_is_noticed() {
        let cores = Cores::start(2).unwrap();
        cores.liveness_probe().responded().await;
        let (go_on, hang) = std::sync::mpsc::channel::<()>();
        let (runtime, connection) = cores.place(async move { hang.recv().is_ok() });
        let hanging = runtime.spawn(connection);
        let limit = std::time::Duration::from_millis(50);
        assert!(
            tokio::time::timeout(limit, cores.liveness_probe().responded())
                .await
                .is_err()
        );
        go_on.send(()).unwrap();
        assert!(hanging.await.unwrap());
        cores.liveness_probe().responded().await;
    }
}
