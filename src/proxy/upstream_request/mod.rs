//! Encodes the request to the upstream: the client's request without the fields that must not pass,
//! with the facts that the checks established.

mod forwarding;
mod variables;

use super::origin::Origin;
use super::transaction::Transaction;
use super::verified::RequestFacts;
use crate::config::Route;
use crate::http::header_class::{self, Class, compare, is_plainly_spelt, is_same};
use crate::http::list;
use crate::http::request_head::RequestHead;
use crate::telemetry::context::{Context, DroppedHeaders};
use crate::webhook::notification::Notification;
use bytes::{BufMut as _, BytesMut};
use forwarding::{forwarded, forwarded_for};
use std::net::IpAddr;
use variables::Variables;

/// The way in which the request to the upstream marks the end of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFraming {
    /// The request has no body.
    NoBody,
    Length(u64),
    Chunked,
}

/// The fields of a notification that is stored, or would be.
#[derive(Clone, Copy)]
pub(super) struct ReceiptHead<'r> {
    /// Appends the header lines about its receipt, which come first.
    pub(super) put_lines: &'r dyn Fn(&mut BytesMut),
    /// Its key, in place of the one that depends on the notification alone.
    pub(super) idempotency_key: &'r str,
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
    let mut head = HeadEncoder {
        bytes: message,
        route: facts.route,
    };
    head.push_request_line(request);
    if let Some(receipt) = facts.receipt {
        (receipt.put_lines)(head.bytes);
    }
    head.push("Host", request.host());
    context.dropped_headers = head.push_passed(request, origin);
    head.push_framing(framing);
    head.push_origin(request, origin);
    head.push_facts(context, facts);
    head.push_set_headers(&Variables::new(request.host(), origin, context, facts));
    head.bytes.put_slice(b"\r\n");
}

/// A head that is being encoded.
struct HeadEncoder<'r> {
    bytes: &'r mut BytesMut,
    route: &'r Route,
}

impl HeadEncoder<'_> {
    /// Appends the request line. The target is passed on as it came; an absolute one becomes a path
    /// (RFC 9112 section 3.2).
    fn push_request_line(&mut self, request: &RequestHead) {
        self.put(&[request.method(), b" ", request.path()]);
        if let Some(query) = request.query() {
            self.put(&[b"?", query]);
        }
        self.put(&[b" HTTP/1.1\r\n"]);
    }

    fn put(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.bytes.put_slice(part));
    }

    /// Appends the client's fields that may pass. Returns those that asserted an identity and were
    /// dropped.
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

    fn push_framing(&mut self, framing: RequestFraming) {
        match framing {
            RequestFraming::NoBody => {}
            RequestFraming::Length(length) => {
                self.push("Content-Length", length.to_string().as_bytes());
            }
            RequestFraming::Chunked => self.push("Transfer-Encoding", b"chunked"),
        }
    }

    /// Returns `true` if the client may send this field.
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

    /// Returns `true` if the configuration passes the field on, in the spelling of the
    /// configuration.
    fn lets_pass(&self, name: &[u8]) -> bool {
        self.route
            .pass_headers
            .iter()
            .any(|passed| passed.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Appends the origin of the request. A trusted proxy's statement about it is kept.
    fn push_origin(&mut self, request: &RequestHead, origin: &Origin) {
        if let Some(peer) = origin.peer {
            self.push_addresses(request, peer, origin.is_believed);
        }
        let reported = |name: &str| request.first(name).filter(|_| origin.is_believed);
        let proto = reported("x-forwarded-proto");
        let proto = proto.filter(|proto| matches!(*proto, b"http" | b"https"));
        self.push("X-Forwarded-Proto", proto.unwrap_or(origin.scheme()));
        let host = reported("x-forwarded-host").unwrap_or(request.host());
        self.push("X-Forwarded-Host", host);
    }

    fn push_addresses(&mut self, request: &RequestHead, peer: IpAddr, is_believed: bool) {
        let addresses = forwarded_for(request, peer, is_believed);
        self.push("X-Forwarded-For", addresses.as_bytes());
        if is_believed && let Some(forwarded) = forwarded(request, peer) {
            self.push("Forwarded", forwarded.as_bytes());
        }
    }

    /// Appends the facts that the checks established, in headers that an application can rely on.
    fn push_facts(&mut self, context: &Context, facts: RequestFacts<'_>) {
        let mechanisms = facts.authenticated.mechanisms();
        self.push("X-Request-Id", context.request_id.as_bytes());
        self.push("X-Netdata-Verified", mechanisms.as_bytes());
        if let Some(identity) = facts.authenticated.identity() {
            let common_name = identity.common_name().unwrap_or_default();
            self.push("X-Netdata-Client-CN", common_name.as_bytes());
            self.push("Client-Cert", identity.client_cert.as_bytes());
        }
        if let Some(notification) = facts.notification {
            let own_key = facts.receipt.map(|receipt| receipt.idempotency_key);
            self.push_notification(notification, own_key);
        }
    }

    fn push_notification(&mut self, notification: &Notification, own_key: Option<&str>) {
        let kind = notification.kind.as_str();
        self.push("X-Netdata-Notification", kind.as_bytes());
        if let Some(severity) = &notification.severity {
            self.push("X-Netdata-Severity", severity.as_bytes());
        }
        let key = own_key.unwrap_or(&notification.idempotency_key);
        self.push("Idempotency-Key", key.as_bytes());
    }

    /// Appends the headers that the configuration sets.
    fn push_set_headers(&mut self, variables: &Variables<'_>) {
        for (name, template) in &self.route.set_headers {
            // As in NGINX, a header with an empty value is not sent.
            let rendered = template.render(|variable| variables.value(variable));
            if !rendered.is_empty() && !rendered.contains(char::is_control) {
                self.push_unchecked(name.as_str().as_bytes(), rendered.as_bytes());
            }
        }
    }

    /// Appends a header of this program, unless the configuration sets it.
    fn push(&mut self, name: &str, value: &[u8]) {
        if !self.is_set(name.as_bytes()) {
            self.push_unchecked(name.as_bytes(), value);
        }
    }

    /// Returns `true` if the configuration sets this header.
    fn is_set(&self, name: &[u8]) -> bool {
        self.route
            .set_headers
            .iter()
            .any(|(set, _)| is_same(set.as_str().as_bytes(), name))
    }

    fn push_unchecked(&mut self, name: &[u8], value: &[u8]) {
        self.put(&[name, b": ", value, b"\r\n"]);
    }
}

/// The fields that `Connection` declares to end at this hop, sorted by name.
struct Nominated<'r>(Vec<&'r [u8]>);

impl<'r> Nominated<'r> {
    fn by(request: &'r RequestHead) -> Self {
        let names = request.all("connection").flat_map(list::elements);
        let mut names: Vec<_> = names.collect();
        names.sort_unstable_by(|one, other| compare(one, other));
        Self(names)
    }

    fn holds(&self, name: &[u8]) -> bool {
        self.0
            .binary_search_by(|nominated| compare(nominated, name))
            .is_ok()
    }
}
