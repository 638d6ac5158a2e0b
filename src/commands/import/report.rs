//! What became of the directives that concern the webhook, for the operator: what there is to do
//! comes first.

use super::directive::Directive;
use super::location::SourceLocation;
use crate::sanitize::plain;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Display};

/// Characters that are said about a directive.
const MAX_SAID: usize = 800;

/// Places of directives of which the same is said.
const MAX_PLACES: usize = 3;

/// Lines about what was carried over, so that a report fits on a screen.
const MAX_CARRIED: usize = 12;

/// What became of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// Something has to be done about it, or to be lived without.
    NotCarried,
    /// It let more in than was meant, and does so no longer.
    Closed,
    /// It stands in the new configuration.
    Carried,
    /// It would have no effect, or is always so.
    NotNeeded,
}

/// A line about a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What became of it.
    pub disposition: Disposition,
    /// Where it stands.
    pub place: SourceLocation,
    /// The directive, without secrets.
    pub directive: String,
    /// Where it went; or why it is not needed; or what to do.
    pub said: String,
}

impl Note {
    /// Whether it says which requests get in, and where they go.
    fn is_important(&self) -> bool {
        [
            "listen.",
            "tls.client.",
            "a route of kind",
            "auth.",
            "routes.upstream",
            "what its conditions",
        ]
        .iter()
        .any(|start| self.said.starts_with(start))
    }
}

impl Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            disposition,
            place,
            directive,
            said,
        } = self;
        let separator = if *disposition == Disposition::Carried {
            " →"
        } else {
            ":"
        };
        write!(f, "{place}: {directive}{separator} {said}")
    }
}

/// A file with a secret that has to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// As it stands in the configuration, relative to it.
    pub file: String,
    /// What to write there.
    pub what: String,
}

/// A file that systemd is to read for the service, which may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCredential {
    /// What the service knows it by.
    pub name: String,
    /// Where it is.
    pub path: String,
}

/// Everything that is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// What has to be known before anything else: names that are demanded, paths, routes that are
    /// closed.
    pub first: Vec<String>,
    /// In the order in which the directives are read.
    pub notes: Vec<Note>,
    /// In the order of the configuration.
    pub needed: Vec<SecretFile>,
    /// For the service, what its unit does not name yet; `None` where the configuration is not for
    /// it.
    pub credentials: Option<Vec<ServiceCredential>>,
    /// Whether directives that are not needed are listed.
    pub is_verbose: bool,
    /// Whether there is a configuration.
    pub is_complete: bool,
}

impl ImportReport {
    /// The notes with this disposition.
    pub fn with(&self, disposition: Disposition) -> impl Iterator<Item = &Note> {
        self.notes
            .iter()
            .filter(move |note| note.disposition == disposition)
    }

    fn write_first(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first.is_empty() && self.needed.is_empty() {
            return Ok(());
        }
        writeln!(f, "To do first:")?;
        let reader = if self.credentials.is_some() {
            "root"
        } else {
            "this program"
        };
        for SecretFile { file, what } in &self.needed {
            writeln!(
                f,
                "  write {file}, beside the configuration, for {reader} alone: {what}"
            )?;
        }
        self.first
            .iter()
            .try_for_each(|line| writeln!(f, "  {line}"))
    }

    /// The notes with a disposition. What is said of several directives alike is said once.
    fn write_notes(
        &self,
        f: &mut fmt::Formatter<'_>,
        disposition: Disposition,
        heading: &str,
    ) -> fmt::Result {
        let mut said_before: HashSet<&str> = HashSet::new();
        for note in self.with(disposition) {
            if said_before.is_empty() {
                writeln!(f, "{heading}:")?;
            }
            let alike = self
                .with(disposition)
                .filter(|other| other.said == note.said)
                .count();
            match (said_before.insert(&note.said), alike) {
                (true, 2..) if !self.is_verbose => {
                    let Note {
                        place,
                        directive,
                        said,
                        ..
                    } = note;
                    let others = self
                        .with(disposition)
                        .filter(|other| other.said == note.said)
                        .skip(1);
                    let places: Vec<_> = others
                        .map(|other| other.place.to_string())
                        .take(MAX_PLACES)
                        .collect();
                    let and = if alike > MAX_PLACES + 1 { ", …" } else { "" };
                    writeln!(
                        f,
                        "  {place}: {directive}, {} more ({}{and}): {said}",
                        alike - 1,
                        places.join(", ")
                    )?;
                }
                (false, _) if !self.is_verbose => {}
                _ => writeln!(f, "  {note}")?,
            }
        }
        Ok(())
    }

