//! The reason of a refused handshake, for its log line.

use crate::auth::ClientIdentity;
use rustls::Error;
use rustls::pki_types::CertificateDer;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

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
    /// The server has no certificate yet.
    ServerCertificateMissing,
    /// The client does not use TLS, or no version or cipher that is accepted.
    TlsError,
    /// The client closed the connection.
    Closed,
    Timeout,
}

impl RefusalCode {
    /// All codes in their order.
    pub(crate) const ALL: [Self; 16] = [
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
        Self::ServerCertificateMissing,
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
            Self::ServerCertificateMissing => "server_certificate_missing",
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
pub(crate) async fn observe<T>(
    handshake: Pin<&mut impl Future<Output = T>>,
) -> (T, Option<Refusal>) {
    REFUSAL
        .scope(RefCell::new(None), async {
            let result = handshake.await;
            (result, REFUSAL.with(RefCell::take))
        })
        .await
}

/// Records that the current handshake is refused because of its certificate. Outside of [`observe`]
/// this has no effect.
pub(super) fn record(leaf: &CertificateDer<'_>, code: RefusalCode, reason: String) {
    let refusal = Refusal {
        code,
        reason,
        identity: ClientIdentity::from_der(leaf),
    };
    // Ignore the error: a listener without `observe` reports the TLS error alone.
    let _ = REFUSAL.try_with(|slot| slot.replace(Some(refusal)));
}

/// Records that the current handshake is refused because the client did not prove that it holds the
/// key.
pub(super) fn record_unproven(leaf: &CertificateDer<'_>, error: &Error) {
    let reason = format!(
        "The client's signature does not prove that it holds the certificate's key: {error}."
    );
    record(leaf, RefusalCode::KeyUnproven, reason);
}

#[cfg(test)]
mod tests {
    use super::*;

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
                "server_certificate_missing",
                "tls_error",
                "closed",
                "timeout",
            ]
        );
    }
}
