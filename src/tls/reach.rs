//! Selects the certificates of a client's chain that an authority has issued, before paths are
//! built.
//!
//! webpki tries all paths upwards from the leaf, and verifies signatures only when a path has
//! reached an authority. Nine certificates of one name have 80,000 such paths, at no cost for the
//! client. Downwards from the authorities there are only certificates that were really issued.

use crate::config::signature::Signature;
use rustls::pki_types::CertificateDer;
use std::borrow::Cow;
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;

/// The maximum number of useful certificates: no path is longer, and these have a few hundred paths
/// at most.
pub(super) const MAX_USEFUL: usize = 6;

/// A certificate that may have issued others.
#[derive(Clone)]
pub(super) struct Issuer<'c> {
    /// The DER of the subject.
    pub(super) subject: Cow<'c, [u8]>,
    pub(super) der: &'c CertificateDer<'c>,
}

impl Issuer<'_> {
    /// Compares the name first, because that is cheap.
    fn has_issued(&self, certificate: &X509Certificate<'_>, signature: &Signature) -> bool {
        certificate.issuer().as_raw() == &*self.subject
            && EndEntityCert::try_from(self.der)
                .is_ok_and(|key| signature.is_by(&key, certificate.tbs_certificate.as_ref()))
    }
}

/// Returns a certificate as an issuer of others, if one of `issuers` has issued it.
fn issued_by_one_of<'c>(issuers: &[Issuer<'_>], der: &'c CertificateDer<'c>) -> Option<Issuer<'c>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let signature = Signature::of_certificate(&certificate);
    issuers
        .iter()
        .any(|issuer| issuer.has_issued(&certificate, &signature))
        .then(|| Issuer {
            subject: certificate.subject().as_raw().to_vec().into(),
            der,
        })
}

/// Returns those of `sent` that an authority has issued, directly or through another one, in their
/// order.
pub(super) fn useful<'c>(
    authorities: impl Iterator<Item = Issuer<'c>>,
    sent: &'c [CertificateDer<'c>],
) -> Vec<CertificateDer<'c>> {
    let mut is_useful = vec![false; sent.len()];
    let mut issuers: Vec<Issuer<'_>> = authorities.collect();
    // Each issuer is compared with each certificate at most once.
    while !issuers.is_empty() {
        let mut found = Vec::new();
        for (der, is_useful) in sent.iter().zip(&mut is_useful) {
            if !*is_useful && let Some(issuer) = issued_by_one_of(&issuers, der) {
                *is_useful = true;
                found.push(issuer);
            }
        }
        issuers = found;
    }
    sent.iter()
        .zip(is_useful)
        .filter(|(_, is_useful)| *is_useful)
        .map(|(der, _)| der.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn root(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        CertifiedIssuer::self_signed(params(name), KeyPair::generate().unwrap()).unwrap()
    }

    fn below(
        name: &str,
        issuer: &CertifiedIssuer<'static, KeyPair>,
    ) -> CertifiedIssuer<'static, KeyPair> {
        CertifiedIssuer::signed_by(params(name), KeyPair::generate().unwrap(), issuer).unwrap()
    }

    #[test]
    fn what_leads_down_from_an_authority_is_useful_and_nothing_else_is() {
        let (trusted, other) = (root("root"), root("root"));
        let (first, second) = (below("first", &trusted), below("second", &trusted));
        let third = below("third", &second);
        // Of the names that are right, with another key above them.
        let (forged, under_forged) = (
            below("first", &other),
            below("third", &below("second", &other)),
        );
        let self_signed = root("self");
        let all = [
            &third,
            &forged,
            &first,
            &self_signed,
            &second,
            &under_forged,
            &other,
        ];
        let sent: Vec<_> = all
            .iter()
            .map(|it| it.der().clone())
            .chain([CertificateDer::from(vec![0; 9])])
            .collect();
        let (_, parsed) = x509_parser::parse_x509_certificate(trusted.der()).unwrap();
        let authority = Issuer {
            subject: parsed.subject().as_raw().into(),
            der: trusted.der(),
        };
        let expected = [&third, &first, &second].map(|it| it.der().clone());
        assert_eq!(useful([authority.clone()].into_iter(), &sent), expected);
        assert_eq!(useful(std::iter::empty(), &sent), []);
        assert_eq!(useful([authority].into_iter(), &[]), []);
    }
}
