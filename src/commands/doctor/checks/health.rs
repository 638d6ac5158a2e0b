//! Check: the servers of the upstream pass their health check.

use crate::commands::doctor::finding::CheckFinding;
use crate::config::Upstream;
use crate::upstream::check_once;
use std::sync::Arc;
use std::time::Duration;

const CHECK: &str = "health check";

/// Returns `None` if the upstream has no health check that sends a request.
pub(in crate::commands::doctor) async fn check(
    upstream: &Upstream,
    step_timeout: Duration,
) -> Option<CheckFinding> {
    let mut upstream = upstream.clone();
    let check = upstream.health_check.as_mut()?;
    check.interval = step_timeout;
    let path = check.path.clone()?;
    let upstream = Arc::new(upstream);
    let failures = check_once(&upstream).await;
    let failed: Vec<_> = failures
        .iter()
        .map(|(server, failure)| format!("{server}: {failure}"))
        .collect();
    Some(match failed.is_empty() {
        true => CheckFinding::pass(
            CHECK,
            format!("every server of {upstream} passes the request for {path}"),
        ),
        false => CheckFinding::warn(
            CHECK,
            format!("of {upstream}, {}", failed.join("; ")),
            "check that the application runs; if it does, set the host, headers or status in health_check that it requires",
        ),
    })
}
