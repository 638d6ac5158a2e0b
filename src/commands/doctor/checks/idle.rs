//! Check: the server keeps idle connections for longer than Go's clients do.
//!
//! A server that closes first races the next notification, which is lost then: Netdata Cloud does
//! not repeat a POST.

use crate::commands::client::ClientConnection;
use crate::commands::doctor::client::{CheckClient, ExchangeOutcome};
use crate::commands::doctor::finding::CheckFinding;
use crate::commands::doctor::recording_client::RecordingTls;
use crate::commands::doctor::requests::get;
use crate::commands::doctor::target::Expectation;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const CHECK: &str = "idle timeout";

/// Time for which Go's clients keep an idle connection.
const GO: Duration = Duration::from_secs(90);

const REMEDY: &str = "keep idle connections for more than 90 s: limits.idle_timeout here, keepalive_timeout (nginx), \
                      KeepAliveTimeout (Apache), and the same in load balancers";

pub(in crate::commands::doctor) async fn check(
    client: CheckClient<'_>,
    expected: &Expectation,
    tls: Option<&RecordingTls>,
    watch: Option<Duration>,
    has_certificate: bool,
) -> CheckFinding {
    match (watch, expected.idle_timeout) {
        (Some(watch), _) => observe(client, tls, watch, has_certificate).await,
        (None, Some(limit)) if limit <= GO => CheckFinding::fail(
            CHECK,
            format!("{} s, but Go's clients wait for 90 s", limit.as_secs()),
            REMEDY,
        ),
        (None, Some(limit)) => CheckFinding::pass(
            CHECK,
            format!("{} s, according to the configuration", limit.as_secs()),
        ),
        (None, None) => CheckFinding::skip(CHECK, "skipped: takes 95 s (--slow)"),
    }
}

async fn observe(
    client: CheckClient<'_>,
    tls: Option<&RecordingTls>,
    watch: Duration,
    has_certificate: bool,
) -> CheckFinding {
    let mut connection = match client.open(tls).await {
        Ok(connection) => connection,
        Err(outcome) => return unknown(&outcome),
    };
    match timeout(
        client.step_timeout,
        connection.exchange(&get(client.target, "doctor")),
    )
    .await
    {
        Ok(Ok(answer)) if answer.keeps_connection() => wait(connection, watch).await,
        // With that notice, the client uses another connection for the next notification.
        Ok(Ok(answer)) if answer.status == 200 => CheckFinding::pass(
            CHECK,
            "the server closes each connection after its response, with notice: no connection is ever idle",
        ),
        Ok(Ok(answer)) => {
            let hint = if has_certificate { "" } else { HINT };
            let text = format!(
                "skipped: the connection was closed after the response, {}{hint}",
                answer.describe()
            );
            CheckFinding::skip(CHECK, text)
        }
        Ok(Err(failure)) => unknown(&failure.into()),
        Err(_) => unknown(&ExchangeOutcome::Silent),
    }
}

const HINT: &str =
    "; with a certificate that the server trusts it may stay open (--cert FILE --key FILE)";

fn unknown(outcome: &ExchangeOutcome) -> CheckFinding {
    let why = match outcome {
        ExchangeOutcome::Refused(why) | ExchangeOutcome::HungUp(why) => why.clone(),
        ExchangeOutcome::Failed(failure) => failure.to_string(),
        ExchangeOutcome::Silent | ExchangeOutcome::Answered(_) => "no response in time".into(),
    };
    let text = format!(
        "skipped: no connection to keep idle ({why}); it may need a certificate that the server trusts \
         (--cert FILE --key FILE)"
    );
    CheckFinding::skip(CHECK, text)
}

async fn wait(connection: ClientConnection, watch: Duration) -> CheckFinding {
    let began = Instant::now();
    let was_closed = timeout(watch, connection.closed()).await.is_ok();
    judge(if was_closed { began.elapsed() } else { watch }, was_closed)
}

/// Judges a connection that was idle for this time.
fn judge(idle: Duration, was_closed: bool) -> CheckFinding {
    let seconds = idle.as_secs_f32();
    match (was_closed, idle > GO) {
        (false, true) => CheckFinding::pass(CHECK, format!("still open after {seconds:.0} s")),
        (false, false) => CheckFinding::skip(
            CHECK,
            format!(
                "still open after {seconds:.0} s, but Go's clients wait for 90 s: watch for 95 s (--slow)"
            ),
        ),
        (true, true) => CheckFinding::pass(
            CHECK,
            format!("closed after {seconds:.1} s; Go's clients wait for 90 s"),
        ),
        (true, false) => CheckFinding::fail(
            CHECK,
            format!("closed after {seconds:.1} s, but Go's clients wait for 90 s"),
            REMEDY,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;

    #[test]
    fn a_connection_has_to_outlast_gos_clients() {
        for (seconds, was_closed, level) in [
            (1, false, FindingLevel::Skip),
            (90, false, FindingLevel::Skip),
            (95, false, FindingLevel::Pass),
            (89, true, FindingLevel::Fail),
            (90, true, FindingLevel::Fail),
            (92, true, FindingLevel::Pass),
        ] {
            assert_eq!(
                judge(Duration::from_secs(seconds), was_closed).level,
                level,
                "{seconds} {was_closed}"
            );
        }
    }
}
