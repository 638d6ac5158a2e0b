//! Check: clients without a certificate of a trusted authority are refused.

use crate::commands::client::ClientResponse;
use crate::commands::doctor::client::{Exchange, ExchangeOutcome};
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::target::Expectation;

/// Result of a request that should be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionVerdict {
    /// The request was refused; holds how.
    Refused(String),
    /// The request was accepted; holds the response.
    Accepted(String),
    /// The result is unclear; holds the reason.
    Unclear(String),
}

/// Judges an exchange. A response that does not concern the client's identity means that the server
/// did not check it.
pub(crate) fn judge(expected: &Expectation, exchange: &Exchange, is_tls: bool) -> AdmissionVerdict {
    match &exchange.outcome {
        ExchangeOutcome::Answered(answer) => judge_response(expected, answer),
        ExchangeOutcome::Refused(why) if is_tls => judge_alert(exchange, why),
        ExchangeOutcome::Refused(why) => AdmissionVerdict::Refused(why.clone()),
        // Applications that fail on a request without a body close the connection, too.
        ExchangeOutcome::HungUp(how) => {
            AdmissionVerdict::Unclear(format!("{how} instead of a response"))
        }
        outcome => AdmissionVerdict::Unclear(outcome.why()),
    }
}

fn judge_alert(exchange: &Exchange, why: &str) -> AdmissionVerdict {
    // A handshake that fails for all clients does not refuse this one.
    if exchange.shown.chain.is_empty() && !exchange.was_resumed {
        let text = format!("the handshake failed for another reason: {why}");
        return AdmissionVerdict::Unclear(text);
    }
    AdmissionVerdict::Refused(why.to_owned())
}

/// Tells from a response whether the request was accepted or refused.
pub(crate) fn judge_response(expected: &Expectation, answer: &ClientResponse) -> AdmissionVerdict {
    let shown = answer.describe();
    let unclear = |why| AdmissionVerdict::Unclear(format!("it responded with {shown}{why}"));
    match answer.status {
        401 if expected.demands_certificate => unclear(OTHER_ORDER),
        // Apache responds with 421 to other server names.
        401 | 403 | 421 => AdmissionVerdict::Refused(shown),
        400 | 495 | 496 if is_about_certificates(answer) => AdmissionVerdict::Refused(shown),
        429 => unclear(": too many requests"),
        300..=399 => unclear(", a redirect"),
        _ => AdmissionVerdict::Accepted(shown),
    }
}

const OTHER_ORDER: &str = ": credentials were checked before, or instead of, the certificate";

/// Returns `true` for refusals of certificates: 400 with that reason, as of nginx and this program,
/// and nginx's own 495 and 496.
pub(super) fn is_about_certificates(answer: &ClientResponse) -> bool {
    if matches!(answer.status, 495 | 496) {
        return true;
    }
    let body = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
    body.contains("certificate")
}

/// Identity that a request lacks, with the check of that and its remedy.
struct Lack {
    check: Check,
    missing: &'static str,
    remedy: &'static str,
}

const CERTIFICATE: Lack = Lack {
    check: Check("no certificate"),
    missing: "a certificate",
    remedy: "require a certificate: ssl_verify_client on (nginx), SSLVerifyClient require in the VirtualHost (Apache), verify = \
             \"require\" here; check the path of the URL, too",
};

const CREDENTIALS: Lack = Lack {
    check: Check("no credentials"),
    missing: "credentials",
    remedy: "require Basic or Bearer credentials; check the path of the URL, too",
};

const UNCLEAR: &str =
    "fix the other problems, make the server respond to requests that it refuses, and try again";

/// Reports whether requests without a certificate, or without credentials, are refused.
pub(crate) fn check_anonymous(expected: &Expectation, exchange: &Exchange) -> CheckFinding {
    if expected.demands_certificate {
        let verdict = judge(expected, exchange, expected.asks_for_certificate);
        return CERTIFICATE.report(verdict);
    }
    if expected.is_open {
        return CREDENTIALS.check.warn(
            "every client may use this path: its route has auth = \"none\"",
            "require a client certificate, or Basic or Bearer credentials",
        );
    }
    CREDENTIALS.report(judge(expected, exchange, expected.asks_for_certificate))
}

