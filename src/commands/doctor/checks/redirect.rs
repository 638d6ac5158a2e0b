//! Nothing is answered with a redirect: Netdata Cloud follows none.

use super::admission::{AdmissionVerdict, judge_answer};
use crate::commands::doctor::finding::Finding;
use crate::commands::doctor::responses::Responses;
use crate::commands::doctor::target::Expectation;

const CHECK: &str = "redirect";

pub(in crate::commands::doctor) fn check(expected: &Expectation, heard: &Responses) -> Finding {
    // Who is refused is not redirected, whatever becomes of others.
    let was_let_in = heard
        .answers
        .iter()
        .any(|(it, _)| matches!(judge_answer(expected, it), AdmissionVerdict::GotIn(_)));
    let redirect = heard
        .answers
        .iter()
        .map(|(answer, _)| answer)
        .find(|answer| matches!(answer.status, 300..=399));
    match redirect {
        Some(answer) => Finding::fail(
            CHECK,
            format!(
                "answered {} to {}: Netdata Cloud does not follow",
                answer.status,
                answer.header("location").unwrap_or("nowhere".into())
            ),
            "enter the URL that it leads to in Netdata's UI, down to the last slash, or take the redirect away",
        ),
        None if !was_let_in => Finding::skip(
            CHECK,
            "skipped: nobody was let in who could have been redirected; who has a trusted certificate may be \
             (--certificate FILE --key FILE)",
        ),
        None => Finding::pass(CHECK, "there is none"),
    }
}
