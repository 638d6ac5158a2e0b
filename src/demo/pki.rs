//! Throw-away certificates: those that must work, and those that must not.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::time::{Duration, SystemTime};

/// The subject that Netdata Cloud's client certificate has.
pub(super) const NETDATA: &str = "app.netdata.cloud";
/// The same to those who compare by prefix.
pub(super) const NETDATA_AS_PREFIX: &str = "app.netdata.cloud.evil.example";
/// Another customer of the same authority.
pub(super) const SOMEBODY_ELSE: &str = "registry.netdata.cloud";

/// How long a demo may be left running.
const VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An authority that exists for the length of a demo.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(super) struct Leaf {
    /// In DER.
    pub(super) certificate: CertificateDer<'static>,
    /// In PEM.
    pub(super) certificate_pem: String,
    key: KeyPair,
}

impl Authority {
    /// An authority with a fresh key. Two of them differ in nothing else.
    pub(super) fn new() -> Result<Self, Error> {
        let mut params = params("Demo Root CA (throw-away)")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).map(Self)
    }

    /// A certificate for a server on this machine.
    pub(super) fn server(&self) -> Result<Leaf, Error> {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate with one common name.
    pub(super) fn client(&self, common_name: &str) -> Result<Leaf, Error> {
        self.issue(params(common_name)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<Leaf, Error> {
        (params.not_before, params.not_after) = validity();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Leaf { certificate: certificate.der().clone(), certificate_pem: certificate.pem(), key })
    }

    /// Its own certificate, in DER.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        self.0.der()
    }

    /// Its own certificate, in PEM.
    pub(super) fn certificate_pem(&self) -> String {
        self.0.pem()
    }
}

impl Leaf {
    /// The key, in DER.
    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// The key, in PEM.
    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// With the subject of Netdata's own certificates, but for its common name.
fn params(common_name: &str) -> Result<CertificateParams, Error> {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CountryName, "US");
    subject.push(DnType::StateOrProvinceName, "California");
    subject.push(DnType::LocalityName, "San Francisco");
    subject.push(DnType::OrganizationName, "Netdata, Inc.");
    subject.push(DnType::OrganizationalUnitName, "Cloud SRE");
    subject.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::new(Vec::new())?;
    (params.not_before, params.not_after) = validity();
    params.distinguished_name = subject;
    Ok(params)
}

fn validity() -> (time::OffsetDateTime, time::OffsetDateTime) {
    let now = SystemTime::now();
    // From an hour ago: clocks differ, between containers too.
    ((now - Duration::from_secs(3600)).into(), (now + VALIDITY).into())
}
