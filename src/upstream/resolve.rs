//! Resolves host names again and again, and keeps the last good result if that fails.
//!
//! Requests do not wait while an address is known: a new lookup runs in the background, one at a
//! time for each name.

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

/// The age at which a result is stale. The system's resolver does not report a time to live.
pub(super) const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// The time after which a lookup is reported as failed. Its result is still used when it arrives.
pub(super) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// A host name and a port, with the addresses found last.
#[derive(Debug)]
pub(super) struct HostName {
    host: String,
    port: u16,
    resolved: ArcSwapOption<ResolvedAddresses>,
    is_failing: AtomicBool,
    /// The lookup in progress. The system's resolver occupies a thread for each, for an unlimited
    /// time.
    lookup: Mutex<Option<Lookup>>,
}

#[derive(Debug)]
struct ResolvedAddresses {
    addresses: Vec<SocketAddr>,
    resolved_at: Instant,
    /// No connection was possible: a new lookup is due.
    is_stale: AtomicBool,
}

impl ResolvedAddresses {
    fn new(addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses,
            resolved_at: Instant::now(),
            is_stale: AtomicBool::new(false),
        }
    }

    fn is_fresh(&self) -> bool {
        self.resolved_at.elapsed() < REFRESH_INTERVAL && !self.is_stale.load(Ordering::Relaxed)
    }
}

/// A lookup in progress.
#[derive(Clone, Debug)]
struct Lookup {
    started: Instant,
    /// Closed when the lookup has ended.
    end: watch::Receiver<()>,
}

/// Removes a lookup at its end, even if its task is cancelled.
struct LookupGuard {
    name: Arc<HostName>,
    _end: watch::Sender<()>,
}

impl Drop for LookupGuard {
    fn drop(&mut self) {
        self.name.current().take();
    }
}

impl HostName {
    /// Creates a name without known addresses.
    pub(super) fn new(host: &str, port: u16) -> Arc<Self> {
        Arc::new(Self {
            host: host.to_owned(),
            port,
            resolved: ArcSwapOption::empty(),
            is_failing: AtomicBool::new(false),
            lookup: Mutex::default(),
        })
    }

    /// Returns `true` if this is the name `host` with `port`.
    pub(super) fn is(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port == port
    }

    /// Returns the addresses found last, which may be none.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.resolved
            .load()
            .as_ref()
            .map_or_else(Vec::new, |resolved| resolved.addresses.clone())
    }

    /// Returns `true` if `address` is one of those found last.
    pub(super) fn has(&self, address: &SocketAddr) -> bool {
        self.resolved
            .load()
            .as_ref()
            .is_some_and(|resolved| resolved.addresses.contains(address))
    }

    /// Starts a lookup if the known addresses are stale. Does not wait for its result.
    pub(super) fn refresh_if_stale(self: &Arc<Self>) {
        let resolved = self.resolved.load();
        if !resolved.as_ref().is_some_and(|known| known.is_fresh()) {
            self.look_up();
        }
    }

    /// Looks up the name and returns the addresses known then, at the latest when the lookup has
    /// taken `limit`.
    pub(super) async fn refresh(self: &Arc<Self>, limit: Duration) -> Vec<SocketAddr> {
        let Lookup { started, mut end } = self.look_up();
        // Ignore a timeout: the addresses known so far are used.
        let _ = timeout_at(started + limit, async {
            while end.changed().await.is_ok() {}
        })
        .await;
        self.addresses()
    }

    /// Returns the lookup in progress, or starts one.
    fn look_up(self: &Arc<Self>) -> Lookup {
        let mut current = self.current();
        if let Some(lookup) = &*current {
            return lookup.clone();
        }
        current.insert(self.start_lookup()).clone()
    }

    fn start_lookup(self: &Arc<Self>) -> Lookup {
        let (sender, end) = watch::channel(());
        let guard = LookupGuard {
            name: self.clone(),
            _end: sender,
        };
        tokio::spawn(async move { guard.name.resolve().await });
        Lookup {
            started: Instant::now(),
            end,
        }
    }

    async fn resolve(&self) {
        let mut found = std::pin::pin!(lookup_host((self.host.as_str(), self.port)));
        let found = match timeout(LOOKUP_TIMEOUT, &mut found).await {
            Ok(found) => found,
            Err(_) => {
                self.log_failure("timeout");
                found.await
            }
        };
        self.store(found.map(Iterator::collect));
    }

    fn current(&self) -> MutexGuard<'_, Option<Lookup>> {
        self.lookup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the known addresses as stale, because no connection to them was possible.
    pub(super) fn mark_stale(&self) {
        if let Some(resolved) = &*self.resolved.load() {
            resolved.is_stale.store(true, Ordering::Relaxed);
        }
    }

    /// Stores the result of a lookup. An error and an empty result change nothing.
    fn store(&self, found: io::Result<Vec<SocketAddr>>) {
        match found {
            Ok(addresses) if addresses.is_empty() => self.log_failure("the name has no address"),
            Ok(addresses) => {
                self.log_success();
                let resolved = ResolvedAddresses::new(addresses);
                self.resolved.store(Some(Arc::new(resolved)));
            }
            Err(error) => self.log_failure(&error.to_string()),
        }
    }

    fn log_success(&self) {
        if self.is_failing.swap(false, Ordering::Relaxed) {
            info!(
                event = "name_resolution_recovered",
                host = self.host,
                "host name resolved again"
            );
        }
    }

    fn log_failure(&self, error: &str) {
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
    fn the_last_good_result_is_kept() {
        let name = HostName::new("app.internal", 80);
        let failed = || Err(io::Error::other("SERVFAIL"));
        name.store(failed());
        assert!(name.addresses().is_empty());
        name.store(Ok(vec![address(1), address(2)]));
        name.store(failed());
        name.store(Ok(Vec::new()));
        assert_eq!(name.addresses(), [address(1), address(2)]);
        name.store(Ok(vec![address(3)]));
        assert_eq!(name.addresses(), [address(3)]);
    }

    #[tokio::test]
    async fn a_fresh_result_is_not_looked_up_again_unless_it_is_marked_stale() {
        let name = HostName::new("localhost", 80);
        name.store(Ok(vec![address(1)]));
        name.refresh_if_stale();
        assert!(name.current().is_none());
        name.mark_stale();
        name.refresh_if_stale();
        assert_eq!(name.addresses(), [address(1)], "it does not wait");
        let found = name.refresh(LOOKUP_TIMEOUT).await;
        assert!(
            !found.is_empty() && found.iter().all(|address| address.ip().is_loopback()),
            "{found:?}"
        );
        assert!(found.iter().all(|address| name.has(address)) && !name.has(&address(1)));
        assert!(name.current().is_none());
    }

    #[tokio::test]
    async fn there_is_one_lookup_at_a_time() {
        let name = HostName::new("localhost", 80);
        let started: Vec<_> = (0..9).map(|_| name.look_up().started).collect();
        assert!(started.iter().all(|other| *other == started[0]));
        assert!(!name.refresh(LOOKUP_TIMEOUT).await.is_empty());
        assert_ne!(name.look_up().started, started[0]);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_has_no_addresses() {
        assert!(
            HostName::new("does-not-exist.invalid", 80)
                .refresh(LOOKUP_TIMEOUT)
                .await
                .is_empty()
        );
    }
}
