//! Verifies that a body is a notification of Netdata Cloud, and reads the fields that are used.

mod deciding;
mod drift;
mod json;
mod key;
mod kind;
mod reading;
mod shape;
mod space;
mod subject;
mod wire;

pub use kind::Kind;
pub(crate) use kind::Shape;
pub(crate) use space::Space;

use crate::auth::digest::sha256_hex;
use crate::rejection::Rejection;
use crate::sanitize::is_sanitized;
use drift::Drift;
use json::{Document, Json};
use key::Key;
use subject::Subject;

/// The largest length of a title or a name, in characters.
const MAX_TITLE: usize = 200;

/// The largest length of a link, in bytes: longer than those of Netdata Cloud.
const MAX_URL: usize = 1000;

/// The strictness of the checks on a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// Fields that decide something must be readable. A body of an unknown kind must have a message.
    #[default]
    Enforce,
    /// In addition, a body of an unknown kind and any known field of another type are refused.
    Strict,
    /// Any unambiguous JSON object is forwarded, and the log says what [`Enforce`](Self::Enforce)
    /// would have refused.
    Warn,
    /// Bodies are not read, unless the route accepts certain spaces only.
    Off,
}

/// The content of a notification, as far as it is used here.
///
/// Its strings were chosen by users of Netdata Cloud: escape them for display, and never execute
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The kind of the event.
    pub kind: Kind,
    /// The shape of the body; `None` where there is only one, or none is known.
    pub shape: Option<Shape>,
    /// The severity in lower case: `critical`, `warning`, `clear`, `info`, or another word that Netdata Cloud
    /// may come to use.
    pub severity: Option<String>,
    /// The name of the alert, or the message.
    pub title: Option<String>,
    /// The message, in a sentence.
    pub message: Option<String>,
    /// The page about it in Netdata Cloud: an https URL of `app.netdata.cloud`, and of no other host.
    pub url: Option<String>,
    /// The name of the node that it is about.
    pub node: Option<String>,
    /// The space that it comes from.
    pub space: Option<Space>,
    /// The id of the alert's transition.
    pub transition_id: Option<String>,
    /// The token that the operator pastes into Netdata's UI, if it can be shown: one line of up to 240
    /// characters. It is a secret of the operator's.
    pub test_token: Option<String>,
    /// A key that is equal for equal notifications: the transition's id where there is one, otherwise
    /// the SHA-256 of the body. It has no dot, which separates the parts of what is signed.
    pub idempotency_key: String,
    /// A hash of what must stay in order with others of the same.
    pub(crate) subject: Subject,
    /// JSON pointers (RFC 6901) to the differences from the known bodies: at most 5, short, and safe to show.
    pub drift: Vec<String>,
    /// The reason for which it would have been refused, had [`SchemaPolicy::Warn`] not let it pass.
    pub mismatch: Option<Rejection>,
}

impl Notification {
    /// Verifies a whole body.
    ///
    /// It must be one JSON object that all parsers read alike (UTF-8, no key twice, at most 64 levels
    /// deep), satisfy `schema`, and come from one of `spaces` unless that is empty. A Test
    /// notification has no space; it passes here, and the caller decides whether to forward it.
    pub fn verify(body: &[u8], schema: SchemaPolicy, spaces: &[String]) -> Result<Self, Rejection> {
        if schema == SchemaPolicy::Off {
            return Self::unread(body, spaces);
        }
        let document = parse(body)?;
        let json = document.root();
        let (kind, shape) = shape::recognise(json);
        let is_strict = schema == SchemaPolicy::Strict;
        let mut drift = Drift::of(json, wire::fields(kind, shape), is_strict);
        let verdict = judge(json, kind, spaces);
        let mismatch = apply_policy(schema, verdict, &drift, kind)?;
        if !spaces.is_empty() {
            check_space(json, kind == Kind::Test, spaces)?;
        }
        let notification = Self {
            kind,
            shape,
            mismatch,
            ..Self::read(json, kind, body)
        };
        notification.lead(&mut drift);
        Ok(Self {
            drift: drift.pointers,
            ..notification
        })
    }

    /// Reads the fields that are used.
    fn read(json: Json<'_>, kind: Kind, body: &[u8]) -> Self {
        let transition_id = reading::transition_id(json).filter(|id| is_token(id));
        let severity = reading::severity(json).filter(|word| is_token(word));
        Self {
            severity: severity.map(str::to_ascii_lowercase),
            title: reading::title(json).map(shorten),
            message: json.string(&[Key::Message]).map(shorten),
            url: shown_url(json),
            node: reading::node(json).map(shorten),
            space: reading::space(json),
            transition_id: transition_id.map(str::to_owned),
            subject: subject::of(json, kind),
            test_token: shown_token(json).filter(|_| kind == Kind::Test),
            ..Self::unknown(idempotency_key(transition_id, body))
        }
    }

