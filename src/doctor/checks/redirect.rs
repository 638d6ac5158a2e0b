//! Nothing is answered with a redirect: Netdata Cloud follows none.

use crate::doctor::finding::Finding;
use crate::doctor::heard::Heard;

const CHECK: &str = "redirect";

pub(in crate::doctor) fn check(heard: &Heard) -> Finding {
    let redirect = heard.answers.iter().map(|(answer, _)| answer).find(|answer| matches!(answer.status, 300..=399));
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
        None if heard.answers.is_empty() => Finding::skip(
            CHECK,
            "skipped: nobody without a trusted certificate is answered (--certificate FILE --key FILE)",
        ),
        None => Finding::pass(CHECK, "there is none"),
    }
}
