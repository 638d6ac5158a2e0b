//! `queue list`: a row for each notification, the oldest first.

use super::{QueueError, describe};
use crate::delivery::{Filter, Listed, Operator, OperatorResult};
use crate::sanitize::sanitize;
use crate::telemetry::cut;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::SystemTime;
use unicode_width::UnicodeWidthStr as _;

/// The widths of the columns of text, in characters: with the others, a row has 100 at most.
const ROUTE: usize = 24;
const NEXT_TRY: usize = 16;
const LAST_ERROR: usize = 32;
const SUBJECT: usize = 91;
const ROW: usize = 100;

/// Prints the notifications that `filter` selects. Returns `true`.
pub(super) fn run(
    store: &dyn Operator,
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
    listed: impl Iterator<Item = OperatorResult<Listed>>,
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
    listed: impl Iterator<Item = OperatorResult<Listed>>,
    store: &dyn Operator,
    filter: &Filter,
    out: &mut impl Write,
) -> Result<(), QueueError> {
    let now = SystemTime::now();
    let mut totals = Totals::default();
    for one in listed {
        let one = one?;
        if totals.is_empty() {
            write_titles(out)?;
        }
        write_row(out, &one, now)?;
        totals.add(one);
    }
    let is_served = totals.waiting == 0 || store.is_served();
    Ok(totals.write(out, filter, is_served, now)?)
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

/// What has been listed, in a few lines: the rows may be many.
#[derive(Default)]
struct Totals {
    waiting: usize,
    parked: usize,
    routes: BTreeMap<String, Waiting>,
}

/// The notifications of a route that wait.
struct Waiting {
    count: usize,
    oldest: Listed,
    /// The one that was tried last.
    tried: Option<Listed>,
}

impl Totals {
    fn is_empty(&self) -> bool {
        self.waiting + self.parked == 0
    }

    /// Adds the next one, which is later than those before it.
    fn add(&mut self, one: Listed) {
        if one.parked.is_some() {
            self.parked += 1;
            return;
        }
        self.waiting += 1;
        let route = self.routes.entry(one.route.clone()).or_insert(Waiting {
            count: 0,
            oldest: one.clone(),
            tried: None,
        });
        route.count += 1;
        let last = route.tried.as_ref().and_then(|tried| tried.next_try);
        if one.last_error.is_some() && one.next_try >= last {
            route.tried = Some(one);
        }
    }

    fn write(
        &self,
        out: &mut impl Write,
        filter: &Filter,
        is_served: bool,
        now: SystemTime,
    ) -> io::Result<()> {
        let Self {
            waiting, parked, ..
        } = self;
        match (waiting, parked) {
            (0, 0) if filter.is_parked => return writeln!(out, "Nothing is parked."),
            (0, 0) => return writeln!(out, "Nothing waits, and nothing is parked."),
            _ if filter.is_parked => writeln!(out, "\nParked: {parked}.")?,
            _ => writeln!(out, "\nWaiting: {waiting}. Parked: {parked}.")?,
        }
        for (route, waiting) in &self.routes {
            for line in waiting.describe(route, now) {
                writeln!(out, "{}", cut(&line, ROW))?;
            }
        }
        if !is_served {
            writeln!(out, "No running proxy delivers what waits: start it.")?;
        }
        if *parked > 0 {
            writeln!(
                out,
                "Send what is parked again with `queue retry ID`, or all of it with `queue retry --all`."
            )?;
        }
        Ok(())
    }
}

impl Waiting {
    fn describe(&self, route: &str, now: SystemTime) -> impl Iterator<Item = String> {
        let (route, age) = (sanitize(route), describe::age(&self.oldest, now));
        let waiting = format!("{route}: {}, the oldest for {age}", count(self.count));
        let error = self.tried.as_ref().and_then(|it| it.last_error.as_deref());
        let error = error.map(|error| format!("  last error: {}", sanitize(error)));
        [waiting].into_iter().chain(error)
    }
}

fn count(number: usize) -> String {
    match number {
        1 => "1 waits".to_owned(),
        _ => format!("{number} wait"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
    fn the_summary_says_what_waits_and_since_when_and_why_and_what_can_be_done() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let of = |seconds: i64, tried: Option<(i64, &str)>, is_parked| Listed {
            route: "/a".into(),
            received: seconds * 1_000_000_000,
            next_try: tried.map(|(next, _)| next),
            last_error: tried.map(|(_, error)| error.to_owned()),
            parked: Some("poison".to_owned()).filter(|_| is_parked),
            ..Listed::default()
        };
        let summary = |is_parked, listed: &[Listed], is_served| {
            let filter = Filter {
                is_parked,
                route: None,
            };
            let (mut totals, mut text) = (Totals::default(), Vec::new());
            listed.iter().for_each(|one| totals.add(one.clone()));
            totals.write(&mut text, &filter, is_served, now).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(
            summary(false, &[], true),
            "Nothing waits, and nothing is parked.\n"
        );
        assert_eq!(summary(true, &[], true), "Nothing is parked.\n");
        let waiting = [
            of(700, Some((3, "status 503")), false),
            of(800, Some((4, "cannot connect")), false),
            of(900, None, false),
        ];
        assert_eq!(
            summary(false, &waiting, true),
            "\nWaiting: 3. Parked: 0.\n/a: 3 wait, the oldest for 5 min\n  last error: cannot connect\n"
        );
        assert!(summary(false, &waiting, false).contains("No running proxy"));
        let parked = summary(true, &[of(700, None, true)], true);
        assert!(parked.contains("queue retry --all"), "{parked}");
    }
}
