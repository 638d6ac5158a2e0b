//! Evaluates a client's certificate chain against the current trust, in the handshake and again for
//! each request.

use super::distrust::{Distrust, KeyUsageFault};
use super::memory::{GoodChain, Memory};
use super::path::{Judged, Obstacle, Rules};
use super::pss_key;
use super::reach::{Issuer, MAX_USEFUL, useful};
use super::refusal;
use crate::auth::{ClientIdentity, Presented};
use crate::config::{ClientTrust, CrlCoverage, Verify, authority_fault};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

/// The maximum number of certificates in a chain, including unused ones.
pub(super) const MAX_CERTIFICATES: usize = 10;

/// The maximum size of a chain in bytes, which is kept with its connection.
pub(super) const MAX_CHAIN: usize = 32 * 1024;

/// The trusted authorities and names of a configuration.
///
/// A valid chain is cached with the time for which it is valid, so that evaluating it again for the
/// next connection costs a comparison. The verdict is also kept with the connection for its next
/// request. A new configuration creates a new `Trust` with an empty cache.
pub struct Trust {
    verify: Verify,
    common_names: Vec<String>,
    /// The authorities, in the order of their `anchors`.
    authorities: Vec<CertificateDer<'static>>,
    anchors: RootCertStore,
    hints: Vec<DistinguishedName>,
    rules: Rules,
    algorithms: WebPkiSupportedAlgorithms,
    memory: Memory,
    /// The number of evaluations that were not cached.
    paths_built: AtomicU64,
    /// A number that no other `Trust` has.
    generation: u64,
}

/// The result of evaluating a chain, and the time for which it holds.
#[derive(Debug)]
pub(super) struct Verdict {
    generation: u64,
    /// The seconds since 1970 in which the result is the same.
    period: RangeInclusive<i64>,
    pub(super) presented: Presented,
}

impl Verdict {
    /// Returns `true` if `trust` would have the same result at `now`.
    pub(super) fn holds(&self, trust: &Trust, now: UnixTime) -> bool {
        self.generation == trust.generation && self.period.contains(&seconds(now))
    }
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

static GENERATIONS: AtomicU64 = AtomicU64::new(0);

impl Trust {
    /// Creates the trust that `config` describes.
    ///
    /// # Errors
    /// Returns an error if certificates are verified without authorities, or an authority is
    /// unusable.
    pub fn new(config: &ClientTrust) -> Result<Self, TrustError> {
        if config.verify == Verify::Off {
            return Ok(Self::empty());
        }
        let anchors = anchors(&config.authorities)?;
        Ok(Self {
            verify: config.verify,
            common_names: config.common_names.clone(),
            authorities: config.authorities.clone(),
            hints: anchors.subjects(),
            anchors,
            rules: Rules::new(config.revocation_lists.clone(), config.crl_coverage),
            ..Self::empty()
        })
    }

