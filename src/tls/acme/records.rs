//! What is kept in the store, and under which names.

use super::clock::ClockSkew;
use super::orders::Obstacles;
use super::store::Store;
use crate::auth::digest;
use crate::config::Acme;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use tracing::warn;

/// The account at an authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccountRecord {
    pub(super) url: String,
    pub(super) email: Option<String>,
}

/// The order that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderRecord {
    pub(super) url: String,
    pub(super) names: Vec<String>,
    pub(super) profile: Option<String>,
}

/// The answer to a validation, for every process that shares the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ValidationRecord {
    /// The name as the authority wrote it.
    pub(super) identifier: String,
    /// The digest in hexadecimal.
    pub(super) digest: String,
    /// The URL of the order.
    pub(super) order: String,
    /// The time after which it is no longer answered.
    pub(super) until: i64,
}

/// What was tried so far, by which limits are kept across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct History {
    /// The names that the rest is about.
    pub(super) names: Vec<String>,
    /// The failures since the last success.
    pub(super) failures: u32,
    /// The times of failures within the last week.
    pub(super) failed: Vec<i64>,
    pub(super) retry_at: Option<i64>,
    pub(super) problem: Option<ProblemRecord>,
    /// The times of certificates within the last week.
    pub(super) issued: Vec<i64>,
    pub(super) last_success: Option<i64>,
    /// The order of the last certificate.
    pub(super) last_order: Option<String>,
    /// The profile of the last certificate.
    pub(super) profile: Option<String>,
}

/// The reason of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProblemRecord {
    /// A word: the authority's, or one of ours.
    pub(crate) code: String,
    /// The authority's words.
    pub(crate) detail: String,
}

/// When the certificate is renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RenewalRecord {
    /// The certificate that this is about.
    pub(super) certificate: String,
    pub(super) at: i64,
    /// The time at which the authority is asked again.
    pub(super) ask_at: i64,
    /// The window that the authority suggested.
    pub(super) window: Option<(i64, i64)>,
    pub(super) explanation: Option<String>,
    /// The failures of the authority to say, in a row.
    pub(super) failures: u32,
}

/// The state of certificates by ACME, for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AcmeStatus {
    pub(crate) names: String,
    pub(crate) failures: u32,
    pub(crate) problem: Option<ProblemRecord>,
    pub(crate) retry_at: Option<i64>,
    pub(crate) renewal_at: Option<i64>,
    pub(crate) last_success: Option<i64>,
    /// The page on which the authority explains an early renewal.
    pub(crate) explanation: Option<String>,
    /// Why the store is of no use.
    pub(crate) store_fault: Option<String>,
    pub(crate) clock_skew: Option<ClockSkew>,
    /// `true` if the store does not outlive the container.
    pub(crate) is_transient: bool,
}

impl AcmeStatus {
    /// Adds what this process, as the one that orders, has met.
    pub(crate) fn with(self, obstacles: Obstacles) -> Self {
        Self {
            store_fault: self.store_fault.or(obstacles.store_fault),
            clock_skew: obstacles.clock_skew,
            ..self
        }
    }
}

/// Returns the URL of the account, if the store has one that can be read.
pub(crate) async fn account_url(store: &dyn Store, acme: &Acme) -> Option<String> {
    let account = store.get(&Names::of(acme).account()).await.ok()??;
    let account: AccountRecord = serde_json::from_slice(&account).ok()?;
    Some(account.url)
}

/// The names of what is kept for one certificate.
#[derive(Clone, Debug)]
pub(super) struct Names {
    authority: String,
    certificate: String,
}

impl Names {
    pub(super) fn of(acme: &Acme) -> Self {
        let authority = part_of_url(&acme.directory);
        let first = acme.domains.first().map(ToString::to_string);
        let certificate = format!("{authority}/{}", first.unwrap_or_default());
        Self {
            authority,
            certificate,
        }
    }

    pub(super) fn account_key(&self) -> String {
        format!("{}/account.key", self.authority)
    }

    pub(super) fn account(&self) -> String {
        format!("{}/account.json", self.authority)
    }

    pub(super) fn account_lock(&self) -> String {
        format!("{}/account.lock", self.authority)
    }

    pub(super) fn lock(&self) -> String {
        format!("{}/lock", self.certificate)
    }

    pub(super) fn certificate(&self) -> String {
        format!("{}/certificate.pem", self.certificate)
    }

    pub(super) fn previous(&self) -> String {
        format!("{}/previous.pem", self.certificate)
    }

    pub(super) fn order(&self) -> String {
        format!("{}/order.json", self.certificate)
    }

    pub(super) fn next_key(&self) -> String {
        format!("{}/next.key", self.certificate)
    }

    pub(super) fn history(&self) -> String {
        format!("{}/history.json", self.certificate)
    }

    pub(super) fn renewal(&self) -> String {
        format!("{}/renewal.json", self.certificate)
    }
}

/// Returns the name of the answer to the validation of a configured name.
pub(super) fn validation(domain: &str) -> String {
    format!("validations/{domain}.json")
}

/// Returns the name of a folder for an authority: legible, and different for different URLs.
fn part_of_url(url: &str) -> String {
    let plain = url.trim_start_matches("https://").trim_start_matches('.');
    let mut part: String = plain
        .chars()
        .take(64)
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '.' {
                c
            } else {
                '_'
            }
        })
        .collect();
    part.push('-');
    part.push_str(&digest::sha256_hex(url.as_bytes())[..8]);
    part
}

/// Reads a record. One that cannot be read is put aside, and is as good as none.
pub(super) async fn read<T: DeserializeOwned>(
    store: &dyn Store,
    name: &str,
) -> io::Result<Option<T>> {
    let Some(bytes) = store.get(name).await? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => {
            put_aside(store, name, &bytes, &error.to_string()).await?;
            Ok(None)
        }
    }
}

/// Keeps what cannot be used under another name.
pub(super) async fn put_aside(
    store: &dyn Store,
    name: &str,
    bytes: &[u8],
    error: &str,
) -> io::Result<()> {
    warn!(
        event = "acme_state_unreadable",
        name, error, "a file of the ACME state cannot be read: put aside"
    );
    store.put(&format!("{name}.unreadable"), bytes).await?;
    store.remove(name).await
}

/// Writes a record.
pub(super) async fn write<T: Serialize>(
    store: &dyn Store,
    name: &str,
    record: &T,
) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
    store.put(name, &bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::acme::Folder;

    #[test]
    fn each_authority_has_a_folder_of_its_own() {
        let part = part_of_url("https://acme-v02.api.letsencrypt.org/directory");
        assert!(
            part.starts_with("acme-v02.api.letsencrypt.org_directory-"),
            "{part}"
        );
        assert_ne!(part_of_url("https://a/b"), part_of_url("https://a_b"));
        assert!(!part_of_url("https://../..").contains('/'));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_put_aside() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::open(state.path()).unwrap();
        folder
            .put("a/history.json", b"{\"failures\": ")
            .await
            .unwrap();
        assert_eq!(
            read::<History>(&folder, "a/history.json").await.unwrap(),
            None
        );
        assert_eq!(folder.get("a/history.json").await.unwrap(), None);
        assert!(
            folder
                .get("a/history.json.unreadable")
                .await
                .unwrap()
                .is_some()
        );
        let history = History {
            failures: 3,
            ..History::default()
        };
        write(&folder, "a/history.json", &history).await.unwrap();
        assert_eq!(
            read(&folder, "a/history.json").await.unwrap(),
            Some(history)
        );
    }
}
