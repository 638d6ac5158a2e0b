//! Check: the servers of the upstream pass their health check.

use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::config::Upstream;
use crate::upstream::check_once;
use std::sync::Arc;
use std::time::Duration;

const CHECK: Check = Check("health check");

const REMEDY: &str = "check that the application runs; if it does, set the host, headers or status in health_check that it requires";

/// Returns `None` if the upstream has no health check that sends a request.
pub(crate) async fn check(upstream: &Upstream, step_timeout: Duration) -> Option<CheckFinding> {
    let mut upstream = upstream.clone();
    let check = upstream.health_check.as_mut()?;
    check.interval = step_timeout;
    let path = check.path.clone()?;
    let upstream = Arc::new(upstream);
    let failures = check_once(&upstream).await;
    if failures.is_empty() {
        let text = format!("every server of {upstream} passes the request for {path}");
        return Some(CHECK.pass(text));
    }
    let failures = failures.iter();
    let failed: Vec<_> = failures
        .map(|(server, why)| format!("{server}: {why}"))
        .collect();
    Some(CHECK.warn(format!("of {upstream}, {}", failed.join("; ")), REMEDY))
}
