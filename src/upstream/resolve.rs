//! Finds the addresses of a name again and again, and keeps the last good answer where that fails.
//!
//! No request waits for an answer as long as one is known: the next is asked for behind it, one
//! look-up at a time.

use arc_swap::ArcSwapOption;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

/// How long an answer is taken for granted. The system's resolver does not say how long it may be.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// A look-up that takes longer has failed, for now: its answer may still come.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// A host's name and a port, with the addresses that were found for it last.
#[derive(Debug)]
pub(super) struct Name {
    host: String,
    port: u16,
    answer: ArcSwapOption<Answer>,
    is_failing: AtomicBool,
    /// The look-up that is on its way. The system's resolver takes a thread for each, for as long
    /// as it likes.
    lookup: Mutex<Option<Lookup>>,
}

#[derive(Debug)]
struct Answer {
    addresses: Vec<SocketAddr>,
    at: Instant,
    /// Nothing listens there: it is time to ask again.
    is_doubtful: AtomicBool,
}

/// A look-up that is on its way.
#[derive(Clone, Debug)]
struct Lookup {
    began: Instant,
    /// Closed at its end.
    end: watch::Receiver<()>,
}

/// Ends a look-up, even one that is cancelled.
struct Ending {
    name: Arc<Name>,
    _end: watch::Sender<()>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.name.lookup().take();
    }
}

impl Name {
    pub(super) fn new(host: &str, port: u16) -> Self {
        let (answer, is_failing) = (ArcSwapOption::empty(), AtomicBool::new(false));
        Self {
            host: host.to_owned(),
            port,
            answer,
            is_failing,
            lookup: Mutex::default(),
        }
    }

    pub(super) fn is(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port == port
    }

    /// The addresses found last; none if there was never an answer.
    pub(super) fn known(&self) -> Vec<SocketAddr> {
        self.answer
            .load()
            .as_ref()
            .map_or_else(Vec::new, |answer| answer.addresses.clone())
    }

    /// Whether `address` is one of them.
    pub(super) fn has(&self, address: &SocketAddr) -> bool {
        self.answer
            .load()
            .as_ref()
            .is_some_and(|answer| answer.addresses.contains(address))
    }

    /// Has the name looked up, unless what is known is fresh.
    pub(super) fn keep_fresh(self: &Arc<Self>) {
        let is_fresh = |answer: &Arc<Answer>| {
            answer.at.elapsed() < INTERVAL && !answer.is_doubtful.load(Ordering::Relaxed)
        };
        if !self.answer.load().as_ref().is_some_and(is_fresh) {
            self.look_up();
        }
    }

    /// Looks the name up, and returns what is known then. A look-up takes no more than `limit` of
    /// all that wait for it.
    pub(super) async fn refresh(self: &Arc<Self>, limit: Duration) -> Vec<SocketAddr> {
        let Lookup { began, mut end } = self.look_up();
        // Either it has ended, or nothing is lost.
        let _ = timeout_at(began + limit, async {
            while end.changed().await.is_ok() {}
        })
        .await;
        self.known()
    }

    /// The look-up that is on its way, or else a new one.
    fn look_up(self: &Arc<Self>) -> Lookup {
        let mut lookup = self.lookup();
        if let Some(lookup) = &*lookup {
            return lookup.clone();
        }
        let (sender, end) = watch::channel(());
        let ending = Ending {
            name: self.clone(),
            _end: sender,
        };
        tokio::spawn(async move {
            let name = &ending.name;
            let mut found = std::pin::pin!(lookup_host((name.host.as_str(), name.port)));
            let found = match timeout(LIMIT, &mut found).await {
                Ok(found) => found,
                Err(_) => {
                    name.failed("no answer in time");
                    found.await
                }
            };
            name.settle(found.map(Iterator::collect));
        });
        lookup
            .insert(Lookup {
                began: Instant::now(),
                end,
            })
            .clone()
    }

    fn lookup(&self) -> MutexGuard<'_, Option<Lookup>> {
        self.lookup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that nothing could be reached there.
    pub(super) fn doubt(&self) {
        if let Some(answer) = &*self.answer.load() {
            answer.is_doubtful.store(true, Ordering::Relaxed);
        }
    }

    /// Takes an answer over. None at all, or one without addresses, changes nothing.
    fn settle(&self, found: io::Result<Vec<SocketAddr>>) {
        let addresses = match found {
            Ok(addresses) if !addresses.is_empty() => addresses,
            Ok(_) => return self.failed("it has no address"),
            Err(error) => return self.failed(&error.to_string()),
        };
        if self.is_failing.swap(false, Ordering::Relaxed) {
            info!(
                event = "name_resolution_recovered",
                host = self.host,
                "host name resolved again"
            );
        }
        let is_doubtful = AtomicBool::new(false);
        self.answer.store(Some(Arc::new(Answer {
            addresses,
            at: Instant::now(),
            is_doubtful,
        })));
    }

    fn failed(&self, error: &str) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            warn!(
                event = "name_resolution_failed",
                host = self.host,
                error,
                "cannot resolve the host name, keeping the last known addresses"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    #[test]
    fn the_last_good_answer_is_kept() {
        let name = Name::new("app.internal", 80);
        let failed = || Err(io::Error::other("SERVFAIL"));
        name.settle(failed());
        assert!(name.known().is_empty());
        name.settle(Ok(vec![address(1), address(2)]));
        name.settle(failed());
        name.settle(Ok(Vec::new()));
        assert_eq!(name.known(), [address(1), address(2)]);
        name.settle(Ok(vec![address(3)]));
        assert_eq!(name.known(), [address(3)]);
    }

    #[tokio::test]
    async fn a_fresh_answer_is_not_asked_for_again_unless_it_is_in_doubt() {
        let name = Arc::new(Name::new("localhost", 80));
        name.settle(Ok(vec![address(1)]));
        name.keep_fresh();
        assert!(name.lookup().is_none());
        name.doubt();
        name.keep_fresh();
        assert_eq!(name.known(), [address(1)], "nothing is waited for");
        let found = name.refresh(LIMIT).await;
        assert!(
            !found.is_empty() && found.iter().all(|address| address.ip().is_loopback()),
            "{found:?}"
        );
        assert!(found.iter().all(|address| name.has(address)) && !name.has(&address(1)));
        assert!(name.lookup().is_none());
    }

    #[tokio::test]
    async fn there_is_one_look_up_at_a_time() {
        let name = Arc::new(Name::new("localhost", 80));
        let began: Vec<_> = (0..9).map(|_| name.look_up().began).collect();
        assert!(began.iter().all(|other| *other == began[0]));
        assert!(!name.refresh(LIMIT).await.is_empty());
        assert_ne!(name.look_up().began, began[0]);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_has_no_addresses() {
        assert!(
            Arc::new(Name::new("does-not-exist.invalid", 80))
                .refresh(LIMIT)
                .await
                .is_empty()
        );
    }
}
