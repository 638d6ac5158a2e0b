//! Forged client certificates.
//!
//! Each is to be refused for another reason, because a server may ignore one reason only:
//! `optional_no_ca` of nginx and Apache accepts unknown issuers, but not wrong signatures.

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer,
    KeyPair, SigningKey,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::error::Error;
use std::sync::Arc;

/// A forged certificate with an accepted name.
#[derive(Clone, Debug)]
pub(super) struct Forgery {
    /// Description of the issuer, to follow "one".
    pub(super) of: &'static str,
    pub(super) credentials: Arc<CertifiedKey>,
}

/// The forgeries that could be made.
#[derive(Debug, Default)]
pub(super) struct Forgeries {
    pub(super) made: Vec<Forgery>,
    /// Reason why some are missing.
    pub(super) missing: Option<String>,
}

/// Returns an authority key identifier that belongs to no key (RFC 5280 section 4.2.1.1).
fn another_key_identifier() -> CustomExtension {
    let content = [&[0x30, 0x16, 0x80, 0x14][..], &rand::random::<[u8; 20]>()].concat();
    CustomExtension::from_oid_content(&[2, 5, 29, 35], content)
}

/// Forges certificates for `common_name`: some as if `authority` had issued them, and others.
pub(super) fn forgeries(authority: &CertificateDer<'_>, common_name: &str) -> Forgeries {
    let identifier = Some(another_key_identifier());
    let mut forgeries = Forgeries::default();
    forgeries.add(WITH_NAME, imitate(authority, common_name, None));
    let made = imitate(authority, common_name, identifier);
    forgeries.add(WITH_NAME_AND_IDENTIFIER, made);
    forgeries.add("of an unrelated authority", invent(common_name));
    forgeries.add("that signed itself", sign_oneself(common_name));
    forgeries
}

const WITH_NAME: &str = "of an authority with the right name";
const WITH_NAME_AND_IDENTIFIER: &str =
    "of an authority with the right name and another key identifier";

/// A certificate with its key, if it could be made.
type Made = Result<Arc<CertifiedKey>, Box<dyn Error>>;

impl Forgeries {
    fn add(&mut self, of: &'static str, made: Made) {
        match made {
            Ok(credentials) => self.made.push(Forgery { of, credentials }),
            Err(error) => {
                let missing = || format!("one {of} could not be made ({error})");
                self.missing.get_or_insert_with(missing);
            }
        }
    }
}

const INIMITABLE: &str = "the authority's name is written in an unusual way";

/// Forges a certificate of an authority with the name of `authority` and another key.
fn imitate(
    authority: &CertificateDer<'_>,
    common_name: &str,
    identifier: Option<CustomExtension>,
) -> Made {
    let issuer = Issuer::from_ca_cert_der(authority, KeyPair::generate()?);
    let issuer = issuer.map_err(|_| INIMITABLE)?;
    let mut params = params(common_name);
    params.use_authority_key_identifier_extension = identifier.is_none();
    params.custom_extensions.extend(identifier);
    let forged = issue(&params, &issuer)?;
    match names_issuer(&forged.cert[0], authority)? {
        true => Ok(forged),
        false => Err(INIMITABLE.into()),
    }
}

/// Returns `true` if the leaf has the name of the authority byte for byte: rcgen drops repeated
/// attributes of a name.
fn names_issuer(
    leaf: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
) -> Result<bool, Box<dyn Error>> {
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf)?;
    let (_, authority) = x509_parser::parse_x509_certificate(authority)?;
    Ok(leaf.issuer().as_raw() == authority.subject().as_raw())
}

/// Forges a certificate of an unknown authority.
fn invent(common_name: &str) -> Made {
    let mut authority = CertificateParams::default();
    authority.distinguished_name = named("Unknown Root CA");
    let mut params = params(common_name);
    params.use_authority_key_identifier_extension = true;
    issue(&params, &Issuer::new(authority, KeyPair::generate()?))
}

fn sign_oneself(common_name: &str) -> Made {
    let key = KeyPair::generate()?;
    let leaf = params(common_name).self_signed(&key)?;
    certified(leaf.der(), &key)
}

fn issue(params: &CertificateParams, issuer: &Issuer<'_, impl SigningKey>) -> Made {
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, issuer)?;
    certified(leaf.der(), &key)
}

fn certified(leaf: &CertificateDer<'static>, key: &KeyPair) -> Made {
    let key_der = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let provider = aws_lc_rs::default_provider().key_provider;
    let key = provider.load_private_key(key_der)?;
    Ok(Arc::new(CertifiedKey::new(vec![leaf.clone()], key)))
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedIssuer, DnValue, IsCa};

    fn authority(attributes: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params
                .distinguished_name
                .push(kind.clone(), DnValue::Utf8String((*value).to_owned()));
        }
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .clone()
    }

    #[test]
    fn a_name_that_cannot_be_imitated_leaves_the_other_forgeries() {
        let usual = forgeries(
            &authority(&[(DnType::CommonName, "Root CA")]),
            "app.netdata.cloud",
        );
        assert_eq!((usual.made.len(), usual.missing), (4, None));
        // Two units, as a `CustomDnType` has it: rcgen reads one.
        let unit = DnType::CustomDnType(vec![2, 5, 4, 11]);
        let unusual = authority(&[(DnType::OrganizationalUnitName, "One"), (unit, "Two")]);
        let unusual = forgeries(&unusual, "app.netdata.cloud");
        assert_eq!(unusual.made.len(), 2, "{:?}", unusual.missing);
        assert!(
            unusual
                .missing
                .is_some_and(|why| why.contains("unusual way"))
        );
        assert_eq!(
            forgeries(&vec![0x30, 0].into(), "app.netdata.cloud")
                .made
                .len(),
            2
        );
    }
}
