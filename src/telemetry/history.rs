//! What happened lately, for the operator: kept in memory, within bounds, and never a body.

use super::context::{Context, Outcome};
use super::metrics::ConnectionRefusal;
use crate::sanitize::{clean, is_clean};
use crate::tls::Refusal;
use crate::webhook::notification::{Kind, Notification, Shape};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many events are kept of those that went well, and as many of those that were refused: a
/// flood of the one does not wash the others away.
pub const KEPT: usize = 100;

/// How long one step of the history is.
pub const STEP: Duration = Duration::from_secs(15 * 60);

/// How many steps are kept: a day.
pub const STEPS: usize = 96;

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A request came to this.
    Request(Outcome),
    /// A TLS handshake was refused, with this code.
    Handshake(&'static str),
    /// A connection was refused before anything was said on it, with this code.
    Connection(&'static str),
}

impl Ending {
    /// Whether it went as it should.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Request(outcome) if outcome.is_good())
    }

    /// The code that stands in answers, logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Request(outcome) => outcome.code(),
            Self::Handshake(code) | Self::Connection(code) => code,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// When; of several, the last.
    pub at: SystemTime,
    /// How often; of what was not refused, in a row.
    pub times: u64,
    /// How it ended.
    pub ending: Ending,
    /// Why, in a sentence, if it was refused.
    pub reason: Option<String>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// The path of its route.
    pub route: Option<Arc<str>>,
    /// From where it came.
    pub remote_addr: Option<IpAddr>,
    /// Which log line it belongs to.
    pub request_id: Option<String>,
    /// Whom the client certificate names, if the handshake was refused.
    pub subject: Option<String>,
    /// What a verified notification said.
    pub notification: Option<Excerpt>,
}

/// What is kept of a notification. The strings were chosen by somebody who may use Netdata Cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// What it is about.
    pub kind: Kind,
    /// In which shape it came.
    pub shape: Option<Shape>,
    /// In lower case.
    pub severity: Option<String>,
    /// The alert's name, or the message.
    pub title: Option<String>,
    /// The node's name.
    pub node: Option<String>,
    /// The space's name.
    pub space: Option<String>,
    /// JSON pointers to what was not as it is known.
    pub drift: Vec<String>,
}

impl Excerpt {
    fn of(notification: &Notification) -> Self {
        let text = |text: &Option<String>| text.as_deref().map(clean).map(Cow::into_owned);
        Self {
            kind: notification.kind,
            shape: notification.shape,
            severity: text(&notification.severity),
            title: text(&notification.title),
            node: text(&notification.node),
            space: notification
                .space
                .as_ref()
                .and_then(|space| space.label())
                .map(clean)
                .map(Cow::into_owned),
            drift: notification.drift.clone(),
        }
    }
}

impl Event {
    /// A request that has ended.
    pub(crate) fn of_request(
        context: &Context,
        status: Option<u16>,
        duration: Option<Duration>,
    ) -> Self {
        let outcome = context
            .outcome
            .unwrap_or(Outcome::Refused("internal_error"));
        let reason = context
            .rejection
            .as_ref()
            .map(|rejection| clean(&rejection.detail()).into_owned());
        Self {
            status,
            duration,
            reason: reason.filter(|_| matches!(outcome, Outcome::Refused(_))),
            route: context.route.clone(),
            request_id: Some(context.request_id.clone()),
            notification: context.notification.as_deref().map(Excerpt::of),
            ..Self::now(Ending::Request(outcome), context.remote_addr)
        }
    }

    /// A handshake that was refused.
    pub(crate) fn of_handshake(peer: IpAddr, refusal: &Refusal) -> Self {
        Self {
            reason: Some(clean(&refusal.reason).into_owned()),
            subject: refusal
                .identity
                .as_ref()
                .map(|identity| identity.subject.clone()),
            ..Self::now(Ending::Handshake(refusal.code.as_str()), Some(peer))
        }
    }

    /// A connection that was refused.
    pub(crate) fn of_connection(peer: IpAddr, why: ConnectionRefusal, reason: &str) -> Self {
        Self {
            reason: Some(clean(reason).into_owned()),
            ..Self::now(Ending::Connection(why.as_str()), Some(peer))
        }
    }

    fn now(ending: Ending, remote_addr: Option<IpAddr>) -> Self {
        Self {
            at: SystemTime::now(),
            times: 1,
            ending,
            reason: None,
            status: None,
            duration: None,
            route: None,
            remote_addr,
            request_id: None,
            subject: None,
            notification: None,
        }
    }

    /// Whether this is what `other` was, once more, wherever it came from.
    fn repeats(&self, other: &Self) -> bool {
        self.ending == other.ending
            && (&self.route, &self.reason, &self.subject)
                == (&other.route, &other.reason, &other.subject)
    }

    /// Which of `events` this repeats. Each notification counts. A hundred addresses that are
    /// refused for one reason are not to hide what was refused for another.
    fn earlier(&self, events: &VecDeque<Self>) -> Option<usize> {
        let is_again = |last: &&Self| self.repeats(last) && self.remote_addr == last.remote_addr;
        match (&self.notification, self.ending.is_good()) {
            (Some(_), _) => None,
            (None, true) => events.back().filter(is_again).map(|_| events.len() - 1),
            (None, false) => events.iter().position(|event| self.repeats(event)),
        }
    }
}

/// The token of a Test notification that was answered here.
#[derive(Clone, Debug)]
pub struct TestToken {
    /// When it came.
    pub at: SystemTime,
    /// As it came.
    pub token: String,
}

