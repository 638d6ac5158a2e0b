//! Timeouts that survive a standstill of the process.
//!
//! A process may stop for a while: a frozen container, a paused virtual machine, a processor that
//! was taken away. When it continues, each of its timers has expired, while the data that arrived
//! in the meantime is still unread in its sockets. A timer that has expired therefore gives the
//! sockets a chance to be read before it counts.

use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// A timer that fires this late shows that the process stood still.
const STANDSTILL: Duration = Duration::from_secs(1);

/// The time that is left after a standstill for data that could not be sent meanwhile: a large body
/// does not fit into the buffer of a socket.
const GRACE: Duration = Duration::from_secs(2);

/// The time that it takes at least to poll the sockets.
const LOOK: Duration = Duration::from_millis(1);

/// The error of a future that did not complete in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl std::error::Error for Late {}

/// A timer. The future that it limits is to be polled first.
#[derive(Debug)]
pub(crate) struct Sleep {
    timer: Pin<Box<tokio::time::Sleep>>,
    grace: Duration,
    /// The sockets have been polled since the time was up.
    has_looked: bool,
}

impl Sleep {
    fn until(end: Instant, limit: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(end));
        Self {
            timer,
            grace: GRACE.min(limit),
            has_looked: false,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let stood_still = self.timer.deadline().elapsed() >= STANDSTILL;
            if self.has_looked && !stood_still {
                return Poll::Ready(());
            }
            self.has_looked = true;
            let more = if stood_still { self.grace } else { LOOK };
            self.timer.as_mut().reset(Instant::now() + more);
        }
    }
}

/// Returns a sleep that lasts for `limit`.
pub(crate) fn sleep(limit: Duration) -> Sleep {
    Sleep::until(Instant::now() + limit, limit)
}

/// A time by which several things are to be done.
#[derive(Debug)]
pub(crate) struct Deadline {
    end: Instant,
    limit: Duration,
    timer: Option<Sleep>,
}

impl Deadline {
    /// Returns the deadline that is `limit` from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            end: Instant::now() + limit,
            limit,
            timer: None,
        }
    }

    /// Waits for `future` until the deadline.
    pub(crate) fn wait<F: Future>(&mut self, future: F) -> Wait<'_, F> {
        Wait {
            deadline: self,
            future,
        }
    }

    /// Is ready once the time is up.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        let timer = self
            .timer
            .get_or_insert_with(|| Sleep::until(self.end, self.limit));
        Pin::new(timer).poll(cx).map(|()| Late)
    }
}

// These are no async functions: such a function has room for the future that it is given and for the
// one that it pins, which is the same. Within each other, they made that of a handshake six times as
// large, and a future is copied before it runs.
pin_project! {
    /// Waits for a future until a deadline.
    pub(crate) struct Wait<'d, F> {
        deadline: &'d mut Deadline,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Wait<'_, F> {
    type Output = Result<F::Output, Late>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => this.deadline.poll_late(cx).map(Err),
        }
    }
}

pin_project! {
    /// Waits for a future for a while.
    pub(crate) struct Timeout<F> {
        limit: Duration,
        deadline: Option<Deadline>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Late>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => this
                .deadline
                .get_or_insert_with(|| Deadline::after(*this.limit))
                .poll_late(cx)
                .map(Err),
        }
    }
}

/// Limits the duration of `future`, like `tokio::time::timeout`, but polls it once before it sets
/// up a timer.
///
/// Most reads of data that has arrived and most writes are ready at once, and do not even read the
/// clock.
pub(crate) fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    Timeout {
        limit,
        deadline: None,
        future,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    const LIMIT: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn there_is_no_more_time_than_that() {
        let started = Instant::now();
        assert_eq!(
            timeout(LIMIT, std::future::pending::<()>()).await,
            Err(Late)
        );
        assert_eq!(timeout(LIMIT, std::future::ready(1)).await, Ok(1));
        let mut deadline = Deadline::after(LIMIT);
        assert_eq!(deadline.wait(std::future::ready(1)).await, Ok(1));
        assert_eq!(deadline.wait(tokio::time::sleep(LIMIT / 2)).await, Ok(()));
        assert_eq!(deadline.wait(tokio::time::sleep(LIMIT)).await, Err(Late));
        sleep(LIMIT).await;
        let taken = started.elapsed();
        assert!(
            (3 * LIMIT..3 * LIMIT + Duration::from_millis(10)).contains(&taken),
            "{taken:?}"
        );
    }

    /// What came while the thread was busy is found, however long that was; and nothing is waited
    /// for twice.
    #[tokio::test]
    async fn what_lies_in_a_socket_is_found() {
        for standstill in [2 * LIMIT, STANDSTILL + 2 * LIMIT] {
            let (mut near, far) = UnixStream::pair().unwrap();
            let far = far.into_std().unwrap();
            let mut deadline = Deadline::after(LIMIT);
            let mut byte = [0];
            let waiting = deadline.wait(near.read_exact(&mut byte));
            let busy = async {
                tokio::task::yield_now().await;
                std::io::Write::write_all(&mut &far, b"x").unwrap();
                thread::sleep(standstill);
            };
            let (read, ()) = tokio::join!(waiting, busy);
            assert!(matches!(read, Ok(Ok(1))), "{standstill:?}: {read:?}");
            assert!(matches!(
                deadline.wait(near.read_exact(&mut byte)).await,
                Err(Late)
            ));
        }
    }
}
