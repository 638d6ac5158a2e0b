//! Recent events for the operator: kept in memory, bounded, and without bodies.

mod event;

pub(crate) use event::{Event, EventResult};

use super::context::Outcome;
use crate::sanitize::is_sanitized;
use crate::tls::RefusalCode;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The number of passed events, and of refused events, that are kept: a flood of one does not
/// displace the other.
pub(crate) const KEPT: usize = 100;

/// The length of one step of the history.
pub(crate) const STEP: Duration = Duration::from_secs(15 * 60);

/// The number of steps that are kept: a day.
pub(crate) const STEPS: usize = 96;

const SERVER_CERTIFICATE_REFUSED: &str = RefusalCode::ServerCertificateRefused.as_str();

/// The token of a Test notification that the proxy answered.
#[derive(Clone, Debug)]
pub(crate) struct TestToken {
    /// The time of its arrival.
    pub at: SystemTime,
    /// The token as it was received.
    pub token: String,
}

impl TestToken {
    fn received_now(token: &str) -> Self {
        Self {
            at: SystemTime::now(),
            token: token.to_owned(),
        }
    }
}

/// Accepted notifications with unexpected values.
#[derive(Clone, Debug)]
pub(crate) struct DriftSummary {
    /// The time of the last one.
    pub at: SystemTime,
    /// Their number since the start.
    pub times: u64,
    /// JSON pointers to the unexpected values of the last one.
    pub pointers: Vec<String>,
}

/// The response that an upstream gave last, or the reason why it gave none.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamAnswer {
    /// The time of the end of the response.
    pub at: SystemTime,
    /// The status of the response, unless there was none.
    pub status: Option<u16>,
    /// The time from sending the request to the end of the response.
    pub duration: Option<Duration>,
    /// The reason in a sentence why there was no response.
    pub failure: Option<String>,
}

/// The clients that did not accept the server's certificate since the last one that did, and had
/// something to send.
#[derive(Clone, Debug)]
pub(crate) struct RefusedCertificate {
    /// The time of the last one.
    pub at: SystemTime,
    /// Their number.
    pub times: u64,
    /// The address of the last one.
    pub peer: Option<IpAddr>,
    /// The reason in a sentence.
    pub reason: Option<String>,
}

/// The numbers of passed and refused events, and of notifications that were not delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventCounts {
    /// The number of passed events.
    pub passed: u64,
    /// The number of refused events.
    pub refused: u64,
    /// The number of verified notifications that did not reach their application.
    pub not_delivered: u64,
}

impl EventCounts {
    fn count(&mut self, ending: EventResult) {
        match ending {
            EventResult::NotDelivered(_) => self.not_delivered += 1,
            ending if ending.is_good() => self.passed += 1,
            _ => self.refused += 1,
        }
    }
}

/// The recent events at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Notifications, challenges and Test notifications that passed every check, the newest last.
    pub passed: VecDeque<Arc<Event>>,
    /// Refused events, the newest last.
    pub refused: VecDeque<Arc<Event>>,
    /// The last token of each route.
    pub tokens: BTreeMap<String, TestToken>,
    /// Unexpected values by route and kind, of which there are few.
    pub drift: BTreeMap<(String, &'static str), DriftSummary>,
    /// The last response of each upstream, by its name.
    pub answers: BTreeMap<String, UpstreamAnswer>,
    /// The clients that do not accept the server's certificate.
    pub refused_certificate: Option<RefusedCertificate>,
    /// The totals since the start.
    pub totals: EventCounts,
    /// The last notification, if `passed` no longer contains it.
    forgotten: Option<Arc<Event>>,
    /// The steps by their number since 1970, the newest last.
    history: VecDeque<(u64, EventCounts)>,
}

/// Collects recent events of all threads.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Snapshot>);

