//! The report about the directives that concern the webhook, for the operator: tasks come first.

use crate::sanitize::sanitize_to;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

/// Characters of one remark.
const MAX_REMARK: usize = 800;

/// Lines about what was carried over, so that a report fits on a screen.
const MAX_CARRIED: usize = 12;

/// The beginnings of remarks about which requests get in, and where they go.
const IMPORTANT: &str = "listen.|tls.client.|a route of|auth.|routes.upstream|what its conditions";

/// The treatment of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disposition {
    /// The operator has to act, or to do without.
    NotCarried,
    /// It let in more than it was meant to, and no longer does.
    Closed,
    /// It is in the new configuration.
    Carried,
    /// It would have no effect, or is always so.
    NotNeeded,
}

/// Collects the remarks while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    first: RefCell<Vec<String>>,
    /// What is said, and the places and texts of the directives about which it is, by their numbers.
    notes: RefCell<BTreeMap<(Disposition, String), BTreeMap<usize, String>>>,
    mentioned: RefCell<HashSet<usize>>,
}

impl Ledger {
    /// Adds a task that comes before all others.
    pub(super) fn first(&self, remark: &str) {
        let remark = sanitize_to(remark, MAX_REMARK);
        let mut first = self.first.borrow_mut();
        if !first.contains(&remark) {
            first.push(remark);
        }
    }

    /// Adds a remark about the directive with this number, place and text.
    pub(super) fn note(&self, id: usize, subject: String, kind: Disposition, remark: &str) {
        self.mention(id);
        let key = (kind, sanitize_to(remark, MAX_REMARK));
        let mut notes = self.notes.borrow_mut();
        notes.entry(key).or_default().insert(id, subject);
    }

    /// Marks a directive about which all has been said.
    pub(super) fn mention(&self, id: usize) {
        self.mentioned.borrow_mut().insert(id);
    }

    pub(super) fn mentions(&self, id: usize) -> bool {
        self.mentioned.borrow().contains(&id)
    }

    /// Returns the report. Tasks come first; `next` is the end.
    pub(super) fn report(&self, mut tasks: Vec<String>, is_verbose: bool, next: &str) -> String {
        tasks.extend(self.first.take());
        let lines = |heading, kind| section(heading, self.lines(kind, is_verbose));
        let sections = [
            section("To do first", tasks),
            lines("Not carried over", Disposition::NotCarried),
            lines("Holes that are closed now", Disposition::Closed),
            lines("Carried over", Disposition::Carried),
            match is_verbose {
                true => lines("Not needed", Disposition::NotNeeded),
                false => self.not_needed(),
            },
        ];
        sections.concat().join("\n") + "\n" + next
    }

    /// Returns a line for each remark of one kind, or for each directive.
    fn lines(&self, kind: Disposition, is_verbose: bool) -> Vec<String> {
        let notes = self.notes.borrow();
        let mut own: Vec<_> = notes.iter().filter(|((it, _), _)| *it == kind).collect();
        own.sort_by_key(|(_, subjects)| subjects.keys().next().copied());
        let all = own.len();
        if kind == Disposition::Carried && !is_verbose && all > MAX_CARRIED {
            own.retain(|((_, remark), _)| IMPORTANT.split('|').any(|it| remark.starts_with(it)));
            own.truncate(MAX_CARRIED);
        }
        let left_out = all - own.len();
        let lines = own.into_iter().flat_map(|((_, remark), subjects)| {
            let shown = if is_verbose { subjects.len() } else { 1 };
            let others = subjects.len() - shown;
            let subjects = subjects.values().take(shown);
            subjects.map(move |subject| line(subject, others, kind, remark))
        });
        let more = format!("and {left_out} more (--verbose lists them)");
        lines.chain((left_out > 0).then_some(more)).collect()
    }

    fn not_needed(&self) -> Vec<String> {
        let notes = self.notes.borrow();
        let own = notes
            .iter()
            .filter(|((it, _), _)| *it == Disposition::NotNeeded);
        let count: usize = own.map(|(_, subjects)| subjects.len()).sum();
        let line = format!("Not needed: {count} (--verbose lists them)");
        (count > 0).then_some(line).into_iter().collect()
    }
}

fn line(subject: &str, others: usize, kind: Disposition, remark: &str) -> String {
    let more = match others {
        0 => String::new(),
        count => format!(", {count} more"),
    };
    let is_carried = kind == Disposition::Carried;
    let separator = if is_carried { " →" } else { ":" };
    format!("{subject}{more}{separator} {remark}")
}

/// Returns lines with a heading, unless there are none.
fn section(heading: &str, lines: Vec<String>) -> Vec<String> {
    let heading = lines.first().map(|_| format!("{heading}:"));
    let lines = lines.into_iter().map(|line| format!("  {line}"));
    heading.into_iter().chain(lines).collect()
}
