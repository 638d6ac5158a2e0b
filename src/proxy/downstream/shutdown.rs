//! The deadlines of connections once the process is about to end.

use pingora::server::ShutdownWatch;
use std::time::Duration;
use tokio::time::sleep;

/// How long a connection without a request is kept open. A request that is on its way still arrives
/// and is answered, with a notice that the connection closes; closing at once would lose it.
pub(crate) const KEEPALIVE_DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How long a handshake or head that has begun may take to become a request, and how long a body
/// may delay the end of the process by waiting for its next part.
pub(crate) const DRAIN_READ_TIMEOUT: Duration = Duration::from_millis(1500);

/// Returns when the process is about to end.
pub(super) async fn signalled(shutdown: &mut ShutdownWatch) {
    // Ignore the error: a signal that can no longer come counts as one.
    let _ = shutdown.wait_for(|draining| *draining).await;
}

/// Returns `grace` after the process is about to end.
pub(crate) async fn after_shutdown(shutdown: &mut ShutdownWatch, grace: Duration) {
    signalled(shutdown).await;
    sleep(grace).await;
}