impl Recent {
    pub(super) fn note(&self, event: Event) {
        let event = Arc::new(event);
        let forgotten = self.lock().note(event);
        // Its many strings return to the allocator while no other thread waits.
        drop(forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a passed event that is not kept.
    pub(super) fn count_passed(&self) {
        let ending = EventResult::Request(Outcome::Forwarded);
        self.lock().count(step(SystemTime::now()), ending);
    }

    /// Keeps the last response of an upstream.
    pub(super) fn note_answer(&self, upstream: &str, answer: UpstreamAnswer) {
        let answers = &mut self.lock().answers;
        match answers.get_mut(upstream) {
            Some(last) => *last = answer,
            None => drop(answers.insert(upstream.to_owned(), answer)),
        }
    }

    /// Removes the responses of upstreams that no longer exist.
    pub(super) fn keep_upstreams(&self, is_upstream: impl Fn(&str) -> bool) {
        let answers = &mut self.lock().answers;
        answers.retain(|upstream, _| is_upstream(upstream));
    }

    /// Keeps a token, unless it would have to be truncated or sanitized: it would be useless.
    pub(super) fn note_token(&self, route: &str, token: &str) {
        if is_sanitized(token) {
            let token = TestToken::received_now(token);
            self.lock().tokens.insert(route.to_owned(), token);
        }
    }

    /// Removes the tokens and unexpected values of routes that no longer exist.
    pub(super) fn keep_routes(&self, is_route: impl Fn(&str) -> bool) {
        let mut snapshot = self.lock();
        snapshot.tokens.retain(|route, _| is_route(route));
        snapshot.drift.retain(|(route, _), _| is_route(route));
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }
}

impl Snapshot {
    /// Keeps an event. Returns the one that is forgotten instead.
    fn note(&mut self, event: impl Into<Arc<Event>>) -> Option<Arc<Event>> {
        let event = event.into();
        self.count(step(event.at), event.ending);
        self.note_drift(&event);
        self.note_refused_certificate(&event);
        let events = match event.notification.is_some() || event.ending.is_good() {
            true => &mut self.passed,
            false => &mut self.refused,
        };
        let oldest = keep(events, event)?;
        match oldest.notification.is_some() {
            true => self.forgotten.replace(oldest),
            false => Some(oldest),
        }
    }

    fn note_refused_certificate(&mut self, event: &Event) {
        if event.ending == EventResult::Handshake(SERVER_CERTIFICATE_REFUSED) {
            let earlier = self.refused_certificate.take();
            self.refused_certificate = Some(RefusedCertificate {
                at: event.at,
                times: earlier.map_or(0, |earlier| earlier.times) + 1,
                peer: event.remote_addr,
                reason: event.reason.clone(),
            });
        }
        if event.ending.is_good() || event.notification.is_some() {
            // The client that matters accepts the certificate; others do not have to.
            self.refused_certificate = None;
        }
    }

    fn note_drift(&mut self, event: &Event) {
        let (Some(route), Some(notification)) = (&event.route, &event.notification) else {
            return;
        };
        if !notification.drift.is_empty() {
            let key = (route.to_string(), notification.kind.as_str());
            let times = self.drift.get(&key).map_or(0, |drift| drift.times) + 1;
            self.drift.insert(
                key,
                DriftSummary {
                    at: event.at,
                    times,
                    pointers: notification.drift.clone(),
                },
            );
        }
    }

    /// Returns the last verified notification.
    pub(crate) fn last_notification(&self) -> Option<&Event> {
        self.passed
            .iter()
            .rfind(|event| event.notification.is_some())
            .or(self.forgotten.as_ref())
            .map(Arc::as_ref)
    }

    fn count(&mut self, step: u64, ending: EventResult) {
        self.begin_if_later(step);
        // If the clock was set back, the event counts for the latest step.
        let current = self.history.back_mut().map(|(_, counts)| counts);
        for counts in current.into_iter().chain([&mut self.totals]) {
            counts.count(ending);
        }
    }

    /// Begins a step of the history, unless it has begun already.
    fn begin_if_later(&mut self, step: u64) {
        if self.history.back().is_none_or(|(last, _)| *last < step) {
            if self.history.len() == STEPS {
                self.history.pop_front();
            }
            self.history.push_back((step, EventCounts::default()));
        }
    }

    /// Returns the steps of the day that ends with the step of `now`, the newest last.
    pub(crate) fn history(&self, now: SystemTime) -> [EventCounts; STEPS] {
        let mut day = [EventCounts::default(); STEPS];
        let last = step(now);
        for (step, counts) in &self.history {
            if let Some(index) = index_in_day(*step, last) {
                day[index] = *counts;
            }
        }
        day
    }
}

/// Returns the place of a step in the day that ends with the step `last`, if it is in that day.
fn index_in_day(step: u64, last: u64) -> Option<usize> {
    let age = usize::try_from(last.checked_sub(step)?).ok()?;
    (STEPS - 1).checked_sub(age)
}

/// Adds an event, or counts it with the one that it repeats. Returns the event that makes room.
fn keep(events: &mut VecDeque<Arc<Event>>, mut event: Arc<Event>) -> Option<Arc<Event>> {
    if let Some(earlier) = event.earlier(events).and_then(|index| events.remove(index)) {
        Arc::make_mut(&mut event).times = earlier.times + 1;
        events.push_back(event);
        return None;
    }
    let is_full = events.len() == KEPT;
    let oldest = is_full.then(|| events.pop_front()).flatten();
    events.push_back(event);
    oldest
}

fn step(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        / STEP.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::notification::{Notification, SchemaPolicy};

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn refused(code: &'static str) -> Event {
        Event::now(EventResult::Request(Outcome::Refused(code)), HERE)
    }

    fn notification(title: &str) -> Event {
        let body = format!(r#"{{"alert":"{title}"}}"#);
        let notification = Notification::verify(body.as_bytes(), SchemaPolicy::Warn, &[]);
        let notification = Notification {
            drift: Vec::new(),
            ..notification.unwrap()
        };
        Event {
            notification: Some(Arc::new(notification)),
            ..Event::now(EventResult::Request(Outcome::Forwarded), HERE)
        }
    }

    #[test]
    fn a_flood_of_refusals_leaves_the_notifications_alone() {
        let mut recent = Snapshot::default();
        recent.note(notification("kept"));
        for n in 0..10_000_u32 {
            let (remote_addr, reason) = (Some(n.to_be_bytes().into()), Some(n.to_string()));
            recent.note(Event {
                remote_addr,
                reason,
                ..refused("not_found")
            });
        }
        assert_eq!((recent.passed.len(), recent.refused.len()), (1, KEPT));
        assert_eq!(
            recent.refused.back().unwrap().remote_addr,
            Some(9_999_u32.to_be_bytes().into())
        );
        for n in 0..1000 {
            recent.note(notification(&n.to_string()));
        }
        assert_eq!((recent.passed.len(), recent.refused.len()), (KEPT, KEPT));
        assert_eq!(
            recent.totals,
            EventCounts {
                passed: 1001,
                refused: 10_000,
                not_delivered: 0,
            }
        );
    }

    #[test]
    fn the_last_notification_is_remembered() {
        let mut recent = Snapshot::default();
        assert!(recent.last_notification().is_none());
        recent.note(notification("first"));
        recent.note(notification("last"));
        for n in 0..1000_u32 {
            let challenge = Event::now(
                EventResult::Request(Outcome::Challenged),
                Some(n.to_be_bytes().into()),
            );
            recent.note(challenge);
            recent.note(refused("not_found"));
        }
        assert!(
            recent
                .passed
                .iter()
                .all(|event| event.notification.is_none())
        );
        let last = recent
            .last_notification()
            .and_then(|event| event.notification.as_ref()?.title.as_deref());
        assert_eq!(last, Some("last"));
    }

    #[test]
    fn equal_refusals_are_one_event_wherever_they_come_from() {
        let mut recent = Snapshot::default();
        recent.note(Event {
            subject: Some("forged".into()),
            ..refused("timeout")
        });
        for n in 0..1000_u32 {
            recent.note(Event {
                remote_addr: Some(n.to_be_bytes().into()),
                ..refused("not_found")
            });
            recent.note(refused("timeout"));
        }
        recent.note(refused("not_found"));
        let events: Vec<_> = recent
            .refused
            .iter()
            .map(|event| (event.ending.code(), event.times))
            .collect();
        assert_eq!(
            events,
            [("timeout", 1), ("timeout", 1000), ("not_found", 1001)]
        );
        assert_eq!(
            recent.refused.back().unwrap().remote_addr,
            HERE,
            "the last one's"
        );
        recent.note(notification("a"));
        recent.note(notification("a"));
        assert_eq!(recent.passed.len(), 2, "each notification counts");
    }

    #[test]
    fn the_history_is_a_day_in_steps() {
        let mut recent = Snapshot::default();
        let start = UNIX_EPOCH + STEP * 1000;
        let at = |steps: u32| start + STEP * steps + Duration::from_secs(1);
        recent.note(Event {
            at: at(0),
            ..refused("not_found")
        });
        recent.note(Event {
            at: at(0),
            ..notification("a")
        });
        recent.note(Event {
            at: at(2),
            ..notification("b")
        });
        let day = recent.history(at(3));
        assert_eq!(
            day[STEPS - 4],
            EventCounts {
                passed: 1,
                refused: 1,
                not_delivered: 0,
            }
        );
        assert_eq!(
            day[STEPS - 2],
            EventCounts {
                passed: 1,
                refused: 0,
                not_delivered: 0,
            }
        );
        assert_eq!(
            day.iter()
                .map(|counts| counts.passed + counts.refused)
                .sum::<u64>(),
            3
        );
        assert_eq!(
            recent.history(at(95))[0],
            EventCounts {
                passed: 1,
                refused: 1,
                not_delivered: 0,
            }
        );
        assert_eq!(
            recent
                .history(at(96))
                .iter()
                .filter(|counts| **counts != EventCounts::default())
                .count(),
            1
        );
        assert_eq!(
            recent.history(UNIX_EPOCH),
            [EventCounts::default(); STEPS],
            "a clock that was set back"
        );
        for step in 0..10_000 {
            recent.note(Event {
                at: at(step),
                ..notification("c")
            });
        }
        assert_eq!(recent.history.len(), STEPS);
    }

    #[test]
    fn what_was_not_delivered_is_counted_apart_from_refusals() {
        let mut recent = Snapshot::default();
        recent.note(refused("not_found"));
        recent.note(Event {
            ending: EventResult::NotDelivered("upstream_timeout"),
            ..notification("a")
        });
        let counts = EventCounts {
            passed: 0,
            refused: 1,
            not_delivered: 1,
        };
        assert_eq!(recent.totals, counts);
        assert_eq!(recent.history(SystemTime::now())[STEPS - 1], counts);
    }

    #[test]
    fn a_refused_certificate_is_remembered_until_a_client_accepts_it() {
        let mut recent = Snapshot::default();
        let ending = EventResult::Handshake(SERVER_CERTIFICATE_REFUSED);
        for times in 1..3 {
            recent.note(Event::now(ending, HERE));
            recent.note(Event::now(EventResult::Handshake("closed"), HERE));
            recent.note(refused("not_found"));
            let found = recent.refused_certificate.as_ref().unwrap();
            assert_eq!((found.times, found.peer), (times, HERE));
        }
        recent.note(notification("a"));
        assert!(recent.refused_certificate.is_none());
    }

    #[test]
    fn a_token_is_kept_whole_or_not_at_all() {
        let recent = Recent::default();
        for token in ["x".repeat(1000), "a\nb".into()] {
            recent.note_token("/a", &token);
        }
        assert!(
            recent.snapshot().tokens.is_empty(),
            "half a token is of no use"
        );
        recent.note_token("/a", "first");
        recent.note_token("/a", "4dfa1e0c-<b>");
        assert_eq!(recent.snapshot().tokens["/a"].token, "4dfa1e0c-<b>");
        recent.keep_routes(|route| route != "/a");
        assert!(recent.snapshot().tokens.is_empty());
    }

    #[test]
    fn drift_is_kept_by_route_and_kind() {
        let recent = Recent::default();
        let drifting = |route: &str, pointer: &str| {
            let mut event = Event {
                route: Some(route.into()),
                ..notification("a")
            };
            let notification = event.notification.as_mut().map(Arc::make_mut);
            notification.unwrap().drift = vec![pointer.to_owned()];
            event
        };
        for number in 0..1000 {
            recent.note(drifting("/a", &format!("/{number}")));
        }
        recent.note(drifting("/b", "/x"));
        recent.note(Event {
            route: Some("/c".into()),
            ..notification("a")
        });
        let drift = recent.snapshot().drift;
        let found: Vec<_> = drift
            .iter()
            .map(|((route, kind), drift)| (route.as_str(), *kind, drift.times))
            .collect();
        assert_eq!(found, [("/a", "alert", 1000), ("/b", "alert", 1)]);
        assert_eq!(drift[&("/a".to_owned(), "alert")].pointers, ["/999"]);
        recent.keep_routes(|route| route != "/a");
        assert_eq!(recent.snapshot().drift.len(), 1);
    }
}
