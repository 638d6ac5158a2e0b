//! `queue list`: a row for each notification, the oldest first.

use super::{QueueError, describe};
use crate::delivery::{Filter, Listed, OperatorStore};
use crate::sanitize::sanitize;
use crate::telemetry::cut;
use std::io::{self, Write};
use std::time::SystemTime;
use unicode_width::UnicodeWidthStr as _;

/// The widths of the columns of text, in characters: with the others, a row has 100 at most.
const ROUTE: usize = 24;
const NEXT_TRY: usize = 16;
const LAST_ERROR: usize = 32;
const SUBJECT: usize = 91;

/// Prints the notifications that `filter` selects. Returns `true`.
pub(super) fn run(
    store: &OperatorStore,
    filter: &Filter,
    is_json: bool,
    out: &mut impl Write,
) -> Result<bool, QueueError> {
    // What has been delivered meanwhile is left out.
    let ids = store.ids(filter)?;
    let listed = ids
        .iter()
        .map(|id| store.read(*id))
        .filter_map(Result::transpose);
    match is_json {
        true => print_json(listed, out)?,
        false => print_table(listed, store, filter, out)?,
    }
    Ok(true)
}

/// Prints one JSON array, with a line for each notification.
fn print_json(
    listed: impl Iterator<Item = rusqlite::Result<Listed>>,
    out: &mut impl Write,
) -> Result<(), QueueError> {
    let mut separator = "";
    write!(out, "[")?;
    for one in listed {
        write!(out, "{separator}\n{}", describe::json(&one?))?;
        separator = ",";
    }
    Ok(writeln!(out, "\n]")?)
}

fn print_table(
    listed: impl Iterator<Item = rusqlite::Result<Listed>>,
    store: &OperatorStore,
    filter: &Filter,
    out: &mut impl Write,
) -> Result<(), QueueError> {
    let now = SystemTime::now();
    let (mut waiting, mut parked) = (0, 0);
    for one in listed {
        let one = one?;
        if waiting + parked == 0 {
            write_titles(out)?;
        }
        write_row(out, &one, now)?;
        match one.parked {
            Some(_) => parked += 1,
            None => waiting += 1,
        }
    }
    let is_served = waiting == 0 || store.is_served();
    Ok(write_summary(out, filter, (waiting, parked), is_served)?)
}

fn write_titles(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>7}  {:<ROUTE$}  {:>6}  {:>5}  {:<NEXT_TRY$}  LAST ERROR",
        "ID", "ROUTE", "AGE", "TRIES", "NEXT TRY"
    )
}

/// Writes a row, and what the notification is about below it.
fn write_row(out: &mut impl Write, one: &Listed, now: SystemTime) -> io::Result<()> {
    let error = one.last_error.as_deref().map(sanitize).unwrap_or_default();
    let row = format!(
        "{:>7}  {}  {:>6}  {:>5}  {}  {}",
        one.id,
        column(&sanitize(&one.route), ROUTE),
        describe::age(one, now),
        one.attempts,
        column(&describe::next_try(one, now), NEXT_TRY),
        cut(&error, LAST_ERROR)
    );
    writeln!(out, "{}", row.trim_end())?;
    writeln!(out, "{:9}{}", "", cut(&describe::subject(one), SUBJECT))
}

/// Returns a text as so many columns.
fn column(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let rest = width.saturating_sub(text.width());
    text + &" ".repeat(rest)
}

fn write_summary(
    out: &mut impl Write,
    filter: &Filter,
    (waiting, parked): (usize, usize),
    is_served: bool,
) -> io::Result<()> {
    match (waiting, parked) {
        (0, 0) if filter.is_parked => return writeln!(out, "Nothing is parked."),
        (0, 0) => return writeln!(out, "Nothing waits, and nothing is parked."),
        _ if filter.is_parked => writeln!(out, "\nParked: {parked}.")?,
        _ => writeln!(out, "\nWaiting: {waiting}. Parked: {parked}.")?,
    }
    if !is_served {
        writeln!(out, "No running proxy delivers what waits: start it.")?;
    }
    if parked > 0 {
        writeln!(
            out,
            "Send what is parked again with `queue retry ID`, or all of it with `queue retry --all`."
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_and_fit_into_100_columns() {
        let now = SystemTime::UNIX_EPOCH;
        let long = "ü界".repeat(200);
        let about = format!(r#"{{"kind":"alert","severity":"critical","title":"{long}"}}"#);
        let of = |route: &str, error: Option<&str>| Listed {
            id: 17,
            route: route.into(),
            last_error: error.map(str::to_owned),
            parked: Some("no_route".into()),
            about: about.clone(),
            ..Listed::default()
        };
        let mut text = Vec::new();
        write_titles(&mut text).unwrap();
        write_row(&mut text, &of("/a", Some("status 500")), now).unwrap();
        write_row(&mut text, &of(&long, Some(&long)), now).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().all(|line| line.width() <= 100), "{text}");
        let at = |line: &str, word: &str| line[..line.find(word).unwrap()].width();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(at(lines[0], "LAST ERROR"), at(lines[1], "status 500"));
        for row in [lines[1], lines[3]] {
            assert_eq!(at(lines[0], "NEXT TRY"), at(row, "parked: no_route"));
        }
    }

    #[test]
    fn the_summary_says_what_can_be_done() {
        let summary = |is_parked, counts, is_served| {
            let filter = Filter {
                is_parked,
                route: None,
            };
            let mut text = Vec::new();
            write_summary(&mut text, &filter, counts, is_served).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(
            summary(false, (0, 0), true),
            "Nothing waits, and nothing is parked.\n"
        );
        assert_eq!(summary(true, (0, 0), true), "Nothing is parked.\n");
        assert_eq!(summary(false, (2, 0), true), "\nWaiting: 2. Parked: 0.\n");
        assert!(summary(false, (2, 0), false).contains("No running proxy"));
        assert!(summary(true, (0, 1), true).contains("queue retry --all"));
    }
}
