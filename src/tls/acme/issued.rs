//! A certificate that an authority issued, with its key: in one file, so that neither can be
//! replaced without the other.

use super::schedule::Lifetime;
use crate::config::Domain;
use instant_acme::CertificateIdentifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// A certificate with its chain and key.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(super) lifetime: Lifetime,
    /// The name by which the authority knows it, if it tells (RFC 9773, section 4.1).
    pub(super) identifier: Option<String>,
    /// The serial number in hexadecimal.
    pub(crate) serial: String,
    pub(crate) issuer: String,
    pub(crate) not_after: String,
    names: Vec<Domain>,
}

/// Joins a key and a chain into one file.
pub(super) fn join(key: &[u8], chain: &str) -> Vec<u8> {
    let mut file = key.trim_ascii_end().to_vec();
    file.push(b'\n');
    file.extend(chain.as_bytes());
    file
}

impl Issued {
    /// Reads a file of key and chain.
    ///
    /// # Errors
    /// If a part is missing, or they do not belong together.
    pub(super) fn read(file: &[u8]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(file).map_err(|_| "it holds no private key")?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(file)
            .collect::<Result<_, _>>()
            .map_err(|_| "its chain cannot be read")?;
        let key =
            aws_lc_rs::sign::any_supported_type(&key).map_err(|_| "its key cannot be used")?;
        let certified = CertifiedKey::new(chain, key);
        certified
            .keys_match()
            .map_err(|error| format!("the certificate and its key do not fit: {error}"))?;
        let leaf = certified.cert.first().ok_or("it holds no certificate")?;
        let identifier = CertificateIdentifier::try_from(leaf).ok();
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        Ok(Self {
            lifetime: Lifetime {
                not_before: leaf.validity().not_before.timestamp(),
                not_after: leaf.validity().not_after.timestamp(),
            },
            identifier: identifier.map(|identifier| identifier.to_string()),
            serial: hex::encode_upper(leaf.raw_serial()),
            issuer: leaf.issuer().to_string(),
            not_after: leaf.validity().not_after.to_string(),
            names: names(&leaf),
            certified: Arc::new(certified),
        })
    }

    /// Returns `true` if the certificate is for these names and no others.
    pub(super) fn is_for(&self, domains: &[Domain]) -> bool {
        self.names.len() == domains.len() && domains.iter().all(|name| self.names.contains(name))
    }

    /// Returns why a new certificate cannot be used.
    pub(super) fn fault(&self, domains: &[Domain], now: i64) -> Option<String> {
        if let Some(missing) = domains.iter().find(|name| !self.names.contains(name)) {
            return Some(format!("the certificate is not for {missing}"));
        }
        if now < self.lifetime.not_before {
            let ahead = self.lifetime.not_before - now;
            return Some(format!(
                "the certificate is not valid before another {ahead} s: check the clock of this machine"
            ));
        }
        self.is_over(now).then(|| {
            format!(
                "the certificate was valid until {}: check the clock of this machine",
                self.not_after
            )
        })
    }

    /// Returns `true` if the certificate has expired.
    pub(super) fn is_over(&self, now: i64) -> bool {
        now > self.lifetime.not_after
    }
}

/// Returns the names of a certificate.
fn names(certificate: &X509Certificate<'_>) -> Vec<Domain> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Domain::parse(name).ok(),
            GeneralName::IPAddress(octets) => address(octets).map(Domain::Ip),
            _ => None,
        })
        .collect()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match <[u8; 4]>::try_from(octets) {
        Ok(octets) => Some(octets.into()),
        Err(_) => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use time::OffsetDateTime;

    const NOW: i64 = 1_800_000_000;

    fn certified(names: &[&str], from: i64, until: i64) -> Vec<u8> {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = OffsetDateTime::from_unix_timestamp(NOW + from).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(NOW + until).unwrap();
        let key = KeyPair::generate().unwrap();
        join(
            key.serialize_pem().as_bytes(),
            &params.self_signed(&key).unwrap().pem(),
        )
    }

    fn domains(names: &[&str]) -> Vec<Domain> {
        names
            .iter()
            .map(|name| Domain::parse(name).unwrap())
            .collect()
    }

    #[test]
    fn a_certificate_must_be_for_every_name_and_valid_now() {
        let check = |names: &[&str], from, until, expected: &str| {
            let issued = Issued::read(&certified(names, from, until)).unwrap();
            let fault = issued.fault(&domains(&["a.example", "192.0.2.1"]), NOW);
            assert!(
                fault.is_some() != expected.is_empty()
                    && fault.clone().unwrap_or_default().contains(expected),
                "{expected:?}: {fault:?}"
            );
        };
        check(&["a.example", "192.0.2.1"], -10, 10, "");
        check(&["192.0.2.1", "b.example", "A.example"], -10, 10, "");
        check(&["a.example"], -10, 10, "not for 192.0.2.1");
        check(&["192.0.2.1", "*.example"], -10, 10, "not for a.example");
        check(
            &["a.example", "192.0.2.1"],
            10,
            20,
            "not valid before another 10 s",
        );
        check(&["a.example", "192.0.2.1"], -20, -10, "was valid until");
    }

    #[test]
    fn other_names_make_it_another_certificate() {
        let issued = Issued::read(&certified(&["a.example", "b.example"], -10, 10)).unwrap();
        assert!(issued.is_for(&domains(&["b.example", "a.example"])));
        for other in [
            &["a.example"][..],
            &["a.example", "c.example"],
            &["a.example", "b.example", "c.example"],
        ] {
            assert!(!issued.is_for(&domains(other)), "{other:?}");
        }
    }

    #[test]
    fn key_and_certificate_belong_together() {
        let other = KeyPair::generate().unwrap();
        let file = certified(&["a.example"], -10, 10);
        let chain = String::from_utf8(file).unwrap();
        let chain = &chain[chain.find("-----BEGIN CERTIFICATE").unwrap()..];
        let error = Issued::read(&join(other.serialize_pem().as_bytes(), chain)).unwrap_err();
        assert!(error.contains("do not fit"), "{error}");
        for broken in [
            &b""[..],
            b"-----BEGIN CERTIFICATE-----\n",
            other.serialize_pem().as_bytes(),
        ] {
            assert!(Issued::read(broken).is_err());
        }
    }
}
