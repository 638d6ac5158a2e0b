//! The reason of a refused handshake, for its log line.

use super::trust::{MAX_CERTIFICATES, MAX_CHAIN};
use crate::auth::ClientIdentity;
use crate::sanitize::sanitize;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, ExtendedKeyPurpose, OtherError};
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// A refused handshake and its reason.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The code of the reason.
    pub code: RefusalCode,
    /// The reason in a sentence.
    pub reason: String,
    /// The identity in the certificate, if it could be parsed.
    pub identity: Option<ClientIdentity>,
}

/// The reasons for which a handshake is refused, as metrics distinguish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum RefusalCode {
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
    /// The client did not prove that it holds the key of the certificate.
    KeyUnproven,
    /// The client does not accept the certificate of the server.
    ServerCertificateRefused,
    /// The client does not use TLS, or no version or cipher that is accepted.
    TlsError,
    /// The client closed the connection.
    Closed,
    Timeout,
}

impl RefusalCode {
    /// All codes in their order.
    pub(crate) const ALL: [Self; 15] = [
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
        Self::ServerCertificateRefused,
        Self::TlsError,
        Self::Closed,
        Self::Timeout,
    ];

    /// Returns the name of the code in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
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
            Self::ServerCertificateRefused => "server_certificate_refused",
            Self::TlsError => "tls_error",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
        }
    }
}

tokio::task_local! {
    /// Passes the refusal from the verifier, which has the certificate, to the listener, which has
    /// the address.
    static REFUSAL: RefCell<Option<Refusal>>;
}

/// Runs a handshake and returns the verifier's refusal, if there is one.
pub(crate) async fn observe<T>(handshake: impl Future<Output = T>) -> (T, Option<Refusal>) {
    REFUSAL
        .scope(RefCell::new(None), async {
            let result = handshake.await;
            (result, REFUSAL.with(RefCell::take))
        })
        .await
}

/// Records that the current handshake is refused because of its certificate. Outside of [`observe`]
/// this has no effect.
pub(super) fn record(leaf: &CertificateDer<'_>, distrust: &Distrust) {
    note(leaf, distrust.code(), distrust.explain());
}

/// Records that the current handshake is refused because the client did not prove that it holds the
/// key.
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
    // Ignore the error: a listener without `observe` reports the TLS error alone.
    let _ = REFUSAL.try_with(|slot| slot.replace(Some(refusal)));
}

/// The reason why a chain is not trusted.
#[derive(Debug)]
pub(super) enum Distrust {
    /// No valid path leads to a trusted authority.
    Path(webpki::Error),
    /// The path is valid, but for the key usage of a certificate.
    KeyUsage(KeyUsageFault),
    /// The chain exceeds the limits.
    TooLong { certificates: usize, bytes: usize },
}

/// A problem with the key usage of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyUsageFault {
    /// The client's certificate does not allow signatures.
    Client,
    /// The authority with this subject may not issue certificates.
    Authority(String),
    /// The extension is duplicated or malformed.
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
    /// Returns the code of the reason.
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

    /// Describes the reason in a sentence.
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
            // Some of these contain text of the certificate.
            error => return sanitize(&format!("The certificate is not valid: {error:?}.")).into_owned(),
        }
        .into()
    }
}

/// Converts the reason to the error whose TLS alert the client gets.
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

