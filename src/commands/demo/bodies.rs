//! Bodies of the requests: notifications as Netdata Cloud sends them, and two invalid ones.

use crate::commands::client::{Generator, NotificationSpec, Severity};
use crate::webhook::notification::Shape::{self, Flat, Nested};

/// JSON with a string in `state` instead of an object.
pub(super) const SCHEMA_MISMATCH: &str =
    r#"{"message":"An alert without a state","alert":{"name":"ram_in_use","state":"critical"}}"#;
/// A body that resembles JSON, but is not.
pub(super) const NOT_JSON: &str = "{\"alert\": \"ram_in_use\", \"severity\": critical}";

/// The notifications of a demo.
pub(super) struct Bodies {
    /// An alert in the documented shape.
    pub(super) alert_flat: String,
    /// An alert as the service sends it.
    pub(super) alert_nested: String,
    /// An alert that the application misses while it is stopped, and its end.
    pub(super) missed_alert: String,
    pub(super) missed_clear: String,
    /// A notification of an unreachable node, in the documented shape.
    pub(super) reachability_flat: String,
    /// A notification of a reachable node, as the service sends it.
    pub(super) reachability_nested: String,
    /// A Test notification, as the service sends it.
    pub(super) test: String,
}

fn alert(shape: Shape, severity: Severity) -> NotificationSpec {
    NotificationSpec::Alert {
        shape,
        severity: Some(severity),
    }
}

fn reachability(shape: Shape, reachable: bool) -> NotificationSpec {
    NotificationSpec::Reachability {
        shape,
        reachable: Some(reachable),
    }
}

impl Bodies {
    /// Returns bodies that are the same in every demo.
    pub(super) fn new() -> Self {
        let generator = Generator::default();
        Self {
            alert_flat: generator.write(alert(Flat, Severity::Critical), 0),
            alert_nested: generator.write(alert(Nested, Severity::Warning), 1),
            reachability_flat: generator.write(reachability(Flat, false), 2),
            reachability_nested: generator.write(reachability(Nested, true), 3),
            missed_alert: generator.write(alert(Flat, Severity::Critical), 5),
            missed_clear: {
                let clear = generator.write(alert(Flat, Severity::Clear), 5);
                let other = generator.write(alert(Flat, Severity::Clear), 6);
                clear.replace(transition(&clear), transition(&other))
            },
            test: generator.write(NotificationSpec::Test, 4),
        }
    }
}

/// Returns the id of an alert's transition, which is in its link.
fn transition(body: &str) -> &str {
    let after = body.split("transition=").nth(1).unwrap_or_default();
    after.split('"').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alert_that_is_missed_ends_with_another_transition() {
        let bodies = Bodies::new();
        let (alert, clear) = (&bodies.missed_alert, &bodies.missed_clear);
        assert_eq!(transition(alert).len(), 36);
        assert_eq!(transition(clear).len(), 36);
        assert_ne!(transition(alert), transition(clear));
        let name =
            |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap()["alert"].clone();
        assert_eq!(name(alert), name(clear));
    }
}
