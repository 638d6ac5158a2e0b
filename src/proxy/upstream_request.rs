//! What the upstream gets to see: the request as it came, less what must not pass, plus what was
//! found out about it.

use super::origin::Origin;
use super::transaction::Transaction;
use super::verified::RequestFacts;
use crate::config::Route;
use crate::config::header_template::Variable;
use crate::http::header_class::{self, Class, compare, is_plainly_spelt, is_same};
use crate::http::request_head::RequestHead;
use crate::telemetry::context::{Context, DroppedHeaders};
use crate::webhook::notification::Notification;
use bytes::{BufMut as _, BytesMut};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// How the upstream is told where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFraming {
    /// There is none.
    NoBody,
    Length(u64),
    Chunked,
}

/// Appends the head of the message to the upstream.
pub(super) fn encode_head<S>(
    message: &mut BytesMut,
    transaction: &mut Transaction<'_, S>,
    origin: &Origin,
    facts: RequestFacts<'_>,
    framing: RequestFraming,
) {
    let request = transaction.head;
    let context = &mut *transaction.context;
    let mut head = Wire {
        bytes: message,
        route: facts.route,
    };
    head.push_request_line(request);
    head.push("Host", request.host());
    context.dropped_headers = head.push_passed(request, origin);
    match framing {
        RequestFraming::NoBody => {}
        RequestFraming::Length(length) => {
            head.push("Content-Length", length.to_string().as_bytes())
        }
        RequestFraming::Chunked => head.push("Transfer-Encoding", b"chunked"),
    }
    head.push_origin(request, origin);
    head.push_facts(context, facts);
    head.push_set_headers(request.host(), origin, context, facts);
    head.bytes.put_slice(b"\r\n");
}

/// A head in the making.
struct Wire<'r> {
    bytes: &'r mut BytesMut,
    route: &'r Route,
}

impl Wire<'_> {
    /// The target is passed on as it came; an absolute one becomes a path (RFC 9112 section 3.2).
    fn push_request_line(&mut self, request: &RequestHead) {
        let (mark, query) = request
            .query()
            .map_or((&b""[..], &b""[..]), |query| (b"?", query));
        for part in [
            request.method(),
            b" ",
            request.path(),
            mark,
            query,
            b" HTTP/1.1\r\n",
        ] {
            self.bytes.put_slice(part);
        }
    }

    /// What the sender said and may say; gives what it asserted of an identity instead.
    fn push_passed(&mut self, request: &RequestHead, origin: &Origin) -> DroppedHeaders {
        let nominated = Nominated::by(request);
        let mut dropped = DroppedHeaders::default();
        for (name, value) in request.fields() {
            let known = header_class::entry(name);
            if self.may_pass(name, known.map(|(_, class)| class), origin) {
                if !nominated.holds(name) {
                    self.push_unchecked(name, value);
                }
            } else if let Some((known, Class::Identity)) = known {
                dropped.note(known);
            }
        }
        dropped
    }

    /// Whether a field is the sender's to say.
    fn may_pass(&self, name: &[u8], class: Option<Class>, origin: &Origin) -> bool {
        let is_passed = match class {
            None => self.route.forward_authorization || !is_same(name, b"authorization"),
            Some(Class::Forwarding) => {
                (origin.is_believed && is_plainly_spelt(name)) || self.lets_pass(name)
            }
            Some(Class::Identity) => self.lets_pass(name),
            Some(Class::HopByHop | Class::Framing | Class::Ours | Class::Preset) => false,
        };
        is_passed && !self.is_set(name)
    }

    /// Whether the configuration lets it pass, spelt as it is there.
    fn lets_pass(&self, name: &[u8]) -> bool {
        self.route
            .pass_headers
            .iter()
            .any(|passed| passed.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Where the request came from. What a trusted proxy says about that is kept.
    fn push_origin(&mut self, request: &RequestHead, origin: &Origin) {
        let said = |name: &str| request.first(name).filter(|_| origin.is_believed);
        if let Some(peer) = origin.peer {
            self.push(
                "X-Forwarded-For",
                forwarded_for(request, peer, origin.is_believed).as_bytes(),
            );
            if let Some(forwarded) = forwarded(request, peer).filter(|_| origin.is_believed) {
                self.push("Forwarded", forwarded.as_bytes());
            }
        }
        let own_proto: &[u8] = if origin.is_tls { b"https" } else { b"http" };
        let proto = said("x-forwarded-proto").filter(|proto| matches!(*proto, b"http" | b"https"));
        self.push("X-Forwarded-Proto", proto.unwrap_or(own_proto));
        self.push(
            "X-Forwarded-Host",
            said("x-forwarded-host").unwrap_or(request.host()),
        );
    }

    /// What was found out, in headers that can be believed.
    fn push_facts(&mut self, context: &Context, facts: RequestFacts<'_>) {
        self.push("X-Request-Id", context.request_id.as_bytes());
        self.push(
            "X-Netdata-Verified",
            facts.authenticated.mechanisms().as_bytes(),
        );
        if let Some(identity) = facts.authenticated.identity() {
            self.push(
                "X-Netdata-Client-CN",
                identity.common_name().unwrap_or_default().as_bytes(),
            );
            self.push("Client-Cert", identity.client_cert.as_bytes());
        }
        let Some(notification) = facts.notification else {
            return;
        };
        self.push(
            "X-Netdata-Notification",
            notification.kind.as_str().as_bytes(),
        );
        if let Some(severity) = &notification.severity {
            self.push("X-Netdata-Severity", severity.as_bytes());
        }
        self.push("Idempotency-Key", notification.idempotency_key.as_bytes());
    }

    fn push_set_headers(
        &mut self,
        host: &[u8],
        origin: &Origin,
        context: &Context,
        facts: RequestFacts<'_>,
    ) {
        let value = |variable| variable_value(variable, host, origin, context, facts);
        for (name, template) in &self.route.set_headers {
            // As with NGINX, a header whose value is empty is not sent.
            let rendered = template.render(value);
            if !rendered.is_empty() && !rendered.contains(char::is_control) {
                self.push_unchecked(name.as_str().as_bytes(), rendered.as_bytes());
            }
        }
    }

    /// A header of ours, unless the configuration sets it.
    fn push(&mut self, name: &str, value: &[u8]) {
        if !self.is_set(name.as_bytes()) {
            self.push_unchecked(name.as_bytes(), value);
        }
    }

    /// Whether the configuration sets it.
    fn is_set(&self, name: &[u8]) -> bool {
        self.route
            .set_headers
            .iter()
            .any(|(set, _)| is_same(set.as_str().as_bytes(), name))
    }

    fn push_unchecked(&mut self, name: &[u8], value: &[u8]) {
        for part in [name, b": ", value, b"\r\n"] {
            self.bytes.put_slice(part);
        }
    }
}

/// What a variable of `set_headers` stands for; nothing where that is not known.
fn variable_value<'r>(
    variable: Variable,
    host: &'r [u8],
    origin: &Origin,
    context: &'r Context,
    facts: RequestFacts<'r>,
) -> Cow<'r, str> {
    let notification = facts.notification;
    let Some(identity) = facts.authenticated.identity() else {
        return match variable {
            Variable::ClientVerify => "NONE".into(),
            _ => request_value(variable, host, origin, context, notification),
        };
    };
    match variable {
        Variable::ClientCn => identity.common_name().unwrap_or_default().into(),
        Variable::ClientDn => identity.subject_dn.rfc4514.as_str().into(),
        Variable::ClientDnLegacy => identity.subject_dn.oneline.as_str().into(),
        Variable::ClientIssuerDn => identity.issuer_dn.rfc4514.as_str().into(),
        Variable::ClientIssuerDnLegacy => identity.issuer_dn.oneline.as_str().into(),
        Variable::ClientSerial => identity.serial.as_str().into(),
        Variable::ClientFingerprint => identity.fingerprint.as_str().into(),
        Variable::ClientCert => identity.escaped_pem().into(),
        Variable::ClientNotAfter => identity.not_after_text().into(),
        Variable::ClientDaysLeft => identity.days_left(seconds_since_1970()).to_string().into(),
        Variable::ClientVerify => "SUCCESS".into(),
        _ => request_value(variable, host, origin, context, notification),
    }
}

