//! Reads the identity in a client certificate, and decides whether it is that of Netdata Cloud.
//!
//! A name is read from the DER subject and compared whole. Looking for `CN=app.netdata.cloud` in a
//! subject that was turned into text, as the documented recipes do, lets
//! `CN=app.netdata.cloud.evil.example`, `OU=CN=app.netdata.cloud` and others through.

use super::directory_string::directory_string;
use super::distinguished_name::DistinguishedName;
use crate::auth::digest::sha256_hex;
use crate::rejection::Rejection;
use crate::sanitize::sanitize;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use x509_parser::oid_registry::OID_X509_COMMON_NAME;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

/// The characters that are escaped in a URL: all but the unreserved ones (RFC 3986 section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The identity that a client certificate names, whether or not the certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Every common name of the subject, in its order; one that cannot be decoded is `None`.
    common_names: Vec<Option<String>>,
    /// The subject as text that is safe to show, and cut if it is long. Nothing is decided by it.
    pub subject: String,
    /// The issuer as text that is safe to show, and cut if it is long.
    pub issuer: String,
    /// The subject in the notations that applications expect.
    pub subject_dn: DistinguishedName,
    /// The issuer in the notations that applications expect.
    pub issuer_dn: DistinguishedName,
    /// The serial number, hexadecimal in upper case.
    pub serial: String,
    /// The SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
    /// The time from which the certificate is valid, in seconds since 1970.
    pub not_before: i64,
    /// The time until which the certificate is valid, in seconds since 1970.
    pub not_after: i64,
    /// The certificate in the form of RFC 9440, for the header `Client-Cert`.
    pub client_cert: String,
}

impl ClientIdentity {
    /// Reads a certificate; `None` if it is not one.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        let validity = certificate.validity();
        Some(Self {
            common_names: common_names(subject),
            subject: shown(subject),
            issuer: shown(issuer),
            subject_dn: DistinguishedName::of(subject),
            issuer_dn: DistinguishedName::of(issuer),
            serial: serial(certificate.raw_serial()),
            fingerprint: sha256_hex(der),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            client_cert: format!(":{}:", BASE64_STANDARD.encode(der)),
        })
    }

    /// Returns the one common name, if there is exactly one.
    pub fn common_name(&self) -> Option<&str> {
        match self.common_names.as_slice() {
            [Some(name)] => Some(name),
            _ => None,
        }
    }

    /// Returns the certificate in PEM, percent-encoded, as `$ssl_client_escaped_cert` has it.
    pub fn escaped_pem(&self) -> String {
        let base64 = self.client_cert.trim_matches(':').as_bytes();
        let lines = base64.chunks(64).map(String::from_utf8_lossy);
        let body = lines.collect::<Vec<_>>().join("\n");
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        utf8_percent_encode(&pem, ESCAPED).to_string()
    }

    /// Returns the time until which the certificate is valid, as `$ssl_client_v_end` has it:
    /// `Nov  5 07:00:00 2027 GMT`.
    pub fn not_after_text(&self) -> String {
        let Ok(time) = ASN1Time::from_timestamp(self.not_after) else {
            return String::new();
        };
        let time = time.to_datetime();
        let month = &time.month().to_string()[..3];
        let (hour, minute, second) = time.to_hms();
        format!(
            "{month} {:2} {hour:02}:{minute:02}:{second:02} {} GMT",
            time.day(),
            time.year()
        )
    }

    /// Returns how many whole days the certificate is valid from `now` on, in seconds since 1970,
    /// as `$ssl_client_v_remain` has it.
    pub fn days_left(&self, now: i64) -> i64 {
        (self.not_after.saturating_sub(now) / 86_400).max(0)
    }

    /// Checks that the subject has exactly one common name, and that this is one of `allowed`, byte
    /// for byte.
    pub fn check_common_name(&self, allowed: &[String]) -> Result<(), Rejection> {
        match self.common_name() {
            Some(name) if allowed.iter().any(|allowed| allowed == name) => Ok(()),
            _ => Err(Rejection::CommonNameMismatch(self.explain(allowed))),
        }
    }

    /// Says why the common name is not accepted.
    fn explain(&self, allowed: &[String]) -> String {
        match self.common_names.as_slice() {
            [Some(name)] => {
                let name = sanitize(name);
                format!("The certificate's common name is {name:?}; accepted: {allowed:?}.")
            }
            [None] => "The certificate's common name cannot be decoded.".into(),
            [] => "The certificate's subject has no common name.".into(),
            names => format!(
                "The certificate's subject has {} common names; there must be exactly one.",
                names.len()
            ),
        }
    }
}

