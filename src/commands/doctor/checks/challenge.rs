//! Check: the response to a challenge is right and in time.

use super::admission::is_about_certificates;
use crate::auth::secret::Secret;
use crate::commands::client::{CHALLENGE_LIMIT, ClientResponse, mistake};
use crate::commands::doctor::client::{CheckClient, Exchange, ExchangeOutcome};
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::recording_client::RecordingTls;
use crate::commands::doctor::requests::get;
use crate::commands::doctor::target::{Expectation, ExpectedChallenge};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::time::Duration;

const CHECK: Check = Check("challenge");

/// Response time from which on there is a warning.
const SLOW: Duration = Duration::from_secs(1);

const NEEDS_CERTIFICATE: &str =
    "skipped: needs a client certificate that the server trusts (--cert FILE --key FILE)";
const NEEDS_SECRET: &str = "skipped: needs the challenge secret (--secret-file FILE)";
const NEEDS_CREDENTIALS: &str = "skipped: needs the credentials (challenge_requires_authorization)";
const NO_SECRET: &str =
    "this route has no challenge_secret: Netdata Cloud will not accept it as a webhook";

const PRESENT: &str =
    "if the server requires a client certificate, use one that it trusts (--cert FILE --key FILE)";
const IN_TIME: &str = "Netdata Cloud waits for 5 s: respond to the challenge before slow work, or leave it to this proxy";

/// Sends the challenge even if the expected response is unknown: other checks use the response, too.
pub(crate) async fn check(
    client: CheckClient<'_>,
    expected: &Expectation,
    tls: Option<&RecordingTls>,
    has_certificate: bool,
) -> (CheckFinding, Option<Exchange>) {
    if expected.demands_certificate && !has_certificate {
        return (CHECK.skip(NEEDS_CERTIFICATE), None);
    }
    let token = token();
    let exchange = client.ask(tls, &get(client.target, &token).last()).await;
    let finding = match &expected.challenge {
        ExpectedChallenge::Unknown => CHECK.skip(NEEDS_SECRET),
        ExpectedChallenge::Unanswered => CHECK.skip(NO_SECRET),
        ExpectedChallenge::Secret(secret) => match &exchange.outcome {
            ExchangeOutcome::Answered(response) => {
                judge(secret, &token, response, exchange.took, has_certificate)
            }
            _ => no_response(client, &exchange, has_certificate),
        },
    };
    (finding, Some(exchange))
}

/// Returns a new token, which changes if its percent-encoding is not decoded, or decoded twice.
fn token() -> String {
    format!("+/{}", BASE64_STANDARD.encode(rand::random::<[u8; 16]>()))
}

/// Reports an exchange without a response.
fn no_response(
    client: CheckClient<'_>,
    exchange: &Exchange,
    has_certificate: bool,
) -> CheckFinding {
    match &exchange.outcome {
        ExchangeOutcome::Refused(how) if has_certificate && !exchange.shown.chain.is_empty() => {
            distrusted(how)
        }
        ExchangeOutcome::Refused(how) => CHECK.fail(format!("refused: {how}"), PRESENT),
        ExchangeOutcome::Silent | ExchangeOutcome::Answered(_) => {
            let limit = client.step_timeout.as_secs();
            CHECK.fail(format!("no response within {limit} s"), IN_TIME)
        }
        outcome => {
            let text = format!("no response: {}", outcome.why());
            CHECK.fail(text, "see the log of the server")
        }
    }
}

/// Reports that the server refuses the given certificate.
fn distrusted(how: &str) -> CheckFinding {
    CHECK.fail(
        format!("the server does not trust the given certificate: {how}"),
        "use one of an authority that the server trusts (--cert FILE --key FILE), or make the server trust its authority",
    )
}

fn judge(
    secret: &Secret,
    token: &str,
    response: &ClientResponse,
    took: Duration,
    has_certificate: bool,
) -> CheckFinding {
    if response.status != 200 {
        return judge_status(response, has_certificate);
    }
    match mistake(secret, token, &response.body) {
        Some((text, remedy)) => CHECK.fail(text, remedy),
        None => judge_time(took),
    }
}

/// Judges the time until a response that is right.
fn judge_time(took: Duration) -> CheckFinding {
    let ms = took.as_millis();
    if took > CHALLENGE_LIMIT {
        CHECK.fail(format!("right, but after {ms} ms"), IN_TIME)
    } else if took > SLOW {
        CHECK.warn(format!("right, but after {ms} ms"), IN_TIME)
    } else {
        CHECK.pass(format!("right, after {ms} ms"))
    }
}

fn judge_status(response: &ClientResponse, has_certificate: bool) -> CheckFinding {
    match response.status {
        401 => CHECK.skip(NEEDS_CREDENTIALS),
        400 | 495 | 496 if has_certificate && is_about_certificates(response) => {
            distrusted(&format!("it responded with {}", response.describe()))
        }
        403 if !has_certificate => CHECK.skip(NEEDS_CERTIFICATE),
        status @ 300..=399 => {
            let text = format!("response {status}, a redirect");
            CHECK.fail(text, "see the check \"redirect\"")
        }
        _ => {
            let text = format!("response {} instead of 200", response.describe());
            CHECK.fail(text, remedy(response.code().as_deref()))
        }
    }
}

fn remedy(code: Option<&str>) -> &'static str {
    match code {
        Some("challenge_disabled") => "set challenge_secret, and reload",
        Some("not_found") => {
            "compare the path with that of the route, including a slash at its end"
        }
        Some("common_name_mismatch") => "use a certificate with an accepted common name",
        _ => "respond with 200 to GET requests with crc_token; see the log of the server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;

    fn found(body: &str, took: Duration) -> CheckFinding {
        let answer = ClientResponse {
            status: 200,
            body: body.into(),
            ..ClientResponse::default()
        };
        judge(
            &Secret::new(b"YOUR_CHALLENGE_SECRET".to_vec()),
            "abc",
            &answer,
            took,
            true,
        )
    }

    #[test]
    fn a_right_answer_has_to_come_in_time() {
        let body = "{\"response_token\":\"sha256=igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk=\"}";
        for (milliseconds, level) in [
            (0, FindingLevel::Pass),
            (1000, FindingLevel::Pass),
            (1001, FindingLevel::Warn),
            (5001, FindingLevel::Fail),
        ] {
            assert_eq!(
                found(body, Duration::from_millis(milliseconds)).level,
                level,
                "{milliseconds}"
            );
        }
    }
}
