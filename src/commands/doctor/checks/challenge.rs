//! The challenge is answered, rightly and in time.

use super::admission::is_about_certificates;
use crate::auth::secret::Secret;
use crate::commands::client::{CHALLENGE_LIMIT, ClientResponse, mistake};
use crate::commands::doctor::client::{CheckClient, Exchange, ExchangeOutcome};
use crate::commands::doctor::finding::Finding;
use crate::commands::doctor::recording_client::RecordingTls;
use crate::commands::doctor::requests::get;
use crate::commands::doctor::target::{Expectation, ExpectedChallenge};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::time::Duration;

const CHECK: &str = "challenge";

/// What takes longer is to be looked at.
const SLOW: Duration = Duration::from_secs(1);

const NEEDS_CERTIFICATE: &str =
    "skipped: needs a client certificate that the server trusts (--certificate FILE --key FILE)";

/// Asks even where the answer cannot be foretold: other checks look at it, too.
pub(in crate::commands::doctor) async fn check(
    client: CheckClient<'_>,
    expected: &Expectation,
    tls: Option<&RecordingTls>,
    has_certificate: bool,
) -> (Finding, Option<Exchange>) {
    if expected.demands_certificate && !has_certificate {
        return (Finding::skip(CHECK, NEEDS_CERTIFICATE), None);
    }
    let token = token();
    let conversation = client.ask(tls, &get(client.place, &token).last()).await;
    let finding = match (&expected.challenge, &conversation.outcome) {
        (ExpectedChallenge::Unknown, _) => Finding::skip(
            CHECK,
            "skipped: needs the challenge secret (--secret-file FILE)",
        ),
        (ExpectedChallenge::Unanswered, _) => Finding::skip(
            CHECK,
            "this route has no challenge_secret: Netdata Cloud will not accept it as a webhook",
        ),
        (ExpectedChallenge::Secret(secret), ExchangeOutcome::Answered(answer)) => {
            judge(secret, &token, answer, conversation.took, has_certificate)
        }
        (ExpectedChallenge::Secret(_), ExchangeOutcome::Refused(how))
            if has_certificate && !conversation.shown.chain.is_empty() =>
        {
            distrusted(how)
        }
        (ExpectedChallenge::Secret(_), ExchangeOutcome::Refused(how)) => Finding::fail(
            CHECK,
            format!("refused: {how}"),
            "if the server wants a client certificate, give one that it trusts (--certificate FILE --key FILE)",
        ),
        (ExpectedChallenge::Secret(_), ExchangeOutcome::Silent) => Finding::fail(
            CHECK,
            format!("no answer within {} s", client.patience.as_secs()),
            IN_TIME,
        ),
        (ExpectedChallenge::Secret(_), ExchangeOutcome::HungUp(how)) => Finding::fail(
            CHECK,
            format!("no answer: {how}"),
            "see the log of the server",
        ),
        (ExpectedChallenge::Secret(_), ExchangeOutcome::Failed(failure)) => Finding::fail(
            CHECK,
            format!("no answer: {failure}"),
            "see the log of the server",
        ),
    };
    (finding, Some(conversation))
}

/// Nobody can have answered it before, and it is another one where its percent-encoding is not
/// undone, or undone twice.
fn token() -> String {
    format!("+/{}", BASE64_STANDARD.encode(rand::random::<[u8; 16]>()))
}

const IN_TIME: &str = "Netdata Cloud waits for 5 s: answer the challenge before anything slow, or let this program do it";

/// The server does not want the certificate that was given.
fn distrusted(how: &str) -> Finding {
    Finding::fail(
        CHECK,
        format!("the server does not trust the certificate given: {how}"),
        "give one of an authority that the server trusts (--certificate FILE --key FILE), or let it trust this one's",
    )
}

fn judge(
    secret: &Secret,
    token: &str,
    answer: &ClientResponse,
    took: Duration,
    has_certificate: bool,
) -> Finding {
    let milliseconds = took.as_millis();
    match answer.status {
        200 => {}
        401 => {
            return Finding::skip(
                CHECK,
                "skipped: needs the credentials (challenge_requires_authorization)",
            );
        }
        400 | 495 | 496 if has_certificate && is_about_certificates(answer) => {
            return distrusted(&format!("it answered {}", answer.describe()));
        }
        403 if !has_certificate => return Finding::skip(CHECK, NEEDS_CERTIFICATE),
        300..=399 => {
            return Finding::fail(
                CHECK,
                format!("answered {}, a redirect", answer.status),
                "see below",
            );
        }
        _ => {
            let remedy = match answer.code().as_deref() {
                Some("challenge_disabled") => "set challenge_secret, and reload",
                Some("not_found") => {
                    "compare the path with that of the route, down to the last slash"
                }
                Some("common_name_mismatch") => {
                    "the certificate given is for another name than the accepted ones"
                }
                _ => "answer GET with crc_token with 200; see the log of the server",
            };
            return Finding::fail(
                CHECK,
                format!("answered {} instead of 200", answer.describe()),
                remedy,
            );
        }
    }
    if let Some((text, remedy)) = mistake(secret, token, &answer.body) {
        return Finding::fail(CHECK, text, remedy);
    }
    if took > CHALLENGE_LIMIT {
        return Finding::fail(
            CHECK,
            format!("right, but after {milliseconds} ms"),
            IN_TIME,
        );
    }
    if took > SLOW {
        return Finding::warn(
            CHECK,
            format!("right, but after {milliseconds} ms"),
            IN_TIME,
        );
    }
    Finding::pass(CHECK, format!("right, after {milliseconds} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;

    fn found(body: &str, took: Duration) -> Finding {
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
