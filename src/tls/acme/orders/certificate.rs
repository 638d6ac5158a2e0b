//! The last steps: the key, the request, and the certificate, which is checked before it is kept.

use super::{AcmeEvent, Next, Orders, Trouble, generate};
use crate::sanitize::sanitize;
use crate::tls::acme::authority::{AcmeError, Authority};
use crate::tls::acme::issued::{self, Issued};
use crate::tls::acme::records::{self, History, OrderRecord};
use crate::tls::acme::schedule;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::io;
use std::time::Duration;
use tracing::info;

/// Certificates whose times are remembered.
const REMEMBERED: usize = 1000;

impl<A: Authority> Orders<A> {
    pub(super) async fn finalize(
        &mut self,
        order: &OrderRecord,
        now: i64,
    ) -> Result<Next, Trouble> {
        self.settle(order, now).await?;
        let name = self.names.next_key();
        let kept = self.store.get(&name).await?;
        let kept = kept.and_then(|pem| KeyPair::from_pem(std::str::from_utf8(&pem).ok()?).ok());
        let key = match kept {
            Some(key) => key,
            None => {
                let key = generate()?;
                self.store
                    .put(&name, key.serialize_pem().as_bytes())
                    .await?;
                key
            }
        };
        let mut params = CertificateParams::new(self.domain_names()).map_err(io::Error::other)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(io::Error::other)?;
        self.authority.finalize(&order.url, request.der()).await?;
        self.looks = 0;
        Ok(Next::After(Duration::from_millis(200)))
    }

    pub(super) async fn fetch(&mut self, order: &OrderRecord, now: i64) -> Result<Next, Trouble> {
        let chain = self.authority.fetch(&order.url).await?;
        let key = self
            .store
            .get(&self.names.next_key())
            .await?
            .unwrap_or_default();
        let file = issued::join(&key, &chain);
        let issued = Issued::read(&file).map_err(unusable)?;
        if let Some(fault) = issued.fault(&self.acme.domains, now) {
            return Err(unusable(fault).into());
        }
        let name = self.names.certificate();
        match self.store.get(&name).await? {
            Some(old) if old != file => {
                self.store.put(&self.names.previous(), &old).await?;
                self.store.put(&name, &file).await?;
            }
            Some(_) => {}
            None => self.store.put(&name, &file).await?,
        }
        self.succeed(order, &issued, now).await?;
        self.forget_order().await?;
        Ok(Next::After(Duration::ZERO))
    }

    async fn succeed(&mut self, order: &OrderRecord, issued: &Issued, now: i64) -> io::Result<()> {
        let mut history = self.history().await?;
        if history.last_order.as_ref() == Some(&order.url) {
            return Ok(());
        }
        schedule::forget_before(&mut history.issued, schedule::week_before(now));
        if history.issued.len() >= REMEMBERED {
            history.issued.remove(0);
        }
        history.issued.push(now);
        let history = History {
            failures: 0,
            retry_at: None,
            problem: None,
            last_success: Some(now),
            last_order: Some(order.url.clone()),
            profile: order.profile.clone(),
            ..history
        };
        records::write(&*self.store, &self.names.history(), &history).await?;
        (self.report)(AcmeEvent::Issued);
        info!(
            event = "acme_certificate_issued",
            serial = issued.serial,
            issuer = &*sanitize(&issued.issuer),
            not_after = issued.not_after,
            "certificate issued"
        );
        Ok(())
    }
}

fn unusable(fault: String) -> AcmeError {
    AcmeError::refused("unusable_certificate", fault)
}
