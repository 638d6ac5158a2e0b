//! Who has no certificate of a trusted authority is refused.

use crate::commands::client::ClientResponse;
use crate::commands::doctor::client::{Exchange, ExchangeOutcome};
use crate::commands::doctor::finding::Finding;
use crate::commands::doctor::target::Expectation;

/// What became of somebody who should not get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands::doctor) enum AdmissionVerdict {
    /// Says how.
    Refused(String),
    /// Says what was answered.
    GotIn(String),
    /// It cannot be told; says why.
    Unclear(String),
}

/// Judges a conversation. An answer that has nothing to do with who asked means that it was not
/// looked at.
pub(in crate::commands::doctor) fn judge(
    expected: &Expectation,
    conversation: &Exchange,
    is_tls: bool,
) -> AdmissionVerdict {
    match &conversation.outcome {
        // A handshake that nobody could finish refuses nobody in particular.
        ExchangeOutcome::Refused(why)
            if is_tls && conversation.shown.chain.is_empty() && !conversation.was_resumed =>
        {
            AdmissionVerdict::Unclear(format!("the handshake failed for other reasons: {why}"))
        }
        ExchangeOutcome::Refused(why) => AdmissionVerdict::Refused(why.clone()),
        ExchangeOutcome::Answered(answer) => judge_answer(expected, answer),
        // An application that fails on a request without a body does the same.
        ExchangeOutcome::HungUp(how) => {
            AdmissionVerdict::Unclear(format!("{how} instead of an answer to the request"))
        }
        ExchangeOutcome::Silent => AdmissionVerdict::Unclear("nothing was answered in time".into()),
        ExchangeOutcome::Failed(failure) => AdmissionVerdict::Unclear(failure.to_string()),
    }
}

/// Judges an answer.
pub(in crate::commands::doctor) fn judge_answer(
    expected: &Expectation,
    answer: &ClientResponse,
) -> AdmissionVerdict {
    let shown = answer.describe();
    match answer.status {
        401 if expected.demands_certificate => AdmissionVerdict::Unclear(format!(
            "it answered {shown}: credentials were looked at before, or instead of, the certificate"
        )),
        // Apache: 421 for another name.
        401 | 403 | 421 => AdmissionVerdict::Refused(shown),
        400 | 495 | 496 if is_about_certificates(answer) => AdmissionVerdict::Refused(shown),
        429 => AdmissionVerdict::Unclear(format!("it answered {shown}: too many requests")),
        300..=399 => AdmissionVerdict::Unclear(format!("it answered {shown}, a redirect")),
        _ => AdmissionVerdict::GotIn(shown),
    }
}

/// nginx says why with its 400, and so do we; 495 and 496 are nginx's statuses for it.
pub(super) fn is_about_certificates(answer: &ClientResponse) -> bool {
    if matches!(answer.status, 495 | 496) {
        return true;
    }
    let body = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
    body.contains("certificate")
}

const DEMAND: &str = "demand a certificate: ssl_verify_client on (nginx), SSLVerifyClient require in the VirtualHost (Apache), verify = \
                      \"require\" here; compare the path of the URL, too";

const UNCLEAR: &str =
    "mend what else is wrong, let the server answer what it refuses, and try again";

pub(in crate::commands::doctor) fn check_nobody(
    expected: &Expectation,
    conversation: &Exchange,
) -> Finding {
    let check = if expected.demands_certificate {
        "no certificate"
    } else {
        "no credentials"
    };
    match judge(expected, conversation, expected.asks_for_certificate) {
        _ if expected.lets_everybody_in && !expected.demands_certificate => Finding::warn(
            check,
            "anybody may use this path: its route has auth = \"none\"",
            "demand a client certificate, or Basic or Bearer credentials",
        ),
        AdmissionVerdict::Refused(how) => {
            Finding::pass(check, format!("who has none is refused: {how}"))
        }
        AdmissionVerdict::GotIn(answer) if expected.demands_certificate => Finding::fail(
            check,
            format!("a request without a certificate got through, and was answered {answer}"),
            DEMAND,
        ),
        AdmissionVerdict::GotIn(answer) => Finding::fail(
            check,
            format!("a request without credentials got through, and was answered {answer}"),
            "demand Basic or Bearer credentials; compare the path of the URL, too",
        ),
        AdmissionVerdict::Unclear(why) => Finding::warn(
            check,
            format!("it cannot be told whether who has none is refused: {why}"),
            UNCLEAR,
        ),
    }
}

