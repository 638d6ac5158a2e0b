//! Short lines for people at a terminal: a request takes at most 120 columns. All of their fields
//! are in the other formats.

use super::access_log::TARGET as ACCESS_TARGET;
use super::format::Output;
use super::logging::is_ours;
use nu_ansi_term::{Color, Style};
use std::fmt::{self, Write};
use time::{OffsetDateTime, UtcOffset};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The number of columns that the line of a request takes at most.
const MAX_WIDTH: usize = 120;

/// The event of a lost notification. The line of its request says the same.
const NOT_DELIVERED: &str = "notification_not_delivered";

/// Writes short lines.
pub(super) struct ShortFormat {
    is_coloured: bool,
    /// The offset of local time; without it, times are in UTC and say so.
    offset: Option<UtcOffset>,
}

impl ShortFormat {
    pub(super) fn new(output: Output) -> Self {
        Self {
            is_coloured: output.is_coloured,
            offset: output.offset,
        }
    }

    /// Returns `true` if the line of the request says what `event` does.
    pub(super) fn is_told_by_request(event: &Event<'_>) -> bool {
        is_ours(event.metadata().target())
            && *event.metadata().level() == Level::ERROR
            && Fields::of(event).text("event") == NOT_DELIVERED
    }

    /// Writes a record, without the end of the line.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        metadata: &Metadata<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let time = self.clock(OffsetDateTime::now_utc());
        let fields = Fields::of(event);
        match metadata.target() == ACCESS_TARGET {
            true => self.write_request(out, &time, &fields),
            false => self.write_record(out, &time, metadata, &fields),
        }
    }

    /// Returns the time of day.
    fn clock(&self, now: OffsetDateTime) -> String {
        let now = now.to_offset(self.offset.unwrap_or(UtcOffset::UTC));
        let (hour, minute, second) = now.to_hms();
        let zone = if self.offset.is_some() { "" } else { "Z" };
        format!("{hour:02}:{minute:02}:{second:02}{zone}")
    }

    /// Writes a request: its time, status, subject, destination, fault and duration. What does not
    /// fit is cut from the middle part.
    fn write_request(&self, out: &mut impl Write, time: &str, fields: &Fields) -> fmt::Result {
        let status = fields.get("status").unwrap_or("---");
        let fault = fault(fields);
        let duration = duration(fields.text("duration_ms"));
        let about = match &fault {
            Some(fault) => format!("{} {fault}", subject(fields)),
            None => subject(fields),
        };
        let taken = time.width() + status.width() + duration.width() + 3;
        let about = cut(&about, MAX_WIDTH.saturating_sub(taken));
        let colour = status_colour(status, fault.is_some());
        write!(
            out,
            "{} {} {about} {}",
            self.dim(time),
            self.paint(colour.normal(), status),
            self.dim(&duration)
        )
    }

    /// Writes another record: its level, unless it is information, its message and its fields.
    fn write_record(
        &self,
        out: &mut impl Write,
        time: &str,
        metadata: &Metadata<'_>,
        fields: &Fields,
    ) -> fmt::Result {
        write!(out, "{} ", self.dim(time))?;
        self.write_level(out, *metadata.level())?;
        if !is_ours(metadata.target()) {
            write!(out, "{}: ", metadata.target())?;
        }
        out.write_str(fields.text("message"))?;
        let mut others = fields.others();
        others.try_for_each(|(name, value)| self.write_field(out, name, value))
    }

    fn write_level(&self, out: &mut impl Write, level: Level) -> fmt::Result {
        let colour = match level {
            Level::INFO => return Ok(()),
            Level::ERROR => Color::Red,
            Level::WARN => Color::Yellow,
            _ => Color::Blue,
        };
        write!(out, "{} ", self.paint(colour.normal(), level.as_str()))
    }

    fn write_field(&self, out: &mut impl Write, name: &str, value: &str) -> fmt::Result {
        let name = self.dim(&format!("{name}="));
        match value.contains(' ') {
            true => write!(out, " {name}{value:?}"),
            false => write!(out, " {name}{value}"),
        }
    }

    fn dim(&self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    fn paint(&self, style: Style, text: &str) -> String {
        match self.is_coloured {
            true => style.paint(text).to_string(),
            false => text.to_owned(),
        }
    }
}

fn status_colour(status: &str, has_fault: bool) -> Color {
    match (has_fault, status.as_bytes().first()) {
        (_, Some(b'5')) => Color::Red,
        (true, _) | (_, Some(b'4')) => Color::Yellow,
        _ => Color::Green,
    }
}

