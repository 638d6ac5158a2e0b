//! Check: there are no redirects, because Netdata Cloud does not follow them.

use super::admission::{AdmissionVerdict, judge_response};
use crate::commands::client::ClientResponse;
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::responses::Responses;
use crate::commands::doctor::target::Expectation;

const CHECK: Check = Check("redirect");

const NOT_TRIED: &str = "skipped: no request was accepted that could have been redirected; with a trusted certificate one may be \
                         (--cert FILE --key FILE)";

pub(crate) fn check(expected: &Expectation, responses: &Responses) -> CheckFinding {
    let answers = || responses.all.iter().map(|(answer, _)| answer);
    // A refused request is not redirected, although an accepted one may be.
    let was_accepted = |it| matches!(judge_response(expected, it), AdmissionVerdict::Accepted(_));
    match answers().find(|answer| matches!(answer.status, 300..=399)) {
        Some(answer) => redirected(answer),
        None if !answers().any(was_accepted) => CHECK.skip(NOT_TRIED),
        None => CHECK.pass("there is none"),
    }
}

fn redirected(answer: &ClientResponse) -> CheckFinding {
    let status = answer.status;
    let location = answer.header("location").unwrap_or("nowhere".into());
    CHECK.fail(
        format!("response {status} to {location}: Netdata Cloud does not follow redirects"),
        "enter the URL of the redirect in Netdata's UI, exactly, or remove the redirect",
    )
}
