//! An idle connection is kept for longer than Go's clients keep it.
//!
//! A server that closes first races the next notification, which is lost then: Netdata Cloud does not send a POST again.

use crate::doctor::client::{Client, Outcome};
use crate::doctor::finding::Finding;
use crate::doctor::question::get;
use crate::doctor::recorder::Tls;
use crate::doctor::target::Expected;
use crate::sender::Connection;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const CHECK: &str = "idle timeout";

/// How long Go's clients keep a connection.
const GO: Duration = Duration::from_secs(90);

const REMEDY: &str = "keep idle connections for more than 90 s: limits.idle_timeout here, keepalive_timeout (nginx), \
                      KeepAliveTimeout (Apache), and whatever is in between";

pub(in crate::doctor) async fn check(
    client: Client<'_>,
    expected: &Expected,
    tls: Option<&Tls>,
    watch: Option<Duration>,
) -> Finding {
    match (watch, expected.idle_timeout) {
        (Some(watch), _) => observe(client, tls, watch).await,
        (None, Some(limit)) if limit <= GO => {
            Finding::fail(CHECK, format!("{} s, and Go's clients wait for 90 s", limit.as_secs()), REMEDY)
        }
        (None, Some(limit)) => Finding::pass(CHECK, format!("{} s, by the configuration", limit.as_secs())),
        (None, None) => Finding::skip(CHECK, "skipped: takes 95 s (--slow)"),
    }
}

async fn observe(client: Client<'_>, tls: Option<&Tls>, watch: Duration) -> Finding {
    let mut connection = match client.open(tls).await {
        Ok(connection) => connection,
        Err(outcome) => return unknown(&outcome),
    };
    match timeout(client.patience, connection.exchange(&get(client.place, "doctor"))).await {
        Ok(Ok(answer)) if answer.keeps_connection() => wait(connection, watch).await,
        Ok(Ok(answer)) => Finding::skip(
            CHECK,
            format!(
                "skipped: the connection was closed after the answer, {}; with a certificate that the server trusts it may \
                 stay open (--certificate FILE --key FILE)",
                answer.describe()
            ),
        ),
        Ok(Err(failure)) => unknown(&failure.into()),
        Err(_) => unknown(&Outcome::Silent),
    }
}

fn unknown(outcome: &Outcome) -> Finding {
    let why = match outcome {
        Outcome::Refused(why) | Outcome::HungUp(why) => why.clone(),
        Outcome::Failed(failure) => failure.to_string(),
        Outcome::Silent | Outcome::Answered(_) => "nothing was answered in time".into(),
    };
    let text = format!(
        "skipped: there is no connection that could be idle ({why}); it may need a certificate that the server trusts \
         (--certificate FILE --key FILE)"
    );
    Finding::skip(CHECK, text)
}

async fn wait(connection: Connection, watch: Duration) -> Finding {
    let began = Instant::now();
    match timeout(watch, connection.closed()).await {
        Err(_) => Finding::pass(CHECK, format!("still open after {} s", watch.as_secs())),
        Ok(()) => {
            let after = began.elapsed().as_secs_f32();
            Finding::fail(CHECK, format!("closed after {after:.1} s, and Go's clients wait for 90 s"), REMEDY)
        }
    }
}