impl Lack {
    fn report(&self, verdict: AdmissionVerdict) -> CheckFinding {
        let (check, request) = (self.check, format!("a request without {}", self.missing));
        match verdict {
            AdmissionVerdict::Refused(how) => check.pass(format!("{request} is refused: {how}")),
            AdmissionVerdict::Accepted(response) => {
                let text = format!("{request} was accepted, with response {response}");
                check.fail(text, self.remedy)
            }
            AdmissionVerdict::Unclear(why) => check.warn(
                format!("unclear whether {request} is refused: {why}"),
                UNCLEAR,
            ),
        }
    }
}

const FORGED: Check = Check("forged certificate");

const VERIFY: &str = "verify certificates, not only request them: ssl_verify_client on, not optional_no_ca (nginx); SSLVerifyClient \
                      require, not optional_no_ca (Apache)";

/// Reports the forged certificates that were accepted. Each is described.
pub(crate) fn check_forged(
    expected: &Expectation,
    exchanges: &[(&'static str, Exchange)],
    missing: Option<&str>,
) -> CheckFinding {
    let verdicts = Verdicts::new(expected, exchanges);
    let accepted = !verdicts.accepted.is_empty();
    if accepted && !expected.demands_certificate {
        return FORGED.skip("this path does not require a certificate");
    }
    verdicts.report(&expected.common_name, exchanges.len(), missing)
}

/// Verdicts on forged certificates, in words.
#[derive(Default)]
struct Verdicts {
    refused: Vec<String>,
    accepted: Vec<String>,
    unclear: Vec<String>,
}

impl Verdicts {
    fn new(expected: &Expectation, exchanges: &[(&'static str, Exchange)]) -> Self {
        let mut verdicts = Self::default();
        for (of, exchange) in exchanges {
            verdicts.add(of, judge(expected, exchange, true));
        }
        verdicts
    }

    fn add(&mut self, of: &str, verdict: AdmissionVerdict) {
        match verdict {
            AdmissionVerdict::Refused(how) if self.refused.contains(&how) => {}
            AdmissionVerdict::Refused(how) => self.refused.push(how),
            AdmissionVerdict::Accepted(response) => {
                let text = format!("one {of}, with response {response}");
                self.accepted.push(text);
            }
            AdmissionVerdict::Unclear(why) => {
                self.unclear.push(format!("one {of} is refused: {why}"));
            }
        }
    }

    /// Reports the verdicts on this number of forgeries for `name`; others are missing for a reason.
    fn report(&self, name: &str, tried: usize, missing: Option<&str>) -> CheckFinding {
        if !self.accepted.is_empty() {
            let accepted = self.accepted.join("; ");
            let text = format!("forged certificates for {name} were accepted: {accepted}");
            return FORGED.fail(text, VERIFY);
        }
        if let Some(first) = self.unclear.first() {
            let text = format!("for {name}, it is unclear whether {first}");
            return FORGED.warn(text, UNCLEAR);
        }
        let but = missing.map(|why| format!("; {why}")).unwrap_or_default();
        let how = self.refused.join(", ");
        FORGED.pass(format!(
            "{tried} forged certificates for {name} are refused: {how}{but}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;
    use crate::commands::doctor::recording_client::HandshakeRecord;
    use std::time::Duration;

    fn verdict(status: u16, body: &str) -> AdmissionVerdict {
        let response = ClientResponse {
            status,
            body: body.into(),
            ..ClientResponse::default()
        };
        judge_response(&Expectation::by_default(), &response)
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
                matches!(verdict(status, ""), AdmissionVerdict::Accepted(_)),
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
            let exchange = ended(chain, ExchangeOutcome::Refused("TLS alert".into()));
            judge(&Expectation::by_default(), &exchange, true)
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
            let found = check_forged(
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
            "were accepted: one of B, with response 200",
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
