//! Check: the server keeps idle connections for longer than Go's clients do.
//!
//! A server that closes first races the next notification, which is lost then: Netdata Cloud does
//! not repeat a POST.

use crate::commands::client::{ClientConnection, ClientResponse};
use crate::commands::doctor::client::{CheckClient, ExchangeOutcome};
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::recording_client::RecordingTls;
use crate::commands::doctor::requests::get;
use crate::commands::doctor::target::Expectation;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const CHECK: Check = Check("idle timeout");

/// Time for which Go's clients keep an idle connection.
const GO: Duration = Duration::from_secs(90);

const REMEDY: &str = "keep idle connections for more than 90 s: limits.idle_timeout here, keepalive_timeout (nginx), \
                      KeepAliveTimeout (Apache), and the same in load balancers";

pub(crate) async fn check(
    client: CheckClient<'_>,
    expected: &Expectation,
    tls: Option<&RecordingTls>,
    watch: Option<Duration>,
    has_certificate: bool,
) -> CheckFinding {
    match watch {
        Some(watch) => observe(client, tls, watch, has_certificate).await,
        None => judge_configured(expected.idle_timeout),
    }
}

fn judge_configured(limit: Option<Duration>) -> CheckFinding {
    let Some(limit) = limit else {
        return CHECK.skip("skipped: takes 95 s (--slow)");
    };
    let seconds = limit.as_secs();
    match limit <= GO {
        true => CHECK.fail(
            format!("{seconds} s, but Go's clients wait for 90 s"),
            REMEDY,
        ),
        false => CHECK.pass(format!("{seconds} s, according to the configuration")),
    }
}

async fn observe(
    client: CheckClient<'_>,
    tls: Option<&RecordingTls>,
    watch: Duration,
    has_certificate: bool,
) -> CheckFinding {
    match connection_with_response(client, tls).await {
        Ok((connection, answer)) if answer.keeps_connection() => wait(connection, watch).await,
        Ok((_, answer)) => closed_at_once(&answer, has_certificate),
        Err(outcome) => unknown(&outcome),
    }
}

/// Opens a connection, and uses it once.
async fn connection_with_response(
    client: CheckClient<'_>,
    tls: Option<&RecordingTls>,
) -> Result<(ClientConnection, ClientResponse), ExchangeOutcome> {
    let mut connection = client.open(tls).await?;
    let request = get(client.target, "doctor");
    let exchange = connection.exchange(&request);
    match timeout(client.step_timeout, exchange).await {
        Ok(answer) => Ok((connection, answer?)),
        Err(_) => Err(ExchangeOutcome::Silent),
    }
}

/// Reports a connection that ended with its response.
fn closed_at_once(answer: &ClientResponse, has_certificate: bool) -> CheckFinding {
    // With that notice, the client uses another connection for the next notification.
    if answer.status == 200 {
        return CHECK.pass(WITH_NOTICE);
    }
    let hint = if has_certificate { "" } else { HINT };
    let shown = answer.describe();
    CHECK.skip(format!(
        "skipped: the connection was closed after the response, {shown}{hint}"
    ))
}

const WITH_NOTICE: &str =
    "the server closes each connection after its response, with notice: no connection is ever idle";

const HINT: &str =
    "; with a certificate that the server trusts it may stay open (--cert FILE --key FILE)";

fn unknown(outcome: &ExchangeOutcome) -> CheckFinding {
    let why = outcome.why();
    CHECK.skip(format!(
        "skipped: no connection to keep idle ({why}); it may need a certificate that the server trusts \
         (--cert FILE --key FILE)"
    ))
}

async fn wait(connection: ClientConnection, watch: Duration) -> CheckFinding {
    let began = Instant::now();
    let was_closed = timeout(watch, connection.closed()).await.is_ok();
    judge(if was_closed { began.elapsed() } else { watch }, was_closed)
}

/// Judges a connection that was idle for this time.
fn judge(idle: Duration, was_closed: bool) -> CheckFinding {
    match was_closed {
        true => judge_closed(idle),
        false => judge_open(idle),
    }
}

fn judge_open(idle: Duration) -> CheckFinding {
    let seconds = idle.as_secs_f32();
    let text = format!("still open after {seconds:.0} s");
    match idle > GO {
        true => CHECK.pass(text),
        false => CHECK.skip(format!(
            "{text}, but Go's clients wait for 90 s: watch for 95 s (--slow)"
        )),
    }
}

fn judge_closed(idle: Duration) -> CheckFinding {
    let text = format!("closed after {:.1} s", idle.as_secs_f32());
    match idle > GO {
        true => CHECK.pass(format!("{text}; Go's clients wait for 90 s")),
        false => CHECK.fail(format!("{text}, but Go's clients wait for 90 s"), REMEDY),
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