    /// What stands in the new configuration; where that is much, only what says which requests get
    /// in and where to.
    fn write_carried(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let carried: Vec<_> = self.with(Disposition::Carried).collect();
        let is_short = self.is_verbose || carried.len() <= MAX_CARRIED;
        let shown: Vec<_> = carried
            .iter()
            .filter(|note| is_short || note.is_important())
            .take(MAX_CARRIED)
            .collect();
        let shown = if self.is_verbose {
            carried.iter().collect()
        } else {
            shown
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

    fn write_credentials(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = self.credentials.as_deref().unwrap_or_default();
        if credentials.is_empty() {
            return Ok(());
        }
        writeln!(f, "To write with systemctl edit netdata-webhook-proxy:")?;
        writeln!(f, "  [Service]")?;
        // A percent sign begins a specifier there.
        let path = |path: &str| plain(&path.replace('%', "%%"), MAX_SAID);
        credentials
            .iter()
            .try_for_each(|it| writeln!(f, "  LoadCredential={}:{}", it.name, path(&it.path)))
    }
}

impl Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            // Only the service has them.
            Some(_) => write!(f, "Then: systemctl restart netdata-webhook-proxy"),
            None => write!(f, "Then: netdata-webhook-proxy check --config FILE"),
        }
    }
}

/// The report in the making.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    first: RefCell<Vec<String>>,
    /// Each with the directive's number.
    notes: RefCell<Vec<(usize, Note)>>,
    said: RefCell<HashSet<(usize, Disposition, String)>>,
    mentioned: RefCell<HashSet<usize>>,
}

impl Ledger {
    /// Something that has to be known before anything else.
    pub(super) fn first(&self, said: impl Into<String>) {
        let said = plain(&said.into(), MAX_SAID);
        let mut first = self.first.borrow_mut();
        if !first.contains(&said) {
            first.push(said);
        }
    }

    /// What is true of several routes is said once.
    pub(super) fn note(
        &self,
        directive: &Directive,
        disposition: Disposition,
        said: impl Into<String>,
    ) {
        let said = plain(&said.into(), MAX_SAID);
        self.mentioned.borrow_mut().insert(directive.id);
        if self
            .said
            .borrow_mut()
            .insert((directive.id, disposition, said.clone()))
        {
            let note = Note {
                disposition,
                place: directive.place.clone(),
                directive: directive.shown(),
                said,
            };
            self.notes.borrow_mut().push((directive.id, note));
        }
    }

    pub(super) fn carried(&self, directive: &Directive, key: impl Into<String>) {
        self.note(directive, Disposition::Carried, key);
    }

    pub(super) fn not_needed(&self, directive: &Directive, why: impl Into<String>) {
        self.note(directive, Disposition::NotNeeded, why);
    }

    pub(super) fn not_carried(&self, directive: &Directive, remedy: impl Into<String>) {
        self.note(directive, Disposition::NotCarried, remedy);
    }

    pub(super) fn closed(&self, directive: &Directive, hole: impl Into<String>) {
        self.note(directive, Disposition::Closed, hole);
    }

    /// What stands in a block about which all has been said.
    pub(super) fn cover(&self, block: &Directive) {
        for directive in block.children() {
            self.mentioned.borrow_mut().insert(directive.id);
            self.cover(directive);
        }
    }

    /// Whether there is a word about it.
    pub(super) fn mentions(&self, directive: &Directive) -> bool {
        self.mentioned.borrow().contains(&directive.id)
    }

    /// The first that could not be carried over, and what is to be done about it.
    pub(super) fn obstacle(&self) -> Option<Note> {
        let notes = self.notes.borrow();
        notes
            .iter()
            .map(|(_, note)| note)
            .find(|note| note.disposition == Disposition::NotCarried)
            .cloned()
    }

    /// All of it: what comes first, and the notes in the order of the directives.
    pub(super) fn into_parts(self) -> (Vec<String>, Vec<Note>) {
        let mut notes = self.notes.into_inner();
        notes.sort_by_key(|(id, _)| *id);
        (
            self.first.into_inner(),
            notes.into_iter().map(|(_, note)| note).collect(),
        )
    }
}
