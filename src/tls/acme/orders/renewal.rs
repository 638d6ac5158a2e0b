//! When the next certificate is due: by its age, and by what the authority suggests (RFC 9773).

use super::{Orders, Trouble};
use crate::sanitize::sanitize;
use crate::tls::acme::authority::{AcmeError, Authority, ErrorKind};
use crate::tls::acme::issued::Issued;
use crate::tls::acme::records::{self, History, RenewalRecord};
use crate::tls::acme::schedule;
use tracing::info;

impl<A: Authority> Orders<A> {
    /// Returns when a certificate is to be ordered.
    pub(super) async fn due(
        &mut self,
        current: Option<&Issued>,
        history: &History,
        now: i64,
    ) -> Result<i64, Trouble> {
        let is_wanted = |current: &&Issued| {
            current.is_for(&self.acme.domains) && history.profile == self.acme.profile
        };
        let Some(current) = current.filter(is_wanted) else {
            return Ok(now);
        };
        let renewal = self.renewal(current, now).await?;
        let allowed = current.lifetime.next_allowed(&history.issued);
        let at = renewal.at.max(allowed);
        Ok(if at > now {
            at.min(renewal.ask_at.max(now + 1))
        } else {
            at
        })
    }

    /// Returns when the certificate is renewed, after asking the authority if it is time for that.
    async fn renewal(&mut self, current: &Issued, now: i64) -> Result<RenewalRecord, Trouble> {
        let known: Option<RenewalRecord> =
            records::read(&*self.store, &self.names.renewal()).await?;
        // What was said about the certificate before this one would renew it again and again.
        let known = known.filter(|known| known.certificate == current.serial);
        if let Some(known) = known.clone().filter(|known| known.ask_at > now) {
            return Ok(known);
        }
        let renewal = self.ask(current, known.as_ref(), now).await;
        let moved = known.is_some_and(|known| known.window != renewal.window);
        if moved {
            let explanation = renewal.explanation.as_deref().map(sanitize);
            info!(
                event = "acme_renewal_moved",
                renewal_at = renewal.at,
                explanation = explanation.as_deref(),
                "the authority moved the renewal of the certificate"
            );
        }
        records::write(&*self.store, &self.names.renewal(), &renewal).await?;
        Ok(renewal)
    }

    async fn ask(
        &mut self,
        current: &Issued,
        known: Option<&RenewalRecord>,
        now: i64,
    ) -> RenewalRecord {
        let share = (self.random)();
        let mut renewal = known.cloned().unwrap_or_else(|| RenewalRecord {
            certificate: current.serial.clone(),
            at: current.lifetime.renewal(share),
            ask_at: 0,
            window: None,
            explanation: None,
            failures: 0,
        });
        let window = match (&current.identifier, self.sign_in().await) {
            (Some(identifier), Ok(())) => self.authority.renewal_window(identifier).await,
            (None, _) => Err(AcmeError::refused("unsupported", "")),
            (_, Err(Trouble::Authority(error))) => Err(error),
            (_, Err(Trouble::Store(error))) => {
                Err(AcmeError::new(ErrorKind::Away, "store", error.to_string()))
            }
        };
        match window {
            Ok(window) => {
                let retry_after = i64::try_from(window.retry_after.as_secs()).unwrap_or(i64::MAX);
                renewal.ask_at = schedule::ask_again(now, retry_after);
                renewal.failures = 0;
                renewal.explanation = window.explanation;
                let suggested = Some((window.start, window.end));
                // One time is chosen for each window, and kept.
                if renewal.window != suggested
                    && let Some(at) =
                        current
                            .lifetime
                            .renewal_within(window.start, window.end, now, share)
                {
                    (renewal.window, renewal.at) = (suggested, at);
                }
            }
            Err(error) if error.kind == ErrorKind::Away && error.code != "unexpected_response" => {
                renewal.failures += 1;
                renewal.ask_at = schedule::ask_after_failures(now, renewal.failures);
            }
            Err(_) => renewal.ask_at = now + schedule::ASK_LATER,
        }
        renewal
    }
}
