//! The certificate chain of a connection's client, and its last evaluation.

use super::Trust;
use super::trust::Verdict;
use crate::auth::Presented;
use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::protocols::Digest;
use pingora::protocols::tls::TlsRef;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

/// A chain as the client presented it, leaf first.
pub(crate) struct PresentedChain {
    chain: Vec<CertificateDer<'static>>,
    /// The last verdict. Keeping those of bad chains, too, bounds the work that a refused client
    /// causes with repeated requests.
    verdict: Mutex<Option<Verdict>>,
}

impl PresentedChain {
    pub(crate) fn new(chain: &[CertificateDer<'static>]) -> Self {
        Self {
            chain: chain.to_vec(),
            verdict: Mutex::default(),
        }
    }

    /// Returns the chain that [`KeepChain`] has kept with a connection of Pingora's.
    pub(crate) fn of(digest: Option<&Digest>) -> Option<&Self> {
        digest?.ssl_digest.as_ref()?.extension.get()
    }

    /// Evaluates the chain against `trust`.
    pub(crate) fn judge(&self, trust: &Trust) -> Presented {
        self.judge_at(trust, UnixTime::now())
    }

    fn judge_at(&self, trust: &Trust, now: UnixTime) -> Presented {
        // Locked during the evaluation, so that the requests of an HTTP/2 connection wait for one
        // verdict.
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        match &*verdict {
            Some(verdict) if verdict.holds(trust, now) => verdict.presented.clone(),
            _ => verdict
                .insert(trust.verdict(&self.chain, now))
                .presented
                .clone(),
        }
    }

    /// Returns the last verdict if it still holds, without evaluating the chain.
    pub(crate) fn judged(&self, trust: &Trust) -> Option<Presented> {
        let now = UnixTime::now();
        let verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        match &*verdict {
            Some(verdict) if verdict.holds(trust, now) => Some(verdict.presented.clone()),
            _ => trust.recall(&self.chain, now),
        }
    }
}

/// Keeps the client's chain with its connection, after full and resumed handshakes alike.
pub(super) struct KeepChain;

#[async_trait]
impl TlsAccept for KeepChain {
    async fn handshake_complete_callback(
        &self,
        tls: &TlsRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        let chain = tls.peer_cert_chain_der()?;
        Some(Arc::new(PresentedChain::new(chain)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClientTrust, CrlCoverage, Verify};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use std::time::Duration;
    use time::OffsetDateTime;

    /// An authority, and a chain of it with an intermediate, which is valid for these seconds since
    /// 1970.
    fn scene(validity: std::ops::Range<i64>) -> (Trust, Vec<CertificateDer<'static>>) {
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root =
            CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
        let mut params = authority("intermediate");
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        (params.not_before, params.not_after) = (at(validity.start), at(validity.end));
        let intermediate =
            CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
        let leaf = CertificateParams::default()
            .signed_by(&KeyPair::generate().unwrap(), &intermediate)
            .unwrap();
        (
            trust(root.der().clone()),
            vec![leaf.der().clone(), intermediate.der().clone()],
        )
    }

    fn trust(authority: CertificateDer<'static>) -> Trust {
        let trust = Trust::new(&ClientTrust {
            verify: Verify::Request,
            authorities: vec![authority],
            revocation_lists: Vec::new(),
            crl_coverage: CrlCoverage::All,
            common_names: Vec::new(),
        });
        trust.unwrap()
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    const BEGIN: u64 = 1_000_000_000;
    const END: u64 = 1_000_000_100;

    #[test]
    fn a_verdict_holds_for_as_long_as_it_would_be_the_same() {
        let (trust, chain) = scene(BEGIN as i64..END as i64);
        let connection = PresentedChain::new(&chain);
        // In this order: the clock may be set back, too.
        for (seconds, is_trusted, path_building) in [
            (BEGIN - 50, false, 1),
            (BEGIN - 1, false, 1),
            (BEGIN, true, 2),
            (END, true, 2),
            (END + 1, false, 3),
            (END + 9, false, 3),
            (END, true, 3),
            (BEGIN - 1, false, 4),
        ] {
            let presented = connection.judge_at(&trust, at(seconds));
            assert_eq!(
                presented.check_trusted().is_ok(),
                is_trusted,
                "{seconds}: {presented:?}"
            );
            assert_eq!(trust.paths_built(), path_building, "{seconds}");
        }
    }

    #[test]
    fn another_trust_is_asked_again() {
        let (trust, chain) = scene(0..i64::from(i32::MAX));
        let (other, _) = scene(0..i64::from(i32::MAX));
        let connection = PresentedChain::new(&chain);
        for _ in 0..3 {
            assert!(connection.judge_at(&trust, at(END)).check_trusted().is_ok());
            assert!(
                connection
                    .judge_at(&other, at(END))
                    .check_trusted()
                    .is_err()
            );
        }
        // The good chain is remembered for other connections, too; the bad one, for this connection
        // alone.
        assert_eq!((trust.paths_built(), other.paths_built()), (1, 3));
        for _ in 0..100 {
            assert!(
                connection
                    .judge_at(&other, at(END))
                    .check_trusted()
                    .is_err()
            );
        }
        assert_eq!(other.paths_built(), 3);
    }

    #[test]
    fn what_was_remembered_of_one_chain_is_no_verdict_on_another() {
        let (trust, chain) = scene(0..i64::from(i32::MAX));
        let (_, foreign) = scene(0..i64::from(i32::MAX));
        let judge = |chain: &[CertificateDer<'static>]| {
            PresentedChain::new(chain)
                .judge_at(&trust, at(END))
                .check_trusted()
                .is_ok()
        };
        assert!(judge(&chain));
        assert!(!judge(&chain[..1]), "the leaf alone");
        assert!(
            !judge(&[chain[0].clone(), foreign[1].clone()]),
            "with another above it"
        );
        assert!(
            !judge(&[foreign[0].clone(), chain[1].clone()]),
            "another leaf"
        );
        assert!(
            judge(&[chain[0].clone(), foreign[1].clone(), chain[1].clone()]),
            "with one beside it"
        );
        assert!(judge(&chain));
        assert_eq!(trust.paths_built(), 5);
    }
}
