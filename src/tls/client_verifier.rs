//! Who is trusted now: judges a client's certificate chain, in the handshake and again for each request.

use super::path::{Judged, Obstacle, Rules};
use super::refusal::{self, Distrust};
use crate::auth::{ClientIdentity, Presented};
use crate::config::{ClientTrust, CrlCoverage, Verify, authority_fault};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

/// How many chains are remembered. Netdata Cloud has one, and a few while it rotates.
const REMEMBERED: usize = 16;

/// The authorities and names that are trusted, as one configuration has them.
///
/// A chain that was found good is remembered, with the time for which that holds, so that judging it again for the
/// next request or connection costs a comparison. A new configuration makes a new `Trust`, which remembers nothing.
pub struct Trust {
    verify: Verify,
    common_names: Vec<String>,
    /// Each with its anchor in `anchors`, at the same place.
    authorities: Vec<CertificateDer<'static>>,
    anchors: RootCertStore,
    hints: Vec<DistinguishedName>,
    rules: Rules,
    algorithms: WebPkiSupportedAlgorithms,
    remembered: Mutex<VecDeque<Arc<GoodChain>>>,
}

struct GoodChain {
    /// As it was presented.
    chain: Vec<CertificateDer<'static>>,
    /// Seconds since 1970 in which every certificate is valid that was needed.
    validity: std::ops::RangeInclusive<i64>,
    identity: Arc<ClientIdentity>,
}

impl Trust {
    /// What `config` trusts.
    ///
    /// # Errors
    /// If there are no authorities while certificates are to be verified, or one of them cannot be used.
    pub fn new(config: &ClientTrust) -> Result<Self, String> {
        if config.verify == Verify::Off {
            return Ok(Self::nobody());
        }
        if config.authorities.is_empty() {
            return Err("there is no trusted authority".into());
        }
        let mut anchors = RootCertStore::empty();
        for authority in &config.authorities {
            if let Some(fault) = authority_fault(authority) {
                return Err(fault);
            }
            anchors.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        Ok(Self {
            verify: config.verify,
            common_names: config.common_names.clone(),
            authorities: config.authorities.clone(),
            hints: anchors.subjects(),
            anchors,
            rules: Rules::new(config.revocation_lists.clone(), config.crl_coverage),
            ..Self::nobody()
        })
    }

    /// Trusts nobody, for where there are no client certificates.
    pub fn nobody() -> Self {
        Self {
            verify: Verify::Off,
            common_names: Vec::new(),
            authorities: Vec::new(),
            anchors: RootCertStore::empty(),
            hints: Vec::new(),
            rules: Rules::new(Vec::new(), CrlCoverage::All),
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
            remembered: Mutex::default(),
        }
    }

    /// The accepted common names.
    pub fn common_names(&self) -> &[String] {
        &self.common_names
    }

    /// When certificates are demanded.
    pub fn verify(&self) -> Verify {
        self.verify
    }

    /// Judges the chain that a connection's client presented, at the time of the call.
    pub fn judge(&self, chain: &[CertificateDer<'static>]) -> Presented {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Presented::Nothing;
        };
        match self.identify(leaf, intermediates, UnixTime::now()) {
            Ok(identity) => Presented::Trusted(identity),
            Err(distrust) => Presented::Untrusted(distrust.explain().into()),
        }
    }

    fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<ClientIdentity>, Distrust> {
        if let Some(identity) = self.recall(leaf, intermediates, now) {
            return Ok(identity);
        }
        let Judged { validity } = self.build_path(leaf, intermediates, now)?;
        let identity = Arc::new(ClientIdentity::from_der(leaf).ok_or(Distrust::Path(webpki::Error::BadDer))?);
        self.remember(leaf, intermediates, validity, &identity);
        Ok(identity)
    }

    /// Looks for a path from the leaf to an authority that nothing speaks against.
    fn build_path(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Judged, Distrust> {
        let leaf = EndEntityCert::try_from(leaf).map_err(Distrust::Path)?;
        let judged = RefCell::new(None);
        let key_usage = RefCell::new(None);
        let judge = |path: &VerifiedPath<'_>| {
            let at = self.anchors.roots.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()));
            let anchor = at.and_then(|at| self.authorities.get(at)).ok_or(webpki::Error::UnknownIssuer)?;
            match self.rules.judge(path, anchor) {
                Ok(good) => {
                    judged.replace(Some(good));
                    Ok(())
                }
                Err(Obstacle::Revoked) => Err(webpki::Error::CertRevoked),
                Err(Obstacle::RevocationUnknown) => Err(webpki::Error::UnknownRevocationStatus),
                Err(Obstacle::KeyUsage(fault)) => {
                    key_usage.replace(Some(fault));
                    // No word of webpki's means this; no other certificate is given that one.
                    Err(webpki::Error::CertDistrusted)
                }
            }
        };
        let (algorithms, usage) = (self.algorithms.all, KeyUsage::client_auth());
        let path =
            leaf.verify_for_usage(algorithms, &self.anchors.roots, intermediates, now, usage, None, Some(&judge));
        match (path.map(|_| judged.into_inner()), key_usage.into_inner()) {
            (Ok(Some(judged)), _) => Ok(judged),
            (Ok(None), _) => Err(Distrust::Path(webpki::Error::UnknownIssuer)),
            (Err(webpki::Error::CertDistrusted), Some(fault)) => Err(Distrust::KeyUsage(fault)),
            (Err(error), _) => Err(Distrust::Path(error)),
        }
    }

    fn recall(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<Arc<ClientIdentity>> {
        let now = i64::try_from(now.as_secs()).ok()?;
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |good: &&Arc<GoodChain>| good.is_of(leaf, intermediates);
        remembered.iter().find(same).filter(|good| good.validity.contains(&now)).map(|good| good.identity.clone())
    }

    fn remember(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        validity: std::ops::RangeInclusive<i64>,
        identity: &Arc<ClientIdentity>,
    ) {
        let chain = std::iter::once(leaf).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have led another way, by a certificate that has run out; or another thread was here before.
        remembered.retain(|good| !good.is_of(leaf, intermediates));
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back(Arc::new(GoodChain { chain, validity, identity: identity.clone() }));
    }
}

impl GoodChain {
    fn is_of(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
        self.chain.split_first().is_some_and(|(known, rest)| known == leaf && rest == intermediates)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("verify", &self.verify).field("common_names", &self.common_names).finish()
    }
}

/// In the handshake, `Trust` refuses what [`Verify::Require`] demands; otherwise it lets the request be judged.
///
/// The client's proof that it holds the certificate's key is checked in every mode.
impl ClientCertVerifier for Trust {
    fn offer_client_auth(&self) -> bool {
        self.verify != Verify::Off
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verify == Verify::Require
    }

    /// Exactly the configured authorities: Go's clients send no certificate if none of these issued theirs.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.identify(leaf, intermediates, now) {
            Err(distrust) if self.verify == Verify::Require => {
                refusal::record(leaf, &distrust);
                Err(distrust.into())
            }
            _ => Ok(ClientCertVerified::assertion()),
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
        let proof = crypto::verify_tls13_signature(message, leaf, signature, &self.algorithms);
        proof.inspect_err(|error| refusal::record_unproven(leaf, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
