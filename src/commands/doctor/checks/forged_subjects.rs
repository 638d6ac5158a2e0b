//! Check: certificates of a trusted authority are refused if their subjects only resemble the right
//! one.

use super::admission::{AdmissionVerdict, judge};
use crate::commands::doctor::client::{Exchange, ExchangeOutcome};
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::target::Expectation;
use std::path::Path;

const CHECK: Check = Check("forged subject");

const COMPARE: &str = "compare the one common name whole, on every path, instead of searching for text in the subject: as this \
                       program does, or in nginx with $ssl_client_s_dn = the whole subject";

/// Returns what keeps the forgeries from proving anything: the server refuses the certificate with
/// the right subject as well.
pub(crate) fn check_genuine(
    expected: &Expectation,
    exchange: &Exchange,
    authority: &Path,
) -> Option<CheckFinding> {
    let why = match judge(expected, exchange, true) {
        AdmissionVerdict::Refused(how) => how,
        AdmissionVerdict::Unclear(why) if status(exchange).is_none() => why,
        _ => return None,
    };
    let authority = authority.display();
    Some(CHECK.warn(
        format!(
            "none was tried, because the right subject of the same authority does not get in: {why}"
        ),
        format!("let the server trust {authority}, too, as long as this takes, and reload it"),
    ))
}

/// Reports whether a forged subject, described by `words`, gets in: whether the server treats it as
/// the right one.
pub(crate) fn check(
    expected: &Expectation,
    words: &str,
    forged: &Exchange,
    genuine: &Exchange,
) -> CheckFinding {
    let is_alike = status(forged).is_some() && status(forged) == status(genuine);
    match judge(expected, forged, true) {
        AdmissionVerdict::Accepted(response) => accepted(words, &response),
        AdmissionVerdict::Unclear(response) if is_alike => accepted(words, &response),
        AdmissionVerdict::Refused(how) => CHECK.pass(format!("{words}: is refused: {how}")),
        AdmissionVerdict::Unclear(why) => unclear(words, &why),
    }
}

fn accepted(words: &str, response: &str) -> CheckFinding {
    let text = format!("{words}: gets in, as the right subject does: {response}");
    CHECK.fail(text, COMPARE)
}

fn unclear(words: &str, why: &str) -> CheckFinding {
    CHECK.warn(
        format!("{words}: unclear whether it gets in: {why}"),
        "make the server respond to requests that it refuses, and try again",
    )
}

fn status(exchange: &Exchange) -> Option<u16> {
    match &exchange.outcome {
        ExchangeOutcome::Answered(answer) => Some(answer.status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::client::ClientResponse;
    use crate::commands::doctor::finding::FindingLevel;
    use crate::commands::doctor::recording_client::HandshakeRecord;
    use std::time::Duration;

    fn ended(outcome: ExchangeOutcome) -> Exchange {
        Exchange {
            shown: HandshakeRecord {
                chain: vec![b"leaf".to_vec().into()],
                asked_for: None,
            },
            was_resumed: false,
            outcome,
            took: Duration::ZERO,
        }
    }

    fn answered(status: u16) -> Exchange {
        ended(ExchangeOutcome::Answered(ClientResponse {
            status,
            ..ClientResponse::default()
        }))
    }

    #[test]
    fn what_is_treated_as_the_right_subject_gets_in() {
        let expected = Expectation::by_default();
        for (genuine, forged, level) in [
            (200, 200, FindingLevel::Fail),
            (400, 502, FindingLevel::Fail),
            (200, 403, FindingLevel::Pass),
            // Both are asked for credentials: the certificate has been accepted.
            (401, 401, FindingLevel::Fail),
            (401, 403, FindingLevel::Pass),
            (200, 302, FindingLevel::Warn),
        ] {
            let found = check(&expected, "x", &answered(forged), &answered(genuine));
            assert_eq!(found.level, level, "{genuine} {forged}: {found:?}");
        }
        let alert = || ended(ExchangeOutcome::Refused("TLS alert".into()));
        let found = check(&expected, "x", &alert(), &answered(200));
        assert_eq!(found.level, FindingLevel::Pass);
    }

    #[test]
    fn nothing_is_proved_where_the_right_subject_is_refused() {
        let proves = |genuine: &Exchange| {
            check_genuine(&Expectation::by_default(), genuine, Path::new("ca.pem")).is_none()
        };
        for status in [200, 400, 401, 404, 502] {
            assert!(proves(&answered(status)), "{status}");
        }
        assert!(!proves(&answered(403)));
        assert!(!proves(&ended(ExchangeOutcome::Refused(
            "TLS alert".into()
        ))));
        assert!(!proves(&ended(ExchangeOutcome::Silent)));
    }
}
