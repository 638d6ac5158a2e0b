//! `[upstreams.NAME.health_check]`: how the servers of a group are checked.

use super::headers::header_name;
use super::parsed;
use crate::config::HealthCheck;
use crate::config::document::{Located, TableReader};
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderName, HeaderValue};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The interval between checks of a server, unless the configuration names another.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Reads the section.
pub(super) fn health_check(table: &mut TableReader<'_>) -> HealthCheck {
    let path = path(table);
    if path.is_none() && !table.names_any(&["path"]) {
        refuse_request_keys(table);
    }
    HealthCheck {
        path,
        host: host(table),
        headers: headers(table),
        statuses: statuses(table),
        interval: table.duration("interval").unwrap_or(CHECK_INTERVAL),
    }
}

/// Complains of keys that are about a request where none is sent.
fn refuse_request_keys(table: &TableReader<'_>) {
    for key in ["host", "headers", "status"] {
        if table.names_any(&[key]) {
            table.complain(key, "requires path: without it, a check only connects");
        }
    }
}

fn path(table: &mut TableReader<'_>) -> Option<String> {
    let path = table.string("path")?;
    parsed(table, path, |path| {
        match path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(path.to_owned()),
            false => Err("must be a path, such as \"/healthz\""),
        }
    })
}

fn host(table: &mut TableReader<'_>) -> Option<String> {
    let host = table.string("host")?;
    parsed(table, host, |host| match host.parse::<Authority>() {
        Ok(_) if !host.contains('@') => Ok(host.to_owned()),
        _ => Err("must be the host name for the request, such as \"hooks.example.com\""),
    })
}

fn headers(table: &mut TableReader<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let headers = table.string_map("headers").into_iter();
    headers
        .filter_map(|(name, value)| check_header(table, &name, &value))
        .collect()
}

fn statuses(table: &mut TableReader<'_>) -> Vec<RangeInclusive<u16>> {
    let Some(statuses) = table.strings("status") else {
        return vec![200..=399];
    };
    if statuses.is_empty() {
        let message = "is empty: no check could pass; the default is [\"2xx\", \"3xx\"]";
        table.complain("status", message);
    }
    let statuses = statuses.into_iter();
    statuses
        .filter_map(|status| parsed(table, status, parse_statuses))
        .collect()
}

fn check_header(
    table: &TableReader<'_>,
    name: &str,
    value: &Located<String>,
) -> Option<(HeaderName, HeaderValue)> {
    let complain = |message: &str| table.document.complain(&value.location, message);
    let header = header_name(table, name, value)?;
    if header == HOST {
        complain("has a key of its own: host");
    }
    let Ok(mut value) = HeaderValue::from_str(&value.value) else {
        complain("must be printable ASCII");
        return None;
    };
    // It may be a credential.
    value.set_sensitive(true);
    Some((header, value))
}

/// Parses `"404"`, or `"2xx"` for all that begin with that digit.
fn parse_statuses(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    const FORMS: &str = "must be a status such as \"404\", or \"2xx\" for a class of them";
    let (first, last) = match text.strip_suffix("xx") {
        Some(class) => (format!("{class}00"), format!("{class}99")),
        None => (text.to_owned(), text.to_owned()),
    };
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if text.len() == 3 && (200..600).contains(&first) => Ok(first..=last),
        _ => Err(FORMS),
    }
}
