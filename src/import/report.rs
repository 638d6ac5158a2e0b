//! What became of each directive, for the operator.

use super::directive::Directive;
use super::place::Place;
use crate::plain::plain;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Display};

/// Characters that are said about a directive.
const MAX_SAID: usize = 800;

/// What became of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It stands in the new configuration.
    Carried,
    /// It would have no effect, or is always so.
    NotNeeded,
    /// Somebody has to do something about it, or live without it.
    NotCarried,
    /// It let more in than was meant, and does so no longer.
    Closed,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Carried, Self::NotNeeded, Self::NotCarried, Self::Closed];

    fn heading(self) -> &'static str {
        match self {
            Self::Carried => "Carried over",
            Self::NotNeeded => "Not needed",
            Self::NotCarried => "Not carried over",
            Self::Closed => "Holes that are closed now",
        }
    }
}

/// A line about a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What became of it.
    pub verdict: Verdict,
    /// Where it stands.
    pub place: Place,
    /// The directive, without secrets.
    pub directive: String,
    /// Where it went; or why it is not needed; or what to do.
    pub said: String,
}

/// A file with a secret that somebody has to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// As it stands in the configuration, relative to it.
    pub file: String,
    /// What to write there.
    pub what: String,
}

/// A file that systemd is to read for the service, which may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What the service knows it by.
    pub name: String,
    /// Where it is.
    pub path: String,
}

/// Everything that is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which the directives are read.
    pub notes: Vec<Note>,
    /// In the order of the configuration.
    pub needed: Vec<Needed>,
    /// For the service, what its unit does not name yet; `None` where the configuration is not for it.
    pub credentials: Option<Vec<Credential>>,
}

impl Report {
    /// The notes with this verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(move |note| note.verdict == verdict)
    }

    fn write_needed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.needed.is_empty() {
            return Ok(());
        }
        let whose = if self.credentials.is_some() { "root" } else { "this program" };
        writeln!(f, "Secrets to write, into files next to the configuration that only {whose} may read:")?;
        self.needed.iter().try_for_each(|Needed { file, what }| writeln!(f, "  {file}: {what}"))?;
        writeln!(f)
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
        credentials.iter().try_for_each(|it| writeln!(f, "  LoadCredential={}:{}", it.name, path(&it.path)))?;
        writeln!(f)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in Verdict::ALL {
            if self.with(verdict).next().is_none() {
                continue;
            }
            writeln!(f, "{}:", verdict.heading())?;
            let separator = if verdict == Verdict::Carried { " →" } else { ":" };
            for Note { place, directive, said, .. } in self.with(verdict) {
                writeln!(f, "  {place}: {directive}{separator} {said}")?;
            }
            writeln!(f)?;
        }
        self.write_needed(f)?;
        self.write_credentials(f)?;
        match self.credentials {
            // Only the service has them.
            Some(_) => write!(f, "Then: systemctl restart netdata-webhook-proxy"),
            None => write!(f, "Then: netdata-webhook-proxy check --config FILE"),
        }
    }
}

/// The report in the making.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Each with the directive's number.
    notes: RefCell<Vec<(usize, Note)>>,
    said: RefCell<HashSet<(usize, Verdict, String)>>,
    mentioned: RefCell<HashSet<usize>>,
}

impl Ledger {
    /// What is true of several routes is said once.
    pub(super) fn note(&self, directive: &Directive, verdict: Verdict, said: impl Into<String>) {
        let said = plain(&said.into(), MAX_SAID);
        self.mentioned.borrow_mut().insert(directive.id);
        if self.said.borrow_mut().insert((directive.id, verdict, said.clone())) {
            let note = Note { verdict, place: directive.place.clone(), directive: directive.shown(), said };
            self.notes.borrow_mut().push((directive.id, note));
        }
    }

    pub(super) fn carried(&self, directive: &Directive, key: impl Into<String>) {
        self.note(directive, Verdict::Carried, key);
    }

    pub(super) fn not_needed(&self, directive: &Directive, why: impl Into<String>) {
        self.note(directive, Verdict::NotNeeded, why);
    }

    pub(super) fn not_carried(&self, directive: &Directive, remedy: impl Into<String>) {
        self.note(directive, Verdict::NotCarried, remedy);
    }

    pub(super) fn closed(&self, directive: &Directive, hole: impl Into<String>) {
        self.note(directive, Verdict::Closed, hole);
    }

    /// What stands in a block about which all has been said; not locations, which are looked at for themselves.
    pub(super) fn cover(&self, block: &Directive) {
        for directive in block.children().iter().filter(|it| it.name != "location" || block.name == "server") {
            self.mentioned.borrow_mut().insert(directive.id);
            self.cover(directive);
        }
    }

    /// Whether there is a word about it.
    pub(super) fn mentions(&self, directive: &Directive) -> bool {
        self.mentioned.borrow().contains(&directive.id)
    }

    /// What is to be done about it, where it was not carried over.
    pub(super) fn remedy(&self, directive: &Directive) -> Option<String> {
        let notes = self.notes.borrow();
        let is_it = |(id, note): &&(usize, Note)| *id == directive.id && note.verdict == Verdict::NotCarried;
        notes.iter().find(is_it).map(|(_, note)| note.said.clone())
    }

    /// All of it, in the order of the directives.
    pub(super) fn into_notes(self) -> Vec<Note> {
        let mut notes = self.notes.into_inner();
        notes.sort_by_key(|(id, _)| *id);
        notes.into_iter().map(|(_, note)| note).collect()
    }
}
