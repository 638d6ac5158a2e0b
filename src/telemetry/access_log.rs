//! The access log: one line for each request, without secrets, `Authorization` and bodies.

use super::context::{Context, Outcome};
use super::request_line::{Milliseconds, RequestLine};
use crate::http::request_head::RequestHead;
use crate::sanitize::sanitize;
use crate::webhook::notification::{Kind, Notification, Shape, Space};
use std::borrow::Cow;
use tracing::Level;

/// The target of access lines, by which they are filtered.
pub(crate) const TARGET: &str = "access";

tokio::task_local! {
    static WITHOUT: ();
}

/// Runs `served` without access lines.
pub(crate) async fn without<T>(served: impl Future<Output = T>) -> T {
    WITHOUT.scope((), served).await
}

/// A request that has ended, as the connection describes it.
pub(crate) struct Answered<'r> {
    pub(crate) head: &'r RequestHead,
    /// `false` if the head could not be parsed, and is incomplete.
    pub(crate) was_read: bool,
    /// The TLS version as rustls writes it.
    pub(crate) tls: Option<&'r str>,
    pub(crate) status: Option<u16>,
    pub(crate) bytes_sent: u64,
}

/// Writes the line of a request that has ended.
pub(crate) fn write(answered: &Answered<'_>, context: &Context) {
    if !is_written() {
        return;
    }
    let level = match context.outcome {
        Some(Outcome::Refused(_)) | None => Level::WARN,
        Some(_) => Level::INFO,
    };
    let line = line(answered, context);
    #[cfg(feature = "server")]
    if super::logging::write_request(level, &line) {
        return;
    }
    line.trace(level);
}

/// Returns `true` if the level of the log, and the task, have access lines.
fn is_written() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO) && WITHOUT.try_get().is_err()
}

fn line<'r>(answered: &Answered<'r>, context: &'r Context) -> RequestLine<'r> {
    let mut line = RequestLine::default();
    add_connection(&mut line, answered);
    add_client(&mut line, context);
    add_outcome(&mut line, context);
    if let Some(notification) = &context.notification {
        add_notification(&mut line, notification);
    }
    line
}

/// Adds what the connection knows of the request.
fn add_connection<'r>(line: &mut RequestLine<'r>, answered: &Answered<'r>) {
    let head = answered.head;
    line.tls = answered.tls.map(usual_version);
    line.protocol = Some(head.version().as_str());
    line.method = known(sanitized(text(head.method())));
    // Masked before it is truncated: otherwise a name could be cut off from its value.
    line.path = known(sanitized(masked(text(head.target()))));
    line.status = answered.status.map(u64::from);
    line.bytes_sent = Some(answered.bytes_sent);
}

/// Returns bytes as text. What is UTF-8, as it usually is, is found to be so several bytes at a time.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Returns the TLS version, of which rustls writes `TLSv1_3` instead of the usual `TLSv1.3`.
fn usual_version(version: &str) -> Cow<'_, str> {
    match version {
        "TLSv1_3" => "TLSv1.3".into(),
        "TLSv1_2" => "TLSv1.2".into(),
        other => other.replace('_', ".").into(),
    }
}

/// Returns a part of the head, unless it is empty: a head that cannot be parsed may lack it.
fn known(part: Cow<'_, str>) -> Option<Cow<'_, str>> {
    Some(part).filter(|part| !part.is_empty())
}

fn sanitized(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => sanitize(text),
        Cow::Owned(text) => sanitize(&text).into_owned().into(),
    }
}

fn masked(target: Cow<'_, str>) -> Cow<'_, str> {
    match target {
        Cow::Borrowed(target) => mask_crc_token(target),
        Cow::Owned(target) => mask_crc_token(&target).into_owned().into(),
    }
}

fn add_client<'r>(line: &mut RequestLine<'r>, context: &'r Context) {
    line.request_id = Some(&context.request_id);
    line.remote_addr = context.remote_addr;
    if let Some(identity) = context.identity.as_deref() {
        line.client_cn = identity.common_name().map(sanitize);
        line.client_serial = Some(sanitize(&identity.serial));
    }
}

fn add_outcome<'r>(line: &mut RequestLine<'r>, context: &'r Context) {
    line.route = context.route.as_deref();
    line.outcome = context.outcome.map(Outcome::as_str);
    line.code = context.outcome.map(Outcome::code);
    line.detail = context.reason().map(sanitized);
    let dropped = &context.dropped_headers.names;
    line.dropped_headers = (!dropped.is_empty()).then(|| dropped.join(" "));
    line.body_bytes = Some(context.body_bytes);
    line.duration_ms = Some(Milliseconds::of(context.started.elapsed()));
    line.upstream = context.upstream.as_deref();
    line.server = context.server.as_deref();
    line.upstream_ms = context.upstream_duration.map(Milliseconds::of);
}

fn add_notification<'r>(line: &mut RequestLine<'r>, notification: &'r Notification) {
    line.kind = Some(notification.kind.as_str());
    line.shape = notification.shape.map(Shape::as_str);
    line.severity = notification.severity.as_deref();
    line.title = notification.title.as_deref().map(sanitize);
    line.node = notification.node.as_deref().map(sanitize);
    let space = notification.space.as_ref();
    line.space = space.and_then(Space::label).map(sanitize);
    let transition_id = notification.transition_id.as_deref();
    line.transition_id = transition_id.filter(|_| notification.kind != Kind::Test);
    let drift = &notification.drift;
    line.drift = (!drift.is_empty()).then(|| drift.join(" "));
}

/// Masks the value of `crc_token`: together with the response it would allow the secret to be
/// guessed offline.
fn mask_crc_token(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else {
        return target.into();
    };
    let masked: Vec<_> = query.split('&').map(mask_if_token).collect();
    format!("{path}?{}", masked.join("&")).into()
}

/// Masks the value of a pair of the query, if its name is that of the challenge's token.
fn mask_if_token(pair: &str) -> Cow<'_, str> {
    let is_token = |name: &str| percent_encoding::percent_decode_str(name).eq(*b"crc_token");
    match pair.split_once('=') {
        Some((name, _)) if is_token(name) => format!("{name}=***").into(),
        _ => pair.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_crc_token_is_masked() {
        for (target, masked) in [
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/a?x=1", "/a?x=1"),
            ("/a?crc_token=abc", "/a?crc_token=***"),
            (
                "/a?x=1&crc%5Ftoken=abc&crc_token=d=e&y",
                "/a?x=1&crc%5Ftoken=***&crc_token=***&y",
            ),
        ] {
            assert_eq!(mask_crc_token(target), masked);
        }
    }
}
