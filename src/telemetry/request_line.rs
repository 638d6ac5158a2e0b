//! The access line of a request: its fields, in their order.

use super::access_log::TARGET;
#[cfg(feature = "server")]
use super::direct::LineFormat;
use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;
use tracing::{Level, info, warn};

/// A duration, rounded to microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Milliseconds {
    pub(super) micros: u64,
}

impl Milliseconds {
    pub(super) fn of(duration: Duration) -> Self {
        let micros = (duration.as_secs_f64() * 1e6).round() as u64;
        Self { micros }
    }

    pub(super) fn as_f64(self) -> f64 {
        self.micros as f64 / 1e3
    }
}

/// Converts a field to a value of tracing.
macro_rules! traced {
    (text, $value:ident) => {
        &**$value
    };
    (address, $value:ident) => {
        tracing::field::display($value)
    };
    (number, $value:ident) => {
        *$value
    };
    (milliseconds, $value:ident) => {
        $value.as_f64()
    };
}

/// Declares each field once, for both ways in which a line is written.
macro_rules! request_line {
    ($($name:ident: $kind:ident($value:ty),)*) => {
        /// What is known of a request.
        #[derive(Clone, Debug, Default)]
        pub(super) struct RequestLine<'r> {
            $(pub(super) $name: Option<$value>,)*
        }

        impl RequestLine<'_> {
            /// Writes the known fields.
            #[cfg(feature = "server")]
            pub(super) fn write_fields<F: LineFormat>(&self, line: &mut String) {
                F::text(line, "event", "request");
                $(if let Some(value) = &self.$name {
                    F::$kind(line, stringify!($name), value);
                })*
            }

            /// Writes the line through tracing, which wants the level as a constant.
            pub(super) fn trace(&self, level: Level) {
                macro_rules! write_at {
                    ($level:ident) => {
                        $level!(
                            target: TARGET,
                            event = "request",
                            $($name = self.$name.as_ref().map(|value| traced!($kind, value)),)*
                            "request"
                        )
                    };
                }
                match level {
                    Level::WARN => write_at!(warn),
                    _ => write_at!(info),
                }
            }
        }
    };
}

// Strings are escaped by the format. Those of unlimited length have been truncated.
request_line! {
    request_id: text(&'r str),
    remote_addr: address(IpAddr),
    client_cn: text(Cow<'r, str>),
    client_serial: text(Cow<'r, str>),
    tls: text(Cow<'r, str>),
    protocol: text(&'r str),
    method: text(Cow<'r, str>),
    path: text(Cow<'r, str>),
    route: text(&'r str),
    outcome: text(&'r str),
    code: text(&'r str),
    detail: text(Cow<'r, str>),
    status: number(u64),
    kind: text(&'r str),
    shape: text(&'r str),
    severity: text(&'r str),
    title: text(Cow<'r, str>),
    node: text(Cow<'r, str>),
    space: text(Cow<'r, str>),
    transition_id: text(&'r str),
    drift: text(String),
    dropped_headers: text(String),
    body_bytes: number(u64),
    bytes_sent: number(u64),
    duration_ms: milliseconds(Milliseconds),
    upstream: text(&'r str),
    server: text(&'r str),
    upstream_ms: milliseconds(Milliseconds),
}
