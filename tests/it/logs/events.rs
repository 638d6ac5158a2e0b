//! The events of the log lines, as the manual lists them.

use crate::support::first_column;
use std::collections::BTreeSet;
use std::path::Path;

/// The macros that write a line, by level.
const MACROS: [&str; 5] = ["error!(", "warn!(", "info!(", "debug!(", "$level!("];

/// Returns the events that `source` writes, and fails if a line has none.
fn events_in(source: &str, file: &Path) -> Vec<String> {
    let mut events = Vec::new();
    for name in MACROS {
        for (start, _) in source.match_indices(name) {
            if source[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let arguments = source[start + name.len()..].trim_start();
            let arguments = arguments
                .strip_prefix("target: TARGET,")
                .unwrap_or(arguments)
                .trim_start();
            let event = arguments
                .strip_prefix("event = \"")
                .and_then(|rest| rest.split('"').next());
            let line = source[..start].lines().count();
            let event = event.unwrap_or_else(|| {
                panic!("{}:{line}: the line has no event", file.display());
            });
            events.push(event.to_owned());
        }
    }
    events
}

#[test]
fn every_line_has_an_event_and_every_event_is_in_the_manual() {
    let mut written = BTreeSet::new();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src/**/*.rs");
    for path in glob::glob(sources).unwrap().map(Result::unwrap) {
        let source = std::fs::read_to_string(&path).unwrap();
        written.extend(events_in(&source, &path));
    }
    let described = first_column("\n| event | level | meaning |").into_iter();
    assert_eq!(written, described.map(str::to_owned).collect());
}
