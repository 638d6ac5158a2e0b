//! What the upstream gets to see: the request as it came, less what must not pass, plus what was found out about it.

use super::admit::Verified;
use crate::client_address::is_trusted;
use crate::header_template::Variable;
use crate::telemetry::context::Context;
use bytes::{BufMut as _, BytesMut};
use http::{HeaderMap, header};
use pingora::http::RequestHeader;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Ends at this hop (RFC 9110 section 7.6.1), or is said anew for the body as it is sent on.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Set here, and by nobody else.
const OURS: [&str; 7] = [
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "idempotency-key",
    "client-cert",
    "client-cert-chain",
];

/// Likewise, with whatever follows.
const OUR_PREFIX: &str = "x-netdata-";

/// The connection that a request came over.
pub(super) struct Origin {
    pub(super) peer: Option<IpAddr>,
    pub(super) is_tls: bool,
}

/// The head of the message to the upstream, as it goes over the wire.
pub(super) fn head(request: &RequestHeader, origin: &Origin, context: &Context, verified: &Verified) -> BytesMut {
    let headers = &request.headers;
    let mut wire = BytesMut::with_capacity(4096);
    push_request_line(&mut wire, request);
    let host = host(request);
    push(&mut wire, "Host", host);
    let nominated = nominated(headers);
    let mut pass = |name: &[u8], value: &[u8]| {
        if !is_dropped(name, &nominated, verified) {
            push_bytes(&mut wire, name, value);
        }
    };
    if request.has_case() {
        request.case_header_iter().for_each(|(name, value)| pass(name.as_slice(), value.as_bytes()));
    } else {
        // HTTP/2 has lower case only.
        headers.iter().for_each(|(name, value)| pass(name.as_str().as_bytes(), value.as_bytes()));
    }
    if verified.route.forward_authorization {
        for value in headers.get_all(header::AUTHORIZATION) {
            push_bytes(&mut wire, b"Authorization", value.as_bytes());
        }
    }
    push(&mut wire, "Content-Length", verified.body.len().to_string().as_bytes());
    push_findings(&mut wire, headers, host, origin, context, verified);
    push_set_headers(&mut wire, host, context, verified);
    wire.put_slice(b"\r\n");
    wire
}

/// The target is passed on as it came; an absolute one becomes a path (RFC 9112 section 3.2).
fn push_request_line(wire: &mut BytesMut, request: &RequestHeader) {
    wire.put_slice(request.method.as_str().as_bytes());
    wire.put_u8(b' ');
    let raw = request.raw_path();
    match raw.first() {
        Some(b'/') => wire.put_slice(raw),
        _ => wire.put_slice(request.uri.path_and_query().map_or("/", |path| path.as_str()).as_bytes()),
    }
    wire.put_slice(b" HTTP/1.1\r\n");
}

/// HTTP/2 has it in `:authority`.
fn host(request: &RequestHeader) -> &[u8] {
    match request.headers.get(header::HOST) {
        Some(host) => host.as_bytes(),
        None => request.uri.authority().map_or("", |authority| authority.as_str()).as_bytes(),
    }
}

/// The names that `Connection` says end at this hop, as [`canonical`] writes them.
fn nominated(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let values = headers.get_all(header::CONNECTION).iter();
    values.flat_map(|value| value.as_bytes().split(|b| *b == b',')).map(|name| canonical(name.trim_ascii())).collect()
}

/// Lower case, with `-` for `_`: applications behind CGI-like interfaces cannot tell those apart.
fn canonical(name: &[u8]) -> Vec<u8> {
    name.iter().map(|b| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() }).collect()
}

fn is_dropped(name: &[u8], nominated: &[Vec<u8>], verified: &Verified) -> bool {
    let name = canonical(name);
    let is = |other: &str| other.as_bytes() == name;
    is("host")
        || is("authorization")
        || HOP_BY_HOP.iter().any(|other| is(other))
        || OURS.iter().any(|other| is(other))
        || name.starts_with(OUR_PREFIX.as_bytes())
        || verified.route.set_headers.iter().any(|(header, _)| canonical(header.as_str().as_bytes()) == name)
        || nominated.contains(&name)
}

