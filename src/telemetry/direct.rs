//! Writes the line of a request into a buffer that is used again, with the bytes that tracing's
//! formats would write.
//!
//! Through tracing, each field passes a visitor, a formatter and what keeps a record on one line,
//! which takes several times as long. That is kept for records that are rare.

use super::format::{priority, shown};
use super::request_line::{Milliseconds, RequestLine};
use crate::utc::UtcClock;
use std::cell::RefCell;
use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::Level;

/// The format of a line that can be written directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectFormat {
    pub(super) is_json: bool,
    /// The line has a priority for the journal, and no time as text.
    pub(super) is_journal: bool,
}

/// How the fields of a line are written.
pub(super) trait LineFormat {
    fn name(line: &mut String, name: &'static str);

    /// Writes a string in quotation marks that has something to be escaped.
    fn escaped(line: &mut String, value: &str);

    fn address(line: &mut String, name: &'static str, value: &IpAddr);

    fn text(line: &mut String, name: &'static str, value: &str) {
        Self::name(line, name);
        // Counting looks at many bytes at once, which stopping at the first would not.
        if value.bytes().filter(|byte| !is_plain(*byte)).count() == 0 {
            line.push('"');
            line.push_str(value);
            line.push('"');
        } else {
            Self::escaped(line, value);
        }
    }

    fn number(line: &mut String, name: &'static str, value: &u64) {
        Self::name(line, name);
        display(line, value);
    }

    fn milliseconds(line: &mut String, name: &'static str, value: &Milliseconds) {
        Self::name(line, name);
        write_milliseconds(line, *value);
    }
}

/// Returns `true` if a byte stands for itself in all formats.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn display(line: &mut String, value: impl Display) {
    write!(line, "{value}").expect("a string takes everything");
}

/// Writes a number as the shortest one that reads back as the same.
fn write_milliseconds(line: &mut String, value: Milliseconds) {
    let (whole, fraction) = (value.micros / 1000, value.micros % 1000);
    match fraction {
        0 => display(line, format_args!("{whole}.0")),
        _ if fraction.is_multiple_of(100) => {
            display(line, format_args!("{whole}.{}", fraction / 100));
        }
        _ if fraction.is_multiple_of(10) => {
            display(line, format_args!("{whole}.{:02}", fraction / 10));
        }
        _ => display(line, format_args!("{whole}.{fraction:03}")),
    }
}

/// Writes an escaped string, without what could break the line.
fn push_shown(line: &mut String, escaped: &str) {
    line.extend(escaped.chars().map(|c| shown(c, false)));
}

struct Text;

impl LineFormat for Text {
    fn name(line: &mut String, name: &'static str) {
        line.push(' ');
        line.push_str(name);
        line.push('=');
    }

    fn escaped(line: &mut String, value: &str) {
        push_shown(line, &format!("{value:?}"));
    }

    fn address(line: &mut String, name: &'static str, value: &IpAddr) {
        Self::name(line, name);
        display(line, value);
    }
}

struct Json;

impl LineFormat for Json {
    fn name(line: &mut String, name: &'static str) {
        line.push_str(",\"");
        line.push_str(name);
        line.push_str("\":");
    }

    fn escaped(line: &mut String, value: &str) {
        push_shown(line, &serde_json::Value::from(value).to_string());
    }

    fn address(line: &mut String, name: &'static str, value: &IpAddr) {
        Self::name(line, name);
        display(line, format_args!("\"{value}\""));
    }
}

fn now() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

/// The largest buffer that a thread keeps. Most lines are a tenth as long.
const MAX_KEPT: usize = 8 << 10;

#[derive(Default)]
struct Buffer {
    line: String,
    clock: UtcClock,
}

thread_local! {
    static BUFFER: RefCell<Buffer> = RefCell::default();
}

impl DirectFormat {
    /// Formats the line of a request, and gives it to `write`. Returns `false` if it was not
    /// written because this thread is about to end.
    pub(super) fn write(
        self,
        level: Level,
        request: &RequestLine<'_>,
        write: impl FnOnce(&[u8]),
    ) -> bool {
        let written = BUFFER.try_with(|buffer| {
            let Buffer { line, clock } = &mut *buffer.borrow_mut();
            line.clear();
            line.shrink_to(MAX_KEPT);
            self.format(line, clock, level, request);
            write(line.as_bytes());
        });
        written.is_ok()
    }

