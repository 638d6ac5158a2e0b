//! Formats the fields of spans: for lines of text as text, for lines of JSON as JSON.

use super::format::Switches;
use std::fmt;
use std::sync::Arc;
use tracing::Subscriber;
use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats fields in the current format of the log.
pub(super) struct SpanFields {
    pub(super) switches: Arc<Switches>,
}

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        match self.switches.is_json() {
            true => JsonFields::new().format_fields(writer, fields),
            false => DefaultFields::new().format_fields(writer, fields),
        }
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        // The format may have changed since the span began.
        if is_object(&current.fields) {
            let mut json = FormattedFields::<JsonFields>::new(std::mem::take(&mut current.fields));
            let added = JsonFields::new().add_fields(&mut json, fields);
            current.fields = json.fields;
            return added;
        }
        if !current.fields.is_empty() {
            current.fields.push(' ');
        }
        DefaultFields::new().format_fields(current.as_writer(), fields)
    }
}

/// Returns the spans of a record as the elements of a JSON array, the outermost first.
pub(super) fn as_json<S, N>(context: &FmtContext<'_, S, N>) -> String
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    let mut spans: Vec<String> = Vec::new();
    for span in context.event_scope().into_iter().flatten() {
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<N>>();
        let fields = fields.map_or("", |fields| &fields.fields);
        spans.push(object(span.name(), fields));
    }
    spans.reverse();
    spans.join(",")
}

fn object(name: &str, fields: &str) -> String {
    let name = quoted(name);
    match fields.strip_prefix('{') {
        None if fields.is_empty() => format!("{{\"name\":{name}}}"),
        None => format!("{{\"name\":{name},\"fields\":{}}}", quoted(fields)),
        Some("}") => format!("{{\"name\":{name}}}"),
        Some(rest) => format!("{{\"name\":{name},{rest}"),
    }
}

fn quoted(text: &str) -> serde_json::Value {
    text.into()
}

fn is_object(fields: &str) -> bool {
    fields.starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_objects_whatever_their_fields_were_formatted_as() {
        for (fields, expected) in [
            ("", r#"{"name":"a"}"#),
            ("{}", r#"{"name":"a"}"#),
            (r#"{"b":1}"#, r#"{"name":"a","b":1}"#),
            (r#"b="c""#, r#"{"name":"a","fields":"b=\"c\""}"#),
        ] {
            assert_eq!(object("a", fields), expected);
        }
    }
}
