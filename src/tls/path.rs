//! Checks of a path that path building leaves out: key usage, and revocation.
//!
//! webpki ignores the key usage of certificates, and all but the first revocation list of an
//! issuer. Each path that it finds is therefore checked here; if one is rejected, it looks for
//! another.

use super::refusal::KeyUsageFault;
use crate::config::{CrlCoverage, RevocationList, Subject};
use crate::sanitize::sanitize;
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
    pub(super) validity: std::ops::RangeInclusive<i64>,
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

    /// Checks a certificate against the current lists of its issuer: those that no newer list of
    /// the same scope replaces. All of them must agree.
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

/// Returns `true` if the issuer may sign revocation lists (RFC 5280 section 6.3.3 (f)).
fn may_sign_lists(issuer: &CertificateDer<'_>) -> bool {
    let parsed = x509_parser::parse_x509_certificate(issuer);
    parsed.is_ok_and(|(_, issuer)| {
        issuer
            .key_usage()
            .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
    })
}

/// Checks that an authority may sign certificates (RFC 5280 section 6.1.4 (n)), and a client the
/// handshake, in every version of TLS and with every kind of key. Without the extension, a key may
/// be used for everything.
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
            sanitize(&certificate.subject().to_string()).into_owned(),
        )),
        false if !usage.value.digital_signature() => Err(KeyUsageFault::Client),
        _ => Ok(()),
    }
}
