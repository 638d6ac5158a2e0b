//! `[limits]`: the limits on what clients may use.

use super::count;
use crate::config::document::{KeyLocation, TableReader};
use crate::config::memory_limit::memory_limit;
use crate::config::{Limits, MAX_BUFFERED, Route, RouteKind};
use std::time::Duration;

pub(super) fn limits(table: &mut TableReader<'_>) -> Limits {
    let default = Limits::default();
    let max_header_size = max_header_size(table, default.max_header_size);
    let max_buffered = max_buffered(table);
    let max_connections = max_connections(table, default.max_connections);
    let per_address = default_per_address(max_connections);
    let requests_per_second = count(table, "requests_per_second", 0) as u32;
    let idle_timeout = timeout(table, "idle_timeout", default.idle_timeout);
    warn_of_short_idle(table, idle_timeout);
    Limits {
        max_connections,
        max_connections_per_address: count(table, "max_connections_per_address", per_address),
        requests_per_second,
        burst: burst(table, requests_per_second),
        handshake_timeout: timeout(table, "handshake_timeout", default.handshake_timeout),
        header_timeout: timeout(table, "header_timeout", default.header_timeout),
        body_timeout: timeout(table, "body_timeout", default.body_timeout),
        idle_timeout,
        max_header_size,
        max_buffered,
    }
}

fn timeout(table: &mut TableReader<'_>, key: &'static str, default: Duration) -> Duration {
    table.duration(key).unwrap_or(default)
}

/// The time for which Go's clients, such as Netdata Cloud's, keep an idle connection.
const GO_KEEPS: Duration = Duration::from_secs(90);

fn warn_of_short_idle(table: &TableReader<'_>, idle_timeout: Duration) {
    if idle_timeout <= GO_KEEPS {
        let message = "is not above 90s, for which Go's clients, such as Netdata Cloud's, keep connections: an alert that they \
                       send while this end closes is lost; the default is \"300s\"";
        table.warn("idle_timeout", message);
    }
}

fn burst(table: &mut TableReader<'_>, requests_per_second: u32) -> u32 {
    let burst = count(table, "burst", 0) as u32;
    if burst > 0 && requests_per_second == 0 {
        let message = "has no effect without a rate: set requests_per_second, too, or remove it";
        table.warn("burst", message);
    }
    burst
}

fn max_header_size(table: &mut TableReader<'_>, default: usize) -> usize {
    let Some(size) = table.size("max_header_size") else {
        return default;
    };
    if !(1024..=1024 * 1024).contains(&size.value) {
        table.complain("max_header_size", "must be from 1KiB to 1MiB");
    }
    size.value as usize
}

fn max_buffered(table: &mut TableReader<'_>) -> u64 {
    let Some(size) = table.size("max_buffered") else {
        return default_max_buffered();
    };
    if size.value == 0 {
        let message =
            "must be more than 0: a webhook's body is held in memory until it is verified";
        table.complain("max_buffered", message);
    }
    size.value
}

fn max_connections(table: &mut TableReader<'_>, default: usize) -> usize {
    let max_connections = count(table, "max_connections", default);
    if max_connections == 0 {
        table.complain("max_connections", "must be more than 0");
    }
    max_connections
}

/// Returns a quarter of all connections, so that no single address can take every one. A few
/// connections are no attack, so it is at least 16.
fn default_per_address(max_connections: usize) -> usize {
    (max_connections / 4).max(16)
}

/// Returns a quarter of the memory that the process may use: connections need memory as well, in
/// the process and in the kernel.
fn default_max_buffered() -> u64 {
    memory_limit().map_or(MAX_BUFFERED, |limit| {
        (limit / 4).clamp(1 << 20, MAX_BUFFERED)
    })
}

/// Warns of routes whose bodies may exceed the memory for all bodies.
pub(super) fn warn_of_large_bodies<'r>(
    root: &TableReader<'_>,
    routes: impl Iterator<Item = &'r Route>,
    limits: &Limits,
    max_buffered: &KeyLocation,
) {
    for route in routes {
        let (path, held, limit) = (&route.path, held_by(route), limits.max_buffered);
        if held > limit {
            let message = format!(
                "{path} takes bodies of up to {held} bytes, of which those over {limit} get 503"
            );
            root.document.warn(max_buffered, message);
        }
    }
}

/// Returns the number of bytes of a body that a route holds in memory.
fn held_by(route: &Route) -> u64 {
    match (route.kind, route.max_body) {
        (RouteKind::Webhook, max_body) => max_body,
        (RouteKind::Proxy, 0) => route.buffer_body,
        (RouteKind::Proxy, max_body) => route.buffer_body.min(max_body),
    }
}
