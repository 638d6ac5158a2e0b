//! Check: there are no redirects, because Netdata Cloud does not follow them.

use super::admission::{AdmissionVerdict, judge_response};
use crate::commands::doctor::finding::CheckFinding;
use crate::commands::doctor::responses::Responses;
use crate::commands::doctor::target::Expectation;

const CHECK: &str = "redirect";

pub(in crate::commands::doctor) fn check(
    expected: &Expectation,
    responses: &Responses,
) -> CheckFinding {
    // A refused request is not redirected, although an accepted one may be.
    let was_accepted = responses
        .all
        .iter()
        .any(|(it, _)| matches!(judge_response(expected, it), AdmissionVerdict::Accepted(_)));
    let redirect = responses
        .all
        .iter()
        .map(|(answer, _)| answer)
        .find(|answer| matches!(answer.status, 300..=399));
    match redirect {
        Some(answer) => CheckFinding::fail(
            CHECK,
            format!(
                "response {} to {}: Netdata Cloud does not follow redirects",
                answer.status,
                answer.header("location").unwrap_or("nowhere".into())
            ),
            "enter the URL of the redirect in Netdata's UI, exactly, or remove the redirect",
        ),
        None if !was_accepted => CheckFinding::skip(
            CHECK,
            "skipped: no request was accepted that could have been redirected; with a trusted certificate one may be \
             (--cert FILE --key FILE)",
        ),
        None => CheckFinding::pass(CHECK, "there is none"),
    }
}
