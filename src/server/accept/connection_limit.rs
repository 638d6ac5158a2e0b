//! Limits the number of connections, in total and per client address.

use crate::http::forwarded::rate_limit_key;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts of open connections, by which they are limited.
#[derive(Default)]
pub(super) struct ConnectionLimits(Mutex<ConnectionCounts>);

#[derive(Default)]
struct ConnectionCounts {
    total: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// Permission for one connection, which counts until the permit is dropped.
pub(super) struct ConnectionPermit {
    limits: Arc<ConnectionLimits>,
    network: IpAddr,
}

/// The limit that does not allow another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitReached {
    Total,
    Address,
}

impl LimitReached {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Total => "limits.max_connections is reached",
            Self::Address => "limits.max_connections_per_address is reached",
        }
    }
}

impl ConnectionCounts {
    fn enter(
        &mut self,
        network: IpAddr,
        total: usize,
        per_address: usize,
    ) -> Result<(), LimitReached> {
        if self.total >= total {
            return Err(LimitReached::Total);
        }
        let own = self.of(network);
        if per_address != 0 && own >= per_address {
            return Err(LimitReached::Address);
        }
        self.total += 1;
        self.by_network.insert(network, own + 1);
        Ok(())
    }

    fn of(&self, network: IpAddr) -> usize {
        self.by_network.get(&network).copied().unwrap_or(0)
    }

    fn leave(&mut self, network: IpAddr) {
        self.total -= 1;
        match self.of(network) {
            0 | 1 => drop(self.by_network.remove(&network)),
            own => drop(self.by_network.insert(network, own - 1)),
        }
    }
}

impl ConnectionLimits {
    fn counts(&self) -> MutexGuard<'_, ConnectionCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection from `address`, if there may be another. A `per_address` of 0 is no limit;
    /// it limits the addresses of a network together.
    pub(super) fn acquire(
        self: &Arc<Self>,
        address: IpAddr,
        total: usize,
        per_address: usize,
    ) -> Result<ConnectionPermit, LimitReached> {
        let network = rate_limit_key(address);
        self.counts().enter(network, total, per_address)?;
        Ok(ConnectionPermit {
            limits: self.clone(),
            network,
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limits.counts().leave(self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_while_they_last() {
        let limits = Arc::new(ConnectionLimits::default());
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = limits.acquire(a, 3, 2).ok();
        let second = limits.acquire(a, 3, 2).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(limits.acquire(a, 3, 2).err(), Some(LimitReached::Address));
        let third = limits.acquire(b, 3, 2).ok();
        assert!(third.is_some());
        assert_eq!(limits.acquire(b, 3, 2).err(), Some(LimitReached::Total));
        drop(first);
        assert!(limits.acquire(a, 3, 0).is_ok());
        drop((second, third));
        assert!(
            limits.0.lock().unwrap().by_network.is_empty(),
            "nothing is kept about connections that ended"
        );
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let limits = Arc::new(ConnectionLimits::default());
        let enter = |address: &str| limits.acquire(address.parse().unwrap(), 100, 2);
        let first = (
            enter("2001:db8:0:1::1").ok(),
            enter("2001:db8:0:1:ffff::2").ok(),
        );
        assert!(first.0.is_some() && first.1.is_some());
        assert_eq!(enter("2001:db8:0:1::3").err(), Some(LimitReached::Address));
        assert!(
            enter("2001:db8:0:2::1").is_ok(),
            "the network beside it is another"
        );
    }
}
