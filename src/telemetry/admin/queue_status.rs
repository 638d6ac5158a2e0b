//! The queue as the status page shows it, and as it is in its JSON.

use super::health::{LONG, Level};
use super::status::rfc3339;
use crate::delivery::{Deliverer, Delivery, ParkedCount, RouteState};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The notifications that wait or are parked.
#[derive(Serialize)]
pub(super) struct QueueStatus {
    /// This process delivers them. Otherwise another one does, which knows more about them.
    pub(super) delivering: bool,
    /// Machines share it.
    pub(super) shared: bool,
    /// The process that delivers, where machines share the queue.
    pub(super) deliverer: Option<DelivererStatus>,
    pub(super) bytes: i64,
    pub(super) max_bytes: i64,
    /// The reason why nothing can be stored.
    pub(super) problem: Option<String>,
    /// The path of a damaged file that was set aside.
    pub(super) damaged: Option<String>,
    pub(super) routes: Vec<WaitingRoute>,
    pub(super) parked: Vec<ParkedRoute>,
}

/// The process that delivers.
#[derive(Serialize)]
pub(super) struct DelivererStatus {
    /// The machine, and the number of the process.
    pub(super) name: String,
    pub(super) term: i64,
    /// When its term began, by the clock of the database.
    pub(super) since: String,
}

/// The notifications of a route that wait.
#[derive(Serialize)]
pub(super) struct WaitingRoute {
    pub(super) route: String,
    pub(super) status: Level,
    pub(super) waiting: usize,
    /// The number of attempts under way.
    pub(super) sending: usize,
    /// When the oldest one was received.
    pub(super) oldest: Option<String>,
    /// Since when the application takes none.
    pub(super) down_since: Option<String>,
    pub(super) next_try: Option<String>,
    pub(super) last_error: Option<LastError>,
}

/// The last failed attempt of a route.
#[derive(Serialize)]
pub(super) struct LastError {
    pub(super) at: String,
    pub(super) error: String,
}

/// The notifications of a route that are parked for the same reason.
#[derive(Serialize)]
pub(super) struct ParkedRoute {
    pub(super) route: String,
    pub(super) reason: String,
    pub(super) count: u64,
    /// The reason in a sentence.
    pub(super) why: &'static str,
    /// The command that lists them with their errors.
    pub(super) list: String,
    /// The command that sends everything that is parked again.
    pub(super) retry: &'static str,
}

impl QueueStatus {
    pub(super) fn of(delivery: &Delivery, now: SystemTime) -> Self {
        let figures = delivery.figures();
        let (bytes, max_bytes) = figures.size();
        let mut errors = figures.errors();
        let routes = delivery.routes().into_iter().map(|(route, state)| {
            let error = errors.remove(&*route);
            WaitingRoute::of(delivery, &route, &state, error, now)
        });
        Self {
            delivering: figures.is_delivering(),
            shared: delivery.is_shared(),
            deliverer: figures.deliverer().map(DelivererStatus::of),
            bytes,
            max_bytes,
            problem: figures.problem(),
            damaged: figures.damaged().map(|path| path.display().to_string()),
            routes: routes.collect(),
            parked: figures.parked().into_iter().map(ParkedRoute::of).collect(),
        }
    }
}

impl DelivererStatus {
    fn of(deliverer: Deliverer) -> Self {
        Self {
            since: rfc3339(deliverer.since()),
            term: deliverer.term.0,
            name: deliverer.name,
        }
    }
}

impl WaitingRoute {
    fn of(
        delivery: &Delivery,
        route: &str,
        state: &RouteState,
        error: Option<(SystemTime, String)>,
        now: SystemTime,
    ) -> Self {
        let is_idle = state.waiting == 0 && state.down.is_none();
        let time = |moment| rfc3339(delivery.time(moment));
        let oldest = state.oldest.map(received);
        Self {
            route: route.to_owned(),
            status: judge(state, oldest, now),
            waiting: state.waiting,
            sending: state.sending,
            oldest: oldest.map(rfc3339),
            down_since: state.down.map(time),
            next_try: state.next.map(time),
            // What went wrong before everything was delivered is over.
            last_error: error.filter(|_| !is_idle).map(|(at, error)| LastError {
                at: rfc3339(at),
                error,
            }),
        }
    }
}

/// Returns the time of receipt that is kept as nanoseconds since 1970.
fn received(nanoseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds.unsigned_abs())
}

fn judge(state: &RouteState, oldest: Option<SystemTime>, now: SystemTime) -> Level {
    let age = oldest.map(|oldest| now.duration_since(oldest).unwrap_or_default());
    match state.down.is_some() || age.is_some_and(|age| age >= LONG) {
        true => Level::Warning,
        false => Level::Ok,
    }
}

impl ParkedRoute {
    fn of(parked: ParkedCount) -> Self {
        Self {
            why: match &*parked.reason {
                "poison" => "The application refused them again and again, and took others.",
                "too_old" => "They waited for longer than queue.max_age.",
                "no_route" => "Their route is not in the configuration.",
                "operator" => "An operator parked them.",
                _ => "Another version of this program parked them.",
            },
            list: format!(
                "netdata-webhook-proxy queue list --parked --route {}",
                parked.route
            ),
            retry: "netdata-webhook-proxy queue retry --all",
            route: parked.route,
            reason: parked.reason,
            count: parked.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_needs_a_look_when_its_application_is_down_or_something_waits_for_long() {
        let now = UNIX_EPOCH + Duration::from_secs(10_000);
        for (age, down, expected) in [
            (None, None, Level::Ok),
            (Some(59), None, Level::Ok),
            (Some(60), None, Level::Warning),
            (Some(0), Some(5), Level::Warning),
            (None, Some(5), Level::Warning),
        ] {
            let state = RouteState {
                down,
                ..RouteState::default()
            };
            let oldest = age.map(|age| now - Duration::from_secs(age));
            assert_eq!(judge(&state, oldest, now), expected, "{age:?} {down:?}");
        }
    }

    #[test]
    fn every_reason_has_a_sentence() {
        for reason in ["poison", "too_old", "no_route", "operator"] {
            let parked = ParkedRoute::of(ParkedCount {
                route: "/a".into(),
                reason: reason.into(),
                count: 1,
            });
            assert!(!parked.why.contains("version"), "{reason}");
            assert!(parked.list.ends_with("--route /a"));
        }
    }
}
