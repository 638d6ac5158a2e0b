//! Decides whether a body is a notification of Netdata Cloud, and reads from it what is needed to route it.

mod alert;
mod field;
mod json;
mod reachability;
mod shape;

use crate::digest::sha256_hex;
use crate::rejection::Rejection;
use std::fmt;

/// Characters of a title or a name.
const MAX_TITLE: usize = 200;

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An alert changed its state.
    Alert,
    /// A node became reachable or unreachable.
    Reachability,
    /// The operator pressed *Test* and is to paste the token back.
    Test,
    /// Nothing that is known.
    Unknown,
}

impl Kind {
    /// The word for it in headers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Reachability => "reachability",
            Self::Test => "test",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// In which of its two shapes a notification came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// As Netdata's documentation describes it.
    Flat,
    /// As the service sends it.
    Nested,
}

impl Shape {
    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Nested => "nested",
        }
    }
}

/// Where a notification comes from, as far as it says. Each of these may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// A UUID.
    pub id: Option<String>,
    /// Chosen by its owner.
    pub name: Option<String>,
    /// The name as it stands in URLs.
    pub slug: Option<String>,
}

impl Space {
    /// Whether `wanted` is its id, slug or name.
    pub fn is(&self, wanted: &str) -> bool {
        [&self.id, &self.slug, &self.name].into_iter().any(|own| own.as_deref() == Some(wanted))
    }

    /// The most telling of its names.
    pub fn label(&self) -> Option<&str> {
        [&self.slug, &self.name, &self.id].into_iter().find_map(|own| own.as_deref())
    }
}

/// How strictly the shape of a notification is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// What is not recognised is refused.
    #[default]
    Enforce,
    /// What is not recognised is forwarded, and the log says so.
    Warn,
    /// Shapes are not checked. The body still is one JSON object.
    Off,
}

/// What a notification says, as far as it matters here.
///
/// Every string in it was chosen by somebody who may use Netdata Cloud: escape what is shown, execute nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What it is about.
    pub kind: Kind,
    /// In which shape it came; `None` where there is but one, or none is known.
    pub shape: Option<Shape>,
    /// In lower case: `critical`, `warning`, `clear`, `info`, or another word that Netdata Cloud may come to use.
    pub severity: Option<String>,
    /// The alert's name, or what the message says.
    pub title: Option<String>,
    /// The name of the node that it is about.
    pub node: Option<String>,
    /// Where it comes from.
    pub space: Option<Space>,
    /// Identifies an alert's transition.
    pub transition_id: Option<String>,
    /// What the operator is to paste into Netdata's UI. For the operator's eyes only.
    pub test_token: Option<String>,
    /// Equal for equal notifications: the transition's id where there is one, otherwise the SHA-256 of the body.
    pub idempotency_key: String,
    /// What does not fit the known shape, where [`SchemaPolicy::Warn`] let it pass.
    pub mismatch: Option<Rejection>,
}

impl Notification {
    /// Verifies a whole body.
    ///
    /// It must be one JSON object (UTF-8, no key twice, at most 64 deep), of a known shape if `schema` says so, and
    /// from one of `spaces` unless that is empty. A Test notification names no space; it passes here, and who
    /// forwards it decides whether that matters.
    pub fn verify(body: &[u8], schema: SchemaPolicy, spaces: &[String]) -> Result<Self, Rejection> {
        let json = json::parse(body).map_err(Rejection::InvalidJson)?;
        let (kind, shape) = shape::recognise(&json);
        let mismatch = match schema {
            SchemaPolicy::Off => None,
            SchemaPolicy::Warn => shape::check(&json, kind, shape).err(),
            SchemaPolicy::Enforce => shape::check(&json, kind, shape).map(|()| None)?,
        };
        let space = alert::space(&json);
        let accepted = |space: &Space| spaces.iter().any(|wanted| space.is(wanted));
        // A Test notification names none; one that does has to name the right one.
        let is_wanted = space.as_ref().map_or(kind == Kind::Test, accepted);
        if !spaces.is_empty() && !is_wanted {
            return Err(Rejection::SpaceNotAllowed);
        }
        let transition_id = alert::transition_id(&json).filter(|id| is_token(id)).map(str::to_owned);
        Ok(Self {
            kind,
            shape,
            severity: alert::severity(&json).filter(|word| is_token(word)).map(str::to_ascii_lowercase),
            title: alert::title(&json).map(shorten),
            node: alert::node(&json).map(shorten),
            space,
            idempotency_key: transition_id.clone().unwrap_or_else(|| sha256_hex(body)),
            transition_id,
            test_token: (kind == Kind::Test).then(|| json.string(&["token"]).map(str::to_owned)).flatten(),
            mismatch,
        })
    }
}