/// The same, of what is no certificate's.
fn request_value<'r>(
    variable: Variable,
    host: &'r [u8],
    origin: &Origin,
    context: &'r Context,
    notification: Option<&'r Notification>,
) -> Cow<'r, str> {
    let host = std::str::from_utf8(host).unwrap_or_default();
    match variable {
        Variable::RemoteAddr => context
            .remote_addr
            .map(|address| address.to_string())
            .unwrap_or_default()
            .into(),
        Variable::RequestId => context.request_id.as_str().into(),
        Variable::Notification => notification
            .map_or("", |notification| notification.kind.as_str())
            .into(),
        Variable::Severity => notification
            .and_then(|found| found.severity.as_deref())
            .unwrap_or_default()
            .into(),
        Variable::Host => host_name(host).into(),
        Variable::HttpHost => host.into(),
        Variable::ServerPort => origin
            .port
            .map(|port| port.to_string())
            .unwrap_or_default()
            .into(),
        _ => "".into(),
    }
}

/// A host as NGINX's `$host` has it: in lower case, without its port, and without the dot at its
/// end.
fn host_name(host: &str) -> String {
    let end = match host.starts_with('[') {
        true => host.find(']').map_or(host.len(), |at| at + 1),
        false => host.find(':').unwrap_or(host.len()),
    };
    let name = &host[..end];
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn seconds_since_1970() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// The fields that `Connection` says end at this hop, in the order of their names.
struct Nominated<'r>(Vec<&'r [u8]>);

impl<'r> Nominated<'r> {
    fn by(request: &'r RequestHead) -> Self {
        let names = request
            .all("connection")
            .flat_map(|value| value.split(|b| *b == b','));
        let mut names: Vec<_> = names.map(<[u8]>::trim_ascii).collect();
        names.sort_unstable_by(|one, other| compare(one, other));
        Self(names)
    }

    fn holds(&self, name: &[u8]) -> bool {
        self.0
            .binary_search_by(|nominated| compare(nominated, name))
            .is_ok()
    }
}

/// The addresses so far, if a trusted proxy said them, and the one this request came from.
fn forwarded_for(request: &RequestHead, peer: IpAddr, trusted: bool) -> String {
    let mut addresses = String::new();
    let said = request.all("x-forwarded-for").filter(|_| trusted);
    for addresses_so_far in said.filter_map(|value| std::str::from_utf8(value).ok()) {
        let _ = write!(addresses, "{addresses_so_far}, ");
    }
    let _ = write!(addresses, "{}", peer.to_canonical());
    addresses
}

/// What a proxy said in `Forwarded` (RFC 7239), and the address that the request came from; `None`
/// if it said nothing, or what would make a part of a quotation of what follows.
fn forwarded(request: &RequestHead, peer: IpAddr) -> Option<String> {
    let mut elements = String::new();
    for said in request.all("forwarded") {
        let said = std::str::from_utf8(said)
            .ok()
            .filter(|said| ends_outside_of_quotes(said))?;
        let _ = write!(elements, "{said}, ");
    }
    let own = match peer.to_canonical() {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    (!elements.is_empty()).then_some(elements + &own)
}

fn ends_outside_of_quotes(text: &str) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
    }
    !is_quoted
}