/// Whether any of the forgeries got through, of which each is named.
pub(in crate::commands::doctor) fn check_strangers(
    expected: &Expectation,
    strangers: &[(&'static str, Exchange)],
    missing: Option<&str>,
) -> Finding {
    const CHECK: &str = "forged certificate";
    let name = &expected.common_name;
    let (mut refused, mut got_in, mut unclear) = (Vec::new(), Vec::new(), Vec::new());
    for (of, conversation) in strangers {
        match judge(expected, conversation, true) {
            AdmissionVerdict::Refused(how) if refused.contains(&how) => {}
            AdmissionVerdict::Refused(how) => refused.push(how),
            AdmissionVerdict::GotIn(answer) => {
                got_in.push(format!("one {of}, which was answered {answer}"))
            }
            AdmissionVerdict::Unclear(why) => unclear.push(format!("one {of} is refused: {why}")),
        }
    }
    if !got_in.is_empty() && !expected.demands_certificate {
        return Finding::skip(CHECK, "this path demands no certificate");
    }
    if !got_in.is_empty() {
        return Finding::fail(
            CHECK,
            format!("forged ones for {name} got through: {}", got_in.join("; ")),
            "verify certificates, not only ask for them: ssl_verify_client on, not optional_no_ca (nginx); SSLVerifyClient \
             require, not optional_no_ca (Apache)",
        );
    }
    if let Some(first) = unclear.first() {
        return Finding::warn(
            CHECK,
            format!("for {name}, it cannot be told whether {first}"),
            UNCLEAR,
        );
    }
    let but = missing.map(|why| format!("; {why}")).unwrap_or_default();
    let text = format!(
        "{} forged ones for {name} are refused: {}{but}",
        strangers.len(),
        refused.join(", ")
    );
    Finding::pass(CHECK, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;
    use crate::commands::doctor::recording_client::HandshakeRecord;
    use std::time::Duration;

    fn verdict(status: u16, body: &str) -> AdmissionVerdict {
        let answer = ClientResponse {
            status,
            body: body.into(),
            ..ClientResponse::default()
        };
        judge_answer(&Expectation::by_default(), &answer)
    }

    #[test]
    fn only_an_answer_about_who_asks_is_a_refusal() {
        for (status, body) in [
            (403, ""),
            (495, ""),
            (496, ""),
            (421, ""),
            (400, "<center>No required SSL certificate was sent</center>"),
            (400, "{\"code\":\"client_certificate_missing\"}"),
        ] {
            assert!(
                matches!(verdict(status, body), AdmissionVerdict::Refused(_)),
                "{status} {body}"
            );
        }
        for status in [200, 202, 204, 400, 404, 405, 415, 422, 500, 502, 503] {
            assert!(
                matches!(verdict(status, ""), AdmissionVerdict::GotIn(_)),
                "{status}"
            );
        }
        for status in [301, 308, 401, 429] {
            assert!(
                matches!(verdict(status, ""), AdmissionVerdict::Unclear(_)),
                "{status}"
            );
        }
    }

    fn ended(chain: &[&[u8]], outcome: ExchangeOutcome) -> Exchange {
        let chain = chain.iter().map(|der| der.to_vec().into()).collect();
        let shown = HandshakeRecord {
            chain,
            asked_for: None,
        };
        Exchange {
            shown,
            was_resumed: false,
            outcome,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_handshake_that_fails_for_everybody_refuses_nobody() {
        let refused = |chain: &[&[u8]]| {
            let conversation = ended(chain, ExchangeOutcome::Refused("TLS alert".into()));
            judge(&Expectation::by_default(), &conversation, true)
        };
        assert!(matches!(refused(&[b"leaf"]), AdmissionVerdict::Refused(_)));
        assert!(matches!(refused(&[]), AdmissionVerdict::Unclear(_)));
    }

    #[test]
    fn one_forgery_that_gets_through_is_one_too_many() {
        let answered = |status| {
            ended(
                &[b"leaf"],
                ExchangeOutcome::Answered(ClientResponse {
                    status,
                    ..ClientResponse::default()
                }),
            )
        };
        let alert = || {
            ended(
                &[b"leaf"],
                ExchangeOutcome::Refused("TLS alert unknown_ca".into()),
            )
        };
        let closed = || {
            ended(
                &[b"leaf"],
                ExchangeOutcome::HungUp("the connection was closed".into()),
            )
        };
        let check = |first, second, level, text: &str| {
            let found = check_strangers(
                &Expectation::by_default(),
                &[("of A", first), ("of B", second)],
                Some("one less"),
            );
            assert!(
                found.level == level && found.text.contains(text),
                "{found:?}"
            );
        };
        check(
            alert(),
            alert(),
            FindingLevel::Pass,
            "refused: TLS alert unknown_ca; one less",
        );
        check(
            alert(),
            answered(403),
            FindingLevel::Pass,
            "unknown_ca, 403",
        );
        check(
            alert(),
            answered(200),
            FindingLevel::Fail,
            "got through: one of B, which was answered 200",
        );
        check(closed(), answered(200), FindingLevel::Fail, "one of B");
        check(
            alert(),
            closed(),
            FindingLevel::Warn,
            "whether one of B is refused",
        );
    }
}
