//! The clocks of the server and of this machine agree.

use crate::commands::doctor::finding::Finding;
use crate::commands::doctor::responses::Responses;
use std::time::Duration;

const CHECK: &str = "clock";

/// A date has whole seconds, and an answer is a while on its way.
const TOLERANCE: Duration = Duration::from_secs(30);

/// From then on certificates are judged wrongly, and alerts are sorted wrongly.
const WRONG: Duration = Duration::from_secs(300);

pub(in crate::commands::doctor) fn check(heard: &Responses) -> Finding {
    let dated = heard.answers.iter().find_map(|(answer, at)| {
        let date = httpdate::parse_http_date(&answer.header("date")?).ok()?;
        Some((date, *at))
    });
    let Some((theirs, ours)) = dated else {
        return Finding::skip(
            CHECK,
            "skipped: there was no answer with a date; who has no trusted certificate may get none (--certificate FILE \
             --key FILE)",
        );
    };
    let (apart, direction) = match theirs.duration_since(ours) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    let text = format!(
        "the server's is {} s {direction} that of this machine",
        apart.as_secs()
    );
    let remedy = "see which is wrong with timedatectl, and let chrony or systemd-timesyncd keep it";
    match apart {
        apart if apart > WRONG => Finding::fail(CHECK, text, remedy),
        apart if apart > TOLERANCE => Finding::warn(CHECK, text, remedy),
        _ => Finding::pass(CHECK, "the server's and that of this machine agree"),
    }
}
