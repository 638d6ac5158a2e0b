//! Reads files in PEM (RFC 7468) completely or not at all.
//!
//! Most readers skip what they do not understand: two sections on one line, or an indented section,
//! are ignored without an error, and an authority or a revocation list is missing. Here, whatever
//! looks like the beginning or the end of a section is one, or an error with its line. No error
//! repeats the contents of the file, which may be a key.

mod fault;
mod line;
mod section;

pub(super) use fault::Fault;
pub(super) use section::{AtLine, UNREADABLE};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use section::{ENCRYPTED, PemSection, sections};

/// Labels of sections that often stand beside a certificate or a key, and are ignored.
const BESIDE: [&str; 4] = [
    "PUBLIC KEY",
    "CERTIFICATE REQUEST",
    "EC PARAMETERS",
    "DH PARAMETERS",
];

/// Labels of private keys that can be used.
const KEYS: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

/// Labels of private keys that cannot be used.
const OTHER_KEYS: [&str; 3] = [
    "ENCRYPTED PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "DSA PRIVATE KEY",
];

/// Returns the certificates of a file, at least one. The file may contain keys and the like as well.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<AtLine<CertificateDer<'static>>>, Fault> {
    let sections = sections(pem)?;
    let certificates: Vec<_> = sections
        .iter()
        .filter_map(|section| certificate(section).transpose())
        .collect::<Result<_, _>>()?;
    let holds_key = sections.iter().any(|section| is_key(section.label));
    match certificates.is_empty() {
        true => Err(Fault::whole(no_certificate(pem, holds_key))),
        false => Ok(certificates),
    }
}

/// Returns the certificate in a section, unless it is one that may stand beside certificates.
fn certificate(section: &PemSection<'_>) -> Result<Option<AtLine<CertificateDer<'static>>>, Fault> {
    let fault = match section.label {
        "CERTIFICATE" => return section.certificate().map(Some),
        label if is_key(label) || BESIDE.contains(&label) => return Ok(None),
        "TRUSTED CERTIFICATE" => {
            "a TRUSTED CERTIFICATE has settings of OpenSSL's own behind it: make a plain one of it with \
             \"openssl x509 -in FILE -out FILE\""
        }
        "X509 CERTIFICATE" => "an old label: write CERTIFICATE in place of X509 CERTIFICATE, twice",
        "X509 CRL" => "holds a revocation list, not a certificate",
        "PKCS7" | "CMS" => "a PKCS #7 bundle: take it apart with \"openssl pkcs7 -print_certs\"",
        _ => "a section of another kind, where certificates are expected",
    };
    Err(section.fault(fault))
}

fn is_key(label: &str) -> bool {
    KEYS.contains(&label) || OTHER_KEYS.contains(&label)
}

fn no_certificate(pem: &[u8], holds_key: bool) -> &'static str {
    match holds_key {
        true => "holds a private key and no certificate",
        false if x509_parser::parse_x509_certificate(pem).is_ok() => {
            "is in DER, not in PEM: convert it with \"openssl x509 -inform DER\""
        }
        false => "holds no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")",
    }
}

/// Returns the revocation lists of a file, at least one. The file may contain nothing else.
pub(super) fn revocation_lists(pem: &[u8]) -> Result<Vec<AtLine<Vec<u8>>>, Fault> {
    let sections = sections(pem)?;
    let lists = sections.iter().map(revocation_list);
    let lists = lists.collect::<Result<Vec<_>, Fault>>()?;
    match lists.is_empty() {
        true => Err(Fault::whole(
            "holds no revocation list in DER or PEM (\"-----BEGIN X509 CRL-----\")",
        )),
        false => Ok(lists),
    }
}

fn revocation_list(section: &PemSection<'_>) -> Result<AtLine<Vec<u8>>, Fault> {
    match section.label {
        "X509 CRL" => Ok(section.at_line(section.decode()?.1)),
        "CERTIFICATE" => Err(section.fault("holds a certificate, not a revocation list")),
        _ => Err(section.fault("a section of another kind, where revocation lists are expected")),
    }
}

/// Returns the one private key of a file. The file may contain certificates and the like as well.
pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    let sections = sections(pem)?;
    let mut key = None;
    for section in &sections {
        let found = key_in(section)?;
        if found.is_some() && key.is_some() {
            return Err(section.fault("a second private key: keep only the one of the certificate"));
        }
        key = key.or(found);
    }
    let holds_certificate = sections.iter().any(|it| it.label == "CERTIFICATE");
    key.ok_or_else(|| Fault::whole(no_key(holds_certificate)))
}

/// Returns the key in a section, unless it is one that may stand beside a key.
fn key_in(section: &PemSection<'_>) -> Result<Option<PrivateKeyDer<'static>>, Fault> {
    let fault = match section.label {
        label if KEYS.contains(&label) => return section.private_key().map(Some),
        "CERTIFICATE" => return Ok(None),
        label if BESIDE.contains(&label) => return Ok(None),
        "ENCRYPTED PRIVATE KEY" => ENCRYPTED,
        "OPENSSH PRIVATE KEY" => {
            "a key in OpenSSH's form: convert it with \"ssh-keygen -p -m PEM -f FILE\""
        }
        _ => "a section of another kind, where a private key is expected",
    };
    Err(section.fault(fault))
}

fn no_key(holds_certificate: bool) -> &'static str {
    match holds_certificate {
        true => "holds a certificate and no private key",
        false => "holds no private key in PEM (\"-----BEGIN PRIVATE KEY-----\")",
    }
}

#[cfg(test)]
mod tests;