    /// Creates a trust without authorities, for listeners without client certificates.
    pub fn empty() -> Self {
        Self {
            verify: Verify::Off,
            common_names: Vec::new(),
            authorities: Vec::new(),
            anchors: RootCertStore::empty(),
            hints: Vec::new(),
            rules: Rules::new(Vec::new(), CrlCoverage::All),
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
            memory: Memory::default(),
            paths_built: AtomicU64::new(0),
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Returns the accepted common names.
    pub fn common_names(&self) -> &[String] {
        &self.common_names
    }

    /// Returns whether certificates are required.
    pub fn verify(&self) -> Verify {
        self.verify
    }

    /// Evaluates the chain that a client presented, at the current time.
    pub fn judge(&self, chain: &[CertificateDer<'static>]) -> Presented {
        self.verdict(chain, UnixTime::now()).presented
    }

    /// Evaluates a chain at the time `now`.
    pub(super) fn verdict(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Verdict {
        let Some((leaf, above)) = chain.split_first() else {
            return self.rule(i64::MIN..=i64::MAX, Presented::Nothing);
        };
        match self.identify(leaf, above, now) {
            Ok(good) => {
                let identity = good.identity.clone();
                self.rule(good.validity.clone(), Presented::Trusted(identity))
            }
            Err(distrust) => {
                let presented = Presented::Untrusted(distrust.explain().into());
                self.rule(until_more_is_valid(chain, now), presented)
            }
        }
    }

    fn rule(&self, period: RangeInclusive<i64>, presented: Presented) -> Verdict {
        Verdict {
            generation: self.generation,
            period,
            presented,
        }
    }

    /// Returns the cached result for a chain.
    pub(super) fn recall(
        &self,
        chain: &[CertificateDer<'static>],
        now: UnixTime,
    ) -> Option<Presented> {
        let (leaf, above) = chain.split_first()?;
        let good = self.memory.recall(leaf, above, seconds(now))?;
        Some(Presented::Trusted(good.identity.clone()))
    }

    #[cfg(test)]
    pub(super) fn paths_built(&self) -> u64 {
        self.paths_built.load(Ordering::Relaxed)
    }

    fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<GoodChain>, Distrust> {
        check_size(leaf, intermediates)?;
        if let Some(good) = self.memory.recall(leaf, intermediates, seconds(now)) {
            return Ok(good);
        }
        let Judged { validity } = self.build_path(leaf, intermediates, now)?;
        let identity = identity(leaf)?;
        let good = GoodChain::new(leaf, intermediates, validity, identity);
        self.memory.remember(good.clone());
        Ok(good)
    }

    /// Looks for a path from the leaf to an authority that nothing speaks against.
    fn build_path(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Judged, Distrust> {
        self.paths_built.fetch_add(1, Ordering::Relaxed);
        let intermediates = self.issued(intermediates)?;
        let leaf = EndEntityCert::try_from(leaf).map_err(Distrust::Path)?;
        let search = PathSearch::new(self);
        let path = leaf.verify_for_usage(
            self.algorithms.all,
            &self.anchors.roots,
            &intermediates,
            now,
            KeyUsage::client_auth(),
            None,
            Some(&|path: &VerifiedPath<'_>| search.judge(path)),
        );
        search.conclude(path.map(drop))
    }

    /// Returns those of the intermediate certificates that an authority has issued.
    fn issued<'c>(
        &'c self,
        intermediates: &'c [CertificateDer<'c>],
    ) -> Result<Vec<CertificateDer<'c>>, Distrust> {
        let authorities = self.hints.iter().zip(&self.authorities);
        let authorities = authorities.map(|(subject, der)| Issuer {
            subject: subject.as_ref().into(),
            der,
        });
        let issued = useful(authorities, intermediates);
        match issued.len() > MAX_USEFUL {
            true => Err(Distrust::Path(webpki::Error::MaximumPathDepthExceeded)),
            false => Ok(issued),
        }
    }

    /// Returns the certificate of the authority at the end of a path.
    fn anchor(&self, path: &VerifiedPath<'_>) -> Option<&CertificateDer<'static>> {
        let mut roots = self.anchors.roots.iter();
        let at = roots.position(|anchor| std::ptr::eq(anchor, path.anchor()))?;
        self.authorities.get(at)
    }
}

/// The search for a path that passes the rules, with what it found so far.
struct PathSearch<'t> {
    trust: &'t Trust,
    judged: RefCell<Option<Judged>>,
    key_usage: RefCell<Option<KeyUsageFault>>,
}

impl<'t> PathSearch<'t> {
    fn new(trust: &'t Trust) -> Self {
        Self {
            trust,
            judged: RefCell::default(),
            key_usage: RefCell::default(),
        }
    }

    /// Checks a path that leads to an authority. After an error, webpki looks for another.
    fn judge(&self, path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
        let anchor = self.trust.anchor(path);
        let anchor = anchor.ok_or(webpki::Error::UnknownIssuer)?;
        let judged = self.trust.rules.judge(path, anchor);
        let good = judged.map_err(|obstacle| self.note(obstacle))?;
        self.judged.replace(Some(good));
        Ok(())
    }

    /// Returns webpki's word for an obstacle, and keeps what it has no word for.
    fn note(&self, obstacle: Obstacle) -> webpki::Error {
        match obstacle {
            Obstacle::Revoked => webpki::Error::CertRevoked,
            Obstacle::RevocationUnknown => webpki::Error::UnknownRevocationStatus,
            Obstacle::KeyUsage(fault) => {
                self.key_usage.replace(Some(fault));
                // No other certificate is given that one.
                webpki::Error::CertDistrusted
            }
        }
    }

    /// Returns the path that was accepted, or why there is none.
    fn conclude(self, path: Result<(), webpki::Error>) -> Result<Judged, Distrust> {
        match (path, self.key_usage.into_inner()) {
            (Ok(()), _) => {
                let judged = self.judged.into_inner();
                judged.ok_or(Distrust::Path(webpki::Error::UnknownIssuer))
            }
            (Err(webpki::Error::CertDistrusted), Some(fault)) => Err(Distrust::KeyUsage(fault)),
            (Err(error), _) => Err(Distrust::Path(error)),
        }
    }
}

/// The reason why the trusted authorities cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Certificates are to be verified, and no authority is trusted.
    #[error("there is no trusted authority")]
    NoAuthority,
    /// The certificate of an authority cannot be one, or contradicts itself; holds the reason.
    #[error("{0}")]
    Authority(String),
    /// The certificate of an authority is not usable for path building.
    #[error(transparent)]
    Anchor(#[from] rustls::Error),
}

fn anchors(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, TrustError> {
    if authorities.is_empty() {
        return Err(TrustError::NoAuthority);
    }
    let mut anchors = RootCertStore::empty();
    for authority in authorities {
        if let Some(fault) = authority_fault(authority) {
            return Err(TrustError::Authority(fault));
        }
        anchors.add(authority.clone())?;
    }
    Ok(anchors)
}

fn identity(leaf: &CertificateDer<'_>) -> Result<ClientIdentity, Distrust> {
    ClientIdentity::from_der(leaf).ok_or(Distrust::Path(webpki::Error::BadDer))
}

/// Limits the size of a chain, in the handshake already, before anything is looked for.
fn check_size(leaf: &CertificateDer<'_>, above: &[CertificateDer<'_>]) -> Result<(), Distrust> {
    let certificates = above.len() + 1;
    let bytes = above.iter().chain([leaf]).map(|der| der.len()).sum();
    match certificates > MAX_CERTIFICATES || bytes > MAX_CHAIN {
        true => Err(Distrust::TooLong {
            certificates,
            bytes,
        }),
        false => Ok(()),
    }
}

/// Returns the times at which a bad chain is judged the same: until one of its certificates begins
/// to be valid. That one ceases to be makes nothing better.
fn until_more_is_valid(chain: &[CertificateDer<'_>], now: UnixTime) -> RangeInclusive<i64> {
    let now = seconds(now);
    let begins = chain.iter().filter_map(begin_of_validity);
    let next = begins.filter(|begin| *begin > now).min();
    now..=next.map_or(i64::MAX, |begin| begin - 1)
}

fn begin_of_validity(der: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.validity().not_before.timestamp())
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("verify", &self.verify)
            .field("common_names", &self.common_names)
            .finish()
    }
}

/// In the handshake, `Trust` refuses what [`Verify::Require`] demands; otherwise it looks at no
/// more than the size of the chain, and lets the request be judged.
///
/// The client's proof that it holds the certificate's key is checked in every mode.
impl ClientCertVerifier for Trust {
    fn offer_client_auth(&self) -> bool {
        self.verify != Verify::Off
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verify == Verify::Require
    }

    /// Returns exactly the configured authorities: Go's clients send no certificate if none of
    /// these issued theirs.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verdict = match self.verify {
            Verify::Require => self.identify(leaf, intermediates, now).map(drop),
            // A request may never come, be for no route, or be one too many.
            Verify::Request | Verify::Off => check_size(leaf, intermediates),
        };
        match verdict {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(distrust) => {
                refusal::record(leaf, distrust.code(), distrust.explain());
                Err(distrust.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let proof = crypto::verify_tls12_signature(message, leaf, signature, &self.algorithms);
        proof.inspect_err(|error| refusal::record_unproven(leaf, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let of_pss_key = pss_key::verify(
            signature.scheme,
            leaf,
            message,
            signature.signature(),
            &self.algorithms,
        );
        let proof = match of_pss_key {
            Some(proof) => proof.map(|()| HandshakeSignatureValid::assertion()),
            None => crypto::verify_tls13_signature(message, leaf, signature, &self.algorithms),
        };
        proof.inspect_err(|error| refusal::record_unproven(leaf, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms
            .supported_schemes()
            .into_iter()
            .chain(pss_key::schemes())
            .collect()
    }
}
