//! Why a handshake was refused, for the one log line about it.

use crate::auth::ClientIdentity;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use std::cell::RefCell;
use std::future::Future;

/// What is known about a refused client.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Why, in one word.
    pub code: RefusalCode,
    /// Why, in a sentence.
    pub reason: String,
    /// Whom the certificate names, if it could be read.
    pub identity: Option<ClientIdentity>,
}

/// The reasons for which a handshake is refused, as metrics tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RefusalCode {
    CertificateMissing,
    CertificateUntrusted,
    CertificateExpired,
    CertificateNotYetValid,
    CertificateRevoked,
    RevocationUnknown,
    CertificatePurpose,
    CertificateInvalid,
    /// The client did not show that it holds the certificate's key.
    KeyUnproven,
    /// The client does not speak TLS, or not as this server does.
    TlsError,
    /// The client left.
    Closed,
    Timeout,
}

impl RefusalCode {
    /// Each of them, in their order.
    pub const ALL: [Self; 12] = [
        Self::CertificateMissing,
        Self::CertificateUntrusted,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::CertificateRevoked,
        Self::RevocationUnknown,
        Self::CertificatePurpose,
        Self::CertificateInvalid,
        Self::KeyUnproven,
        Self::TlsError,
        Self::Closed,
        Self::Timeout,
    ];

    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateNotYetValid => "certificate_not_yet_valid",
            Self::CertificateRevoked => "certificate_revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::CertificatePurpose => "certificate_purpose",
            Self::CertificateInvalid => "certificate_invalid",
            Self::KeyUnproven => "key_unproven",
            Self::TlsError => "tls_error",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
        }
    }
}

tokio::task_local! {
    /// The verifier knows the certificate, the listener the address: this is where they meet.
    static REFUSAL: RefCell<Option<Refusal>>;
}

/// Runs a handshake, and returns what the verifier had against its client.
pub async fn observe<T>(handshake: impl Future<Output = T>) -> (T, Option<Refusal>) {
    REFUSAL
        .scope(RefCell::new(None), async {
            let result = handshake.await;
            (result, REFUSAL.with(RefCell::take))
        })
        .await
}

/// Notes that the handshake in progress is refused for its certificate. Outside of [`observe`] nothing happens.
pub(super) fn record(leaf: &CertificateDer<'_>, error: &Error) {
    note(leaf, code(error), explain(error));
}

/// Notes that the handshake in progress is refused because the client could not show that the certificate is its own.
pub(super) fn record_unproven(leaf: &CertificateDer<'_>, error: &Error) {
    let reason = format!("The client's signature does not prove that it holds the certificate's key: {error}.");
    note(leaf, RefusalCode::KeyUnproven, reason);
}

fn note(leaf: &CertificateDer<'_>, code: RefusalCode, reason: String) {
    let refusal = Refusal { code, reason, identity: ClientIdentity::from_der(leaf) };
    // Without `observe`, as in somebody else's listener, the error itself is all there is.
    let _ = REFUSAL.try_with(|slot| slot.replace(Some(refusal)));
}

/// A word for what webpki has against a certificate.
fn code(error: &Error) -> RefusalCode {
    let Error::InvalidCertificate(error) = error else { return RefusalCode::CertificateInvalid };
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => RefusalCode::CertificateUntrusted,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => RefusalCode::CertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            RefusalCode::CertificateNotYetValid
        }
        CertificateError::Revoked => RefusalCode::CertificateRevoked,
        CertificateError::UnknownRevocationStatus => RefusalCode::RevocationUnknown,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            RefusalCode::CertificatePurpose
        }
        _ => RefusalCode::CertificateInvalid,
    }
}

/// A sentence for what webpki has against a certificate.
pub(super) fn explain(error: &Error) -> String {
    let Error::InvalidCertificate(error) = error else {
        return format!("The certificate cannot be used: {error}.");
    };
    match error {
        CertificateError::UnknownIssuer => "The certificate was not issued by a trusted authority.".into(),
        CertificateError::BadSignature => "The certificate's signature is not its issuer's.".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "The certificate has expired.".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "The certificate is not valid yet.".into()
        }
        CertificateError::Revoked => "The certificate was revoked.".into(),
        CertificateError::UnknownRevocationStatus => {
            "No revocation list says whether the certificate, or one above it, was revoked.".into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "The certificate is not for client authentication.".into()
        }
        CertificateError::BadEncoding => "The certificate cannot be read.".into(),
        CertificateError::UnhandledCriticalExtension => {
            "The certificate has a critical extension that is not understood.".into()
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::UnsupportedCertVersion) => "The certificate is not of X.509 version 3.".into(),
            Some(webpki::Error::CaUsedAsEndEntity) => "The certificate is that of an authority (CA:TRUE).".into(),
            Some(error) => format!("The certificate is not valid: {error:?}."),
            None => format!("The certificate is not valid: {other}."),
        },
        error => format!("The certificate is not valid: {error}."),
    }
}
