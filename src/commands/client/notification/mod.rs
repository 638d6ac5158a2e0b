//! Notifications as Netdata Cloud sends them: alerts, reachability and Test notifications, in each
//! shape, with plausible values.

mod alert;
mod random;
mod template;

pub(crate) use alert::Severity;

use crate::webhook::notification::Shape;
use alert::Alert;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use random::SeededRandom;
use template::{render, text};
use time::{Duration, OffsetDateTime};

/// Specification of a notification. Unspecified values are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotificationSpec {
    Alert {
        shape: Shape,
        severity: Option<Severity>,
    },
    Reachability {
        shape: Shape,
        reachable: Option<bool>,
    },
    Test,
}

/// Specifications of every kind in every shape.
pub(crate) const EVERY_NOTIFICATION: [NotificationSpec; 11] = {
    use NotificationSpec::{Alert, Reachability, Test};
    use Severity::{Clear, Critical, Warning};
    use Shape::{Flat, Nested};
    [
        Alert {
            shape: Nested,
            severity: Some(Warning),
        },
        Alert {
            shape: Flat,
            severity: Some(Warning),
        },
        Alert {
            shape: Nested,
            severity: Some(Critical),
        },
        Alert {
            shape: Flat,
            severity: Some(Critical),
        },
        Alert {
            shape: Nested,
            severity: Some(Clear),
        },
        Alert {
            shape: Flat,
            severity: Some(Clear),
        },
        Reachability {
            shape: Nested,
            reachable: Some(false),
        },
        Reachability {
            shape: Flat,
            reachable: Some(false),
        },
        Reachability {
            shape: Nested,
            reachable: Some(true),
        },
        Reachability {
            shape: Flat,
            reachable: Some(true),
        },
        Test,
    ]
};

impl NotificationSpec {
    fn template(self) -> &'static str {
        match self {
            Self::Alert { shape, .. } => match shape {
                Shape::Flat => include_str!("bodies/alert_flat"),
                Shape::Nested => include_str!("bodies/alert_nested"),
            },
            Self::Reachability { shape, .. } => match shape {
                Shape::Flat => include_str!("bodies/reachability_flat"),
                Shape::Nested => include_str!("bodies/reachability_nested"),
            },
            Self::Test => include_str!("bodies/test"),
        }
    }
}

/// Generator of the notifications of a space in Netdata Cloud.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generator {
    /// Number from which all unspecified values follow.
    pub(crate) seed: u64,
    /// Name of the space.
    pub(crate) space: Option<String>,
    pub(crate) space_id: Option<String>,
    /// Name of the node.
    pub(crate) node: Option<String>,
    /// Number of alerts that are active on the node: each makes the body longer.
    pub(crate) active_alerts: Option<u32>,
}

const SPACES: [&str; 4] = [
    "Acme & Sons",
    "Globex R&D",
    "Initech <prod>",
    "Umbrella & Co",
];

const NODES: [&str; 6] = ["web-1", "web-2", "db-1", "db-2", "cache-1", "mail-1"];

/// The Unix time of 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600;

const YEAR: u64 = 365 * 24 * 60 * 60;

impl Generator {
    /// Returns the body of the `index`th notification. It differs from the output of a JSON library,
    /// so that a proxy that serialises it anew is detected.
    pub(crate) fn write(&self, spec: NotificationSpec, index: u64) -> String {
        let random = SeededRandom::new(self.seed).at(index);
        let mut values = self.common(index);
        match spec {
            NotificationSpec::Alert { severity, .. } => {
                values.extend(self.alert(severity, index, &random));
            }
            NotificationSpec::Reachability { reachable, .. } => {
                values.extend(self.reachability(reachable, &random));
            }
            NotificationSpec::Test => values.push(("token", self.test_token(index))),
        }
        render(spec.template(), &values)
    }

