//! Judges the queue, and describes its problems with what to do about them.

use super::{Level, StatusFinding};
use crate::delivery::{Delivery, Hazard, ParkedCount, RouteState};
use crate::sanitize::sanitize;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The age of the oldest notification that waits from which it is a finding.
pub(in crate::telemetry::admin) const LONG: Duration = Duration::from_secs(60);

/// Returns the problems of the queue.
pub(super) fn queue_findings(delivery: &Delivery, now: SystemTime) -> Vec<StatusFinding> {
    let figures = delivery.figures();
    let (size, limit) = figures.size();
    let mut findings = Vec::new();
    findings.extend(unwritable(delivery));
    findings.extend(figures.damaged().as_deref().map(damaged));
    findings.extend(nearly_full(size, limit));
    findings.extend(figures.hazards().iter().map(endangered));
    for (route, state) in delivery.routes() {
        findings.extend(waiting(&route, &state, figures.is_delivering(), now));
    }
    let (without_route, others): (Vec<_>, Vec<_>) = figures
        .parked()
        .into_iter()
        .partition(ParkedCount::has_no_route);
    findings.extend(without_route.iter().map(has_no_route));
    findings.extend(parked(others.iter().map(|parked| parked.count).sum()));
    findings
}

fn endangered(hazard: &Hazard) -> StatusFinding {
    let text = match hazard {
        Hazard::HeldHorizon { by, held } => format!(
            "The database has kept what is deleted for {}, because of an old snapshot of {}: the queue's tables grow. End it.",
            duration(*held),
            sanitize(by)
        ),
        Hazard::Asynchronous => "A standby of the database is asynchronous: a failover loses acknowledged notifications. Set synchronous_standby_names.".into(),
        Hazard::StandbyAway { waited } => format!(
            "Commits have waited for a standby of the database for {}: nothing is stored until it is back, or synchronous_standby_names is changed.",
            duration(*waited)
        ),
        Hazard::Configurations { deliverer } => format!(
            "{} delivers, and has other routes than this process: what is stored here for another route is parked there.",
            sanitize(deliverer)
        ),
        Hazard::NoDeliverer => "No process delivers what is in the queue.".into(),
    };
    finding(Level::Warning, text)
}

fn unwritable(delivery: &Delivery) -> Option<StatusFinding> {
    let problem = delivery.figures().problem()?;
    // Routes that store everything cannot take any. Another replica could not, either, where they
    // share the store: none is taken out of the balancer for it.
    let level = match delivery.stores_always() && !delivery.is_shared() {
        true => Level::Error,
        false => Level::Warning,
    };
    let text = format!("The queue cannot be written: {problem}.");
    Some(finding(level, text))
}

fn damaged(file: &Path) -> StatusFinding {
    let file = file.display();
    let text = format!(
        "The queue was damaged and is now {file}: its notifications are not sent, see the manual."
    );
    finding(Level::Warning, text)
}

fn nearly_full(size: i64, limit: i64) -> Option<StatusFinding> {
    let percent = size.saturating_mul(100) / limit.max(1);
    let text = format!("The queue has {percent} % of queue.max_size.");
    (size > limit / 5 * 4).then(|| finding(Level::Warning, text))
}

fn waiting(
    route: &str,
    state: &RouteState,
    is_delivering: bool,
    now: SystemTime,
) -> Option<StatusFinding> {
    let age = age(state.oldest?, now);
    if state.down.is_none() && age < LONG {
        return None;
    }
    let why = match state.down {
        Some(_) => "its application takes none",
        None if !is_delivering => "another process delivers them",
        None => "they are not taken",
    };
    let text = format!(
        "{}, the oldest for {}: {why}. `queue list --route {route}` shows them.",
        count(state.waiting, route),
        duration(age)
    );
    Some(finding(Level::Warning, text))
}

/// Returns the age of what was received at `received`, in nanoseconds since 1970.
fn age(received: i64, now: SystemTime) -> Duration {
    let received = UNIX_EPOCH + Duration::from_nanos(received.unsigned_abs());
    now.duration_since(received).unwrap_or_default()
}

fn parked(parked: u64) -> Option<StatusFinding> {
    let text = format!(
        "Parked and not sent: {parked}. `queue list --parked` shows why, and `queue retry --all` sends them again."
    );
    (parked > 0).then(|| finding(Level::Warning, text))
}

fn has_no_route(parked: &ParkedCount) -> StatusFinding {
    let text = format!(
        "Parked because {route} is not in the configuration: {count}. `queue list --route {route}` shows them, and they are sent once it is back.",
        route = parked.route,
        count = parked.count,
    );
    finding(Level::Warning, text)
}

fn finding(level: Level, text: String) -> StatusFinding {
    StatusFinding {
        level,
        text,
        keeps_traffic: false,
    }
}

fn count(number: usize, route: &str) -> String {
    match number {
        1 => format!("1 notification of {route} waits"),
        _ => format!("{number} notifications of {route} wait"),
    }
}

fn duration(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_a_finding_when_it_waits_for_long_or_for_a_reason() {
        let now = UNIX_EPOCH + Duration::from_secs(10_000);
        let state = |seconds: i64, down| RouteState {
            waiting: 2,
            oldest: Some((10_000 - seconds) * 1_000_000_000),
            down,
            ..RouteState::default()
        };
        assert_eq!(waiting("/a", &RouteState::default(), true, now), None);
        assert_eq!(waiting("/a", &state(59, None), true, now), None);
        for (state, part) in [
            (state(60, None), "for 60 s: they are not taken"),
            (
                state(3, Some(1)),
                "2 notifications of /a wait, the oldest for 3 s: its application takes none",
            ),
            (state(600, None), "for 10 min"),
            (state(7200, None), "for 2 h"),
        ] {
            let text = waiting("/a", &state, true, now).unwrap().text;
            assert!(text.contains(part), "{text}");
        }
        let elsewhere = waiting("/a", &state(60, None), false, now).unwrap().text;
        assert!(elsewhere.contains("another process"), "{elsewhere}");
    }

    #[test]
    fn what_is_parked_for_want_of_a_route_has_a_line_for_each_route() {
        let parked = ParkedCount {
            route: "/old".into(),
            reason: "no_route".into(),
            count: 3,
        };
        let text = has_no_route(&parked).text;
        assert!(
            text.contains("/old is not in the configuration: 3."),
            "{text}"
        );
        assert!(text.contains("`queue list --route /old`"), "{text}");
    }

    #[test]
    fn what_is_parked_is_a_finding_with_the_command_that_sends_it_again() {
        assert_eq!(parked(0), None);
        assert!(parked(3).unwrap().text.contains("queue retry --all"));
    }
}
