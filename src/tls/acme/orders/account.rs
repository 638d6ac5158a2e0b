//! The account at the authority: one for each key, however often it is asked for.

use super::{Orders, Trouble, generate};
use crate::sanitize::sanitize;
use crate::tls::acme::authority::{AcmeError, Authority, ErrorKind, Registration};
use crate::tls::acme::records::{self, AccountRecord};
use rcgen::KeyPair;
use std::io;
use tracing::info;

impl<A: Authority> Orders<A> {
    /// Uses the account, and creates it if there is none.
    pub(super) async fn sign_in(&mut self) -> Result<(), Trouble> {
        let account: Option<AccountRecord> =
            records::read(&*self.store, &self.names.account()).await?;
        let key = self.account_key().await?;
        match (account, key) {
            (Some(account), Some(key)) => {
                self.authority
                    .sign_in(&account.url, &key.serialize_der())
                    .await?;
                if account.email != self.acme.email {
                    self.authority
                        .change_contact(self.acme.email.as_deref())
                        .await?;
                    let email = self.acme.email.clone();
                    let account = AccountRecord { email, ..account };
                    records::write(&*self.store, &self.names.account(), &account).await?;
                }
                Ok(())
            }
            (_, key) => self.register(key).await,
        }
    }

    async fn account_key(&self) -> io::Result<Option<KeyPair>> {
        let name = self.names.account_key();
        let Some(pem) = self.store.get(&name).await? else {
            return Ok(None);
        };
        let key = std::str::from_utf8(&pem)
            .ok()
            .and_then(|pem| KeyPair::from_pem(pem).ok());
        if key.is_none() {
            records::put_aside(&*self.store, &name, &pem, "it is not a private key").await?;
        }
        Ok(key)
    }

    async fn register(&mut self, key: Option<KeyPair>) -> Result<(), Trouble> {
        // Other certificates of the same authority share the account.
        let Some(_lock) = self.store.lock(&self.names.account_lock()).await? else {
            return Err(AcmeError::new(
                ErrorKind::Again,
                "account_locked",
                "another process creates the account",
            )
            .into());
        };
        let key = match key {
            Some(key) => key,
            None => {
                let key = generate()?;
                self.store
                    .put(&self.names.account_key(), key.serialize_pem().as_bytes())
                    .await?;
                key
            }
        };
        let der = key.serialize_der();
        let request = Registration {
            key: &der,
            email: self.acme.email.as_deref(),
            eab: self.acme.eab.as_ref(),
        };
        let registered = self.authority.register(request).await?;
        if let Some(key) = &registered.key {
            let key = KeyPair::try_from(key.as_slice()).map_err(io::Error::other)?;
            self.store
                .put(&self.names.account_key(), key.serialize_pem().as_bytes())
                .await?;
        }
        let account = AccountRecord {
            url: registered.url,
            email: self.acme.email.clone(),
        };
        records::write(&*self.store, &self.names.account(), &account).await?;
        info!(
            event = "acme_account_created",
            url = &*sanitize(&account.url),
            "account at the authority created, or found again"
        );
        Ok(())
    }
}
