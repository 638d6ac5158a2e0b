//! What is sent: alerts as the service sends them.

/// An alert of the documented form.
pub(crate) const FLAT: &str = include_str!("../../tests/it/bodies/flat-alert.json");
const NESTED: &str = include_str!("../../tests/it/bodies/nested-critical.json");

/// An alert of the form on the wire, of exactly `size` bytes, at least 2,048: its log of other
/// active alerts grows, as it does on a node in trouble.
pub(crate) fn alert(size: usize) -> String {
    let (start, end) = split_behind(NESTED, "\"entries\": [");
    let mut entries = String::new();
    while NESTED.len() + entries.len() + ENTRY <= size {
        let number = entries.len() / ENTRY;
        entries += &format!(
            "{{\"name\": \"disk_space_usage_{number:04}\", \"status\": \"Warning\", \
             \"triggered_at\": \"2026-11-02T03:05:06+05:30\"}}, "
        );
    }
    let padding = "x".repeat(size.saturating_sub(NESTED.len() + entries.len()));
    let (info, rest) = split_behind(start, "\"info\": \"");
    format!("{info}{padding}{rest}{entries}{end}")
}

/// Bytes of an entry of the log.
const ENTRY: usize = 101;

fn split_behind<'a>(text: &'a str, pattern: &str) -> (&'a str, &'a str) {
    let found = text.find(pattern).expect("the captured alert has it");
    text.split_at(found + pattern.len())
}
