//! Checks of a path that path building leaves out: key usage, and revocation.
//!
//! webpki ignores the key usage of certificates, and all but the first revocation list of an
//! issuer. Each path that it finds is therefore checked here; if one is rejected, it looks for
//! another.

use super::distrust::KeyUsageFault;
use crate::config::{CrlCoverage, RevocationList, Subject};
use crate::sanitize::sanitize;
use rustls::pki_types::CertificateDer;
use std::ops::RangeInclusive;
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

    fn as_subject(&self, is_authority: bool) -> Subject<'_> {
        Subject {
            der: &self.der,
            serial: &self.serial,
            is_authority,
        }
    }
}

/// The reason why a path to a trusted authority is rejected.
pub(super) enum Obstacle {
    KeyUsage(KeyUsageFault),
    Revoked,
    RevocationUnknown,
}

/// The rules by which paths are checked.
#[derive(Debug)]
pub(super) struct Rules {
    lists: Vec<RevocationList>,
    coverage: CrlCoverage,
}

/// A path that passed the checks.
pub(super) struct Judged {
    /// The seconds since 1970 in which every certificate of the path is valid.
    pub(super) validity: RangeInclusive<i64>,
}

impl Rules {
    pub(super) fn new(lists: Vec<RevocationList>, coverage: CrlCoverage) -> Self {
        Self { lists, coverage }
    }

    /// Checks a path to `anchor`, the certificate of the trusted authority at its end.
    pub(super) fn judge(
        &self,
        path: &VerifiedPath<'_>,
        anchor: &CertificateDer<'_>,
    ) -> Result<Judged, Obstacle> {
        let links = links(path);
        let mut validity = i64::MIN..=i64::MAX;
        for (index, link) in links.iter().enumerate() {
            let issuer = links.get(index + 1).map_or(anchor, |above| &above.der);
            let own = self.check_link(link, index > 0, issuer)?;
            validity = intersection(&validity, &own);
        }
        Ok(Judged { validity })
    }

    /// Checks one certificate of a path. Returns the time in which it is valid.
    fn check_link(
        &self,
        link: &Link<'_>,
        is_authority: bool,
        issuer: &CertificateDer<'_>,
    ) -> Result<RangeInclusive<i64>, Obstacle> {
        let (_, certificate) = x509_parser::parse_x509_certificate(&link.der)
            .map_err(|_| Obstacle::KeyUsage(KeyUsageFault::Unreadable))?;
        check_key_usage(&certificate, is_authority).map_err(Obstacle::KeyUsage)?;
        let subject = link.as_subject(is_authority);
        self.check_revocation(&subject, &certificate, issuer)?;
        Ok(validity_of(&certificate))
    }

    /// Checks a certificate against the current lists of its issuer: those that no newer list of
    /// the same scope replaces. All of them must agree.
    fn check_revocation(
        &self,
        subject: &Subject<'_>,
        certificate: &X509Certificate<'_>,
        issuer: &CertificateDer<'_>,
    ) -> Result<(), Obstacle> {
        let is_named = |list: &&RevocationList| list.is_in_name_of(certificate.issuer());
        let named: Vec<_> = self.lists.iter().filter(is_named).collect();
        if named.is_empty() {
            return self.check_unlisted();
        }
        let current = current(named, issuer);
        if current.iter().any(|list| list.revokes(subject)) {
            return Err(Obstacle::Revoked);
        }
        match may_sign_lists(issuer) && current.iter().any(|list| list.covers(subject)) {
            true => Ok(()),
            false => Err(Obstacle::RevocationUnknown),
        }
    }

    /// Checks a certificate whose issuer has no list.
    fn check_unlisted(&self) -> Result<(), Obstacle> {
        match self.coverage {
            CrlCoverage::All if !self.lists.is_empty() => Err(Obstacle::RevocationUnknown),
            CrlCoverage::All | CrlCoverage::Listed => Ok(()),
        }
    }
}

/// Returns the certificates of a path below its anchor, the leaf first.
fn links<'p>(path: &'p VerifiedPath<'p>) -> Vec<Link<'p>> {
    let leaf = std::iter::once(Link::of(path.end_entity()));
    let above = path.intermediate_certificates();
    leaf.chain(above.map(Link::of)).collect()
}

fn validity_of(certificate: &X509Certificate<'_>) -> RangeInclusive<i64> {
    let validity = certificate.validity();
    validity.not_before.timestamp()..=validity.not_after.timestamp()
}

/// Returns those of an issuer's lists that it has signed and that no newer one replaces.
fn current<'l>(
    named: Vec<&'l RevocationList>,
    issuer: &CertificateDer<'_>,
) -> Vec<&'l RevocationList> {
    let is_signed = |list: &&RevocationList| list.is_signed_by(issuer);
    let signed: Vec<_> = named.into_iter().filter(is_signed).collect();
    let is_replaced = |list: &RevocationList| {
        signed
            .iter()
            .any(|it| it.has_scope_of(list) && it.is_newer_than(list))
    };
    let is_current = |list: &&RevocationList| !is_replaced(list);
    signed.iter().copied().filter(is_current).collect()
}

fn intersection(one: &RangeInclusive<i64>, other: &RangeInclusive<i64>) -> RangeInclusive<i64> {
    *one.start().max(other.start())..=*one.end().min(other.end())
}

/// Returns `true` if the issuer may sign revocation lists (RFC 5280 section 6.3.3 (f)).
fn may_sign_lists(issuer: &CertificateDer<'_>) -> bool {
    let Ok((_, issuer)) = x509_parser::parse_x509_certificate(issuer) else {
        return false;
    };
    let usage = issuer.key_usage();
    usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
}

/// Checks that an authority may sign certificates (RFC 5280 section 6.1.4 (n)), and a client the
/// handshake, in every version of TLS and with every kind of key. Without the extension, a key may
/// be used for everything.
fn check_key_usage(
    certificate: &X509Certificate<'_>,
    is_authority: bool,
) -> Result<(), KeyUsageFault> {
    let usage = certificate.key_usage();
    let Some(usage) = usage.map_err(|_| KeyUsageFault::Unreadable)? else {
        return Ok(());
    };
    match is_authority {
        true if !usage.value.key_cert_sign() => Err(cannot_issue(certificate)),
        false if !usage.value.digital_signature() => Err(KeyUsageFault::Client),
        _ => Ok(()),
    }
}

fn cannot_issue(authority: &X509Certificate<'_>) -> KeyUsageFault {
    let subject = authority.subject().to_string();
    KeyUsageFault::Authority(sanitize(&subject).into_owned())
}
