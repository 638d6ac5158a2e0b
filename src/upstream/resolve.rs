//! Finds the addresses of a name again and again, and keeps the last good answer where that fails.

use arc_swap::ArcSwapOption;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::{info, warn};

/// How long an answer is taken for granted. The system's resolver does not say how long it may be.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// How long a lookup may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A host's name and a port, with the addresses that were found for it last.
#[derive(Debug)]
pub(super) struct Name {
    host: String,
    port: u16,
    answer: ArcSwapOption<Answer>,
    is_failing: AtomicBool,
}

#[derive(Debug)]
struct Answer {
    addresses: Vec<SocketAddr>,
    at: Instant,
    /// Nobody listens there: the next lookup is not to wait.
    is_doubtful: AtomicBool,
}

impl Name {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, answer: ArcSwapOption::empty(), is_failing: AtomicBool::new(false) }
    }

    pub(super) fn is(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port == port
    }

    /// The addresses found last; none if there was never an answer.
    pub(super) fn known(&self) -> Vec<SocketAddr> {
        self.answer.load().as_ref().map_or_else(Vec::new, |answer| answer.addresses.clone())
    }

    /// Looks the name up, and returns what is known then.
    pub(super) async fn refresh(&self) -> Vec<SocketAddr> {
        let found = match timeout(LIMIT, lookup_host((self.host.as_str(), self.port))).await {
            Ok(found) => found.map(Iterator::collect),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
        };
        self.settle(found);
        self.known()
    }

    /// What is known, if that is fresh, and looks the name up otherwise.
    pub(super) async fn fresh(&self) -> Vec<SocketAddr> {
        let is_fresh =
            |answer: &Arc<Answer>| answer.at.elapsed() < INTERVAL && !answer.is_doubtful.load(Ordering::Relaxed);
        if self.answer.load().as_ref().is_some_and(is_fresh) {
            return self.known();
        }
        self.refresh().await
    }

    /// Notes that nobody could be reached there.
    pub(super) fn doubt(&self) {
        if let Some(answer) = &*self.answer.load() {
            answer.is_doubtful.store(true, Ordering::Relaxed);
        }
    }

    /// Takes an answer over. None at all, or one without addresses, changes nothing.
    fn settle(&self, found: io::Result<Vec<SocketAddr>>) {
        let host = &self.host;
        let addresses = match found {
            Ok(addresses) if !addresses.is_empty() => addresses,
            found => {
                let error = found.err().map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    warn!(host, error, "cannot resolve a name; the last good answer is kept");
                }
                return;
            }
        };
        if self.is_failing.swap(false, Ordering::Relaxed) {
            info!(host, "a name can be resolved again");
        }
        let is_doubtful = AtomicBool::new(false);
        self.answer.store(Some(Arc::new(Answer { addresses, at: Instant::now(), is_doubtful })));
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
        let name = Name::new("localhost", 80);
        name.settle(Ok(vec![address(1)]));
        assert_eq!(name.fresh().await, [address(1)]);
        name.doubt();
        let found = name.fresh().await;
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_has_no_addresses() {
        assert!(Name::new("does-not-exist.invalid", 80).refresh().await.is_empty());
    }
}
