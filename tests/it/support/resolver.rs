//! The system's resolver, for names that end with `.test`.

use super::{Origin, preloadable};
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

/// What a process with [`Resolver::variables`] is answered with.
pub(crate) struct Resolver {
    directory: tempfile::TempDir,
}

impl Resolver {
    /// One that answers with the address of `origin`; none where a program cannot be made to ask
    /// it.
    pub(crate) fn answering(origin: &Origin) -> Option<Self> {
        let resolver = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        preloadable(resolver.directory.path(), include_str!("resolver.c"))?;
        resolver.answers(origin);
        Some(resolver)
    }

    /// For the environment of the program.
    pub(crate) fn variables(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", self.path("shim.so")),
            ("RESOLVER", self.directory.path().to_owned()),
        ]
    }

    /// From now on, names lead to `origin`.
    pub(crate) fn answers(&self, origin: &Origin) {
        self.leads_to(&[origin.address().ip()]);
    }

    /// From now on, names lead to these addresses.
    pub(crate) fn leads_to(&self, addresses: &[IpAddr]) {
        let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
        self.say(&addresses.join(" "));
    }

    /// Does not answer from now on.
    pub(crate) fn falls_silent(&self) {
        self.say("silent");
    }

    /// Fails from now on.
    pub(crate) fn fails(&self) {
        self.say("none");
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.count("asked")
    }

    /// How many wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        // In this order, so that what begins meanwhile is not missed.
        let answered = self.count("answered");
        self.asked() - answered
    }

    fn say(&self, answer: &str) {
        // As a whole.
        fs::write(self.path("next"), answer).unwrap();
        fs::rename(self.path("next"), self.path("answer")).unwrap();
    }

    fn count(&self, name: &str) -> usize {
        fs::read(self.path(name)).map_or(0, |dots| dots.len())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
