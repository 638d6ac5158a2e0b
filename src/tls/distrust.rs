//! The reasons why a client's chain is not trusted, with their codes, sentences and TLS alerts.

use super::certificate_fault::{CertificateFault, Presenter};
use super::refusal::RefusalCode;
use super::trust::{MAX_CERTIFICATES, MAX_CHAIN};
use crate::sanitize::sanitize;
use rustls::{CertificateError, Error, ExtendedKeyPurpose, OtherError};
use std::fmt;
use std::sync::Arc;

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
    pub(super) fn code(&self) -> RefusalCode {
        match self {
            Self::Path(error) => code_of(error.into()),
            Self::KeyUsage(_) => RefusalCode::CertificateKeyUsage,
            Self::TooLong { .. } => RefusalCode::CertificateChainTooLong,
        }
    }

    /// Describes the reason in a sentence.
    pub(super) fn explain(&self) -> String {
        match self {
            Self::Path(error) => sentence(error),
            Self::KeyUsage(fault) => fault.to_string(),
            Self::TooLong {
                certificates,
                bytes,
            } => format!(
                "The client sent {certificates} certificates of {bytes} bytes; the bounds are {MAX_CERTIFICATES} and \
                 {} KiB.",
                MAX_CHAIN / 1024
            ),
        }
    }
}

fn code_of(fault: CertificateFault) -> RefusalCode {
    match fault {
        CertificateFault::UnknownIssuer | CertificateFault::BadSignature => {
            RefusalCode::CertificateUntrusted
        }
        CertificateFault::Expired => RefusalCode::CertificateExpired,
        CertificateFault::NotYetValid => RefusalCode::CertificateNotYetValid,
        CertificateFault::Revoked => RefusalCode::CertificateRevoked,
        CertificateFault::RevocationUnknown => RefusalCode::RevocationUnknown,
        CertificateFault::Purpose => RefusalCode::CertificatePurpose,
        _ => RefusalCode::CertificateInvalid,
    }
}

fn sentence(error: &webpki::Error) -> String {
    match CertificateFault::from(error) {
        // Some of these contain text of the certificate.
        CertificateFault::Other => {
            sanitize(&format!("The certificate is not valid: {error:?}.")).into_owned()
        }
        fault => format!("The certificate {}.", fault.predicate(Presenter::Client)),
    }
}

/// Converts the reason to the error whose TLS alert the client gets.
impl From<Distrust> for Error {
    fn from(distrust: Distrust) -> Self {
        Self::InvalidCertificate(match distrust {
            Distrust::Path(error) => alert(error),
            Distrust::KeyUsage(fault) => CertificateError::Other(OtherError(Arc::new(fault))),
            Distrust::TooLong { .. } => alert(webpki::Error::MaximumPathDepthExceeded),
        })
    }
}

fn alert(error: webpki::Error) -> CertificateError {
    use webpki::Error as E;

    match error {
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        E::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        E::InvalidCertValidity => CertificateError::Expired,
        E::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        E::CertRevoked => CertificateError::Revoked,
        E::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
            CertificateError::InvalidPurposeContext {
                required: ExtendedKeyPurpose::ClientAuth,
                presented: Vec::new(),
            }
        }
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        error => CertificateError::Other(OtherError(Arc::new(error))),
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
                "signature of another key",
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
                "no revocation list",
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
                "chain that is too long",
                other,
            ),
            (
                E::MaximumPathBuildCallsExceeded,
                Code::CertificateInvalid,
                "chain that is too long",
                other,
            ),
            (
                E::MaximumSignatureChecksExceeded,
                Code::CertificateInvalid,
                "chain that is too long",
                other,
            ),
            (
                E::MaximumNameConstraintComparisonsExceeded,
                Code::CertificateInvalid,
                "chain that is too long",
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
}
