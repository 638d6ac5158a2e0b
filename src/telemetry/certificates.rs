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
    /// The time from which a certificate is valid, in seconds since 1970.
    pub not_before: Option<i64>,
    /// The expiry in seconds since 1970.
    pub not_after: i64,
}

impl Certificate {
    /// Returns those of `config`.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        config.tls.as_ref().map(certificates).unwrap_or_default()
    }

    /// Returns the server's own certificate and its chain.
    pub(super) fn of_server(chain: &[CertificateDer<'static>]) -> Vec<Self> {
        // Every client needs the leaf. The rest of the chain may be expired and unused: a
        // self-signed or cross-signed certificate may stay in a chain for years after its expiry.
        let kinds = iter::once(CertificateKind::Server).chain(iter::repeat(CertificateKind::Chain));
        kinds
            .zip(identities(chain))
            .map(|(which, identity)| Self::of(which, identity))
            .collect()
    }

    fn of(which: CertificateKind, identity: ClientIdentity) -> Self {
        Self {
            which,
            name: identity.subject,
            not_before: Some(identity.not_before),
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

/// Returns the first to expire of each kind, if there is one of it.
pub(super) fn earliest(
    certificates: &[Certificate],
    now: i64,
) -> impl Iterator<Item = (CertificateKind, Option<&Certificate>)> {
    CONFIGURED.into_iter().map(move |which| {
        let counted = certificates.iter().filter(|it| it.counts_for(which, now));
        (which, counted.min_by_key(|it| it.not_after))
    })
}

fn certificates(tls: &Tls) -> Vec<Certificate> {
    let lists = tls.client.revocation_lists.iter();
    let server = tls.certificate.files();
    let server = server.map(|certified| Certificate::of_server(&certified.cert));
    server
        .unwrap_or_default()
        .into_iter()
        .chain(authorities(tls))
        .chain(lists.filter_map(revocation_list))
        .collect()
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
        not_before: None,
        not_after: list.next_update()?,
    })
}
