//! The health of the servers of each upstream.

use std::collections::BTreeMap;

/// `true` for each healthy server, by upstream and server.
pub(crate) type UpstreamHealth = BTreeMap<String, BTreeMap<String, bool>>;

/// Returns each server: its upstream, its name and whether it is healthy.
pub(super) fn each(upstreams: &UpstreamHealth) -> impl Iterator<Item = (&str, &str, bool)> {
    upstreams.iter().flat_map(|(name, servers)| {
        servers
            .iter()
            .map(move |(server, is_healthy)| (name.as_str(), server.as_str(), *is_healthy))
    })
}

/// Returns the health of `servers`, of which each is named with its upstream.
pub(super) fn collect<'s>(
    servers: impl IntoIterator<Item = (&'s str, &'s str, bool)>,
) -> UpstreamHealth {
    let mut health = UpstreamHealth::new();
    for (upstream, server, is_healthy) in servers {
        let servers = health.entry(upstream.to_owned()).or_default();
        servers.insert(server.to_owned(), is_healthy);
    }
    health
}

/// Returns `true` if there is this server.
pub(super) fn has(upstreams: &UpstreamHealth, upstream: &str, server: &str) -> bool {
    upstreams
        .get(upstream)
        .is_some_and(|servers| servers.contains_key(server))
}
