//! The report about the directives that concern the webhook, for the operator: tasks come first.

use super::directive::Directive;
use super::location::SourceLocation;
use crate::sanitize::sanitize_to;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};

/// Characters of one remark.
const MAX_REMARK: usize = 800;

/// Lines about what was carried over, so that a report fits on a screen.
const MAX_CARRIED: usize = 12;

/// The beginnings of remarks about which requests get in, and where they go.
const IMPORTANT: &str = "listen.|tls.client.|a route of|auth.|routes.upstream|what its conditions";

/// The treatment of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// A remark about a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The number of the directive.
    id: usize,
    disposition: Disposition,
    pub(super) place: SourceLocation,
    /// The directive, without secrets.
    pub(super) directive: String,
    pub(super) remark: String,
}

impl Note {
    /// Returns the note as a line for its own directive and for those at other locations.
    fn line(&self, others: &[String]) -> String {
        let is_carried = self.disposition == Disposition::Carried;
        let separator = if is_carried { " →" } else { ":" };
        let count = others.len();
        let more = match others {
            [] => String::new(),
            [one, two, three, _, ..] => format!(", {count} more ({one}, {two}, {three}, …)"),
            _ => format!(", {count} more ({})", others.join(", ")),
        };
        let Self { place, remark, .. } = self;
        format!("{place}: {}{more}{separator} {remark}", self.directive)
    }
}

/// The tasks of the operator, and the treatment of each directive, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportReport(String);

impl Display for ImportReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Collects the remarks while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    first: RefCell<Vec<String>>,
    notes: RefCell<Vec<Note>>,
    remarks: RefCell<HashSet<(usize, Disposition, String)>>,
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

    /// Adds a remark about a directive, unless it was made before.
    pub(super) fn note(&self, directive: &Directive, kind: Disposition, remark: impl AsRef<str>) {
        let remark = sanitize_to(remark.as_ref(), MAX_REMARK);
        self.mentioned.borrow_mut().insert(directive.id);
        let entry = (directive.id, kind, remark.clone());
        if self.remarks.borrow_mut().insert(entry) {
            self.notes.borrow_mut().push(Note {
                id: directive.id,
                disposition: kind,
                place: directive.place.clone(),
                directive: directive.shown(),
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

    /// Returns the first directive that could not be carried over.
    pub(super) fn obstacle(&self) -> Option<Note> {
        let notes = self.notes.borrow();
        let is_obstacle = |note: &&Note| note.disposition == Disposition::NotCarried;
        notes.iter().find(is_obstacle).cloned()
    }

    /// Returns the report. Tasks and lines for the systemd unit come first; `next` is the end.
    pub(super) fn report(
        self,
        mut tasks: Vec<String>,
        unit: Vec<String>,
        is_verbose: bool,
        next: Option<&str>,
    ) -> ImportReport {
        let mut notes = self.notes.into_inner();
        notes.sort_by_key(|note| note.id);
        tasks.extend(self.first.into_inner());
        let notes = Notes { notes, is_verbose };
        let sections = [
            section("To do first", tasks),
            section("To write with systemctl edit netdata-webhook-proxy", unit),
            section("Not carried over", notes.lines(Disposition::NotCarried)),
            section(
                "Holes that are closed now",
                notes.lines(Disposition::Closed),
            ),
            section("Carried over", notes.carried()),
            notes.not_needed(),
        ];
        let mut lines = sections.concat();
        lines.extend(next.map(str::to_owned));
        ImportReport(lines.join("\n"))
    }
}

/// Returns lines with a heading, unless there are none.
fn section(heading: &str, lines: Vec<String>) -> Vec<String> {
    let heading = lines.first().map(|_| format!("{heading}:"));
    let lines = lines.into_iter().map(|line| format!("  {line}"));
    heading.into_iter().chain(lines).collect()
}

/// All notes, in the order of the directives.
struct Notes {
    notes: Vec<Note>,
    /// Every note is shown.
    is_verbose: bool,
}

impl Notes {
    fn of(&self, disposition: Disposition) -> Vec<&Note> {
        let is_one = |note: &&Note| note.disposition == disposition;
        self.notes.iter().filter(is_one).collect()
    }

    /// Returns the notes of one kind. A remark about several directives is made once.
    fn lines(&self, disposition: Disposition) -> Vec<String> {
        let notes = self.of(disposition);
        let mut seen = HashSet::new();
        let mut lines = Vec::new();
        for note in &notes {
            if self.is_verbose {
                lines.push(note.line(&[]));
            } else if seen.insert(&note.remark) {
                let alike = notes.iter().filter(|other| other.remark == note.remark);
                let others: Vec<String> = alike.skip(1).map(|it| it.place.to_string()).collect();
                lines.push(note.line(&others));
            }
        }
        lines
    }

    /// Returns what is in the new configuration; if that is much, only which requests get in and
    /// where they go.
    fn carried(&self) -> Vec<String> {
        let mut notes = self.of(Disposition::Carried);
        let count = notes.len();
        if !self.is_verbose && count > MAX_CARRIED {
            notes.retain(|note| IMPORTANT.split('|').any(|it| note.remark.starts_with(it)));
            notes.truncate(MAX_CARRIED);
        }
        let mut lines: Vec<String> = notes.iter().map(|note| note.line(&[])).collect();
        if count > lines.len() {
            lines.push(format!(
                "and {} more (--verbose lists them)",
                count - lines.len()
            ));
        }
        lines
    }

    fn not_needed(&self) -> Vec<String> {
        let lines = self.lines(Disposition::NotNeeded);
        match self.of(Disposition::NotNeeded).len() {
            _ if self.is_verbose => section("Not needed", lines),
            0 => Vec::new(),
            1 => vec!["Not needed: 1 directive (--verbose lists it)".to_owned()],
            count => vec![format!(
                "Not needed: {count} directives (--verbose lists them)"
            )],
        }
    }
}
