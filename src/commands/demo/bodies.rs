//! What the stand-in sends: notifications as Netdata Cloud sends them, and two bodies that it never
//! would.

use crate::commands::client::{Generator, NotificationSpec, Severity};
use crate::webhook::notification::Shape::{Flat, Nested};

/// JSON, but `state` is a string where it must be an object.
pub(super) const SCHEMA_MISMATCH: &str =
    r#"{"message":"An alert without a state","alert":{"name":"ram_in_use","state":"critical"}}"#;
/// Looks like JSON to those who do not read to the end.
pub(super) const NOT_JSON: &str = "{\"alert\": \"ram_in_use\", \"severity\": critical}";

/// The notifications of a demo.
pub(super) struct Bodies {
    /// An alert in the documented shape.
    pub(super) alert_flat: String,
    /// An alert as the service sends it.
    pub(super) alert_nested: String,
    /// A node became unreachable, in the documented shape.
    pub(super) reachability_flat: String,
    /// A node became reachable, as the service sends it.
    pub(super) reachability_nested: String,
    /// The operator pressed *Test*.
    pub(super) test: String,
}

impl Bodies {
    /// The same in every demo.
    pub(super) fn new() -> Self {
        let author = Generator::default();
        let write = |notice, index| author.write(notice, index);
        Self {
            alert_flat: write(
                NotificationSpec::Alert {
                    shape: Flat,
                    severity: Some(Severity::Critical),
                },
                0,
            ),
            alert_nested: write(
                NotificationSpec::Alert {
                    shape: Nested,
                    severity: Some(Severity::Warning),
                },
                1,
            ),
            reachability_flat: write(
                NotificationSpec::Reachability {
                    shape: Flat,
                    reachable: Some(false),
                },
                2,
            ),
            reachability_nested: write(
                NotificationSpec::Reachability {
                    shape: Nested,
                    reachable: Some(true),
                },
                3,
            ),
            test: write(NotificationSpec::Test, 4),
        }
    }
}
