//! Checks the authorities that a configuration trusts to issue certificates.
//!
//! Path building ignores or misreads some authorities. Those are errors here: a program that starts
//! and then refuses every client, or trusts more than the certificate says, is worse.

use super::key_kind;
use super::pem::{self, Fault};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

/// Reads trusted authorities in PEM. Each certificate must be one that can issue.
pub(super) fn read(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let certificates = pem::certificates(pem)?;
    let judge = |certificate: pem::AtLine<CertificateDer<'static>>| match fault(&certificate.value)
    {
        None => Ok(certificate.value),
        Some(what) => Err(Fault::at(certificate.line, what)),
    };
    certificates.into_iter().map(judge).collect()
}

/// Returns why a certificate cannot be that of a trusted authority.
pub(crate) fn fault(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = match x509_parser::parse_x509_certificate(certificate) {
        Ok((_, parsed)) => parsed,
        Err(_) => return Some(pem::UNREADABLE.into()),
    };
    let name = parsed.subject();
    if name.iter().next().is_none() {
        let fault =
            "the certificate has an empty subject, so no certificate can name it as its issuer";
        return Some(fault.into());
    }
    let fault = unreadable_extension(&parsed)
        .or_else(|| contradiction(&parsed))
        .or_else(|| unknown_extension(&parsed))
        .or_else(|| unverifiable_key(&parsed))
        .or_else(|| unusable(certificate))?;
    Some(format!("\"{name}\" {fault}"))
}

fn unreadable_extension(certificate: &X509Certificate<'_>) -> Option<String> {
    if certificate.extensions_map().is_err() {
        return Some("has an extension twice".into());
    }
    let mut extensions = certificate.extensions().iter();
    let broken = extensions.find(|it| it.parsed_extension().error().is_some())?;
    Some(format!(
        "has an extension that cannot be read: {}",
        broken.oid
    ))
}

fn contradiction(certificate: &X509Certificate<'_>) -> Option<String> {
    if !certificate.is_ca() {
        return Some("is not a certificate authority (CA:TRUE)".into());
    }
    // OpenSSL, and so NGINX, Apache and HAProxy, accept nothing from such an authority either.
    (!may_issue(certificate)).then(|| {
        "contradicts itself: it is a certificate authority (CA:TRUE), and its key usage does not allow it \
         to issue certificates (keyCertSign)"
            .into()
    })
}

fn unknown_extension(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut extensions = certificate.extensions().iter();
    let unknown = extensions.find(|it| it.critical && !is_understood(it.parsed_extension()))?;
    Some(format!(
        "has a critical extension that is not understood: {}",
        unknown.oid
    ))
}

fn unverifiable_key(certificate: &X509Certificate<'_>) -> Option<String> {
    let key = key_kind::unverifiable(certificate.public_key())?;
    Some(format!(
        "has {key}, with which no signature can be verified, so none of its certificates would be \
         accepted: a key must be {}",
        key_kind::USABLE
    ))
}

fn unusable(certificate: &CertificateDer<'_>) -> Option<String> {
    let error = RootCertStore::empty().add(certificate.clone()).err()?;
    Some(format!("cannot be trusted: {error}"))
}

/// Returns `true` if the key may sign certificates. Without a key usage, it may be used for
/// everything.
fn may_issue(certificate: &X509Certificate<'_>) -> bool {
    certificate
        .key_usage()
        .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

/// Returns `true` for extensions that path building acts upon, and for those that only say more
/// about the certificate itself.
fn is_understood(extension: &ParsedExtension<'_>) -> bool {
    matches!(
        extension,
        ParsedExtension::BasicConstraints(_)
            | ParsedExtension::KeyUsage(_)
            | ParsedExtension::ExtendedKeyUsage(_)
            | ParsedExtension::NameConstraints(_)
            | ParsedExtension::SubjectAlternativeName(_)
            | ParsedExtension::IssuerAlternativeName(_)
            | ParsedExtension::SubjectKeyIdentifier(_)
            | ParsedExtension::AuthorityKeyIdentifier(_)
            | ParsedExtension::CRLDistributionPoints(_)
            | ParsedExtension::CertificatePolicies(_)
    )
}

/// These tests hold every extension that may be critical in the certificate of an authority.
#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};

    /// Returns the objection to an authority with this extension, which is critical.
    fn against(identifier: &[u64], contents: &[u8]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "root");
        // rcgen would add a subject key identifier to what it knows to be an authority.
        if identifier != [2, 5, 29, 19] {
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(
                    &[2, 5, 29, 19],
                    b"\x30\x03\x01\x01\xff".to_vec(),
                ));
        }
        let mut extension = CustomExtension::from_oid_content(identifier, contents.to_vec());
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        fault(certificate.der())
    }

    #[test]
    fn each_extension_that_is_understood_may_be_critical() {
        let name = b"\x30\x03\x82\x01a";
        for (identifier, contents) in [
            (&[2, 5, 29, 19][..], &b"\x30\x03\x01\x01\xff"[..]),
            (&[2, 5, 29, 15], b"\x03\x02\x01\x06"),
            (
                &[2, 5, 29, 37],
                b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02",
            ),
            (&[2, 5, 29, 30], b"\x30\x07\xa0\x05\x30\x03\x82\x01a"),
            (&[2, 5, 29, 17], name),
            (&[2, 5, 29, 18], name),
            (&[2, 5, 29, 14], b"\x04\x01a"),
            (&[2, 5, 29, 35], b"\x30\x03\x80\x01a"),
            (
                &[2, 5, 29, 31],
                b"\x30\x09\x30\x07\xa0\x05\xa0\x03\x86\x01a",
            ),
            (&[2, 5, 29, 32], b"\x30\x08\x30\x06\x06\x04\x55\x1d\x20\x00"),
        ] {
            assert_eq!(against(identifier, contents), None, "{identifier:?}");
        }
    }

    #[test]
    fn no_other_extension_may_be_critical() {
        for (identifier, contents) in [
            (
                &[2, 5, 29, 33][..],
                &b"\x30\x0e\x30\x0c\x06\x04\x55\x1d\x20\x01\x06\x04\x55\x1d\x20\x02"[..],
            ),
            (&[2, 5, 29, 36], b"\x30\x03\x80\x01\x00"),
            (&[2, 5, 29, 54], b"\x02\x01\x00"),
            (
                &[1, 3, 6, 1, 5, 5, 7, 1, 1],
                b"\x30\x11\x30\x0f\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86\x03a:b",
            ),
            (&[2, 16, 840, 1, 113_730, 1, 1], b"\x03\x02\x01\x06"),
            (&[1, 3, 6, 1, 4, 1, 99999, 1], b"\x05\x00"),
        ] {
            let fault = against(identifier, contents).unwrap_or_default();
            assert!(
                fault.contains("that is not understood"),
                "{identifier:?}: {fault}"
            );
        }
    }
}