/// The first of a text: it is for people, who want to know what this is about.
fn shorten(text: &str) -> String {
    let end = text.char_indices().nth(MAX_TITLE).map_or(text.len(), |(end, _)| end);
    text[..end].to_owned()
}

/// Whether a word may stand in a header as it is: short, and no character that means anything there.
fn is_token(word: &str) -> bool {
    (1..=128).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAT_ALERT: &str = r#"{"message":"m","alert":"ram_in_use","info":"i","chart":"c","context":"x",
        "space":"Acme","Rooms":{"a":{"all":"https://x"},"b":"https://y","c":null},"family":"f","class":"Error",
        "severity":"CRITICAL","date":"2026-03-01T10:00:00Z","duration":"1m","additional_active_critical_alerts":1,
        "additional_active_warning_alerts":0.0,"alert_url":"https://app.netdata.cloud/x#a=1&transition=t-1","new":[1]}"#;
    const NESTED_ALERT: &str = r#"{"message":"Critical, x","space":{"id":"s-1","name":"Acme \u0026 Co","slug":"acme"},
        "node":{"id":"n","hostname":"h","rooms":[{"id":"r","name":"All","slug":"all","url":"u"}]},
        "alert":{"name":"n","context":"c","url":"u?transition=t-3","transition_id":"t-2","chart":{"id":"i","name":"n"},
        "state":{"status":"Warning","value":1,"value_str":"1"},"prev_state":null,"triggered_at":"t",
        "duration":{"value":1,"non_clear":0,"value_str":"1s"},"location":{"timezone":"UTC","utc_offset":-3600},
        "config":{"hash":"h","line":1,"centralisation_point":{"hostname":"p"}},"rendered":{"info":"i","summary":"s"},
        "log":{"total":{"critical":1,"warning":2},"entries":[{"name":"n","status":"Critical","triggered_at":"t"}]}}}"#;
    const FLAT_REACHABILITY: &str = r#"{"message":"m","url":"u","host":"h","severity":"critical","status":{"reachable":false,"text":"unreachable"}}"#;
    const NESTED_REACHABILITY: &str = r#"{"message":"m","url":"u","space":{"id":"s-1","slug":"acme","nodes_stats":
        {"total":3,"live":2}},"centralisation_point":{"id":"i","hostname":"h"},"nodes":[{"id":"i","hostname":"h"}],
        "severity":"info","status":"reachable","reachable":true}"#;
    const TEST: &str = r#"{"message":"m","title":"Test Notification","token":"4dfa1e0c"}"#;

    fn verify(body: &str) -> Result<Notification, Rejection> {
        Notification::verify(body.as_bytes(), SchemaPolicy::Enforce, &[])
    }

    #[test]
    fn every_known_body_is_recognised() {
        let check = |body, kind, shape, severity: Option<&str>| {
            let notification = verify(body).unwrap();
            assert_eq!((notification.kind, notification.shape), (kind, shape), "{body}");
            assert_eq!(notification.severity.as_deref(), severity, "{body}");
        };
        check(FLAT_ALERT, Kind::Alert, Some(Shape::Flat), Some("critical"));
        check(NESTED_ALERT, Kind::Alert, Some(Shape::Nested), Some("warning"));
        check(FLAT_REACHABILITY, Kind::Reachability, Some(Shape::Flat), Some("critical"));
        check(NESTED_REACHABILITY, Kind::Reachability, Some(Shape::Nested), Some("info"));
        check(TEST, Kind::Test, None, None);
        check(r#"{"alarm":"x","alarm_url":"u"}"#, Kind::Alert, Some(Shape::Flat), None);
        check(r#"{"alert":null,"nodes":[]}"#, Kind::Reachability, Some(Shape::Nested), None);
        check(r#"{"token":"x","alert":"y"}"#, Kind::Alert, Some(Shape::Flat), None);
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_by_its_pointer() {
        for (body, expected) in [
            (r#"{"alert":"x","info":1}"#, "/info"),
            (r#"{"alert":"x","space":{}}"#, "/space"),
            (r#"{"alert":"x","Rooms":[]}"#, "/Rooms"),
            (r#"{"alert":"x","Rooms":{"a":1}}"#, "/Rooms"),
            (r#"{"alert":"x","critical_count":"1"}"#, "/critical_count"),
            (r#"{"alert":{},"space":"x"}"#, "/space"),
            (r#"{"alert":{"state":{"status":1}}}"#, "/alert/state/status"),
            (r#"{"alert":{"log":{"entries":[1]}}}"#, "/alert/log/entries"),
            (r#"{"alert":{"log":{"entries":{}}}}"#, "/alert/log/entries"),
            (r#"{"status":{"reachable":"no"}}"#, "/status/reachable"),
            (r#"{"reachable":1}"#, "/reachable"),
            (r#"{"nodes":{}}"#, "/nodes"),
            (r#"{"token":"x","title":1}"#, "/title"),
            (r#"{"alert":1}"#, ""),
            ("{}", ""),
        ] {
            match verify(body) {
                Err(Rejection::SchemaMismatch { pointer, .. }) => assert_eq!(pointer, expected, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_schema_can_warn_or_be_off() {
        for (schema, mismatch) in [(SchemaPolicy::Warn, true), (SchemaPolicy::Off, false)] {
            let notification = Notification::verify(b"{\"x\":1}", schema, &[]).unwrap();
            assert_eq!((notification.kind, notification.mismatch.is_some()), (Kind::Unknown, mismatch));
            assert!(matches!(Notification::verify(b"[1]", schema, &[]), Err(Rejection::InvalidJson(_))));
        }
    }

    #[test]
    fn only_the_wanted_spaces_pass() {
        let check = |body: &str, spaces: &[&str], passes: bool| {
            let spaces: Vec<String> = spaces.iter().map(ToString::to_string).collect();
            let verdict = Notification::verify(body.as_bytes(), SchemaPolicy::Enforce, &spaces);
            assert_eq!(verdict.is_ok(), passes, "{spaces:?} {verdict:?}");
        };
        check(NESTED_ALERT, &["s-1"], true);
        check(NESTED_ALERT, &["other", "acme"], true);
        check(NESTED_ALERT, &["Acme & Co"], true);
        check(NESTED_ALERT, &["Acme"], false);
        check(FLAT_ALERT, &["Acme"], true);
        check(FLAT_ALERT, &["acme"], false);
        check(NESTED_REACHABILITY, &["acme"], true);
        check(FLAT_REACHABILITY, &["acme"], false);
        check(TEST, &["acme"], true);
        check(r#"{"message":"m","token":"t","space":"other"}"#, &["acme"], false);
        check(r#"{"message":"m","token":"t","space":{"slug":"acme"}}"#, &["acme"], true);
    }

    #[test]
    fn what_it_is_about_is_read_from_every_shape() {
        let check = |body: &str, title: &str, node: Option<&str>| {
            let notification = verify(body).unwrap();
            assert_eq!((notification.title.as_deref(), notification.node.as_deref()), (Some(title), node), "{body}");
        };
        check(FLAT_ALERT, "ram_in_use", None);
        check(NESTED_ALERT, "n", Some("h"));
        check(FLAT_REACHABILITY, "m", Some("h"));
        check(NESTED_REACHABILITY, "m", None);
        check(TEST, "m", None);
        check(r#"{"alarm":"x"}"#, "x", None);
        let long = format!(r#"{{"alert":"{}"}}"#, "ä".repeat(100_000));
        check(&long, &"ä".repeat(MAX_TITLE), None);
    }

    #[test]
    fn equal_notifications_have_equal_keys() {
        let key = |body| verify(body).unwrap().idempotency_key;
        assert_eq!(key(NESTED_ALERT), "t-2");
        assert_eq!(key(FLAT_ALERT), "t-1");
        assert_eq!(key(r#"{"alert":{"url":"u?transition=t-3&x"}}"#), "t-3");
        assert_eq!(key(TEST), sha256_hex(TEST.as_bytes()));
        assert_ne!(key(TEST), key(FLAT_REACHABILITY));
        let hostile = "{\"alert\":{\"transition_id\":\"a\\r\\nX-Evil: 1\",\"state\":{\"status\":\"a b\"}}}";
        assert_eq!(key(hostile), sha256_hex(hostile.as_bytes()), "what cannot stand in a header is not used");
        assert_eq!(verify(hostile).unwrap().severity, None);
    }

    proptest::proptest! {
        #[test]
        fn no_mutation_of_a_body_makes_it_panic(
            cut in 0..400_usize, byte in proptest::prelude::any::<u8>(), insert in proptest::prelude::any::<bool>()
        ) {
            for body in [FLAT_ALERT, NESTED_ALERT, FLAT_REACHABILITY, NESTED_REACHABILITY, TEST] {
                let mut body = body.as_bytes().to_vec();
                let cut = cut.min(body.len() - 1);
                if insert { body.insert(cut, byte) } else { body[cut] = byte }
                for schema in [SchemaPolicy::Enforce, SchemaPolicy::Warn, SchemaPolicy::Off] {
                    let _ = Notification::verify(&body, schema, &["acme".into()]);
                }
            }
        }
    }
}