    /// Puts the places that matter most before the other differences.
    fn lead(&self, drift: &mut Drift) {
        match &self.mismatch {
            Some(Rejection::SchemaMismatch { pointer, .. }) => drift.lead_with(pointer),
            // Nothing in the body can be pointed at.
            _ if self.kind == Kind::Unknown && drift.pointers.is_empty() => drift.lead_with(""),
            _ => {}
        }
        if self.kind == Kind::Test && self.test_token.is_none() {
            drift.lead_with("/token");
        }
    }

    /// Accepts a body without reading it, unless `spaces` are given: then a body that cannot be read
    /// comes from none of them.
    fn unread(body: &[u8], spaces: &[String]) -> Result<Self, Rejection> {
        let mut notification = Self::unknown(sha256_hex(body));
        if !spaces.is_empty() {
            let document = parse(body).map_err(|_| Rejection::SpaceNotAllowed)?;
            let json = document.root();
            check_space(json, false, spaces)?;
            notification.space = reading::space(json);
        }
        Ok(notification)
    }

    /// Returns a notification of which nothing is known.
    fn unknown(idempotency_key: String) -> Self {
        Self {
            kind: Kind::Unknown,
            shape: None,
            severity: None,
            title: None,
            message: None,
            url: None,
            node: None,
            space: None,
            transition_id: None,
            test_token: None,
            idempotency_key,
            subject: subject::UNKNOWN,
            drift: Vec::new(),
            mismatch: None,
        }
    }
}

/// Applies `schema` to the verdict about the fields that decide. Returns the mismatch that
/// [`SchemaPolicy::Warn`] lets pass.
fn apply_policy(
    schema: SchemaPolicy,
    verdict: Result<(), Rejection>,
    drift: &Drift,
    kind: Kind,
) -> Result<Option<Rejection>, Rejection> {
    if schema == SchemaPolicy::Warn {
        return Ok(verdict.err());
    }
    verdict?;
    if schema == SchemaPolicy::Strict {
        drift.check(kind)?;
    }
    Ok(None)
}

fn idempotency_key(transition_id: Option<&str>, body: &[u8]) -> String {
    let key = transition_id.filter(|id| !id.contains('.'));
    key.map_or_else(|| sha256_hex(body), str::to_owned)
}

fn shown_url(json: Json<'_>) -> Option<String> {
    let url = reading::url(json)?;
    is_cloud_url(url).then(|| url.to_owned())
}

/// Returns the token of a Test notification, if it can be shown whole: the operator pastes it into
/// Netdata's UI.
fn shown_token(json: Json<'_>) -> Option<String> {
    let token = json.string(&[Key::Token])?;
    (!token.is_empty() && is_sanitized(token)).then(|| token.to_owned())
}

/// Reads a body in exactly one way, or not at all.
fn parse(body: &[u8]) -> Result<Document<'_>, Rejection> {
    let document = json::parse(body).map_err(Rejection::InvalidJson)?;
    deciding::check_twins(document.root())?;
    Ok(document)
}

/// Checks that the fields that decide can be read. With `spaces`, an unreadable space is not an error
/// here, because it is none of them.
fn judge(json: Json<'_>, kind: Kind, spaces: &[String]) -> Result<(), Rejection> {
    deciding::check(json, kind)?;
    match spaces.is_empty() {
        true => deciding::check_space(json, kind),
        false => Ok(()),
    }
}

fn check_space(json: Json<'_>, may_name_none: bool, spaces: &[String]) -> Result<(), Rejection> {
    let is_wanted = |space: Space| spaces.iter().any(|wanted| space.is(wanted));
    let passes = deciding::is_space_unambiguous(json)
        && reading::space(json).map_or(may_name_none, is_wanted);
    match passes {
        true => Ok(()),
        false => Err(Rejection::SpaceNotAllowed),
    }
}

/// Truncates a text for display.
fn shorten(text: &str) -> String {
    if text.len() <= MAX_TITLE {
        return text.to_owned();
    }
    let rest = text.char_indices().nth(MAX_TITLE);
    text[..rest.map_or(text.len(), |(start, _)| start)].to_owned()
}

/// Returns `true` if a link may lead to `url`: it is an https URL of Netdata Cloud, short, and
/// without characters that browsers or people could read in another way.
fn is_cloud_url(url: &str) -> bool {
    let is_plain = |b: u8| {
        b.is_ascii_graphic()
            && !matches!(
                b,
                b'"' | b'\'' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{'..=b'}'
            )
    };
    url.strip_prefix("https://app.netdata.cloud/")
        .is_some_and(|path| path.len() <= MAX_URL && path.bytes().all(is_plain))
}

/// Returns `true` if a word can be used in a header unchanged: it is short, and has no character
/// with a meaning there.
fn is_token(word: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    (1..=128).contains(&word.len()) && word.bytes().all(is_plain)
}

#[cfg(test)]
mod tests;
