//! The report about the directives that concern the webhook, for the operator: tasks come first.

use super::directive::Directive;
use crate::sanitize::sanitize_to;
use std::cell::RefCell;
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};

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

/// A remark about a directive: its place, itself without secrets, and what is said about it.
#[derive(Clone, Debug)]
struct Note {
    disposition: Disposition,
    subject: String,
    place: String,
    remark: String,
}

impl Note {
    /// Returns the note as a line for its own directive and for those at other locations.
    fn line(&self, others: &[String]) -> String {
        let separator = match self.disposition {
            Disposition::Carried => " →",
            _ => ":",
        };
        let mut named = others
            .iter()
            .take(3)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        if others.len() > 3 {
            named += ", …";
        }
        let more = match others.len() {
            0 => String::new(),
            count => format!(", {count} more ({named})"),
        };
        format!(
            "{}: {}{more}{separator} {}",
            self.place, self.subject, self.remark
        )
    }
}

/// Collects the remarks while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    first: RefCell<Vec<String>>,
    /// The remarks about each directive, by its number: each is made once.
    notes: RefCell<BTreeMap<(usize, Disposition, String), Note>>,
    mentioned: RefCell<HashSet<usize>>,
}

impl Ledger {
    /// Adds a task that comes before all others.
    pub(super) fn first(&self, remark: impl AsRef<str>) {
        let remark = sanitize_to(remark.as_ref(), MAX_REMARK);
        let mut first = self.first.borrow_mut();
        if !first.contains(&remark) {
            first.push(remark);
        }
    }

    pub(super) fn note(&self, directive: &Directive, kind: Disposition, remark: impl AsRef<str>) {
        let remark = sanitize_to(remark.as_ref(), MAX_REMARK);
        self.mentioned.borrow_mut().insert(directive.id);
        let key = (directive.id, kind, remark.clone());
        if let Entry::Vacant(entry) = self.notes.borrow_mut().entry(key) {
            entry.insert(Note {
                disposition: kind,
                subject: directive.shown(),
                place: directive.place.to_string(),
                remark,
            });
        }
    }

    pub(super) fn carried(&self, directive: &Directive, key: impl AsRef<str>) {
        self.note(directive, Disposition::Carried, key);
    }

    pub(super) fn not_needed(&self, directive: &Directive, why: impl AsRef<str>) {
        self.note(directive, Disposition::NotNeeded, why);
    }

    pub(super) fn not_carried(&self, directive: &Directive, remedy: impl AsRef<str>) {
        self.note(directive, Disposition::NotCarried, remedy);
    }

    pub(super) fn closed(&self, directive: &Directive, hole: impl AsRef<str>) {
        self.note(directive, Disposition::Closed, hole);
    }

    /// Marks the directives in a block, about which all has been said.
    pub(super) fn cover(&self, block: &Directive) {
        for directive in block.children() {
            self.mentioned.borrow_mut().insert(directive.id);
            self.cover(directive);
        }
    }

    /// Returns `true` if there is a remark about a directive.
    pub(super) fn mentions(&self, directive: &Directive) -> bool {
        self.mentioned.borrow().contains(&directive.id)
    }

    /// Returns the report. Tasks and lines for the systemd unit come first; `next` is the end.
    pub(super) fn report(
        self,
        mut tasks: Vec<String>,
        unit: Vec<String>,
        is_verbose: bool,
        next: &str,
    ) -> String {
        tasks.extend(self.first.into_inner());
        let notes: Vec<_> = self.notes.into_inner().into_values().collect();
        let lines = |disposition| grouped(&notes, disposition, is_verbose);
        let sections = [
            section("To do first", tasks),
            section("To write with systemctl edit netdata-webhook-proxy", unit),
            section("Not carried over", lines(Disposition::NotCarried)),
            section("Holes that are closed now", lines(Disposition::Closed)),
            section("Carried over", carried(&notes, is_verbose)),
            match is_verbose {
                true => section("Not needed", lines(Disposition::NotNeeded)),
                false => not_needed(&notes),
            },
        ];
        sections.concat().join("\n") + "\n" + next
    }
}

/// Returns lines with a heading, unless there are none.
fn section(heading: &str, lines: Vec<String>) -> Vec<String> {
    let heading = lines.first().map(|_| format!("{heading}:"));
    let lines = lines.into_iter().map(|line| format!("  {line}"));
    heading.into_iter().chain(lines).collect()
}

fn of(notes: &[Note], disposition: Disposition) -> impl Iterator<Item = &Note> {
    let notes = notes.iter();
    notes.filter(move |note| note.disposition == disposition)
}

/// Returns the notes of one kind. A remark about several directives is made once.
fn grouped(notes: &[Note], disposition: Disposition, is_verbose: bool) -> Vec<String> {
    let mut groups: Vec<(&Note, Vec<String>)> = Vec::new();
    let mut known = HashMap::new();
    for note in of(notes, disposition) {
        let next = groups.len();
        let at = *known.entry(&note.remark).or_insert(next);
        match groups.get_mut(at).filter(|_| !is_verbose) {
            Some((_, others)) => others.push(note.place.clone()),
            None => groups.push((note, Vec::new())),
        }
    }
    let groups = groups.iter();
    groups.map(|(note, others)| note.line(others)).collect()
}

/// Returns what is in the new configuration; if that is much, only which requests get in and where
/// they go.
fn carried(notes: &[Note], is_verbose: bool) -> Vec<String> {
    let mut notes: Vec<_> = of(notes, Disposition::Carried).collect();
    let count = notes.len();
    if !is_verbose && count > MAX_CARRIED {
        notes.retain(|note| IMPORTANT.split('|').any(|it| note.remark.starts_with(it)));
        notes.truncate(MAX_CARRIED);
    }
    let left_out = count - notes.len();
    let more = format!("and {left_out} more (--verbose lists them)");
    let lines = notes.iter().map(|note| note.line(&[]));
    lines.chain((left_out > 0).then_some(more)).collect()
}

fn not_needed(notes: &[Note]) -> Vec<String> {
    match of(notes, Disposition::NotNeeded).count() {
        0 => Vec::new(),
        1 => vec!["Not needed: 1 directive (--verbose lists it)".to_owned()],
        count => vec![format!(
            "Not needed: {count} directives (--verbose lists them)"
        )],
    }
}