/// What was found out, in headers that can be believed.
fn push_findings(
    wire: &mut BytesMut,
    headers: &HeaderMap,
    host: &[u8],
    origin: &Origin,
    context: &Context,
    verified: &Verified,
) {
    let trusted = origin.peer.is_some_and(|peer| is_trusted(peer, &verified.policy.trusted_proxies));
    let said = |name: &str| headers.get(name).filter(|_| trusted).map(|value| value.as_bytes());
    push(wire, "X-Request-Id", context.request_id.as_bytes());
    if let Some(peer) = origin.peer {
        push(wire, "X-Forwarded-For", forwarded_for(headers, peer, trusted).as_bytes());
    }
    let own_proto: &[u8] = if origin.is_tls { b"https" } else { b"http" };
    let proto = said("x-forwarded-proto").filter(|proto| matches!(*proto, b"http" | b"https"));
    push(wire, "X-Forwarded-Proto", proto.unwrap_or(own_proto));
    push(wire, "X-Forwarded-Host", said("x-forwarded-host").unwrap_or(host));
    push(wire, "X-Netdata-Verified", verified.authenticated.mechanisms().as_bytes());
    if let Some(identity) = verified.authenticated.identity() {
        push(wire, "X-Netdata-Client-CN", identity.common_name().unwrap_or_default().as_bytes());
        push(wire, "Client-Cert", identity.client_cert.as_bytes());
    }
    push(wire, "X-Netdata-Notification", verified.notification.kind.as_str().as_bytes());
    if let Some(severity) = &verified.notification.severity {
        push(wire, "X-Netdata-Severity", severity.as_bytes());
    }
    push(wire, "Idempotency-Key", verified.notification.idempotency_key.as_bytes());
}

/// The addresses so far, if a trusted proxy said them, and the one this request came from.
fn forwarded_for(headers: &HeaderMap, peer: IpAddr, trusted: bool) -> String {
    let mut addresses = String::new();
    let said = headers.get_all("x-forwarded-for").iter().filter(|_| trusted);
    for addresses_so_far in said.filter_map(|value| value.to_str().ok()) {
        let _ = write!(addresses, "{addresses_so_far}, ");
    }
    let _ = write!(addresses, "{}", peer.to_canonical());
    addresses
}

fn push_set_headers(wire: &mut BytesMut, host: &[u8], context: &Context, verified: &Verified) {
    let identity = verified.authenticated.identity();
    let remote_addr = context.remote_addr.map(|address| address.to_string()).unwrap_or_default();
    let value = |variable| match variable {
        Variable::ClientCn => identity.and_then(|identity| identity.common_name()).unwrap_or_default(),
        Variable::ClientDn => identity.map_or("", |identity| &identity.subject),
        Variable::ClientSerial => identity.map_or("", |identity| &identity.serial),
        Variable::ClientFingerprint => identity.map_or("", |identity| &identity.fingerprint),
        Variable::ClientVerify => identity.map_or("NONE", |_| "SUCCESS"),
        Variable::RemoteAddr => &remote_addr,
        Variable::RequestId => &context.request_id,
        Variable::Notification => verified.notification.kind.as_str(),
        Variable::Severity => verified.notification.severity.as_deref().unwrap_or_default(),
        Variable::Host => std::str::from_utf8(host).unwrap_or_default(),
    };
    for (name, template) in &verified.route.set_headers {
        // As with NGINX, a header whose value is empty is not sent.
        let rendered = template.render(value);
        if !rendered.is_empty() && !rendered.contains(char::is_control) {
            push(wire, name.as_str(), rendered.as_bytes());
        }
    }
}

fn push(wire: &mut BytesMut, name: &str, value: &[u8]) {
    push_bytes(wire, name.as_bytes(), value);
}

fn push_bytes(wire: &mut BytesMut, name: &[u8], value: &[u8]) {
    wire.put_slice(name);
    wire.put_slice(b": ");
    wire.put_slice(value);
    wire.put_slice(b"\r\n");
}
