//! Idle connections to servers, one pool for each thread.
//!
//! A connection stays with the thread that opened it: putting it back wakes no other thread, and no
//! task belongs to it. That it is still open is tested when it is taken out, and once in a while by
//! the thread's one sweeper: what a server has closed is closed here as well, or its socket would
//! stay behind half-closed until the next request.

use crate::upstream::Server;
use pingora::protocols::Stream;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio::time::sleep;

/// A connection idle for longer is not used again: most servers would be about to close it.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

thread_local! {
    /// By the server's id.
    static IDLE: RefCell<BTreeMap<u64, Vec<Idle>>> = RefCell::default();
    /// There is a sweeper, which lives as long as there is something idle.
    static IS_SWEPT: Cell<bool> = const { Cell::new(false) };
}

struct Idle {
    stream: Stream,
    since: Instant,
}

/// Takes a connection that is still open, if there is one; the one used last comes first.
pub(super) fn take(server: &Server) -> Option<Stream> {
    IDLE.with_borrow_mut(|pools| {
        let pool = pools.get_mut(&server.id())?;
        while let Some(mut idle) = pool.pop() {
            if idle.since.elapsed() > MAX_IDLE {
                // What lies below was idle for longer still.
                pool.clear();
                return None;
            }
            if server.leads_here(&idle.stream) && is_open(&mut idle.stream) {
                return Some(idle.stream);
            }
        }
        None
    })
}

/// Puts a connection back that is ready for another request.
pub(super) fn put(server: &Server, stream: Stream) {
    let kept = server.keepalive();
    if kept == 0 {
        return;
    }
    IDLE.with_borrow_mut(|pools| {
        let idle = Idle {
            stream,
            since: Instant::now(),
        };
        match pools.get_mut(&server.id()) {
            Some(pool) => {
                if pool.len() >= kept {
                    pool.remove(0);
                }
                pool.push(idle);
            }
            None => {
                pools.insert(server.id(), vec![idle]);
            }
        }
    });
    if !IS_SWEPT.replace(true) {
        // Not to stop after a part of them, which is what tokio would have a task do.
        tokio::spawn(unconstrained(sweep()));
    }
}

/// Closes what is not to be used again, until nothing is idle. Its thread has a runtime of its own.
async fn sweep() {
    loop {
        sleep(SWEEP).await;
        let is_empty = IDLE.with_borrow_mut(|pools| {
            // Servers come and go with their configuration and their addresses.
            pools.retain(|_, pool| {
                pool.retain_mut(|idle| {
                    idle.since.elapsed() <= MAX_IDLE && is_open(&mut idle.stream)
                });
                !pool.is_empty()
            });
            pools.is_empty()
        });
        if is_empty {
            return IS_SWEPT.set(false);
        }
    }
}

/// An idle connection has nothing to read. If it has, the upstream closed it or speaks out of turn.
fn is_open(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    let mut context = Context::from_waker(Waker::noop());
    matches!(
        Pin::new(stream).poll_read(&mut context, &mut buffer),
        Poll::Pending
    )
}