/// Returns a name as text that is safe to show.
fn shown(name: &X509Name<'_>) -> String {
    sanitize(&name.to_string()).into_owned()
}

/// Returns a serial number without the zero that keeps it positive.
fn serial(bytes: &[u8]) -> String {
    let start = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len().saturating_sub(1));
    hex::encode_upper(&bytes[start..])
}

fn common_names(subject: &X509Name<'_>) -> Vec<Option<String>> {
    let attributes = subject.iter_rdn().flat_map(|rdn| rdn.iter());
    attributes
        .filter(|attribute| *attribute.attr_type() == OID_X509_COMMON_NAME)
        .map(|attribute| directory_string(attribute.attr_value()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString, UniversalString};
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    const NETDATA: &str = "app.netdata.cloud";

    fn identity(subject: &[(DnType, DnValue)]) -> ClientIdentity {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (attribute, value) in subject {
            params
                .distinguished_name
                .push(attribute.clone(), value.clone());
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientIdentity::from_der(certificate.der()).unwrap()
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.into())
    }

    fn check(subject: &[(DnType, DnValue)], passes: bool) {
        let verdict = identity(subject).check_common_name(&[NETDATA.into()]);
        assert_eq!(verdict.is_ok(), passes, "{subject:?}: {verdict:?}");
    }

    #[test]
    fn the_encoding_of_the_name_does_not_matter() {
        for value in [
            utf8(NETDATA),
            DnValue::PrintableString(PrintableString::try_from(NETDATA).unwrap()),
            DnValue::Ia5String(Ia5String::try_from(NETDATA).unwrap()),
            DnValue::TeletexString(TeletexString::try_from(NETDATA).unwrap()),
            DnValue::BmpString(BmpString::try_from(NETDATA).unwrap()),
            DnValue::UniversalString(UniversalString::try_from(NETDATA).unwrap()),
        ] {
            check(&[(DnType::CommonName, value)], true);
        }
    }

    #[test]
    fn forged_subjects_do_not_pass() {
        for name in [
            "app.netdata.cloud.evil.example",
            "appXnetdataYcloud",
            "app.netdata.cloud\0",
            "app.netdata.cloud\0.evil.example",
            "app.netdata.cloud ",
            " app.netdata.cloud",
            "APP.NETDATA.CLOUD",
            "app.netdata.cloud.",
            "*.netdata.cloud",
            "CN=app.netdata.cloud",
            "аpp.netdata.cloud",
            "",
        ] {
            check(&[(DnType::CommonName, utf8(name))], false);
        }
        let evil = || (DnType::CommonName, utf8("evil"));
        check(
            &[
                (DnType::OrganizationalUnitName, utf8("CN=app.netdata.cloud")),
                evil(),
            ],
            false,
        );
        check(
            &[
                (DnType::OrganizationName, utf8("x,CN=app.netdata.cloud")),
                evil(),
            ],
            false,
        );
        check(&[(DnType::OrganizationName, utf8(NETDATA))], false);
        check(&[], false);
    }

    #[test]
    fn other_attributes_beside_the_name_are_normal() {
        check(
            &[
                (DnType::OrganizationName, utf8("Netdata, Inc.")),
                (DnType::CommonName, utf8(NETDATA)),
            ],
            true,
        );
    }

    #[test]
    fn what_is_not_a_certificate_has_no_identity() {
        let der = CertificateParams::default()
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec();
        assert!(ClientIdentity::from_der(&der).is_some());
        for length in 0..der.len() {
            assert!(ClientIdentity::from_der(&der[..length]).is_none());
        }
        let mut longer = der;
        longer.push(0);
        assert!(ClientIdentity::from_der(&longer).is_none());
    }

    #[test]
    fn two_names_are_not_one() {
        let second = || DnType::CustomDnType(vec![2, 5, 4, 3]);
        for (one, other) in [(NETDATA, "evil"), ("evil", NETDATA), (NETDATA, NETDATA)] {
            check(
                &[(DnType::CommonName, utf8(one)), (second(), utf8(other))],
                false,
            );
        }
        check(&[(second(), utf8(NETDATA))], true);
    }

    proptest::proptest! {
        #[test]
        fn no_mutation_of_a_certificate_makes_it_panic(
            changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()), 1..8)
        ) {
            static DER: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
                CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
            });
            let mut der = DER.clone();
            for (index, byte) in changes {
                let index = index.index(der.len());
                der[index] = byte;
            }
            if let Some(identity) = ClientIdentity::from_der(&der) {
                let _ = identity.check_common_name(&[NETDATA.into()]);
            }
        }
    }
}
