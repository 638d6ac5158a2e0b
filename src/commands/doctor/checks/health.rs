//! The application's servers pass the health check that decides whether they are used.

use crate::commands::doctor::finding::Finding;
use crate::config::Upstream;
use crate::upstream::check_once;
use std::sync::Arc;
use std::time::Duration;

const CHECK: &str = "health check";

/// `None` where there is no check that asks for anything.
pub(in crate::commands::doctor) async fn check(
    upstream: &Upstream,
    patience: Duration,
) -> Option<Finding> {
    let mut upstream = upstream.clone();
    let check = upstream.health_check.as_mut()?;
    check.interval = patience;
    let path = check.path.clone()?;
    let upstream = Arc::new(upstream);
    let failures = check_once(&upstream).await;
    let failed: Vec<_> = failures
        .iter()
        .map(|(server, failure)| format!("{server}: {failure}"))
        .collect();
    Some(match failed.is_empty() {
        true => Finding::pass(
            CHECK,
            format!("every server of {upstream} answers {path} as it should"),
        ),
        false => Finding::warn(
            CHECK,
            format!("of {upstream}, {}", failed.join("; ")),
            "see whether the application runs; if it does, give health_check the host, headers or status that it wants",
        ),
    })
}
