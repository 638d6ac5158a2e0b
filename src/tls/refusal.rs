//! Why a handshake was refused, for the one log line about it.

use super::trust::{MAX_CERTIFICATES, MAX_CHAIN};
use crate::auth::ClientIdentity;
use crate::sanitize::clean;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, ExtendedKeyPurpose, OtherError};
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

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
    CertificateKeyUsage,
    CertificateChainTooLong,
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
    pub const ALL: [Self; 14] = [
        Self::CertificateMissing,
        Self::CertificateUntrusted,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::CertificateRevoked,
        Self::RevocationUnknown,
        Self::CertificatePurpose,
        Self::CertificateKeyUsage,
        Self::CertificateChainTooLong,
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
            Self::CertificateKeyUsage => "certificate_key_usage",
            Self::CertificateChainTooLong => "certificate_chain_too_long",
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

/// Notes that the handshake in progress is refused for its certificate. Outside of [`observe`]
/// nothing happens.
pub(super) fn record(leaf: &CertificateDer<'_>, distrust: &Distrust) {
    note(leaf, distrust.code(), distrust.explain());
}

/// Notes that the handshake in progress is refused because the client could not show that the
/// certificate is its own.
pub(super) fn record_unproven(leaf: &CertificateDer<'_>, error: &Error) {
    let reason = format!(
        "The client's signature does not prove that it holds the certificate's key: {error}."
    );
    note(leaf, RefusalCode::KeyUnproven, reason);
}

fn note(leaf: &CertificateDer<'_>, code: RefusalCode, reason: String) {
    let refusal = Refusal {
        code,
        reason,
        identity: ClientIdentity::from_der(leaf),
    };
    // Without `observe`, as in somebody else's listener, the error itself is all there is.
    let _ = REFUSAL.try_with(|slot| slot.replace(Some(refusal)));
}

/// What speaks against a chain.
#[derive(Debug)]
pub(super) enum Distrust {
    /// There is no path to a trusted authority, or each has something wrong.
    Path(webpki::Error),
    /// There is one, but for what a key on it may be used for.
    KeyUsage(KeyUsageFault),
    /// The chain has more than is looked at.
    TooLong { certificates: usize, bytes: usize },
}

/// What is wrong with the key usage of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyUsageFault {
    /// The client's own certificate is not for signatures.
    Client,
    /// An authority, which this is the subject of, is not for certificates.
    Authority(String),
    /// A certificate says it twice, or so that it cannot be read.
    Unreadable,
}

impl fmt::Display for KeyUsageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str(
                "The certificate's key usage does not allow signatures (digitalSignature), by which a client shows that \
                 the key is its own.",
            ),
            Self::Authority(subject) => write!(
                f,
                "The key usage of an authority above the certificate, {subject:?}, does not allow it to issue \
                 certificates (keyCertSign)."
            ),
            Self::Unreadable => f.write_str("The key usage of a certificate of the chain cannot be read."),
        }
    }
}

impl std::error::Error for KeyUsageFault {}

impl Distrust {
    /// The word for it.
    fn code(&self) -> RefusalCode {
        use webpki::Error as E;
        let error = match self {
            Self::Path(error) => error,
            Self::KeyUsage(_) => return RefusalCode::CertificateKeyUsage,
            Self::TooLong { .. } => return RefusalCode::CertificateChainTooLong,
        };
        match error {
            E::UnknownIssuer | E::InvalidSignatureForPublicKey => RefusalCode::CertificateUntrusted,
            E::CertExpired { .. } | E::InvalidCertValidity => RefusalCode::CertificateExpired,
            E::CertNotValidYet { .. } => RefusalCode::CertificateNotYetValid,
            E::CertRevoked => RefusalCode::CertificateRevoked,
            E::UnknownRevocationStatus => RefusalCode::RevocationUnknown,
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
                RefusalCode::CertificatePurpose
            }
            _ => RefusalCode::CertificateInvalid,
        }
    }

    /// A sentence for it.
    pub(super) fn explain(&self) -> String {
        use webpki::Error as E;
        let error = match self {
            Self::Path(error) => error,
            Self::KeyUsage(fault) => return fault.to_string(),
            Self::TooLong {
                certificates,
                bytes,
            } => {
                return format!(
                    "The client sent {certificates} certificates of {bytes} bytes; the bounds are {MAX_CERTIFICATES} and \
                     {} KiB.",
                    MAX_CHAIN / 1024
                );
            }
        };
        match error {
            E::UnknownIssuer => "The certificate was not issued by a trusted authority.",
            E::InvalidSignatureForPublicKey => "The certificate's signature is not its issuer's.",
            E::CertExpired { .. } | E::InvalidCertValidity => "The certificate has expired.",
            E::CertNotValidYet { .. } => "The certificate is not valid yet.",
            E::CertRevoked => "The certificate was revoked.",
            E::UnknownRevocationStatus => {
                "No revocation list says whether the certificate, or one above it, was revoked."
            }
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
                "The certificate is not for client authentication."
            }
            E::BadDer | E::BadDerTime | E::TrailingData(_) => "The certificate cannot be read.",
            E::UnsupportedCriticalExtension => "The certificate has a critical extension that is not understood.",
            E::UnsupportedCertVersion => "The certificate is not of X.509 version 3.",
            E::CaUsedAsEndEntity => "The certificate is that of an authority (CA:TRUE).",
            E::EndEntityUsedAsCa => "The certificate was issued by one that is not an authority's (CA:FALSE).",
            E::PathLenConstraintViolated => {
                "There are more authorities above the certificate than one of them allows (path length)."
            }
            E::NameConstraintViolation => {
                "An authority above the certificate may not issue for its names, or limits names of a kind that cannot \
                 be compared here, such as e-mail addresses (name constraints)."
            }
            E::MaximumPathDepthExceeded
            | E::MaximumPathBuildCallsExceeded
            | E::MaximumSignatureChecksExceeded
            | E::MaximumNameConstraintComparisonsExceeded => "The certificate's chain is too long.",
            // Some of these repeat what stands in the certificate.
            error => return clean(&format!("The certificate is not valid: {error:?}.")).into_owned(),
        }
        .into()
    }
}

/// What the client is told with a TLS alert.
impl From<Distrust> for Error {
    fn from(distrust: Distrust) -> Self {
        use webpki::Error as E;
        let error = match distrust {
            Distrust::Path(error) => error,
            Distrust::KeyUsage(fault) => {
                return CertificateError::Other(OtherError(Arc::new(fault))).into();
            }
            Distrust::TooLong { .. } => E::MaximumPathDepthExceeded,
        };
        Self::InvalidCertificate(match error {
            E::UnknownIssuer => CertificateError::UnknownIssuer,
            E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
            E::CertExpired { time, not_after } => {
                CertificateError::ExpiredContext { time, not_after }
            }
            E::InvalidCertValidity => CertificateError::Expired,
            E::CertNotValidYet { time, not_before } => {
                CertificateError::NotValidYetContext { time, not_before }
            }
            E::CertRevoked => CertificateError::Revoked,
            E::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
                let required = ExtendedKeyPurpose::ClientAuth;
                CertificateError::InvalidPurposeContext {
                    required,
                    presented: Vec::new(),
                }
            }
            E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
            error => CertificateError::Other(OtherError(Arc::new(error))),
        })
    }
}
