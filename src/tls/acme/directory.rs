//! What an authority says of itself, without an account.

use super::clock::ClockSkew;
use super::http::DeadlineClient;
use crate::config::Acme;
use http::Request;
use instant_acme::{BodyWrapper, HttpClient as _};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The directory of an authority (RFC 8555, section 7.1.1), as far as it is of use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    /// The names by which CAA records allow it.
    pub(crate) caa_identities: Vec<String>,
    pub(crate) profiles: Vec<String>,
    /// Accounts must exist elsewhere.
    pub(crate) needs_external_account: bool,
    pub(crate) clock_skew: Option<ClockSkew>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    /// What every directory has.
    #[serde(rename = "newOrder")]
    _new_order: String,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    caa_identities: Vec<String>,
    profiles: BTreeMap<String, String>,
    external_account_required: bool,
}

impl Directory {
    /// Reads the directory of `acme`.
    ///
    /// # Errors
    /// Says why it cannot be read.
    pub(crate) async fn read(acme: &Acme) -> Result<Self, String> {
        let client = DeadlineClient::new(&acme.directory_ca)?;
        let request = Request::get(&acme.directory)
            .body(BodyWrapper::default())
            .map_err(|error| error.to_string())?;
        let mut response = client
            .request(request)
            .await
            .map_err(|error| error.to_string())?;
        let body = response.body.into_bytes().await;
        let body = body.map_err(|error| error.to_string())?;
        let status = response.parts.status;
        let Ok(Response { meta, .. }) = serde_json::from_slice(&body) else {
            return Err(format!(
                "it answers {} with what is not a directory",
                status.as_u16()
            ));
        };
        Ok(Self {
            caa_identities: meta.caa_identities,
            profiles: meta.profiles.into_keys().collect(),
            needs_external_account: meta.external_account_required,
            clock_skew: client.last().clock_skew,
        })
    }
}
