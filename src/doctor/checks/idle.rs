//! An idle connection is kept for longer than Go's clients keep it.
//!
//! A server that closes first races the next notification, which is lost then: Netdata Cloud does not send a POST again.

use crate::doctor::client::{Client, Outcome};
use crate::doctor::examination::get;
use crate::doctor::finding::Finding;
use crate::doctor::http::{self, Stream};
use crate::doctor::recorder::Tls;
use crate::doctor::target::Expected;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
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
    let mut stream = match client.open(tls).await {
        Ok(stream) => stream,
        Err(outcome) => return unknown(&outcome),
    };
    let request = http::Request { keeps_connection: true, ..get(client.place, "doctor") };
    match timeout(client.patience, http::exchange(stream.as_mut(), &request)).await {
        Ok(Ok(answer)) if answer.keeps_connection() => wait(stream.as_mut(), watch).await,
        Ok(Ok(answer)) => Finding::skip(
            CHECK,
            format!(
                "skipped: the connection was closed after the answer, {}; with a certificate that the server trusts it may \
                 stay open (--certificate FILE --key FILE)",
                answer.describe()
            ),
        ),
        Ok(Err(error)) => unknown(&Outcome::Refused(error.to_string())),
        Err(_) => unknown(&Outcome::Silent),
    }
}

fn unknown(outcome: &Outcome) -> Finding {
    let why = match outcome {
        Outcome::Refused(why) | Outcome::Failed(why) => why.clone(),
        Outcome::Silent | Outcome::Answered(_) => "nothing was answered in time".into(),
    };
    let text = format!(
        "skipped: there is no connection that could be idle ({why}); it may need a certificate that the server trusts \
         (--certificate FILE --key FILE)"
    );
    Finding::skip(CHECK, text)
}

async fn wait(stream: &mut dyn Stream, watch: Duration) -> Finding {
    let began = Instant::now();
    // Whatever comes, nothing was asked for; only the end counts.
    let end = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} };
    match timeout(watch, end).await {
        Err(_) => Finding::pass(CHECK, format!("still open after {} s", watch.as_secs())),
        Ok(()) => {
            let after = began.elapsed().as_secs_f32();
            Finding::fail(CHECK, format!("closed after {after:.1} s, and Go's clients wait for 90 s"), REMEDY)
        }
    }
}
