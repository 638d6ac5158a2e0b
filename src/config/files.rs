//! Reads the files that a configuration names: certificates, keys and revocation lists.
//!
//! A file that cannot be read as what it should be is an error. There is no fallback: a proxy
//! that trusted the system's authorities because its own file was missing would let any client in.

use super::pem::{self, Fault};
use super::{RevocationList, authorities, empty_file};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The Netdata Root CA, as Netdata's documentation of the webhook integration publishes it.
pub const NETDATA_ROOT_CA: &str = include_str!("../../conf/netdata-root-ca.pem");

/// The largest size of a file in PEM, in bytes: it is kept in memory.
pub(super) const MAX_PEM: u64 = 16 << 20;

/// The largest size of a revocation list, in bytes: it has an entry for each revoked certificate.
pub(super) const MAX_LIST: u64 = 64 << 20;

/// Reads a whole file, unless it has more bytes than `limit`, as a device without an end has.
pub(super) fn read_within(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // All of it at once: what moved to a larger place would leave a secret behind.
    let length = file.metadata()?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => {
            let limit = limit >> 20;
            Err(io::Error::other(format!("it has more than {limit} MiB")))
        }
        false => Ok(bytes),
    }
}

/// Returns a hint for a file that does not exist: other programs would change its name, as shells do,
/// and this one does not.
pub(super) fn untouched(path: &Path) -> &'static str {
    let name = path.to_string_lossy();
    if name.contains("file:/") {
        "; a file is named by its path, not by a URL"
    } else if name.starts_with('~') || name.contains("/~") {
        "; ~ does not stand for a home directory here: write the whole path"
    } else if name.contains('$') {
        "; variables are not replaced in the names of files"
    } else {
        ""
    }
}

/// Reads a file that is not empty: `content` belongs into it.
fn read(path: &Path, limit: u64, content: &str) -> Result<Vec<u8>, String> {
    let is_pasted = path.as_os_str().as_encoded_bytes().contains(&b'\n');
    let bytes = read_within(path, limit).map_err(|error| match is_pasted {
        true => {
            format!("cannot read it: {error}; it must be the name of a file, not what is in one")
        }
        false => format!("cannot read {}: {error}{}", path.display(), untouched(path)),
    })?;
    empty_file::refuse(path, &bytes, content)?;
    Ok(bytes)
}

/// Reads a file with a key or a secret.
///
/// The name of a file that does not exist is not repeated: it may be the secret itself, written in
/// place of the name of its file.
pub(super) fn read_secretly(
    path: &Path,
    limit: u64,
    what: &str,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let read = read_within(path, limit).map(Zeroizing::new);
    read.map_err(|error| match is_there(path) {
        true => format!("cannot read {}: {error}", path.display()),
        false => {
            let untouched = untouched(path);
            format!(
                "cannot read the file with {what}, by the name that is given: {error}{untouched}"
            )
        }
    })
}

fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// Reads trusted authorities from a PEM file. Each certificate in it must be one that can issue.
pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path, MAX_PEM, "the certificates of authorities")?;
    authorities::read(&pem).map_err(|fault| fault.in_file(path))
}

/// Returns the built-in authority of Netdata Cloud.
pub(super) fn builtin_authorities() -> Vec<CertificateDer<'static>> {
    authorities::read(NETDATA_ROOT_CA.as_bytes()).expect("the built-in certificate is valid")
}

/// Returns the authorities that the system trusts. One that cannot be read is left out: systems
/// come with exotic ones.
///
/// # Errors
/// If there are none: what to do.
pub(crate) fn system_authorities() -> Result<Arc<[CertificateDer<'static>]>, String> {
    let found = rustls_native_certs::load_native_certs();
    let authorities: Arc<[_]> = found.certs.into_iter().filter(can_be_trusted).collect();
    if !authorities.is_empty() {
        return Ok(authorities);
    }
    Err(explain_absence(&found.errors))
}

fn explain_absence(errors: &[rustls_native_certs::Error]) -> String {
    let reasons = errors.iter().map(|error| why_unread(&error.kind));
    let reasons: String = reasons.map(|reason| format!(" ({reason})")).collect();
    format!(
        "needs the authorities that the system trusts, and none are found{reasons}: install ca-certificates, or set \
         SSL_CERT_FILE"
    )
}

fn can_be_trusted(certificate: &CertificateDer<'static>) -> bool {
    x509_parser::parse_x509_certificate(certificate).is_ok()
        && RootCertStore::empty().add(certificate.clone()).is_ok()
}

/// Says why a file with authorities of the system was not read. The library's own words for what is
/// wrong with it are the bytes of a line.
fn why_unread(error: &rustls_native_certs::ErrorKind) -> String {
    use rustls_native_certs::ErrorKind as E;
    match error {
        E::Io { inner, path } => format!("cannot read {}: {inner}", path.display()),
        E::Pem(_) => "a file with them is not whole in PEM".into(),
        E::Os(error) => error.to_string(),
        _ => "they cannot be read".into(),
    }
}

/// Reads revocation lists, one in DER or any number in PEM.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<RevocationList>, String> {
    let bytes = read(path, MAX_LIST, "a revocation list")?;
    if is_der(&bytes) {
        let list = RevocationList::from_der(path, bytes);
        let list = list.map_err(|error| format!("{} {error}", path.display()))?;
        return Ok(vec![list]);
    }
    let lists = pem::revocation_lists(&bytes).map_err(|fault| fault.in_file(path))?;
    let lists = lists.into_iter();
    lists.map(|list| revocation_list(path, list)).collect()
}

/// Returns `true` for a sequence of more than 127 bytes, which no text begins with.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x80..=0xff, ..])
}

fn revocation_list(path: &Path, list: pem::AtLine<Vec<u8>>) -> Result<RevocationList, String> {
    RevocationList::from_der(path, list.value)
        .map_err(|error| Fault::at(list.line, format!("the list {error}")).in_file(path))
}

/// Reads the certificates in a PEM file, of which there is at least one, for commands that take
/// some.
///
/// # Errors
/// If the file has none: what it contains instead.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(
        path,
        MAX_PEM,
        "the certificate and its issuers, leaf first,",
    )?;
    pem::certificates(&pem)
        .map(without_lines)
        .map_err(|fault| fault.in_file(path))
}

/// Returns the certificates of a file in PEM that has been read; `None` if there are none, or not
/// all of it can be read.
pub(crate) fn certificates_in(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    pem::certificates(pem).map(without_lines).ok()
}

fn without_lines<T>(values: Vec<pem::AtLine<T>>) -> Vec<T> {
    values.into_iter().map(|it| it.value).collect()
}
