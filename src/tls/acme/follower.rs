//! Presents what the store holds, whichever process put it there: the certificate, and the answers
//! to pending validations.

use super::answer::{Answer, Answers};
use super::issued::Issued;
use super::records::{self, AcmeStatus, History, Names, RenewalRecord, ValidationRecord};
use super::store::Store;
use crate::config::Acme;
use crate::sanitize::sanitize;
use crate::tls::PresentedCertificate;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tracing::{info, warn};

/// What follows the store.
pub(crate) struct Follower {
    acme: Arc<Acme>,
    names: Names,
    store: Arc<dyn Store>,
    presented: PresentedCertificate,
    answers: Answers,
    /// The file of the certificate, as it was read last.
    seen: Option<Vec<u8>>,
    store_fault: Option<String>,
}

impl Follower {
    pub(crate) fn new(
        acme: Arc<Acme>,
        store: Arc<dyn Store>,
        presented: PresentedCertificate,
        answers: Answers,
    ) -> Self {
        Self {
            names: Names::of(&acme),
            acme,
            store,
            presented,
            answers,
            seen: None,
            store_fault: None,
        }
    }

    /// Reads the store. Returns the certificate if it is another one than before.
    ///
    /// What was presented before is presented further if the store fails.
    pub(crate) async fn look(&mut self, now: i64) -> Option<Installed> {
        match self.read(now).await {
            Ok(installed) => {
                self.store_fault = None;
                installed
            }
            Err(error) => {
                let fault = error.to_string();
                if self.store_fault.as_ref() != Some(&fault) {
                    warn!(
                        event = "acme_state_failed",
                        error = fault,
                        "the ACME state cannot be read"
                    );
                }
                self.store_fault = Some(fault);
                None
            }
        }
    }

    async fn read(&mut self, now: i64) -> io::Result<Option<Installed>> {
        let mut values = self.values().await?;
        let file = values.pop().flatten();
        self.answer(values, now);
        if file == self.seen {
            return Ok(None);
        }
        let installed = match file.as_deref().map(Issued::read) {
            Some(Ok(issued)) => Some(issued),
            Some(Err(error)) => {
                warn!(
                    event = "acme_state_unreadable",
                    name = self.names.certificate(),
                    error,
                    "the certificate cannot be used"
                );
                self.previous().await?
            }
            None => self.previous().await?,
        };
        self.seen = file;
        Ok(installed.map(|issued| self.install(issued)))
    }

    fn install(&self, issued: Issued) -> Installed {
        let presented = self.presented.get();
        let is_new = presented.is_none_or(|presented| presented.cert != issued.certified.cert);
        if is_new {
            self.presented.replace(Some(issued.certified.clone()));
        }
        Installed { issued, is_new }
    }

    /// Returns the certificate before the present one, if none is presented yet.
    async fn previous(&self) -> io::Result<Option<Issued>> {
        if self.presented.get().is_some() {
            return Ok(None);
        }
        let file = self.store.get(&self.names.previous()).await?;
        Ok(file.and_then(|file| Issued::read(&file).ok()))
    }

    /// Returns the record of the validation of each name, and the certificate. Only names that are
    /// configured count, whatever else may be in the store.
    async fn values(&self) -> io::Result<Vec<Option<Vec<u8>>>> {
        let domains = self.acme.domains.iter();
        let validations = domains.map(|domain| records::validation(&domain.to_string()));
        let names: Vec<_> = validations.chain([self.names.certificate()]).collect();
        self.store.get_all(&names).await
    }

    /// Answers the validations that are pending, of which these are the records.
    fn answer(&self, records: Vec<Option<Vec<u8>>>, now: i64) {
        let mut answers = HashMap::new();
        let mut has_changed = false;
        for (domain, record) in self.acme.domains.iter().zip(records) {
            let record: Option<ValidationRecord> = parse(record);
            let Some(record) = record.filter(|record| record.until > now) else {
                continue;
            };
            let server_name = domain.server_name();
            let digest = hex::decode(&record.digest).unwrap_or_default();
            let known = self.answers.get(&server_name);
            let answer = match known.filter(|known| known.digest == digest) {
                Some(known) => known,
                None => match Answer::new(domain, &record.identifier, &digest) {
                    Ok(answer) => {
                        has_changed = true;
                        Arc::new(answer)
                    }
                    Err(error) => {
                        warn!(
                            event = "acme_validation_unanswerable",
                            error, "a validation cannot be answered"
                        );
                        continue;
                    }
                },
            };
            answers.insert(server_name, answer);
        }
        if has_changed || answers.len() != self.answers.count() {
            self.answers.replace(answers);
        }
    }

    /// Returns the state for the operator.
    pub(crate) async fn status(&self, is_transient: bool) -> AcmeStatus {
        let names = [self.names.renewal(), self.names.history()];
        let mut values = self.store.get_all(&names).await.unwrap_or_default();
        let history: Option<History> = parse(values.pop().flatten());
        let renewal: Option<RenewalRecord> = parse(values.pop().flatten());
        let history = history.unwrap_or_default();
        AcmeStatus {
            names: self.acme.names(),
            failures: history.failures,
            problem: history.problem,
            retry_at: history.retry_at,
            renewal_at: renewal.as_ref().map(|renewal| renewal.at),
            last_success: history.last_success,
            explanation: renewal.and_then(|renewal| renewal.explanation),
            store_fault: self.store_fault.clone(),
            is_transient,
            clock_skew: None,
        }
    }
}

/// Parses a record; one that is being repaired by the process that orders is none.
fn parse<T: DeserializeOwned>(bytes: Option<Vec<u8>>) -> Option<T> {
    serde_json::from_slice(&bytes?).ok()
}

/// A certificate that is presented from now on.
pub(crate) struct Installed {
    pub(crate) issued: Issued,
    is_new: bool,
}

impl Installed {
    /// Logs the certificate, unless it was presented before. To be called when everything else shows
    /// it.
    pub(crate) fn log(&self) {
        if self.is_new {
            info!(
                event = "acme_certificate_installed",
                serial = self.issued.serial,
                issuer = &*sanitize(&self.issued.issuer),
                not_after = self.issued.not_after,
                "certificate in use"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AcmeState, Domain};
    use crate::tls::acme::Folder;

    const NOW: i64 = 1_800_000_000;

    #[tokio::test]
    async fn what_is_pending_for_a_configured_name_is_answered_and_nothing_else() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::open(state.path()).unwrap();
        for (name, until) in [
            ("hooks.example", NOW + 1),
            ("over.example", NOW),
            ("foreign.example", NOW + 1),
        ] {
            let record = ValidationRecord {
                identifier: name.into(),
                digest: "07".repeat(32),
                order: "https://ca/order/0".into(),
                until,
            };
            records::write(&folder, &records::validation(name), &record)
                .await
                .unwrap();
        }
        let domains = ["hooks.example", "over.example", "none.example"];
        let acme = Acme {
            domains: domains.map(|name| Domain::parse(name).unwrap()).into(),
            email: None,
            directory: "https://ca/directory".into(),
            directory_ca: Vec::new(),
            profile: None,
            eab: None,
            state: AcmeState::Folder(state.path().to_owned()),
        };
        let answers = Answers::default();
        let mut follower = Follower::new(
            Arc::new(acme),
            Arc::new(folder),
            PresentedCertificate::default(),
            answers.clone(),
        );
        assert!(follower.look(NOW).await.is_none());
        assert_eq!(answers.count(), 1);
        assert!(answers.get("hooks.example").is_some());
        follower.look(NOW + 1).await;
        assert!(!answers.are_pending());
    }
}