/// Notifications that were not as they are known, and were let through.
#[derive(Clone, Debug)]
pub struct Drift {
    /// When the last came.
    pub at: SystemTime,
    /// How many have come since the start.
    pub times: u64,
    /// JSON pointers to what the last had.
    pub pointers: Vec<String>,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What went as it should.
    pub passed: u64,
    /// What did not.
    pub refused: u64,
}

/// What happened lately.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Notifications, challenges and Test notifications that came through every check; the newest
    /// last.
    pub passed: VecDeque<Event>,
    /// What was refused; the newest last.
    pub refused: VecDeque<Event>,
    /// The last token of each route.
    pub tokens: BTreeMap<String, TestToken>,
    /// What was not as it is known, by route and kind: there are few of either.
    pub drift: BTreeMap<(String, &'static str), Drift>,
    /// Since the start.
    pub totals: Counts,
    /// The last notification that `passed` keeps no more.
    forgotten: Option<Event>,
    /// By the number of their step since 1970; the newest last.
    history: VecDeque<(u64, Counts)>,
}

/// Keeps what happened lately.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Snapshot>);

impl Recent {
    pub(super) fn note(&self, event: Event) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(event);
    }

    /// Counts what went as it should, and is of no further interest.
    pub(super) fn count_passed(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(step(SystemTime::now()), true);
    }

    /// It is kept whole or not at all: half a token is of no use.
    pub(super) fn note_token(&self, route: &str, token: &str) {
        if is_clean(token) {
            let token = TestToken {
                at: SystemTime::now(),
                token: token.to_owned(),
            };
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .tokens
                .insert(route.to_owned(), token);
        }
    }

    /// Forgets the tokens and the drift of routes that are gone.
    pub(super) fn keep_routes(&self, is_route: impl Fn(&str) -> bool) {
        let mut snapshot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.tokens.retain(|route, _| is_route(route));
        snapshot.drift.retain(|(route, _), _| is_route(route));
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Snapshot {
    fn note(&mut self, event: Event) {
        self.count(step(event.at), event.ending.is_good());
        self.note_drift(&event);
        let is_notification = event.notification.is_some();
        let events = if is_notification || event.ending.is_good() {
            &mut self.passed
        } else {
            &mut self.refused
        };
        if let Some(earlier) = event.earlier(events).and_then(|index| events.remove(index)) {
            events.push_back(Event {
                times: earlier.times + 1,
                ..event
            });
            return;
        }
        let oldest = if events.len() == KEPT {
            events.pop_front()
        } else {
            None
        };
        self.forgotten = oldest
            .filter(|event| event.notification.is_some())
            .or(self.forgotten.take());
        events.push_back(event);
    }

    fn note_drift(&mut self, event: &Event) {
        let (Some(route), Some(excerpt)) = (&event.route, &event.notification) else {
            return;
        };
        if !excerpt.drift.is_empty() {
            let key = (route.to_string(), excerpt.kind.as_str());
            let times = self.drift.get(&key).map_or(0, |drift| drift.times) + 1;
            self.drift.insert(
                key,
                Drift {
                    at: event.at,
                    times,
                    pointers: excerpt.drift.clone(),
                },
            );
        }
    }

    /// The last verified notification.
    pub fn last_notification(&self) -> Option<&Event> {
        self.passed
            .iter()
            .rfind(|event| event.notification.is_some())
            .or(self.forgotten.as_ref())
    }

    fn count(&mut self, step: u64, is_good: bool) {
        if self.history.back().is_none_or(|(last, _)| *last < step) {
            if self.history.len() == STEPS {
                self.history.pop_front();
            }
            self.history.push_back((step, Counts::default()));
        }
        // If the clock was set back, what happens now is counted where it stood before.
        let current = self.history.back_mut().map(|(_, counts)| counts);
        for counts in current.into_iter().chain([&mut self.totals]) {
            if is_good {
                counts.passed += 1;
            } else {
                counts.refused += 1;
            }
        }
    }

    /// What happened in each step of the day that ends with the step of `now`; the newest last.
    pub fn history(&self, now: SystemTime) -> [Counts; STEPS] {
        let mut day = [Counts::default(); STEPS];
        let last = step(now);
        for (step, counts) in &self.history {
            if let Some(age) = last
                .checked_sub(*step)
                .and_then(|age| usize::try_from(age).ok())
                .filter(|age| *age < STEPS)
            {
                day[STEPS - 1 - age] = *counts;
            }
        }
        day
    }
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

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn refused(code: &'static str) -> Event {
        Event::now(Ending::Request(Outcome::Refused(code)), HERE)
    }

    fn notification(title: &str) -> Event {
        let notification = Excerpt {
            kind: Kind::Alert,
            shape: None,
            severity: None,
            title: Some(title.into()),
            node: None,
            space: None,
            drift: Vec::new(),
        };
        Event {
            notification: Some(notification),
            ..Event::now(Ending::Request(Outcome::Forwarded), HERE)
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
            Counts {
                passed: 1001,
                refused: 10_000
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
                Ending::Request(Outcome::Challenged),
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
            Counts {
                passed: 1,
                refused: 1
            }
        );
        assert_eq!(
            day[STEPS - 2],
            Counts {
                passed: 1,
                refused: 0
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
            Counts {
                passed: 1,
                refused: 1
            }
        );
        assert_eq!(
            recent
                .history(at(96))
                .iter()
                .filter(|counts| **counts != Counts::default())
                .count(),
            1
        );
        assert_eq!(
            recent.history(UNIX_EPOCH),
            [Counts::default(); STEPS],
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
            event.notification.as_mut().unwrap().drift = vec![pointer.to_owned()];
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
