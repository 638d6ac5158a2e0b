//! Checks whether the threads that serve connections still run.

use tokio::runtime::Handle;

/// Asks the runtimes of threads for a sign of life.
#[derive(Clone)]
pub(crate) struct LivenessProbe(Vec<Handle>);

impl LivenessProbe {
    pub(crate) fn new(runtimes: Vec<Handle>) -> Self {
        Self(runtimes)
    }

    /// Returns when every thread has run a task: none of them hangs.
    pub(crate) async fn responded(&self) {
        let tasks: Vec<_> = self
            .0
            .iter()
            .map(|runtime| runtime.spawn(async {}))
            .collect();
        for task in tasks {
            // Ignore the error: the thread has ended, so it does not hang.
            let _ = task.await;
        }
    }
}
