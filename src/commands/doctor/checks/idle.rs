//! An idle connection is kept for longer than Go's clients keep it.
//!
//! A server that closes first races the next notification, which is lost then: Netdata Cloud does
//! not send a POST again.

use crate::commands::client::ClientConnection;
use crate::commands::doctor::client::{CheckClient, ExchangeOutcome};
use crate::commands::doctor::finding::Finding;
use crate::commands::doctor::recording_client::RecordingTls;
use crate::commands::doctor::requests::get;
use crate::commands::doctor::target::Expectation;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const CHECK: &str = "idle timeout";

/// How long Go's clients keep a connection.
const GO: Duration = Duration::from_secs(90);

const REMEDY: &str = "keep idle connections for more than 90 s: limits.idle_timeout here, keepalive_timeout (nginx), \
                      KeepAliveTimeout (Apache), and whatever is in between";

pub(in crate::commands::doctor) async fn check(
    client: CheckClient<'_>,
    expected: &Expectation,
    tls: Option<&RecordingTls>,
    watch: Option<Duration>,
    has_certificate: bool,
) -> Finding {
    match (watch, expected.idle_timeout) {
        (Some(watch), _) => observe(client, tls, watch, has_certificate).await,
        (None, Some(limit)) if limit <= GO => Finding::fail(
            CHECK,
            format!("{} s, and Go's clients wait for 90 s", limit.as_secs()),
            REMEDY,
        ),
        (None, Some(limit)) => Finding::pass(
            CHECK,
            format!("{} s, by the configuration", limit.as_secs()),
        ),
        (None, None) => Finding::skip(CHECK, "skipped: takes 95 s (--slow)"),
    }
}

async fn observe(
    client: CheckClient<'_>,
    tls: Option<&RecordingTls>,
    watch: Duration,
    has_certificate: bool,
) -> Finding {
    let mut connection = match client.open(tls).await {
        Ok(connection) => connection,
        Err(outcome) => return unknown(&outcome),
    };
    match timeout(
        client.patience,
        connection.exchange(&get(client.place, "doctor")),
    )
    .await
    {
        Ok(Ok(answer)) if answer.keeps_connection() => wait(connection, watch).await,
        // Who is told so waits for nothing, and uses another connection for the next notification.
        Ok(Ok(answer)) if answer.status == 200 => Finding::pass(
            CHECK,
            "the server closes each connection after its answer, and says so: none is ever idle",
        ),
        Ok(Ok(answer)) => {
            let hint = if has_certificate { "" } else { HINT };
            let text = format!(
                "skipped: the connection was closed after the answer, {}{hint}",
                answer.describe()
            );
            Finding::skip(CHECK, text)
        }
        Ok(Err(failure)) => unknown(&failure.into()),
        Err(_) => unknown(&ExchangeOutcome::Silent),
    }
}

const HINT: &str =
    "; with a certificate that the server trusts it may stay open (--certificate FILE --key FILE)";

fn unknown(outcome: &ExchangeOutcome) -> Finding {
    let why = match outcome {
        ExchangeOutcome::Refused(why) | ExchangeOutcome::HungUp(why) => why.clone(),
        ExchangeOutcome::Failed(failure) => failure.to_string(),
        ExchangeOutcome::Silent | ExchangeOutcome::Answered(_) => {
            "nothing was answered in time".into()
        }
    };
    let text = format!(
        "skipped: there is no connection that could be idle ({why}); it may need a certificate that the server trusts \
         (--certificate FILE --key FILE)"
    );
    Finding::skip(CHECK, text)
}

async fn wait(connection: ClientConnection, watch: Duration) -> Finding {
    let began = Instant::now();
    let was_closed = timeout(watch, connection.closed()).await.is_ok();
    judge(if was_closed { began.elapsed() } else { watch }, was_closed)
}

/// Of a connection that was idle for so long.
fn judge(idle: Duration, was_closed: bool) -> Finding {
    let seconds = idle.as_secs_f32();
    match (was_closed, idle > GO) {
        (false, true) => Finding::pass(CHECK, format!("still open after {seconds:.0} s")),
        (false, false) => Finding::skip(
            CHECK,
            format!(
                "still open after {seconds:.0} s, and Go's clients wait for 90 s: watch for 95 s (--slow)"
            ),
        ),
        (true, true) => Finding::pass(
            CHECK,
            format!("closed after {seconds:.1} s; Go's clients wait for 90 s"),
        ),
        (true, false) => Finding::fail(
            CHECK,
            format!("closed after {seconds:.1} s, and Go's clients wait for 90 s"),
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
