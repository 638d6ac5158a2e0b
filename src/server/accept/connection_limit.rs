//! How many connections there may be, in all and from one address.

use crate::http::forwarded::rate_limit_key;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts connections.
#[derive(Default)]
pub(super) struct Quota(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    total: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// A connection that is counted until this is dropped.
pub(super) struct Ticket {
    quota: Arc<Quota>,
    network: IpAddr,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exhausted {
    Total,
    Address,
}

impl Exhausted {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Total => "limits.max_connections is reached",
            Self::Address => "limits.max_connections_per_address is reached",
        }
    }
}

impl Quota {
    /// Counts a connection from `address`, if there may be another. `per_address` is without limit
    /// at 0; what it limits together is the [`network`] of an address.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        total: usize,
        per_address: usize,
    ) -> Result<Ticket, Exhausted> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= total {
            return Err(Exhausted::Total);
        }
        let network = rate_limit_key(address);
        let own = counts.by_network.get(&network).copied().unwrap_or(0);
        if per_address != 0 && own >= per_address {
            return Err(Exhausted::Address);
        }
        counts.total += 1;
        counts.by_network.insert(network, own + 1);
        Ok(Ticket {
            quota: self.clone(),
            network,
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.quota.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(own) = counts.by_network.get_mut(&self.network) {
            *own -= 1;
            if *own == 0 {
                counts.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_while_they_last() {
        let quota = Arc::new(Quota::default());
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = quota.enter(a, 3, 2).ok();
        let second = quota.enter(a, 3, 2).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(quota.enter(a, 3, 2).err(), Some(Exhausted::Address));
        let third = quota.enter(b, 3, 2).ok();
        assert!(third.is_some());
        assert_eq!(quota.enter(b, 3, 2).err(), Some(Exhausted::Total));
        drop(first);
        assert!(quota.enter(a, 3, 0).is_ok());
        drop((second, third));
        assert!(
            quota.0.lock().unwrap().by_network.is_empty(),
            "nothing is kept about connections that ended"
        );
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let quota = Arc::new(Quota::default());
        let enter = |address: &str| quota.enter(address.parse().unwrap(), 100, 2);
        let first = (
            enter("2001:db8:0:1::1").ok(),
            enter("2001:db8:0:1:ffff::2").ok(),
        );
        assert!(first.0.is_some() && first.1.is_some());
        assert_eq!(enter("2001:db8:0:1::3").err(), Some(Exhausted::Address));
        assert!(
            enter("2001:db8:0:2::1").is_ok(),
            "the network beside it is another"
        );
    }
}
