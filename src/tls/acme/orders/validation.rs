//! The answers to validations: published before the authority is asked to look, and for a while after
//! it has.

use super::{Next, Orders, Trouble, refused};
use crate::config::Domain;
use crate::sanitize::sanitize;
use crate::tls::acme::authority::{AcmeError, Authority, OrderView, ValidationView};
use crate::tls::acme::records::{self, OrderRecord, ValidationRecord};
use std::io;
use std::time::Duration;

/// The time in which every process that shares the store has read a new answer.
const PUBLISHED: Duration = Duration::from_millis(1100);

/// The time for which a validation is answered after the authority has decided.
const ANSWERED_LONGER: i64 = 60;

/// The time for which a validation is answered at most.
const ANSWERED_AT_MOST: i64 = 60 * 60;

impl<A: Authority> Orders<A> {
    /// Publishes the answers, and asks for the validations once every process has them.
    pub(super) async fn answer(
        &mut self,
        order: &OrderRecord,
        view: OrderView,
        now: i64,
    ) -> Result<Next, Trouble> {
        if view.error.is_some() {
            return Err(refused(view).into());
        }
        if self.validating.as_ref() == Some(&order.url) || view.validations.is_empty() {
            return Ok(self.look_again(&view));
        }
        for validation in &view.validations {
            self.publish(order, validation, now).await?;
        }
        if self.published.as_ref() != Some(&order.url) {
            self.published = Some(order.url.clone());
            return Ok(Next::After(PUBLISHED));
        }
        self.authority.validate(&order.url).await?;
        self.validating = Some(order.url.clone());
        self.looks = 0;
        Ok(self.look_again(&view))
    }

    pub(super) async fn publish(
        &self,
        order: &OrderRecord,
        validation: &ValidationView,
        now: i64,
    ) -> Result<(), Trouble> {
        // What the authority returns becomes the name of a file only if it is configured.
        let named = Domain::parse(&validation.identifier).ok();
        let Some(domain) = named.filter(|domain| self.acme.domains.contains(domain)) else {
            let detail = format!(
                "the authority asks about another name: {}",
                sanitize(&validation.identifier)
            );
            return Err(AcmeError::refused("unknown_identifier", detail).into());
        };
        let Some(digest) = &validation.digest else {
            let detail = format!("the authority does not validate {domain} by TLS-ALPN-01");
            return Err(AcmeError::refused("no_tls_alpn_01", detail).into());
        };
        let record = ValidationRecord {
            identifier: validation.identifier.clone(),
            digest: hex::encode(digest),
            order: order.url.clone(),
            until: now + ANSWERED_AT_MOST,
        };
        records::write(
            &*self.store,
            &records::validation(&domain.to_string()),
            &record,
        )
        .await?;
        Ok(())
    }

    /// Removes answers that are over.
    pub(super) async fn sweep(&self, now: i64) -> io::Result<()> {
        for (name, record) in self.validations().await? {
            if record.until <= now {
                self.store.remove(&name).await?;
            }
        }
        Ok(())
    }

    /// Answers for a minute more: some validators are slower than the result.
    pub(super) async fn settle(&self, order: &OrderRecord, now: i64) -> io::Result<()> {
        for (name, mut record) in self.validations().await? {
            let until = now + ANSWERED_LONGER;
            if record.order == order.url && record.until > until {
                record.until = until;
                records::write(&*self.store, &name, &record).await?;
            }
        }
        Ok(())
    }

    /// Returns the answers of this certificate.
    async fn validations(&self) -> io::Result<Vec<(String, ValidationRecord)>> {
        let mut validations = Vec::new();
        for domain in self.domain_names() {
            let name = records::validation(&domain);
            if let Some(record) = records::read(&*self.store, &name).await? {
                validations.push((name, record));
            }
        }
        Ok(validations)
    }
}