    fn alert(
        &self,
        severity: Option<Severity>,
        index: u64,
        random: &SeededRandom,
    ) -> Vec<(&'static str, String)> {
        let random_severity = || random.pick("severity", Severity::ALL);
        let random_count = || random.pick("active", [0, 1, 2, 3, 5, 8]);
        let alert = Alert {
            severity: severity.unwrap_or_else(random_severity),
            node: &self.node(random),
            date: self.moment(index),
            active: self.active_alerts.unwrap_or_else(random_count),
        };
        alert.values(random)
    }

    /// Returns the token of a Test notification, which the operator pastes into Netdata's UI.
    pub(crate) fn test_token(&self, index: u64) -> String {
        let random = SeededRandom::new(self.seed).at(index);
        random.uuid("test token").to_string()
    }

    /// Returns the token of a challenge, with characters that must be encoded in a URL.
    pub(crate) fn crc_token(&self, index: u64) -> String {
        let random = SeededRandom::new(self.seed).at(index);
        BASE64_STANDARD.encode(random.bytes::<25>("crc token"))
    }

    fn reachability(
        &self,
        reachable: Option<bool>,
        random: &SeededRandom,
    ) -> [(&'static str, String); 7] {
        let stable = SeededRandom::new(self.seed);
        let reachable = reachable.unwrap_or_else(|| random.pick("reachable", [true, false]));
        let (word, predicate, severity) = state(reachable);
        let (space, node) = (self.space(&stable), self.node(random));
        let stale = u64::from(!reachable) + random.below("stale", 2);
        [
            ("message", text(&format!("{space}/{node} is {predicate}"))),
            ("severity", severity.to_owned()),
            ("reachable", reachable.to_string()),
            ("text", word.to_owned()),
            ("live", (12 - stale).to_string()),
            ("stale", stale.to_string()),
            ("parent_id", stable.uuid("parent").to_string()),
        ]
    }

    /// Returns the values that all kinds have: space and node.
    fn common(&self, index: u64) -> Vec<(&'static str, String)> {
        let stable = SeededRandom::new(self.seed);
        let space = self.space(&stable);
        let node = self.node(&stable.at(index));
        let given_id = self.space_id.clone();
        let id = given_id.unwrap_or_else(|| stable.uuid("space").to_string());
        vec![
            ("space", text(space)),
            ("slug", slug(space)),
            ("space_id", text(&id)),
            ("room_id", stable.uuid("room").to_string()),
            // A node has the same id in all notifications.
            ("node_id", stable.uuid(&format!("node {node}")).to_string()),
            ("node", text(&node)),
        ]
    }

    fn space(&self, stable: &SeededRandom) -> &str {
        self.space
            .as_deref()
            .unwrap_or_else(|| stable.pick("space", SPACES))
    }

    fn node(&self, random: &SeededRandom) -> String {
        self.node
            .clone()
            .unwrap_or_else(|| format!("{}.example.com", random.pick("node", NODES)))
    }

    /// Returns the time of the event: within one year, and a second after the previous event.
    fn moment(&self, index: u64) -> OffsetDateTime {
        let seconds = SeededRandom::new(self.seed).below("moment", YEAR) + index % YEAR;
        OffsetDateTime::UNIX_EPOCH + Duration::seconds(EPOCH.saturating_add_unsigned(seconds))
    }
}

/// Returns the word for the state of a node, the predicate of its message, and its severity.
fn state(reachable: bool) -> (&'static str, &'static str, &'static str) {
    match reachable {
        true => ("reachable", "reachable again", "info"),
        false => ("unreachable", "unreachable", "critical"),
    }
}

/// Returns a name in the form that Netdata Cloud uses in URLs.
fn slug(name: &str) -> String {
    let words = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::notification::{Kind, Notification, SchemaPolicy};

    fn verified(generator: &Generator, spec: NotificationSpec, index: u64) -> Notification {
        let body = generator.write(spec, index);
        let verdict = Notification::verify(body.as_bytes(), SchemaPolicy::Enforce, &[]);
        verdict.unwrap_or_else(|rejection| panic!("{rejection}: {body}"))
    }

    #[test]
    fn every_generated_notification_passes() {
        for seed in 0..50 {
            let generator = Generator {
                seed,
                ..Generator::default()
            };
            for (index, spec) in EVERY_NOTIFICATION.into_iter().enumerate() {
                let found = verified(&generator, spec, index as u64);
                let severity = found.severity.as_deref();
                match spec {
                    NotificationSpec::Alert {
                        shape,
                        severity: given,
                    } => {
                        assert_eq!((found.kind, found.shape), (Kind::Alert, Some(shape)));
                        assert_eq!(
                            severity,
                            given.map(|given| given.status().to_lowercase()).as_deref()
                        );
                        assert!(found.transition_id.is_some());
                    }
                    NotificationSpec::Reachability { shape, reachable } => {
                        assert_eq!((found.kind, found.shape), (Kind::Reachability, Some(shape)));
                        assert_eq!(
                            severity,
                            Some(if reachable == Some(true) {
                                "info"
                            } else {
                                "critical"
                            })
                        );
                    }
                    NotificationSpec::Test => {
                        assert_eq!(found.test_token, Some(generator.test_token(index as u64)));
                    }
                }
                let body = generator.write(spec, index as u64);
                assert!(!body.contains(['$', '\n', '&', '<']), "{body}");
                let json: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_ne!(json.to_string(), body, "writing it anew changes it");
                assert_ne!(serde_json::to_string_pretty(&json).unwrap(), body);
            }
        }
    }

    #[test]
    fn equal_seeds_write_equal_bodies_and_others_do_not() {
        let body = |seed, spec, index| {
            Generator {
                seed,
                ..Generator::default()
            }
            .write(spec, index)
        };
        for spec in EVERY_NOTIFICATION {
            assert_eq!(body(1, spec, 5), body(1, spec, 5));
            assert_ne!(body(1, spec, 5), body(2, spec, 5));
        }
        let [alert, ..] = EVERY_NOTIFICATION;
        assert_ne!(body(1, alert, 5), body(1, alert, 6));
        let any = NotificationSpec::Alert {
            shape: Shape::Nested,
            severity: None,
        };
        let severities: Vec<_> = (0..50)
            .map(|index| {
                verified(&Generator::default(), any, index)
                    .severity
                    .unwrap_or_default()
            })
            .collect();
        for severity in ["critical", "warning", "clear"] {
            assert!(
                severities.iter().any(|other| other == severity),
                "{severities:?}"
            );
        }
    }

    #[test]
    fn what_is_given_is_used_whatever_is_in_it() {
        let generator = Generator {
            space: Some("A \"B\" & <C>".into()),
            space_id: Some("id\n".into()),
            node: Some("n$ode\\".into()),
            active_alerts: Some(1000),
            seed: 1,
        };
        let alert = NotificationSpec::Alert {
            shape: Shape::Nested,
            severity: None,
        };
        let found = verified(&generator, alert, 0);
        let space = found.space.unwrap();
        assert_eq!(space.name.as_deref(), Some("A \"B\" & <C>"));
        assert_eq!(
            (space.id.as_deref(), space.slug.as_deref()),
            (Some("id\n"), Some("a-b-c"))
        );
        assert_eq!(found.node.as_deref(), Some("n$ode\\"));
        assert!(generator.write(alert, 0).len() > 1000 * 50);
    }

    #[test]
    fn a_space_stays_and_its_nodes_keep_their_ids() {
        let generator = Generator {
            node: Some("web-1".into()),
            ..Generator::default()
        };
        let json = |index| -> serde_json::Value {
            let alert = NotificationSpec::Alert {
                shape: Shape::Nested,
                severity: None,
            };
            serde_json::from_str(&generator.write(alert, index)).unwrap()
        };
        let (one, other) = (json(0), json(1));
        assert_eq!(
            (&one["space"], &one["node"]),
            (&other["space"], &other["node"])
        );
        assert_ne!(
            one["alert"]["transition_id"],
            other["alert"]["transition_id"]
        );
    }
}