    fn format(
        self,
        line: &mut String,
        clock: &mut UtcClock,
        level: Level,
        request: &RequestLine<'_>,
    ) {
        if self.is_journal {
            display(line, format_args!("<{}>", priority(&level)));
        }
        if self.is_json {
            line.push_str("{\"timestamp\":\"");
            // Ignore the error, here and below: there is room for more in memory.
            let _ = clock.write_micros(line, now());
            display(
                line,
                format_args!("\",\"level\":\"{level}\",\"message\":\"request\""),
            );
            request.write_fields::<Json>(line);
            line.push('}');
        } else {
            if !self.is_journal {
                let _ = clock.write_micros(line, now());
                line.push(' ');
            }
            display(line, format_args!("{:>5} request", level.as_str()));
            request.write_fields::<Text>(line);
        }
        line.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{LogFormatter, Output};
    use super::*;
    use crate::config::{Log, LogFormat, LogLevel};
    use proptest::prelude::*;
    use std::borrow::Cow;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the line as tracing writes it, and as it is written directly.
    fn both(format: DirectFormat, level: Level, request: &RequestLine<'_>) -> [String; 2] {
        let log = Log {
            format: match format.is_json {
                true => LogFormat::Json,
                false => LogFormat::Text,
            },
            level: LogLevel::Info,
            access: true,
        };
        let output = Output {
            is_terminal: false,
            is_coloured: false,
            is_journal: format.is_journal,
            offset: None,
        };
        let (lines, handle) = LogFormatter::new(&log, output, false);
        assert_eq!(handle.direct(), Some(format));
        let written = Written::default();
        let writer = written.clone();
        let layer = fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .event_format(lines)
            .fmt_fields(handle.span_fields());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || request.trace(level));
        let traced = written.0.lock().unwrap().clone();
        let mut direct = Vec::new();
        assert!(format.write(level, request, |line| direct.extend_from_slice(line)));
        [traced, direct].map(|line| without_time(&String::from_utf8(line).unwrap(), format))
    }

    /// Puts `now` into the place of the time, of which it checks the form.
    fn without_time(line: &str, format: DirectFormat) -> String {
        let time = match (format.is_json, format.is_journal) {
            (false, true) => return line.to_owned(),
            (false, false) => line.split(' ').next().unwrap(),
            (true, _) => line.split('"').nth(3).unwrap(),
        };
        let form: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(form, "0000-00-00T00:00:00.000000Z", "{line}");
        line.replacen(time, "now", 1)
    }

    const FORMATS: [DirectFormat; 4] = {
        const fn format(is_json: bool, is_journal: bool) -> DirectFormat {
            DirectFormat {
                is_json,
                is_journal,
            }
        }
        [
            format(false, false),
            format(false, true),
            format(true, false),
            format(true, true),
        ]
    };

    /// Compares both for a line with `text` in each string, and returns one of them.
    fn compare(text: &str, address: IpAddr, number: u64, micros: u64) {
        let shared = || Some(Cow::Borrowed(text));
        let micros = Milliseconds { micros };
        let whole = RequestLine {
            request_id: Some(text),
            remote_addr: Some(address),
            client_cn: shared(),
            client_serial: shared(),
            tls: shared(),
            protocol: Some(text),
            method: shared(),
            path: shared(),
            route: Some(text),
            outcome: Some(text),
            code: Some(text),
            detail: shared(),
            status: Some(number),
            kind: Some(text),
            shape: Some(text),
            severity: Some(text),
            title: shared(),
            node: shared(),
            space: shared(),
            transition_id: Some(text),
            drift: Some(text.to_owned()),
            dropped_headers: Some(text.to_owned()),
            body_bytes: Some(number),
            bytes_sent: Some(number),
            duration_ms: Some(micros),
            upstream: Some(text),
            server: Some(text),
            upstream_ms: Some(micros),
        };
        for request in [whole, RequestLine::default()] {
            for format in FORMATS {
                for level in [Level::INFO, Level::WARN] {
                    let [traced, direct] = both(format, level, &request);
                    assert_eq!(direct, traced);
                    assert_eq!(direct.matches('\n').count(), 1);
                }
            }
        }
    }

    #[test]
    fn each_character_is_written_as_tracing_writes_it() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let all: Vec<char> = ('\0'..='\u{2fff}').chain('\u{fe00}'..='\u{ffff}').collect();
        for some in all.chunks(200) {
            compare(&some.iter().collect::<String>(), address, 200, 1500);
        }
        compare("TLSv1.3", "2001:db8::1".parse().unwrap(), 0, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_line_is_what_tracing_writes(
            text in prop::collection::vec(any::<char>(), 0..20),
            address: IpAddr,
            number: u64,
            micros in 0_u64..1 << 50,
        ) {
            compare(&text.iter().collect::<String>(), address, number, micros);
        }

        #[test]
        fn milliseconds_are_written_as_other_formats_write_them(micros in 0_u64..10_000_000) {
            let (value, mut line) = (Milliseconds { micros }, String::new());
            write_milliseconds(&mut line, value);
            prop_assert_eq!(&line, &format!("{:?}", value.as_f64()));
            prop_assert_eq!(line, serde_json::Value::from(value.as_f64()).to_string());
        }
    }

    #[test]
    fn a_long_line_leaves_no_large_buffer() {
        let text = "x".repeat(100_000);
        for (request_id, limit) in [(&*text, usize::MAX), ("", MAX_KEPT)] {
            let request = RequestLine {
                request_id: Some(request_id),
                ..RequestLine::default()
            };
            FORMATS[0].write(Level::INFO, &request, |_| {});
            let capacity = BUFFER.with_borrow(|buffer| buffer.line.capacity());
            assert!(capacity <= limit, "{capacity}");
        }
    }
}
