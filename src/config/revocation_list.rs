//! A certificate revocation list (RFC 5280 section 5), and the certificates that it is about.

use crate::config::signature::Signature;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use std::cmp::Ordering;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use webpki::{CertRevocationList, EndEntityCert, OwnedCertRevocationList};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{
    CRLDistributionPoint, DistributionPointName, GeneralName, ParsedExtension, X509Extension,
};
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::{
    OID_X509_EXT_CRL_DISTRIBUTION_POINTS, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT,
};
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Name;

/// A revocation list that can be used. Its signature is yet to be verified.
#[derive(Clone, Debug)]
pub struct RevocationList(Arc<ListContents>);

#[derive(Debug)]
struct ListContents {
    file: PathBuf,
    issuer: IssuerName,
    /// The identifier of the key that it claims to be signed with. Nothing is decided by it alone.
    key_identifier: Option<Vec<u8>>,
    number: Option<BigUint>,
    this_update: i64,
    next_update: Option<i64>,
    /// The extension as it is encoded; without it, the list is about every certificate of its issuer.
    distribution_point: Option<Vec<u8>>,
    scope: ListScope,
    der: Vec<u8>,
    signed: Range<usize>,
    signature: Signature,
    /// The entries, by serial number.
    entries: CertRevocationList<'static>,
    /// The key that it is signed with, once that is known. There is only one.
    signer: OnceLock<SubjectPublicKeyInfoDer<'static>>,
}

/// The distinguished name of a list's issuer.
#[derive(Clone, Debug)]
struct IssuerName {
    /// The name as it is encoded.
    der: Vec<u8>,
    text: String,
}

#[derive(Debug, Default)]
struct ListScope {
    only_users: bool,
    only_authorities: bool,
    /// The URIs where lists of this scope are published.
    uris: Vec<String>,
}

/// A certificate, as far as revocation lists are concerned with it.
pub(crate) struct Subject<'c> {
    /// The DER of the whole certificate.
    pub(crate) der: &'c [u8],
    /// The serial number, as webpki gives it.
    pub(crate) serial: &'c [u8],
    /// `true` if the certificate has issued another one of its chain.
    pub(crate) is_authority: bool,
}

impl RevocationList {
    /// Reads a list in DER.
    ///
    /// # Errors
    /// If it cannot be used: the reason.
    pub(super) fn from_der(file: &Path, der: Vec<u8>) -> Result<Self, String> {
        let contents = ListContents::read(file, &der)?;
        Ok(Self(Arc::new(ListContents { der, ..contents })))
    }

    /// Returns the file that the list was read from.
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    /// Returns when the next list is due, in seconds since 1970.
    pub fn next_update(&self) -> Option<i64> {
        self.0.next_update
    }

    /// Returns `true` if the list carries this name as its issuer's, which anyone can write into a
    /// list.
    pub(crate) fn is_in_name_of(&self, name: &X509Name<'_>) -> bool {
        // The same name may be encoded in several ways.
        name.as_raw() == self.0.issuer.der || canonical(name) == self.0.issuer.text
    }

    /// Returns `true` if the list is signed with the key of this certificate, which may do that.
    pub(crate) fn is_signed_by(&self, issuer: &CertificateDer<'_>) -> bool {
        let Ok(issuer) = EndEntityCert::try_from(issuer) else {
            return false;
        };
        let key = issuer.subject_public_key_info();
        match self.0.signer.get() {
            Some(signer) => *signer == key,
            None => self.0.verify(&issuer, key),
        }
    }

    /// Returns `true` if the list is about the same certificates as `other`: one of the two
    /// replaces the other.
    pub(crate) fn has_scope_of(&self, other: &Self) -> bool {
        self.0.distribution_point == other.0.distribution_point
    }

