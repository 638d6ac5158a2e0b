//! Waiting for a while, and no longer.

use futures_util::poll;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::error::Elapsed;

/// What `future` gives, if it does so within `limit`.
///
/// One that is ready at once, as most reads of what has arrived and most writes are, does not even ask for the time.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll!(&mut future) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => tokio::time::timeout(limit, future).await,
    }
}
