//! Which of the certificates that a client sends can be of any use, before paths through them are built.
//!
//! webpki tries all paths through what was sent, upwards from the leaf, and looks at signatures only when a path has
//! reached an authority. Of nine certificates of one name there are 80,000 such paths, for each of which the client has
//! paid nothing. Downwards from the authorities there are only those that were really issued: of what a stranger makes,
//! none.

use crate::signed::Signature;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;

/// How many can be of use at once: no path is longer, and of so many there are a few hundred at most.
pub(super) const MAX_USEFUL: usize = 6;

/// A certificate that may have issued others.
struct Issuer<'c> {
    subject: Vec<u8>,
    key: EndEntityCert<'c>,
}

impl<'c> Issuer<'c> {
    fn of(der: &'c CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        Some(Self { subject: parsed.subject().as_raw().to_vec(), key: EndEntityCert::try_from(der).ok()? })
    }

    fn has_issued(&self, certificate: &X509Certificate<'_>, signature: &Signature) -> bool {
        certificate.issuer().as_raw() == self.subject
            && signature.is_by(&self.key, certificate.tbs_certificate.as_ref())
    }
}

/// Those of `sent` that one of the authorities has issued, or another one of these, in their order.
pub(super) fn useful<'c>(
    authorities: &[CertificateDer<'_>],
    sent: &'c [CertificateDer<'c>],
) -> Vec<CertificateDer<'c>> {
    let mut is_useful = vec![false; sent.len()];
    let mut issuers: Vec<Issuer<'_>> = authorities.iter().filter_map(Issuer::of).collect();
    // Each issuer is asked about each certificate at most once.
    while !issuers.is_empty() {
        let mut found = Vec::new();
        for (der, is_useful) in sent.iter().zip(&mut is_useful).filter(|(_, is_useful)| !**is_useful) {
            let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { continue };
            let signature = Signature::of_certificate(&certificate);
            if issuers.iter().any(|issuer| issuer.has_issued(&certificate, &signature)) {
                *is_useful = true;
                found.extend(Issuer::of(der));
            }
        }
        issuers = found;
    }
    sent.iter().zip(is_useful).filter(|(_, is_useful)| *is_useful).map(|(der, _)| der.clone()).collect()
}
