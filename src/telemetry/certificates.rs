//! The certificates and revocation lists of a configuration, and until when each is valid.

use super::metrics::CertificateKind;
use crate::auth::ClientIdentity;
use crate::config::{Config, Tls};

/// The kinds that a configuration names.
const CONFIGURED: [CertificateKind; 4] = [
    CertificateKind::Server,
    CertificateKind::Chain,
    CertificateKind::Ca,
    CertificateKind::Crl,
];

/// A certificate or a revocation list with its expiry.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The purpose of the certificate.
    pub which: CertificateKind,
    /// The subject of a certificate, or the file of a revocation list.
    pub name: String,
    /// The expiry in seconds since 1970.
    pub not_after: i64,
}

impl Certificate {
    /// Returns those of `config`.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        config.tls.as_ref().map(certificates).unwrap_or_default()
    }
}

/// Returns the earliest expiry of each kind, if there is one of it.
pub(super) fn earliest(
    certificates: &[Certificate],
    now: i64,
) -> impl Iterator<Item = (CertificateKind, Option<i64>)> {
    CONFIGURED.into_iter().map(move |which| {
        let of_this_kind = certificates.iter().filter(|it| it.which == which);
        // An expired certificate of the chain would hide one that is about to expire.
        let counted =
            of_this_kind.filter(|it| which != CertificateKind::Chain || it.not_after >= now);
        (which, counted.map(|it| it.not_after).min())
    })
}

fn certificates(tls: &Tls) -> Vec<Certificate> {
    // Every client needs the leaf. The rest of the chain may be expired and unused: a self-signed
    // or cross-signed certificate may stay in a chain for years after its expiry.
    let mut chain = tls
        .certificate
        .cert
        .iter()
        .filter_map(|der| ClientIdentity::from_der(der));
    let leaf = chain.next().map(|leaf| (CertificateKind::Server, leaf));
    let server = leaf
        .into_iter()
        .chain(chain.map(|above| (CertificateKind::Chain, above)));
    let server = server.map(|(which, it)| Certificate {
        which,
        name: it.subject,
        not_after: it.not_after,
    });
    let authorities = tls
        .client
        .authorities
        .iter()
        .filter_map(|der| ClientIdentity::from_der(der));
    let authorities = authorities.map(|ca| Certificate {
        which: CertificateKind::Ca,
        name: ca.subject,
        not_after: ca.not_after,
    });
    let lists = tls.client.revocation_lists.iter().filter_map(|list| {
        let name = list.file().display().to_string();
        Some(Certificate {
            which: CertificateKind::Crl,
            name,
            not_after: list.next_update()?,
        })
    });
    server.chain(authorities).chain(lists).collect()
}
