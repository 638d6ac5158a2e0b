//! Metrics of webhooks: notifications and challenges.

use super::{counters, gauges};
use crate::telemetry::lost;
use crate::webhook::notification::{Kind, Notification, Shape};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use std::sync::OnceLock;

const KINDS: [Kind; 4] = [Kind::Alert, Kind::Reachability, Kind::Test, Kind::Unknown];
const SHAPES: [Option<Shape>; 3] = [None, Some(Shape::Flat), Some(Shape::Nested)];
/// The values of the label `severity`. The last stands for all others.
const SEVERITIES: [&str; 6] = ["", "critical", "warning", "clear", "info", "other"];
const COMBINATIONS: usize = KINDS.len() * SHAPES.len() * SEVERITIES.len();

/// The metrics of all routes.
pub(super) struct WebhookFamilies {
    notifications: IntCounterVec,
    drift: IntCounterVec,
    not_delivered: IntCounterVec,
    challenges: IntCounterVec,
    last_notification: IntGaugeVec,
}

/// The kinds and severities that both shapes have.
const USUAL: [(Kind, &str); 5] = [
    (Kind::Alert, "critical"),
    (Kind::Alert, "warning"),
    (Kind::Alert, "clear"),
    (Kind::Reachability, "critical"),
    (Kind::Reachability, "info"),
];

impl WebhookFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            notifications: counters(
                registry,
                "notifications_total",
                "Notifications that were verified.",
                &["route", "kind", "shape", "severity"],
            ),
            drift: counters(
                registry,
                "schema_drift_total",
                "Notifications that were let through though they are not as they are known.",
                &["route", "kind"],
            ),
            not_delivered: counters(
                registry,
                "not_delivered_total",
                "Verified notifications that did not reach their application.",
                &["route", "code"],
            ),
            challenges: counters(
                registry,
                "challenges_total",
                "Challenges, by whether they were answered.",
                &["route", "outcome"],
            ),
            last_notification: gauges(
                registry,
                "last_notification_timestamp_seconds",
                "When the last verified notification came; 0 if none has since the start.",
                &["route"],
            ),
        }
    }

    /// Removes the metrics of a route that no longer exists.
    pub(super) fn forget(&self, route: &str) {
        // Ignore the error: the series did not exist.
        for index in 0..COMBINATIONS {
            let _ = self
                .notifications
                .remove_label_values(&labels(route, index));
        }
        for kind in KINDS {
            let _ = self.drift.remove_label_values(&[route, kind.as_str()]);
        }
        for code in lost::CODES {
            let _ = self.not_delivered.remove_label_values(&[route, code]);
        }
        for outcome in ["answered", "refused"] {
            let _ = self.challenges.remove_label_values(&[route, outcome]);
        }
        let _ = self.last_notification.remove_label_values(&[route]);
    }
}

/// The metrics of one route.
pub(super) struct WebhookMetrics {
    route: String,
    /// Counters by kind, shape and severity, created when a combination first occurs.
    notifications: [OnceLock<IntCounter>; COMBINATIONS],
    /// Counters in the order of [`KINDS`].
    drift: [IntCounter; KINDS.len()],
    /// Counters in the order of [`lost::CODES`].
    not_delivered: [IntCounter; lost::CODES.len()],
    challenges_answered: IntCounter,
    challenges_refused: IntCounter,
    last_notification: IntGauge,
}

impl WebhookMetrics {
    pub(super) fn new(families: &WebhookFamilies, route: &str) -> Self {
        let metrics = Self {
            route: route.to_owned(),
            notifications: [const { OnceLock::new() }; COMBINATIONS],
            drift: KINDS.map(|kind| families.drift.with_label_values(&[route, kind.as_str()])),
            not_delivered: lost::CODES
                .map(|code| families.not_delivered.with_label_values(&[route, code])),
            challenges_answered: families.challenges.with_label_values(&[route, "answered"]),
            challenges_refused: families.challenges.with_label_values(&[route, "refused"]),
            last_notification: families.last_notification.with_label_values(&[route]),
        };
        for combination in usual_combinations() {
            metrics.counter(families, combination);
        }
        metrics
    }

    /// Counts a verified notification.
    pub(super) fn notification(&self, families: &WebhookFamilies, notification: &Notification) {
        self.counter(families, combination_of(notification)).inc();
        if !notification.drift.is_empty() {
            self.drift[position(notification.kind)].inc();
        }
        self.last_notification.set(lost::now());
    }

    /// Counts a verified notification that did not reach its application.
    pub(super) fn not_delivered(&self, code: &str) {
        let index = lost::CODES.iter().position(|known| *known == code);
        if let Some(index) = index {
            self.not_delivered[index].inc();
        }
    }

    /// Counts a challenge as answered or refused.
    pub(super) fn challenge(&self, is_answered: bool) {
        if is_answered {
            &self.challenges_answered
        } else {
            &self.challenges_refused
        }
        .inc();
    }

    fn counter(&self, families: &WebhookFamilies, index: usize) -> &IntCounter {
        let resolve = || {
            families
                .notifications
                .with_label_values(&labels(&self.route, index))
        };
        self.notifications[index].get_or_init(resolve)
    }
}

fn combination_of(notification: &Notification) -> usize {
    let severity = notification.severity.as_deref().unwrap_or_default();
    combination(notification.kind, notification.shape, severity)
}

/// Returns the combinations that Netdata Cloud sends, whose counters begin at 0.
fn usual_combinations() -> impl Iterator<Item = usize> {
    let shaped = [Some(Shape::Flat), Some(Shape::Nested)].into_iter();
    let shaped =
        shaped.flat_map(|shape| USUAL.map(|(kind, severity)| combination(kind, shape, severity)));
    shaped.chain([combination(Kind::Test, None, "")])
}

fn combination(kind: Kind, shape: Option<Shape>, severity: &str) -> usize {
    let shape = SHAPES.iter().position(|known| *known == shape);
    let row = position(kind) * SHAPES.len() + shape.unwrap_or_default();
    row * SEVERITIES.len() + severity_position(severity)
}

/// Returns the index of a severity; that of unknown ones is the last.
fn severity_position(severity: &str) -> usize {
    let known = SEVERITIES.iter().position(|known| *known == severity);
    known.unwrap_or(SEVERITIES.len() - 1)
}

fn position(kind: Kind) -> usize {
    KINDS
        .iter()
        .position(|known| *known == kind)
        .unwrap_or_default()
}

fn labels(route: &str, index: usize) -> [&str; 4] {
    let (rest, severity) = (index / SEVERITIES.len(), index % SEVERITIES.len());
    let (kind, shape) = (rest / SHAPES.len(), rest % SHAPES.len());
    [
        route,
        KINDS[kind].as_str(),
        SHAPES[shape].map_or("", Shape::as_str),
        SEVERITIES[severity],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_labels_of_its_own() {
        for kind in KINDS {
            for shape in SHAPES {
                for severity in SEVERITIES {
                    let found = labels("/a", combination(kind, shape, severity));
                    assert_eq!(
                        found,
                        [
                            "/a",
                            kind.as_str(),
                            shape.map_or("", Shape::as_str),
                            severity
                        ]
                    );
                }
            }
        }
    }

    #[test]
    fn what_comes_over_the_wire_makes_no_labels() {
        for severity in ["fatal", "CRITICAL", "\"} 1\n", "critical\0"] {
            assert_eq!(
                labels("/a", combination(Kind::Alert, None, severity))[3],
                "other"
            );
        }
    }
}
