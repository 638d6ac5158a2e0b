//! Decides whether traffic should be sent here.

use crate::telemetry::Monitor;
use crate::telemetry::metrics::Which;
use std::time::SystemTime;

/// What speaks against it, in sentences.
pub(super) fn obstacles(monitor: &Monitor, is_draining: bool) -> Vec<String> {
    let mut obstacles = Vec::new();
    if !monitor.is_ready() {
        obstacles.push("The self-test has not passed yet.".to_owned());
    }
    if is_draining {
        obstacles.push("The process is about to end.".to_owned());
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs().cast_signed());
    for certificate in monitor.certificates().iter().filter(|certificate| certificate.not_after < now) {
        match certificate.which {
            Which::Server => obstacles.push(format!("The server's certificate has expired: {}.", certificate.name)),
            Which::Crl => obstacles.push(format!("A revocation list is out of date: {}.", certificate.name)),
            Which::Ca | Which::ClientLastSeen => {}
        }
    }
    for (upstream, servers) in monitor.upstreams() {
        if !servers.is_empty() && !servers.values().any(|is_healthy| *is_healthy) {
            obstacles.push(format!("The upstream {upstream} has no healthy server."));
        }
    }
    obstacles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_obstacle_when_none_of_its_servers_is_in_use() {
        let monitor = Monitor::off();
        monitor.ready();
        let check = |one, other, expected: &[&str]| {
            monitor.upstream_healthy("app", "http://a", one);
            monitor.upstream_healthy("app", "http://b", other);
            assert_eq!(obstacles(&monitor, false), expected, "{one} {other}");
        };
        check(true, true, &[]);
        check(false, true, &[]);
        check(false, false, &["The upstream app has no healthy server."]);
        check(true, false, &[]);
    }
}
