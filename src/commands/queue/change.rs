//! `queue retry`, `park` and `drop`: change what becomes of notifications, with a line for each.

use super::{QueueError, describe};
use crate::delivery::{Listed, Operator, OperatorResult};
use crate::telemetry;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{self, Write};

/// The reason why something is parked whose route is not in the configuration.
const NO_ROUTE: &str = "no_route";

/// A change of notifications that are named by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Retry,
    Park,
    Drop,
}

impl Change {
    /// Returns the word for what has been done.
    fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Park => "parked",
            Self::Drop => "dropped",
        }
    }

    fn apply(self, store: &mut dyn Operator, ids: &[i64]) -> OperatorResult<Vec<i64>> {
        match self {
            Self::Retry => store.retry(ids),
            Self::Park => store.park(ids),
            Self::Drop => store.drop(ids),
        }
    }
}

/// A notification that was named, if it was in the queue before the change.
type Named = (i64, Option<Listed>);

/// Makes a change, and says which notifications it was about. Returns `false` if it was not about
/// all of `ids`.
pub(super) fn run(
    store: &mut dyn Operator,
    change: Change,
    ids: &[i64],
    is_json: bool,
    out: &mut impl Write,
) -> Result<bool, QueueError> {
    let ids: Vec<_> = Vec::from_iter(BTreeSet::from_iter(ids.iter().copied()));
    let named = read(&*store, &ids)?;
    let changed = change.apply(store, &ids)?;
    let is_changed = |(id, _): &Named| changed.contains(id);
    let (done, missed): (Vec<_>, Vec<_>) = named.into_iter().partition(is_changed);
    match is_json {
        true => print_json(change, &done, &missed, out)?,
        false => print_lines(change, &done, out)?,
    }
    // Before the errors, which go elsewhere.
    out.flush()?;
    for (id, one) in &missed {
        telemetry::say(format_args!("error: {id} {}", reason(one.as_ref())));
    }
    if change == Change::Retry {
        let parked = done
            .iter()
            .filter_map(|(_, one)| one.as_ref()?.parked.as_deref());
        warn_without_route(parked.filter(|parked| *parked == NO_ROUTE).count());
        warn_without_proxy(store, done.len());
    }
    Ok(missed.is_empty())
}

/// Reads what is to be changed: afterwards, it may be gone.
fn read(store: &dyn Operator, ids: &[i64]) -> OperatorResult<Vec<Named>> {
    let named = ids.iter().map(|id| Ok((*id, store.read(*id)?)));
    named.collect()
}

fn print_json(
    change: Change,
    done: &[Named],
    missed: &[Named],
    out: &mut impl Write,
) -> io::Result<()> {
    let [done, missed] =
        [done, missed].map(|named| named.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    writeln!(out, "{}", json!({ change.done(): done, "missing": missed }))
}

fn print_lines(change: Change, done: &[Named], out: &mut impl Write) -> io::Result<()> {
    for (id, one) in done {
        let subject = one.as_ref().map(describe::subject).unwrap_or_default();
        writeln!(out, "{} {id}, {subject}", change.done())?;
    }
    Ok(())
}

/// Sends everything that is parked again, of one route or of all. Returns `true`.
pub(super) fn retry_parked(
    store: &mut dyn Operator,
    route: Option<&str>,
    is_json: bool,
    out: &mut impl Write,
) -> Result<bool, QueueError> {
    let without_route = store.count_parked(route, NO_ROUTE)?;
    let count = store.retry_parked(route)?;
    match is_json {
        true => writeln!(out, "{}", json!({ "count": count }))?,
        false => writeln!(out, "retried: {count}")?,
    }
    out.flush()?;
    warn_without_route(without_route);
    warn_without_proxy(store, count);
    Ok(true)
}

/// Returns the reason why a notification was not changed.
fn reason(one: Option<&Listed>) -> &'static str {
    match one {
        Some(Listed {
            parked: Some(_), ..
        }) => "is parked already",
        _ => "is not in the queue: it may have been delivered, see `queue list`",
    }
}

fn warn_without_route(count: usize) {
    if count > 0 {
        telemetry::say(format_args!(
            "{count} of them were parked because their route is not in the configuration: they are parked again unless it is back"
        ));
    }
}

fn warn_without_proxy(store: &dyn Operator, count: usize) {
    if count > 0 && !store.is_served() {
        telemetry::say("no running proxy delivers them: they are sent once it starts");
    }
}
