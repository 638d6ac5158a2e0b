//! Why a handshake was refused, for the one log line about it.

use crate::auth::ClientIdentity;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use std::cell::RefCell;
use std::future::Future;

/// What is known about a refused client.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// Why.
    pub reason: String,
    /// Whom the certificate names, if it could be read.
    pub identity: Option<ClientIdentity>,
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
    note(leaf, explain(error));
}

/// Notes that the handshake in progress is refused because the client could not show that the certificate is its own.
pub(super) fn record_unproven(leaf: &CertificateDer<'_>, error: &Error) {
    note(leaf, format!("The client's signature does not prove that it holds the certificate's key: {error}."));
}

fn note(leaf: &CertificateDer<'_>, reason: String) {
    let refusal = Refusal { reason, identity: ClientIdentity::from_der(leaf) };
    // Without `observe`, as in somebody else's listener, the error itself is all there is.
    let _ = REFUSAL.try_with(|slot| slot.replace(Some(refusal)));
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
