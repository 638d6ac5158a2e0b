//! What path building leaves open about a path that it has found: what its keys may be used for,
//! and whether any of its certificates was revoked.
//!
//! webpki ignores the key usage of certificates, and of several revocation lists of an issuer it
//! reads the first. So its candidates are judged here before it returns one; if one does not do, it
//! goes on to look for another.

use super::refusal::KeyUsageFault;
use crate::config::{CrlCoverage, RevocationList, Subject};
use crate::sanitize::clean;
use rustls::pki_types::CertificateDer;
use webpki::{Cert, VerifiedPath};
use x509_parser::certificate::X509Certificate;

/// A certificate of a path.
struct Link<'p> {
    der: CertificateDer<'p>,
    serial: Vec<u8>,
}

impl<'p> Link<'p> {
    fn of(certificate: &Cert<'p>) -> Self {
        Self {
            der: certificate.der(),
            serial: certificate.serial().to_vec(),
        }
    }
}

/// Why a path that leads to a trusted authority is not followed.
pub(super) enum Obstacle {
    KeyUsage(KeyUsageFault),
    Revoked,
    RevocationUnknown,
}

/// What paths are judged by.
#[derive(Debug)]
pub(super) struct Rules {
    lists: Vec<RevocationList>,
    coverage: CrlCoverage,
}

/// A path that may be followed.
pub(super) struct Judged {
    /// Seconds since 1970 in which every certificate of it is valid.
    pub(super) validity: std::ops::RangeInclusive<i64>,
}

impl Rules {
    pub(super) fn new(lists: Vec<RevocationList>, coverage: CrlCoverage) -> Self {
        Self { lists, coverage }
    }

    /// Judges a path to `anchor`, the certificate of the trusted authority at its end.
    pub(super) fn judge(
        &self,
        path: &VerifiedPath<'_>,
        anchor: &CertificateDer<'_>,
    ) -> Result<Judged, Obstacle> {
        let links: Vec<_> = [Link::of(path.end_entity())]
            .into_iter()
            .chain(path.intermediate_certificates().map(Link::of))
            .collect();
        let unreadable = |_| Obstacle::KeyUsage(KeyUsageFault::Unreadable);
        let mut validity = i64::MIN..=i64::MAX;
        for (index, link) in links.iter().enumerate() {
            let (_, certificate) =
                x509_parser::parse_x509_certificate(&link.der).map_err(unreadable)?;
            check_key_usage(&certificate, index > 0).map_err(Obstacle::KeyUsage)?;
            let issuer = links.get(index + 1).map_or(anchor, |above| &above.der);
            let subject = Subject {
                der: &link.der,
                serial: &link.serial,
                is_authority: index > 0,
            };
            self.check_revocation(&subject, &certificate, issuer)?;
            let (from, until) = validity.into_inner();
            let own = certificate.validity();
            validity = from.max(own.not_before.timestamp())..=until.min(own.not_after.timestamp());
        }
        Ok(Judged { validity })
    }

    /// Of the lists that the issuer has signed, those count that no newer one of the same scope
    /// replaces: together, so that none lets through what another one names.
    fn check_revocation(
        &self,
        subject: &Subject<'_>,
        certificate: &X509Certificate<'_>,
        issuer: &CertificateDer<'_>,
    ) -> Result<(), Obstacle> {
        let named = || {
            self.lists
                .iter()
                .filter(|list| list.is_in_name_of(certificate.issuer()))
        };
        if named().next().is_none() {
            return match (self.lists.is_empty(), self.coverage) {
                (true, _) | (_, CrlCoverage::Listed) => Ok(()),
                (_, CrlCoverage::All) => Err(Obstacle::RevocationUnknown),
            };
        }
        let signed: Vec<_> = named().filter(|list| list.is_signed_by(issuer)).collect();
        let is_replaced = |list: &RevocationList| {
            signed
                .iter()
                .any(|it| it.has_scope_of(list) && it.is_newer_than(list))
        };
        let current: Vec<_> = signed.iter().filter(|list| !is_replaced(list)).collect();
        if current.iter().any(|list| list.revokes(subject)) {
            return Err(Obstacle::Revoked);
        }
        match may_sign_lists(issuer) && current.iter().any(|list| list.covers(subject)) {
            true => Ok(()),
            false => Err(Obstacle::RevocationUnknown),
        }
    }
}

/// RFC 5280 section 6.3.3 (f).
fn may_sign_lists(issuer: &CertificateDer<'_>) -> bool {
    let parsed = x509_parser::parse_x509_certificate(issuer);
    parsed.is_ok_and(|(_, issuer)| {
        issuer
            .key_usage()
            .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
    })
}

/// An authority signs certificates (RFC 5280 section 6.1.4 (n)), and a client the handshake,
/// whatever the version of TLS and the kind of key. Without a key usage, a key may be used for
/// everything.
fn check_key_usage(
    certificate: &X509Certificate<'_>,
    is_authority: bool,
) -> Result<(), KeyUsageFault> {
    let Some(usage) = certificate
        .key_usage()
        .map_err(|_| KeyUsageFault::Unreadable)?
    else {
        return Ok(());
    };
    match is_authority {
        true if !usage.value.key_cert_sign() => Err(KeyUsageFault::Authority(
            clean(&certificate.subject().to_string()).into_owned(),
        )),
        false if !usage.value.digital_signature() => Err(KeyUsageFault::Client),
        _ => Ok(()),
    }
}
