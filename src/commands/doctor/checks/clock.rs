//! Check: the clocks of the server and of this machine agree.

use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::responses::Responses;
use std::time::{Duration, SystemTime};

const CHECK: Check = Check("clock");

/// Tolerated difference: dates have whole seconds, and responses take a while.
const TOLERANCE: Duration = Duration::from_secs(30);

/// Difference from which on certificates are judged wrongly, and alerts are sorted wrongly.
const WRONG: Duration = Duration::from_secs(300);

pub(super) const SYNCHRONISE: &str =
    "check both with timedatectl, and synchronise them with chrony or systemd-timesyncd";

pub(crate) fn check(responses: &Responses) -> CheckFinding {
    match dates(responses) {
        Some((theirs, ours)) => compare(theirs, ours),
        None => CHECK.skip(
            "skipped: no response had a date; with a trusted certificate there may be one (--cert FILE --key FILE)",
        ),
    }
}

/// Returns the date of the first response that has one, and the time at which it arrived.
fn dates(responses: &Responses) -> Option<(SystemTime, SystemTime)> {
    responses.all.iter().find_map(|(answer, at)| {
        let date = httpdate::parse_http_date(&answer.header("date")?).ok()?;
        Some((date, *at))
    })
}

fn compare(theirs: SystemTime, ours: SystemTime) -> CheckFinding {
    let (apart, direction) = match theirs.duration_since(ours) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    let seconds = apart.as_secs();
    let text = format!("the server's clock is {seconds} s {direction} that of this machine");
    match apart {
        apart if apart > WRONG => CHECK.fail(text, SYNCHRONISE),
        apart if apart > TOLERANCE => CHECK.warn(text, SYNCHRONISE),
        _ => CHECK.pass("the clocks of the server and of this machine agree"),
    }
}
