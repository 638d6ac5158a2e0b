//! Who is trusted now: judges a client's certificate chain, in the handshake and again for each request.

use super::refusal;
use crate::auth::{ClientIdentity, Presented};
use crate::config::{ClientTrust, Verify};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// How many chains are remembered. Netdata Cloud has one, and a few while it rotates.
const REMEMBERED: usize = 16;

/// The authorities and names that are trusted, as one configuration has them.
///
/// A chain that was found good is remembered, with the time for which that holds, so that judging it again for the
/// next request or connection costs a comparison. A new configuration makes a new `Trust`, which remembers nothing.
pub struct Trust {
    verify: Verify,
    common_names: Vec<String>,
    authorities: Arc<dyn ClientCertVerifier>,
    remembered: Mutex<VecDeque<Arc<GoodChain>>>,
}

struct GoodChain {
    chain: Vec<CertificateDer<'static>>,
    /// Seconds since 1970 in which every certificate of the chain is valid.
    validity: std::ops::RangeInclusive<i64>,
    identity: Arc<ClientIdentity>,
}

impl Trust {
    /// What `config` trusts.
    ///
    /// # Errors
    /// If there are no authorities while certificates are to be verified, or one of them or of the revocation lists
    /// cannot be used.
    pub fn new(config: &ClientTrust) -> Result<Self, String> {
        if config.verify == Verify::Off {
            return Ok(Self::nobody());
        }
        let mut roots = RootCertStore::empty();
        for authority in &config.authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let lists = config.revocation_lists.iter().map(|list| list.der.clone());
        let authorities = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
            .with_crls(lists)
            .build()
            .map_err(|error| error.to_string())?;
        let common_names = config.common_names.clone();
        Ok(Self { verify: config.verify, common_names, authorities, remembered: Mutex::default() })
    }

    /// Trusts nobody, for where there are no client certificates.
    pub fn nobody() -> Self {
        Self {
            verify: Verify::Off,
            common_names: Vec::new(),
            authorities: WebPkiClientVerifier::no_client_auth(),
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
            Err(error) => Presented::Untrusted(refusal::explain(&error).into()),
        }
    }

    fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<ClientIdentity>, rustls::Error> {
        if let Some(identity) = self.recall(leaf, intermediates, now) {
            return Ok(identity);
        }
        self.authorities.verify_client_cert(leaf, intermediates, now)?;
        let unreadable = || rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
        let identity = Arc::new(ClientIdentity::from_der(leaf).ok_or_else(unreadable)?);
        self.remember(leaf, intermediates, &identity);
        Ok(identity)
    }

    fn recall(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<Arc<ClientIdentity>> {
        let now = i64::try_from(now.as_secs()).ok()?;
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |good: &&Arc<GoodChain>| {
            good.chain.split_first().is_some_and(|(known, rest)| known == leaf && rest == intermediates)
        };
        remembered.iter().find(same).filter(|good| good.validity.contains(&now)).map(|good| good.identity.clone())
    }

    fn remember(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        identity: &Arc<ClientIdentity>,
    ) {
        let mut validity = identity.not_before..=identity.not_after;
        for intermediate in intermediates {
            // One that cannot be read was not needed to build the path, but nothing is known about it either.
            let Some(intermediate) = ClientIdentity::from_der(intermediate) else { return };
            let (from, until) = validity.into_inner();
            validity = from.max(intermediate.not_before)..=until.min(intermediate.not_after);
        }
        let chain = std::iter::once(leaf).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back(Arc::new(GoodChain { chain, validity, identity: identity.clone() }));
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
        self.authorities.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.identify(leaf, intermediates, now) {
            Err(error) if self.verify == Verify::Require => {
                refusal::record(leaf, &error);
                Err(error)
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
        let proof = self.authorities.verify_tls12_signature(message, leaf, signature);
        proof.inspect_err(|error| refusal::record_unproven(leaf, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let proof = self.authorities.verify_tls13_signature(message, leaf, signature);
        proof.inspect_err(|error| refusal::record_unproven(leaf, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