    /// Returns `true` if the list is newer than `other`, by its number or else by its date.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        let by_number = match (&self.0.number, &other.0.number) {
            (Some(ours), Some(theirs)) => ours.cmp(theirs),
            _ => Ordering::Equal,
        };
        by_number
            .then(self.0.this_update.cmp(&other.0.this_update))
            .is_gt()
    }

    /// Returns `true` if `other`, which is at hand as well, says the same of a later time. That
    /// both are of one issuer is proved where the issuer is at hand, and otherwise believed; then a
    /// forgery in place of the list has every client refused.
    pub(super) fn is_superseded_by(&self, other: &Self) -> bool {
        self.0.is_of_key_of(&other.0)
            && self.0.issuer.text == other.0.issuer.text
            && self.has_scope_of(other)
            && other.is_newer_than(self)
    }

    /// Returns `true` if the key that signed the list is at hand.
    pub(super) fn has_known_signer(&self) -> bool {
        self.0.signer.get().is_some()
    }

    /// Returns the name of its issuer, in words.
    pub(super) fn issuer(&self) -> String {
        let parsed = x509_parser::parse_x509_crl(&self.0.der);
        parsed.map_or_else(|_| String::new(), |(_, list)| list.issuer().to_string())
    }

    /// Returns `true` if the certificate is in the list. The list is its issuer's.
    pub(crate) fn revokes(&self, certificate: &Subject<'_>) -> bool {
        // Every entry has been read, so there is no error left; if there were one, nothing would be
        // known.
        self.0
            .entries
            .find_serial(certificate.serial)
            .map_or(true, |entry| entry.is_some())
    }

    /// Returns `true` if the certificate would be in the list if it were revoked. The list is its
    /// issuer's.
    pub(crate) fn covers(&self, certificate: &Subject<'_>) -> bool {
        let scope = &self.0.scope;
        if !scope.includes(certificate) {
            return false;
        }
        if self.0.distribution_point.is_none() {
            return true;
        }
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate.der) else {
            return false;
        };
        published_at(&parsed).is_ok_and(|uris| scope.is_published_at(uris.as_deref()))
    }
}

impl ListContents {
    /// Reads all of a list but `der` itself.
    fn read(file: &Path, der: &[u8]) -> Result<Self, String> {
        let entries = OwnedCertRevocationList::from_der(der).map_err(|error| unusable(&error))?;
        let (_, list) = x509_parser::parse_x509_crl(der)
            .map_err(|_| "cannot be read: it is damaged, or not a revocation list")?;
        let point = distribution_point(&list);
        let scope = match point {
            Some(point) => ListScope::of(point.parsed_extension()),
            None => Some(ListScope::default()),
        };
        let scope = scope
            .ok_or("cannot be read: which certificates it is about (issuing distribution point)")?;
        Ok(Self {
            file: file.to_owned(),
            issuer: IssuerName::of(list.issuer()),
            key_identifier: key_identifier(&list),
            number: list.crl_number().cloned(),
            this_update: list.last_update().timestamp(),
            next_update: list.next_update().map(|time| time.timestamp()),
            distribution_point: point.map(|it| it.value.to_vec()),
            scope,
            der: Vec::new(),
            signed: position(list.tbs_cert_list.as_ref(), der),
            signature: Signature::of_list(&list),
            entries: entries.into(),
            signer: OnceLock::new(),
        })
    }
}

impl ListContents {
    /// Returns `true` if the list is signed with `key`, that of the issuer, and remembers that.
    fn verify(&self, issuer: &EndEntityCert<'_>, key: SubjectPublicKeyInfoDer<'static>) -> bool {
        let is_signed = self.signature.is_by(issuer, &self.der[self.signed.clone()]);
        if is_signed {
            // Another thread may have found the same.
            let _ = self.signer.set(key);
        }
        is_signed
    }

    /// Returns `true` if both lists are signed with one key, or claim to be where that is unknown.
    fn is_of_key_of(&self, other: &Self) -> bool {
        match (self.signer.get(), other.signer.get()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) => {
                self.key_identifier.is_some() && self.key_identifier == other.key_identifier
            }
            _ => false,
        }
    }
}

impl IssuerName {
    fn of(name: &X509Name<'_>) -> Self {
        Self {
            der: name.as_raw().to_vec(),
            text: canonical(name),
        }
    }
}

fn distribution_point<'l>(
    list: &'l CertificateRevocationList<'_>,
) -> Option<&'l X509Extension<'l>> {
    let mut extensions = list.extensions().iter();
    extensions.find(|it| it.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT)
}

/// Returns the identifier of the key that the list says it is signed with.
fn key_identifier(list: &CertificateRevocationList<'_>) -> Option<Vec<u8>> {
    let mut extensions = list.extensions().iter();
    let identifier = extensions.find_map(|it| match it.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(it) => it.key_identifier.as_ref(),
        _ => None,
    });
    identifier.map(|id| id.0.to_vec())
}

