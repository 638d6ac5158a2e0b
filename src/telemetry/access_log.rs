//! The access log: one line for each request, without secrets, `Authorization` and bodies.

use super::context::{Context, Outcome};
use crate::http::request_head::RequestHead;
use crate::sanitize::sanitize;
use crate::webhook::notification::Kind;
use std::borrow::Cow;
use tracing::{Level, info, warn};

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
    let head = answered.head;
    let (method, target) = (
        String::from_utf8_lossy(head.method()),
        String::from_utf8_lossy(head.target()),
    );
    // Masked before it is truncated: otherwise a name could be cut off from its value.
    let target = mask_crc_token(&target);
    let (method, path) = (sanitize(&method), sanitize(&target));
    let request = Request {
        // rustls writes `TLSv1_3` instead of the usual `TLSv1.3`.
        tls: answered.tls.map(|version| version.replace('_', ".")),
        protocol: Some(head.version().as_str()),
        method: known(&method),
        path: known(&path),
        status: answered.status,
        bytes_sent: answered.bytes_sent,
    };
    line(&request, context);
}

/// Returns `true` if the level of the log, and the task, have access lines.
fn is_written() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO) && WITHOUT.try_get().is_err()
}

/// Returns a part of the head, unless it is empty: a head that cannot be parsed may lack it.
fn known(part: &str) -> Option<&str> {
    Some(part).filter(|part| !part.is_empty())
}

/// The fields of the line that the connection provides.
struct Request<'r> {
    tls: Option<String>,
    protocol: Option<&'static str>,
    method: Option<&'r str>,
    path: Option<&'r str>,
    status: Option<u16>,
    bytes_sent: u64,
}

/// Writes the line at a level, which tracing wants as a constant.
macro_rules! write_at {
    ($level:ident, $request:ident, $context:ident) => {{
        let identity = $context.identity.as_deref();
        let notification = $context.notification.as_deref();
        let outcome = $context.outcome;
        // The format escapes strings. Those of unlimited length are truncated here.
        let client_cn = identity
            .and_then(|identity| identity.common_name())
            .map(sanitize);
        let client_serial = identity.map(|identity| sanitize(&identity.serial));
        let space = notification
            .and_then(|n| n.space.as_ref()?.label())
            .map(sanitize);
        $level!(
            target: TARGET,
            event = "request",
            request_id = $context.request_id,
            remote_addr = $context.remote_addr.map(tracing::field::display),
            client_cn = client_cn.as_deref(),
            client_serial = client_serial.as_deref(),
            tls = $request.tls,
            protocol = $request.protocol,
            method = $request.method,
            path = $request.path,
            route = $context.route.as_deref(),
            outcome = outcome.map(|outcome| outcome.as_str()),
            code = outcome.map(|outcome| outcome.code()),
            detail = $context.reason().map(|reason| sanitize(&reason).into_owned()),
            status = $request.status,
            kind = notification.map(|notification| notification.kind.as_str()),
            shape = notification.and_then(|notification| notification.shape).map(|shape| shape.as_str()),
            severity = notification.and_then(|notification| notification.severity.as_deref()),
            title = notification.and_then(|n| n.title.as_deref()).map(sanitize).as_deref(),
            node = notification.and_then(|n| n.node.as_deref()).map(sanitize).as_deref(),
            space = space.as_deref(),
            transition_id = notification.filter(|n| n.kind != Kind::Test).and_then(|n| n.transition_id.as_deref()),
            drift = notification.filter(|n| !n.drift.is_empty()).map(|n| n.drift.join(" ")),
            dropped_headers = Some(&$context.dropped_headers.names).filter(|it| !it.is_empty()).map(|it| it.join(" ")),
            body_bytes = $context.body_bytes,
            bytes_sent = $request.bytes_sent,
            duration_ms = milliseconds($context.started.elapsed()),
            upstream = $context.upstream.as_deref(),
            server = $context.server.as_deref(),
            upstream_ms = $context.upstream_duration.map(milliseconds),
            "request"
        );
    }};
}

fn line(request: &Request<'_>, context: &Context) {
    match context.outcome {
        Some(Outcome::Refused(_)) | None => write_at!(warn, request, context),
        Some(_) => write_at!(info, request, context),
    }
}

fn milliseconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
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
