//! The report about the directives that concern the webhook, for the operator: tasks come first.

use super::directive::Directive;
use super::location::SourceLocation;
use crate::sanitize::plain;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};

/// Characters of one remark.
const MAX_REMARK: usize = 800;

/// Locations of directives with the same remark.
const MAX_LOCATIONS: usize = 3;

/// Lines about what was carried over, so that a report fits on a screen.
const MAX_CARRIED: usize = 12;

/// The beginnings of remarks about which requests get in, and where they go.
const IMPORTANT: [&str; 6] = [
    "listen.",
    "tls.client.",
    "a route of kind",
    "auth.",
    "routes.upstream",
    "what its conditions",
];

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
    disposition: Disposition,
    pub(super) place: SourceLocation,
    /// The directive, without secrets.
    pub(super) directive: String,
    pub(super) remark: String,
}

impl Display for Note {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_carried = self.disposition == Disposition::Carried;
        let separator = if is_carried { " →" } else { ":" };
        write!(
            f,
            "{}: {}{separator} {}",
            self.place, self.directive, self.remark
        )
    }
}

/// A file with a secret that has to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretFile {
    /// The name in the configuration, relative to it.
    pub(super) file: String,
    /// A description of the secret.
    pub(super) what: String,
}

/// A file that systemd is to read for the service, which may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceCredential {
    pub(super) name: String,
    pub(super) path: String,
}

/// The tasks of the operator, and the treatment of each directive. It is shown with `Display`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Names that are demanded, paths, and routes that are closed.
    pub(super) first: Vec<String>,
    /// In the order in which the directives are read.
    pub(super) notes: Vec<Note>,
    pub(super) secrets: Vec<SecretFile>,
    /// The credentials that the unit does not name yet; `None` unless for the service.
    pub(super) credentials: Option<Vec<ServiceCredential>>,
    /// Directives that are not needed are listed.
    pub(super) is_verbose: bool,
    /// There is a configuration.
    pub(super) is_complete: bool,
}

impl ImportReport {
    fn with(&self, disposition: Disposition) -> impl Iterator<Item = &Note> + Clone {
        self.notes
            .iter()
            .filter(move |note| note.disposition == disposition)
    }

    fn write_first(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.first.is_empty() && self.secrets.is_empty() {
            return Ok(());
        }
        writeln!(f, "To do first:")?;
        let is_service = self.credentials.is_some();
        let reader = if is_service { "root" } else { "this program" };
        for SecretFile { file, what } in &self.secrets {
            writeln!(
                f,
                "  write {file}, beside the configuration, for {reader} alone: {what}"
            )?;
        }
        self.first
            .iter()
            .try_for_each(|line| writeln!(f, "  {line}"))
    }

    /// Writes the notes of one kind. A remark about several directives is made once.
    fn write_notes(&self, f: &mut Formatter<'_>, kind: Disposition, heading: &str) -> fmt::Result {
        let mut seen: HashSet<&str> = HashSet::new();
        for note in self.with(kind) {
            if seen.is_empty() {
                writeln!(f, "{heading}:")?;
            }
            let is_first = seen.insert(&note.remark);
            let alike = self.with(kind).filter(|other| other.remark == note.remark);
            let others: Vec<&Note> = match is_first && !self.is_verbose {
                true => alike.skip(1).collect(),
                false => Vec::new(),
            };
            if !others.is_empty() {
                let shown = others.iter().take(MAX_LOCATIONS);
                let places: Vec<_> = shown.map(|other| other.place.to_string()).collect();
                let end = if others.len() > MAX_LOCATIONS {
                    ", …"
                } else {
                    ""
                };
                let more = format!("{} more ({}{end})", others.len(), places.join(", "));
                let (place, directive) = (&note.place, &note.directive);
                writeln!(f, "  {place}: {directive}, {more}: {}", note.remark)?;
            } else if is_first || self.is_verbose {
                writeln!(f, "  {note}")?;
            }
        }
        Ok(())
    }

