//! Writes the name of a certificate's subject or issuer as text, exactly as NGINX and Apache hand
//! it to applications.
//!
//! Nothing is decided by these texts. They may go into headers: whatever a certificate holds, they
//! are printable ASCII.

use super::directory_string::directory_string;
use std::fmt::Write as _;
use x509_parser::asn1_rs::ToDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// A name in the two forms that applications are used to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistinguishedName {
    /// `CN=app.netdata.cloud,O=Netdata,C=US`: RFC 4514, the most specific part first, as
    /// `$ssl_client_s_dn` has it.
    pub rfc4514: String,
    /// `/C=US/O=Netdata/CN=app.netdata.cloud`, as `$ssl_client_s_dn_legacy` has it.
    pub oneline: String,
}

/// Names of attributes in OpenSSL, by their object identifiers.
const SHORT_NAMES: [(&str, &str); 30] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

impl DistinguishedName {
    /// Writes `name` in both notations.
    pub fn of(name: &X509Name<'_>) -> Self {
        Self {
            rfc4514: all_rfc4514(name),
            oneline: oneline(name),
        }
    }
}

fn all_rfc4514(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for set in name.iter_rdn() {
        let mut part: Vec<String> = set.iter().map(rfc4514).collect();
        part.reverse();
        parts.push(part.join("+"));
    }
    parts.reverse();
    parts.join(",")
}

fn oneline(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for set in name.iter_rdn() {
        for (at, attribute) in set.iter().enumerate() {
            text.push(if at == 0 { '/' } else { '+' });
            push_oneline(&mut text, attribute);
        }
    }
    text
}

/// Returns the short name of an attribute's type; an error is its object identifier.
fn kind(attribute: &AttributeTypeAndValue<'_>) -> Result<&'static str, String> {
    let identifier = attribute.attr_type().to_id_string();
    SHORT_NAMES
        .iter()
        .find(|(known, _)| *known == identifier)
        .map(|(_, name)| *name)
        .ok_or(identifier)
}

fn rfc4514(attribute: &AttributeTypeAndValue<'_>) -> String {
    match (kind(attribute), directory_string(attribute.attr_value())) {
        (Ok(name), Some(value)) => format!("{name}={}", escaped(&value)),
        // What has no name, or is not a string, is written as its DER (RFC 4514 section 2.4).
        (Ok(name), None) => format!("{name}={}", der(attribute)),
        (Err(identifier), _) => format!("{identifier}={}", der(attribute)),
    }
}

/// Returns a value with everything escaped that means something else, that no header may hold, or
/// that is not ASCII.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', character]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            ' '..='~' => text.push(character),
            other => push_hex(&mut text, other),
        }
    }
    text
}

/// Appends the bytes of a character in UTF-8, each escaped.
fn push_hex(text: &mut String, character: char) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        let _ = write!(text, "\\{byte:02X}");
    }
}

fn der(attribute: &AttributeTypeAndValue<'_>) -> String {
    let der = attribute.attr_value().to_der_vec().unwrap_or_default();
    format!("#{}", hex::encode_upper(der))
}

fn push_oneline(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let name = kind(attribute).map_or_else(|identifier| identifier, str::to_owned);
    let _ = write!(text, "{name}=");
    for byte in attribute.attr_value().data {
        match byte {
            b'/' | b'+' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02X}");
            }
        }
    }
}

/// These tests hold every sign that is escaped, each alone, and every name of a type.
#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    /// The subject with this attribute alone.
    fn subject(kind: DnType, value: &str) -> DistinguishedName {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(kind, DnValue::Utf8String(value.into()));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).unwrap();
        DistinguishedName::of(parsed.subject())
    }

    #[test]
    fn what_means_something_else_is_escaped() {
        for sign in (0..=127).map(char::from) {
            let name = subject(DnType::CommonName, &format!("a{sign}b"));
            let rfc4514 = match sign {
                ',' | '+' | '"' | '\\' | '<' | '>' | ';' => format!("CN=a\\{sign}b"),
                ' '..='~' => format!("CN=a{sign}b"),
                _ => format!("CN=a\\{:02X}b", u32::from(sign)),
            };
            let oneline = match sign {
                '/' | '+' => format!("/CN=a\\{sign}b"),
                ' '..='~' => format!("/CN=a{sign}b"),
                _ => format!("/CN=a\\x{:02X}b", u32::from(sign)),
            };
            assert_eq!((name.rfc4514, name.oneline), (rfc4514, oneline), "{sign:?}");
        }
        for (value, expected) in [
            (" a ", "CN=\\ a\\ "),
            ("#a#", "CN=\\#a#"),
            (" ", "CN=\\ "),
            ("\u{e9}", "CN=\\C3\\A9"),
        ] {
            assert_eq!(subject(DnType::CommonName, value).rfc4514, expected);
        }
    }

    #[test]
    fn attributes_have_the_names_that_openssl_gives_them() {
        for (identifier, expected) in [
            (&[2, 5, 4, 3][..], "CN"),
            (&[2, 5, 4, 4], "SN"),
            (&[2, 5, 4, 5], "serialNumber"),
            (&[2, 5, 4, 6], "C"),
            (&[2, 5, 4, 7], "L"),
            (&[2, 5, 4, 8], "ST"),
            (&[2, 5, 4, 9], "street"),
            (&[2, 5, 4, 10], "O"),
            (&[2, 5, 4, 11], "OU"),
            (&[2, 5, 4, 12], "title"),
            (&[2, 5, 4, 13], "description"),
            (&[2, 5, 4, 15], "businessCategory"),
            (&[2, 5, 4, 16], "postalAddress"),
            (&[2, 5, 4, 17], "postalCode"),
            (&[2, 5, 4, 18], "postOfficeBox"),
            (&[2, 5, 4, 20], "telephoneNumber"),
            (&[2, 5, 4, 41], "name"),
            (&[2, 5, 4, 42], "GN"),
            (&[2, 5, 4, 43], "initials"),
            (&[2, 5, 4, 44], "generationQualifier"),
            (&[2, 5, 4, 45], "x500UniqueIdentifier"),
            (&[2, 5, 4, 46], "dnQualifier"),
            (&[2, 5, 4, 65], "pseudonym"),
            (&[2, 5, 4, 97], "organizationIdentifier"),
            (&[0, 9, 2342, 19_200_300, 100, 1, 1], "UID"),
            (&[0, 9, 2342, 19_200_300, 100, 1, 25], "DC"),
            (&[1, 2, 840, 113_549, 1, 9, 1], "emailAddress"),
            (&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 1], "jurisdictionL"),
            (&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 2], "jurisdictionST"),
            (&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3], "jurisdictionC"),
        ] {
            let name = subject(DnType::CustomDnType(identifier.to_vec()), "a");
            assert_eq!(
                (name.rfc4514, name.oneline),
                (format!("{expected}=a"), format!("/{expected}=a"))
            );
        }
        // A type without a name is written by its identifier, and its value by its DER.
        let unknown = subject(DnType::CustomDnType(vec![2, 5, 4, 99]), "a");
        assert_eq!(
            (unknown.rfc4514.as_str(), unknown.oneline.as_str()),
            ("2.5.4.99=#0C0161", "/2.5.4.99=a")
        );
    }
}