/// These tests hold every error of path building that has a word or a sentence of its own, and the
/// alert that each of them is.
#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::UnixTime;
    use std::time::Duration;
    use webpki::Error as E;

    #[test]
    fn each_error_has_its_word_its_sentence_and_its_alert() {
        use CertificateError as Alert;
        use RefusalCode as Code;

        let (now, then) = (
            UnixTime::since_unix_epoch(Duration::from_secs(2)),
            UnixTime::since_unix_epoch(Duration::from_secs(1)),
        );
        let other = |alert: &Alert| matches!(alert, Alert::Other(_));
        let encoding = |alert: &Alert| matches!(alert, Alert::BadEncoding);
        type Check = fn(&Alert) -> bool;
        let cases: [(E, Code, &str, Check); 23] = [
            (
                E::UnknownIssuer,
                Code::CertificateUntrusted,
                "not issued by a trusted",
                |alert| matches!(alert, Alert::UnknownIssuer),
            ),
            (
                E::InvalidSignatureForPublicKey,
                Code::CertificateUntrusted,
                "not its issuer's",
                |alert| matches!(alert, Alert::BadSignature),
            ),
            (
                E::CertExpired {
                    time: now,
                    not_after: then,
                },
                Code::CertificateExpired,
                "has expired",
                |alert| matches!(alert, Alert::ExpiredContext { .. }),
            ),
            (
                E::InvalidCertValidity,
                Code::CertificateExpired,
                "has expired",
                |alert| matches!(alert, Alert::Expired),
            ),
            (
                E::CertNotValidYet {
                    time: then,
                    not_before: now,
                },
                Code::CertificateNotYetValid,
                "not valid yet",
                |alert| matches!(alert, Alert::NotValidYetContext { .. }),
            ),
            (
                E::CertRevoked,
                Code::CertificateRevoked,
                "was revoked",
                |alert| matches!(alert, Alert::Revoked),
            ),
            (
                E::UnknownRevocationStatus,
                Code::RevocationUnknown,
                "No revocation list",
                |alert| matches!(alert, Alert::UnknownRevocationStatus),
            ),
            (
                E::EmptyEkuExtension,
                Code::CertificatePurpose,
                "client authentication",
                |alert| matches!(alert, Alert::InvalidPurposeContext { .. }),
            ),
            (
                E::RequiredEkuNotFoundContext(webpki::RequiredEkuNotFoundContext {
                    required: webpki::KeyUsage::client_auth(),
                    present: Vec::new(),
                }),
                Code::CertificatePurpose,
                "client authentication",
                |alert| matches!(alert, Alert::InvalidPurposeContext { .. }),
            ),
            (
                E::BadDer,
                Code::CertificateInvalid,
                "cannot be read",
                encoding,
            ),
            (
                E::BadDerTime,
                Code::CertificateInvalid,
                "cannot be read",
                encoding,
            ),
            (
                E::TrailingData(webpki::DerTypeId::Certificate),
                Code::CertificateInvalid,
                "cannot be read",
                encoding,
            ),
            (
                E::UnsupportedCriticalExtension,
                Code::CertificateInvalid,
                "critical extension",
                other,
            ),
            (
                E::UnsupportedCertVersion,
                Code::CertificateInvalid,
                "version 3",
                other,
            ),
            (
                E::CaUsedAsEndEntity,
                Code::CertificateInvalid,
                "(CA:TRUE)",
                other,
            ),
            (
                E::EndEntityUsedAsCa,
                Code::CertificateInvalid,
                "(CA:FALSE)",
                other,
            ),
            (
                E::PathLenConstraintViolated,
                Code::CertificateInvalid,
                "(path length)",
                other,
            ),
            (
                E::NameConstraintViolation,
                Code::CertificateInvalid,
                "(name constraints)",
                other,
            ),
            (
                E::MaximumPathDepthExceeded,
                Code::CertificateInvalid,
                "chain is too long",
                other,
            ),
            (
                E::MaximumPathBuildCallsExceeded,
                Code::CertificateInvalid,
                "chain is too long",
                other,
            ),
            (
                E::MaximumSignatureChecksExceeded,
                Code::CertificateInvalid,
                "chain is too long",
                other,
            ),
            (
                E::MaximumNameConstraintComparisonsExceeded,
                Code::CertificateInvalid,
                "chain is too long",
                other,
            ),
            (
                E::InvalidNetworkMaskConstraint,
                Code::CertificateInvalid,
                "is not valid",
                other,
            ),
        ];
        for (error, code, sentence, is_alert) in cases {
            let distrust = Distrust::Path(error);
            assert_eq!(distrust.code(), code, "{distrust:?}");
            assert!(
                distrust.explain().contains(sentence),
                "{distrust:?}: {}",
                distrust.explain()
            );
            let said = format!("{distrust:?}");
            match Error::from(distrust) {
                Error::InvalidCertificate(alert) => assert!(is_alert(&alert), "{said}: {alert:?}"),
                other => panic!("{said}: {other:?}"),
            }
        }
    }

    #[test]
    fn each_code_is_counted_under_a_word_of_its_own() {
        let words = RefusalCode::ALL.map(RefusalCode::as_str);
        assert_eq!(
            words,
            [
                "certificate_missing",
                "certificate_untrusted",
                "certificate_expired",
                "certificate_not_yet_valid",
                "certificate_revoked",
                "revocation_unknown",
                "certificate_purpose",
                "certificate_key_usage",
                "certificate_chain_too_long",
                "certificate_invalid",
                "key_unproven",
                "server_certificate_refused",
                "tls_error",
                "closed",
                "timeout",
            ]
        );
    }
}
