//! Which authorities a configuration trusts to issue certificates.
//!
//! What makes path building take an authority for another than it is, or nothing of it, is found
//! here: a program that starts and then refuses every client, or trusts more than the certificate
//! says, is worse than an error.

use super::pem::{self, Fault};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

/// Reads trusted authorities in PEM. Each certificate must be one that can issue.
pub(super) fn read(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let certificates = pem::certificates(pem)?;
    let judge = |certificate: pem::Located<CertificateDer<'static>>| match fault(&certificate.value)
    {
        None => Ok(certificate.value),
        Some(what) => Err(Fault::at(certificate.line, what)),
    };
    certificates.into_iter().map(judge).collect()
}

/// Why a certificate cannot be that of a trusted authority.
pub(crate) fn fault(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = match x509_parser::parse_x509_certificate(certificate) {
        Ok((_, parsed)) => parsed,
        Err(error) => return Some(format!("the certificate cannot be read: {error}")),
    };
    let name = parsed.subject();
    if name.iter().next().is_none() {
        return Some(
            "the certificate has an empty subject, so no certificate can name it as its issuer"
                .into(),
        );
    }
    if parsed.extensions_map().is_err() {
        return Some(format!("\"{name}\" has an extension twice"));
    }
    if let Some(broken) = parsed
        .extensions()
        .iter()
        .find(|it| it.parsed_extension().error().is_some())
    {
        return Some(format!(
            "\"{name}\" has an extension that cannot be read: {}",
            broken.oid
        ));
    }
    if !parsed.is_ca() {
        return Some(format!(
            "\"{name}\" is not a certificate authority (CA:TRUE)"
        ));
    }
    // OpenSSL, and so NGINX, Apache and HAProxy, accept nothing from such an authority either.
    if !may_issue(&parsed) {
        return Some(format!(
            "\"{name}\" contradicts itself: it is a certificate authority (CA:TRUE), and its key usage does not allow it \
             to issue certificates (keyCertSign)"
        ));
    }
    if let Some(unknown) = parsed
        .extensions()
        .iter()
        .find(|it| it.critical && !is_understood(it.parsed_extension()))
    {
        return Some(format!(
            "\"{name}\" has a critical extension that is not understood: {}",
            unknown.oid
        ));
    }
    RootCertStore::empty()
        .add(certificate.clone())
        .err()
        .map(|error| format!("\"{name}\" cannot be trusted: {error}"))
}

/// Without a key usage, a key may be used for everything.
fn may_issue(certificate: &X509Certificate<'_>) -> bool {
    certificate
        .key_usage()
        .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

/// Those that path building acts upon, and those that only say more about the certificate itself.
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