/// Describes what a request was about, and where it went.
fn subject(fields: &Fields) -> String {
    let mut words = match (fields.get("kind"), fields.text("outcome")) {
        (Some(kind), _) => vec![kind],
        (None, "challenge") => vec!["challenge", fields.text("route")],
        (None, _) => vec![fields.text("method"), fields.text("path")],
    };
    words.extend(["severity", "title", "node"].map(|name| fields.text(name)));
    if let Some(upstream) = fields.get("upstream") {
        words.extend(["→", upstream]);
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// Returns why a request was not answered as it should have been.
fn fault(fields: &Fields) -> Option<String> {
    match (fields.text("code"), fields.get("detail")) {
        ("ok", _) => None,
        (code, None) => Some(code.to_owned()),
        (code, Some(detail)) => Some(format!("{code}: {detail}")),
    }
}

fn duration(milliseconds: &str) -> String {
    match milliseconds.parse::<f64>() {
        Ok(milliseconds) if milliseconds >= 1000.0 => format!("{:.1} s", milliseconds / 1000.0),
        Ok(milliseconds) => format!("{milliseconds:.1} ms"),
        Err(_) => String::new(),
    }
}

/// Cuts a text to as many columns.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| {
        let width = c.width().unwrap_or_default();
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    cut
}

/// The fields of a record as text, in their order.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn get(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(known, _)| *known == name);
        field.map(|(_, value)| value.as_str())
    }

    /// Returns the fields beside the message and the name of the event.
    fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        let others = self.0.iter();
        let others = others.filter(|(name, _)| !["event", "message"].contains(name));
        others.map(|(name, value)| (*name, value.as_str()))
    }

    /// Returns the text of a field, which is empty if there is none.
    fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Of what the `log` crate brings along, its place in a source is of no use here.
        if !field.name().starts_with("log.") {
            self.0.push((field.name(), format!("{value:?}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[(&'static str, &str)]) -> String {
        let format = ShortFormat {
            is_coloured: false,
            offset: None,
        };
        let fields = fields.iter().map(|(name, value)| (*name, (*value).into()));
        let mut line = String::new();
        format
            .write_request(&mut line, "20:12:03", &Fields(fields.collect()))
            .unwrap();
        line
    }

    #[test]
    fn the_line_of_a_request_says_what_matters() {
        let alert = [
            ("code", "ok"),
            ("status", "204"),
            ("kind", "alert"),
            ("severity", "critical"),
            ("title", "disk_space_usage"),
            ("node", "db-1"),
            ("upstream", "app"),
            ("duration_ms", "0.412"),
        ];
        assert_eq!(
            line(&alert),
            "20:12:03 204 alert critical disk_space_usage db-1 → app 0.4 ms"
        );
        let challenge = [
            ("outcome", "challenge"),
            ("code", "ok"),
            ("status", "200"),
            ("route", "/w"),
            ("duration_ms", "1200"),
        ];
        assert_eq!(line(&challenge), "20:12:03 200 challenge /w 1.2 s");
        let refused = [
            ("code", "not_found"),
            ("detail", "No route has this path."),
            ("status", "404"),
            ("method", "GET"),
            ("path", "/x"),
            ("duration_ms", "0.1"),
        ];
        assert_eq!(
            line(&refused),
            "20:12:03 404 GET /x not_found: No route has this path. 0.1 ms"
        );
    }

    #[test]
    fn no_line_is_wider_than_120_columns() {
        for letter in ["x", "ü", "漢", "\u{200d}", "👩"] {
            let long = letter.repeat(300);
            let fields = [
                "code", "detail", "path", "method", "title", "node", "upstream",
            ];
            let line = line(&fields.map(|name| (name, &*long)));
            assert!(line.width() <= MAX_WIDTH, "{}: {line}", line.width());
            assert!(line.ends_with(' ') || line.contains('…'), "{line}");
        }
    }

    #[test]
    fn the_time_is_that_of_the_clock_on_the_wall() {
        let time = OffsetDateTime::from_unix_timestamp(86_399).unwrap();
        for (offset, expected) in [(None, "23:59:59Z"), (Some(2), "01:59:59")] {
            let format = ShortFormat {
                is_coloured: false,
                offset: offset.map(|hours| UtcOffset::from_hms(hours, 0, 0).unwrap()),
            };
            assert_eq!(format.clock(time), expected);
        }
    }
}
