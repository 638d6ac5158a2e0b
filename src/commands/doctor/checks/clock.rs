//! Check: the clocks of the server and of this machine agree.

use crate::commands::doctor::finding::CheckFinding;
use crate::commands::doctor::responses::Responses;
use std::time::Duration;

const CHECK: &str = "clock";

/// Tolerated difference: dates have whole seconds, and responses take a while.
const TOLERANCE: Duration = Duration::from_secs(30);

/// Difference from which on certificates are judged wrongly, and alerts are sorted wrongly.
const WRONG: Duration = Duration::from_secs(300);

pub(in crate::commands::doctor) fn check(responses: &Responses) -> CheckFinding {
    let dated = responses.all.iter().find_map(|(answer, at)| {
        let date = httpdate::parse_http_date(&answer.header("date")?).ok()?;
        Some((date, *at))
    });
    let Some((theirs, ours)) = dated else {
        return CheckFinding::skip(
            CHECK,
            "skipped: no response had a date; with a trusted certificate there may be one (--cert FILE --key FILE)",
        );
    };
    let (apart, direction) = match theirs.duration_since(ours) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    let text = format!(
        "the server's clock is {} s {direction} that of this machine",
        apart.as_secs()
    );
    let remedy =
        "check both with timedatectl, and synchronise them with chrony or systemd-timesyncd";
    match apart {
        apart if apart > WRONG => CheckFinding::fail(CHECK, text, remedy),
        apart if apart > TOLERANCE => CheckFinding::warn(CHECK, text, remedy),
        _ => CheckFinding::pass(CHECK, "the clocks of the server and of this machine agree"),
    }
}