/// Returns where in `whole` its `part` is.
fn position(part: &[u8], whole: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

fn unusable(error: &webpki::Error) -> String {
    use webpki::Error as E;
    match error {
        E::UnsupportedDeltaCrl => {
            "is a delta list, which says only what has changed: name the whole (base) list instead".into()
        }
        E::UnsupportedIndirectCrl => {
            "is an indirect list, with certificates of other issuers: name a list of each issuer's own".into()
        }
        E::UnsupportedRevocationReasonsPartitioning => {
            "is about some reasons for a revocation only: name a list with all of them".into()
        }
        // The usual reason is one of version 1, which openssl makes unless it is told otherwise.
        _ => "cannot be used: a list must be of version 2, with an authority key identifier and a CRL number (RFC 5280 \
              section 5), and every entry must be readable; with openssl, set crl_extensions"
            .into(),
    }
}

/// Returns one text for all ways to encode a name: neither case nor the amount of white space
/// matters (RFC 5280 section 7.1).
fn canonical(name: &X509Name<'_>) -> String {
    let words = name.to_string().to_lowercase();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl ListScope {
    /// Reads the extension about the certificates that a list is about.
    fn of(extension: &ParsedExtension<'_>) -> Option<Self> {
        let ParsedExtension::IssuingDistributionPoint(point) = extension else {
            return None;
        };
        let uris = match &point.distribution_point {
            Some(DistributionPointName::FullName(names)) => uris(names),
            _ => Vec::new(),
        };
        Some(Self {
            only_users: point.only_contains_user_certs,
            only_authorities: point.only_contains_ca_certs,
            uris,
        })
    }

    /// Returns `true` if lists of this scope are published at one of these URIs, or none is named.
    fn is_published_at(&self, uris: Option<&[String]>) -> bool {
        uris.is_none_or(|uris| uris.iter().any(|uri| self.uris.contains(uri)))
    }

    /// Returns `true` if the list is about certificates of this kind.
    fn includes(&self, certificate: &Subject<'_>) -> bool {
        match certificate.is_authority {
            true => !self.only_users,
            false => !self.only_authorities,
        }
    }
}

fn uris(names: &[GeneralName<'_>]) -> Vec<String> {
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.iter().filter_map(uri).collect()
}

/// Returns where the certificate says that its list is; `None` if it says nothing.
fn published_at(certificate: &X509Certificate<'_>) -> Result<Option<Vec<String>>, ()> {
    let extension = certificate
        .get_extension_unique(&OID_X509_EXT_CRL_DISTRIBUTION_POINTS)
        .map_err(|_| ())?;
    let points = match extension.map(|extension| extension.parsed_extension()) {
        None => return Ok(None),
        Some(ParsedExtension::CRLDistributionPoints(points)) => points,
        Some(_) => return Err(()),
    };
    Ok(Some(points.iter().flat_map(uris_of_whole).collect()))
}

/// Returns the URIs of a point with whole lists. Lists of some reasons, or of another issuer, say
/// nothing here.
fn uris_of_whole(point: &CRLDistributionPoint<'_>) -> Vec<String> {
    match &point.distribution_point {
        Some(DistributionPointName::FullName(names))
            if point.reasons.is_none() && point.crl_issuer.is_none() =>
        {
            uris(names)
        }
        _ => Vec::new(),
    }
}

/// These tests hold every reason for a revocation.
#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
        IsCa, KeyIdMethod, KeyPair, RevocationReason, RevokedCertParams,
    };
    use time::OffsetDateTime;

    #[test]
    fn a_certificate_is_revoked_whatever_the_reason() {
        use RevocationReason as Reason;

        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let now = OffsetDateTime::now_utc();
        for reason_code in [
            None,
            Some(Reason::Unspecified),
            Some(Reason::KeyCompromise),
            Some(Reason::CaCompromise),
            Some(Reason::AffiliationChanged),
            Some(Reason::Superseded),
            Some(Reason::CessationOfOperation),
            Some(Reason::CertificateHold),
            Some(Reason::PrivilegeWithdrawn),
            Some(Reason::AaCompromise),
        ] {
            let list = CertificateRevocationListParams {
                this_update: now,
                next_update: now + time::Duration::days(1),
                crl_number: 1_u64.into(),
                issuing_distribution_point: None,
                revoked_certs: vec![RevokedCertParams {
                    serial_number: 7_u64.into(),
                    revocation_time: now,
                    reason_code,
                    invalidity_date: None,
                }],
                key_identifier_method: KeyIdMethod::Sha256,
            };
            let der = list.signed_by(&issuer).unwrap().der().to_vec();
            let list = RevocationList::from_der(Path::new("f"), der).unwrap();
            for (serial, revoked) in [(7, true), (8, false)] {
                let subject = Subject {
                    der: issuer.der(),
                    serial: &[serial],
                    is_authority: false,
                };
                assert_eq!(list.revokes(&subject), revoked, "{reason_code:?} {serial}");
            }
        }
    }
}
