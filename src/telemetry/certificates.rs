//! The certificates and revocation lists of a configuration, and until when each is valid.

use super::metrics::CertificateKind;
use crate::auth::ClientIdentity;
use crate::config::{Config, RevocationList, Tls};
use rustls::pki_types::CertificateDer;
use std::iter;

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

    fn of(which: CertificateKind, identity: ClientIdentity) -> Self {
        Self {
            which,
            name: identity.subject,
            not_after: identity.not_after,
        }
    }

    /// Returns that of the client seen last.
    pub(super) fn last_seen(client: &ClientIdentity) -> Self {
        Self::of(CertificateKind::ClientLastSeen, client.clone())
    }

    /// Returns `true` if the expiry of this one is among those that are reported for `which`.
    fn counts_for(&self, which: CertificateKind, now: i64) -> bool {
        // An expired certificate of the chain would hide one that is about to expire.
        let is_hiding = which == CertificateKind::Chain && self.not_after < now;
        self.which == which && !is_hiding
    }
}

/// Returns the earliest expiry of each kind, if there is one of it.
pub(super) fn earliest(
    certificates: &[Certificate],
    now: i64,
) -> impl Iterator<Item = (CertificateKind, Option<i64>)> {
    CONFIGURED.into_iter().map(move |which| {
        let counted = certificates.iter().filter(|it| it.counts_for(which, now));
        (which, counted.map(|it| it.not_after).min())
    })
}

fn certificates(tls: &Tls) -> Vec<Certificate> {
    let lists = tls.client.revocation_lists.iter();
    server(tls)
        .chain(authorities(tls))
        .chain(lists.filter_map(revocation_list))
        .collect()
}

/// Returns the server's own certificate and its chain.
fn server(tls: &Tls) -> impl Iterator<Item = Certificate> {
    // Every client needs the leaf. The rest of the chain may be expired and unused: a self-signed
    // or cross-signed certificate may stay in a chain for years after its expiry.
    let kinds = iter::once(CertificateKind::Server).chain(iter::repeat(CertificateKind::Chain));
    let identities = identities(&tls.certificate.cert);
    kinds
        .zip(identities)
        .map(|(which, identity)| Certificate::of(which, identity))
}

fn authorities(tls: &Tls) -> impl Iterator<Item = Certificate> {
    let identities = identities(&tls.client.authorities);
    identities.map(|identity| Certificate::of(CertificateKind::Ca, identity))
}

fn identities<'c>(
    certificates: &'c [CertificateDer<'static>],
) -> impl Iterator<Item = ClientIdentity> + 'c {
    let identities = certificates.iter().map(|der| ClientIdentity::from_der(der));
    identities.flatten()
}

fn revocation_list(list: &RevocationList) -> Option<Certificate> {
    Some(Certificate {
        which: CertificateKind::Crl,
        name: list.file().display().to_string(),
        not_after: list.next_update()?,
    })
}
