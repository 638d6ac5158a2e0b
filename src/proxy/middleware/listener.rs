//! The TLS settings of a listener of Pingora's own, whose handshakes follow the gate's policy.

use crate::proxy::{Gate, Policy};
use crate::tls;
use arc_swap::ArcSwap;
use pingora::listeners::tls::TlsSettings;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::fmt;
use std::sync::Arc;

impl Gate {
    /// Returns the settings of a TLS listener for `Service::add_tls_with_settings`: it serves `identity`
    /// and asks for client certificates as the gate's trust says. `http2` offers HTTP/2.
    ///
    /// The program protects its own listeners further: it bounds the time of handshakes and heads,
    /// reads heads strictly before anything else sees them, and resumes no sessions. Pingora's
    /// listeners resume them, which escapes nothing here: certificates are verified again for each
    /// request, against the current trust.
    ///
    /// # Errors
    /// If Pingora cannot make the settings.
    pub fn listener_settings(
        &self,
        identity: Arc<CertifiedKey>,
        http2: bool,
    ) -> pingora::Result<TlsSettings> {
        tls::settings(identity, self.client_verifier(), http2)
    }

    /// Returns the verifier of client certificates for a rustls server, which follows the gate's policy.
    ///
    /// The names of authorities that it sends to clients stay those of the policy at this moment.
    pub fn client_verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(CurrentTrust {
            hints: self.policy().trust.root_hint_subjects().to_vec(),
            policy: self.policy.clone(),
        })
    }
}

/// Verifies handshakes by the trust of the policy that is current then.
struct CurrentTrust {
    policy: Arc<ArcSwap<Policy>>,
    hints: Vec<DistinguishedName>,
}

impl fmt::Debug for CurrentTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentTrust").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for CurrentTrust {
    fn offer_client_auth(&self) -> bool {
        self.policy.load().trust.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.policy.load().trust.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let trust = &self.policy.load().trust;
        trust.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let trust = &self.policy.load().trust;
        trust.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let trust = &self.policy.load().trust;
        trust.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.policy.load().trust.supported_verify_schemes()
    }
}