    /// Writes what is in the new configuration; if that is much, only which requests get in and
    /// where they go.
    fn write_carried(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let carried: Vec<_> = self.with(Disposition::Carried).collect();
        let is_important = |note: &&&Note| IMPORTANT.iter().any(|it| note.remark.starts_with(it));
        let is_short = carried.len() <= MAX_CARRIED;
        let shown: Vec<_> = match self.is_verbose || is_short {
            true => carried.iter().collect(),
            false => carried
                .iter()
                .filter(is_important)
                .take(MAX_CARRIED)
                .collect(),
        };
        if !carried.is_empty() {
            writeln!(f, "Carried over:")?;
        }
        shown.iter().try_for_each(|note| writeln!(f, "  {note}"))?;
        match carried.len() - shown.len() {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more (--verbose lists them)"),
        }
    }

    fn write_credentials(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let credentials = self.credentials.as_deref().unwrap_or_default();
        if credentials.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "To write with systemctl edit netdata-webhook-proxy:\n  [Service]"
        )?;
        for ServiceCredential { name, path } in credentials {
            // A percent sign begins a specifier there.
            let path = plain(&path.replace('%', "%%"), MAX_REMARK);
            writeln!(f, "  LoadCredential={name}:{path}")?;
        }
        Ok(())
    }
}

impl Display for ImportReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_first(f)?;
        self.write_credentials(f)?;
        self.write_notes(f, Disposition::NotCarried, "Not carried over")?;
        self.write_notes(f, Disposition::Closed, "Holes that are closed now")?;
        self.write_carried(f)?;
        match self.with(Disposition::NotNeeded).count() {
            _ if self.is_verbose => self.write_notes(f, Disposition::NotNeeded, "Not needed")?,
            0 => {}
            1 => writeln!(f, "Not needed: 1 directive (--verbose lists it)")?,
            count => writeln!(f, "Not needed: {count} directives (--verbose lists them)")?,
        }
        match self.credentials {
            _ if !self.is_complete => Ok(()),
            // Only the service can read its credentials.
            Some(_) => write!(f, "Then: systemctl restart netdata-webhook-proxy"),
            None => write!(f, "Then: netdata-webhook-proxy check --config FILE"),
        }
    }
}

/// Collects the remarks while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    first: RefCell<Vec<String>>,
    /// The notes, each with the number of its directive.
    notes: RefCell<Vec<(usize, Note)>>,
    remarks: RefCell<HashSet<(usize, Disposition, String)>>,
    mentioned: RefCell<HashSet<usize>>,
}

impl Ledger {
    /// Adds a task that comes before all others.
    pub(super) fn first(&self, remark: impl AsRef<str>) {
        let remark = plain(remark.as_ref(), MAX_REMARK);
        let mut first = self.first.borrow_mut();
        if !first.contains(&remark) {
            first.push(remark);
        }
    }

    /// Adds a remark about a directive, unless it was made before.
    pub(super) fn note(&self, directive: &Directive, kind: Disposition, remark: impl AsRef<str>) {
        let remark = plain(remark.as_ref(), MAX_REMARK);
        self.mentioned.borrow_mut().insert(directive.id);
        let entry = (directive.id, kind, remark.clone());
        if self.remarks.borrow_mut().insert(entry) {
            let note = Note {
                disposition: kind,
                place: directive.place.clone(),
                directive: directive.shown(),
                remark,
            };
            self.notes.borrow_mut().push((directive.id, note));
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
        let mut notes = notes.iter().map(|(_, note)| note);
        notes
            .find(|note| note.disposition == Disposition::NotCarried)
            .cloned()
    }

    /// Returns the tasks, and the notes in the order of the directives.
    pub(super) fn into_parts(self) -> (Vec<String>, Vec<Note>) {
        let mut notes = self.notes.into_inner();
        notes.sort_by_key(|(id, _)| *id);
        let notes = notes.into_iter().map(|(_, note)| note);
        (self.first.into_inner(), notes.collect())
    }
}
