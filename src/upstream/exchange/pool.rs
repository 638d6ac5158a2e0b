//! Idle connections to servers, one pool for each thread.
//!
//! A connection stays with the thread that opened it: putting it back wakes no other thread, and no
//! task watches it. Whether it is still open is tested when it is taken out, and every second by
//! the sweeper of the thread, which closes connections that the server has closed: their sockets
//! would stay half-closed until the next request otherwise.

use crate::upstream::UpstreamServer;
use pingora::protocols::Stream;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio::time::sleep;

/// The time after which an idle connection is not used again: most servers are about to close it.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// The interval at which idle connections are tested.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

thread_local! {
    /// Idle connections by the id of their server.
    static IDLE: RefCell<BTreeMap<u64, Vec<IdleConnection>>> = RefCell::default();
    /// The sweeper is running, which ends when no connection is idle.
    static IS_SWEPT: Cell<bool> = const { Cell::new(false) };
}

struct IdleConnection {
    stream: Stream,
    since: Instant,
}

/// Takes a connection that is still open, if there is one: the one used last.
pub(super) fn take(server: &UpstreamServer) -> Option<Stream> {
    IDLE.with_borrow_mut(|pools| {
        let pool = pools.get_mut(&server.id())?;
        while let Some(mut idle) = pool.pop() {
            if idle.since.elapsed() > MAX_IDLE {
                // The others have been idle for longer still.
                pool.clear();
                return None;
            }
            if server.is_current(&idle.stream) && is_open(&mut idle.stream) {
                return Some(idle.stream);
            }
        }
        None
    })
}

/// Keeps a connection that is ready for another request.
pub(super) fn put(server: &UpstreamServer, stream: Stream) {
    let kept = server.keepalive();
    if kept == 0 {
        return;
    }
    let since = Instant::now();
    IDLE.with_borrow_mut(|pools| {
        let pool = pools.entry(server.id()).or_default();
        if pool.len() >= kept {
            pool.remove(0);
        }
        pool.push(IdleConnection { stream, since });
    });
    if !IS_SWEPT.replace(true) {
        // Unconstrained: tokio would otherwise make the reads of a long list pend.
        tokio::spawn(unconstrained(sweep()));
    }
}

/// Closes connections that cannot be used again, until no connection is idle. Each thread has a
/// runtime of its own.
async fn sweep() {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let is_empty = IDLE.with_borrow_mut(|pools| {
            // Servers come and go with the configuration and their addresses.
            pools.retain(|_, pool| has_usable(pool));
            pools.is_empty()
        });
        if is_empty {
            return IS_SWEPT.set(false);
        }
    }
}

/// Closes the connections of a pool that cannot be used again. Returns `true` if others are left.
fn has_usable(pool: &mut Vec<IdleConnection>) -> bool {
    pool.retain_mut(|idle| idle.since.elapsed() <= MAX_IDLE && is_open(&mut idle.stream));
    !pool.is_empty()
}

/// Returns `true` if there is nothing to read. Otherwise the upstream has closed the connection, or
/// sent something without a request.
fn is_open(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    let mut context = Context::from_waker(Waker::noop());
    matches!(
        Pin::new(stream).poll_read(&mut context, &mut buffer),
        Poll::Pending
    )
}
