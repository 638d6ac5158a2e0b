//! A validation that no authority asked for, by which the way to this server is tried.

use super::records::{self, ValidationRecord};
use super::store::Store;
use crate::config::Domain;
use std::sync::Arc;
use std::time::Duration;

/// The time for which it is answered at most: the process that publishes it may end before it has
/// removed it.
const ANSWERED: i64 = 30;

/// The time in which the running process has read it.
const PUBLISHED: Duration = Duration::from_millis(1200);

/// A pending validation with a digest that no other server knows.
pub(crate) struct Trial {
    store: Arc<dyn Store>,
    name: String,
    digest: [u8; 32],
}

/// What a certificate is to a validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrialAnswer {
    /// The answer of this server.
    Right,
    /// The answer to another validation, or of another server.
    OtherDigest,
    /// A certificate without an answer.
    Missing,
}

impl Trial {
    /// Publishes the answer, and waits until the running process has it.
    ///
    /// # Errors
    /// If it cannot be published, or an authority validates this name right now.
    pub(crate) async fn begin(
        store: Arc<dyn Store>,
        domain: &Domain,
        now: i64,
    ) -> Result<Self, String> {
        let name = records::validation(&domain.to_string());
        let pending = store.get(&name).await.map_err(|error| error.to_string())?;
        let pending: Option<ValidationRecord> =
            pending.and_then(|record| serde_json::from_slice(&record).ok());
        if pending.is_some_and(|record| record.until > now) {
            return Err("a validation has just been made: try again in a minute".into());
        }
        let trial = Self {
            store,
            name,
            digest: rand::random(),
        };
        let record = ValidationRecord {
            identifier: domain.to_string(),
            digest: hex::encode(trial.digest),
            order: String::new(),
            until: now + ANSWERED,
        };
        records::write(&*trial.store, &trial.name, &record)
            .await
            .map_err(|error| error.to_string())?;
        tokio::time::sleep(PUBLISHED).await;
        Ok(trial)
    }

    /// Returns what a certificate is to this validation.
    pub(crate) fn judge(&self, certificate: &[u8]) -> TrialAnswer {
        let parsed = x509_parser::parse_x509_certificate(certificate);
        let extensions = parsed.as_ref().map(|(_, it)| it.extensions());
        let mut extensions = extensions.unwrap_or_default().iter();
        let answer = extensions.find(|it| it.oid.to_id_string() == IDENTIFIER);
        match answer.map(|it| it.value == [&[4, 32][..], &self.digest].concat()) {
            Some(true) => TrialAnswer::Right,
            Some(false) => TrialAnswer::OtherDigest,
            None => TrialAnswer::Missing,
        }
    }

    /// Ends it.
    pub(crate) async fn end(self) {
        // Ignore the error: it ends by itself soon.
        let _ = self.store.remove(&self.name).await;
    }
}

/// The extension that holds the digest (RFC 8737, section 3).
const IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";
