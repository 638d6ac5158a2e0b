//! Temporary certificates that resemble those of Netdata Cloud.

use crate::config::THROW_AWAY;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, Error,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Common name of Netdata Cloud's client certificate.
pub(crate) const NETDATA: &str = "app.netdata.cloud";

/// Validity of a certificate: a demo may be left running.
pub(crate) const VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An authority; its key exists only in memory.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Leaf {
    certificate: CertificateDer<'static>,
    /// The certificate in PEM.
    pub(crate) certificate_pem: String,
    key: KeyPair,
}

impl Authority {
    /// Creates an authority of `send`, with a new key. Two authorities differ in nothing else.
    pub(crate) fn new() -> Result<Self, Error> {
        Self::named(THROW_AWAY)
    }

    /// Creates an authority with another common name.
    pub(crate) fn named(common_name: &str) -> Result<Self, Error> {
        let mut params = params(common_name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).map(Self)
    }

    /// Issues a certificate for a server on this machine.
    pub(crate) fn server(&self) -> Result<Leaf, Error> {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a client certificate with one common name.
    pub(crate) fn client(&self, common_name: &str) -> Result<Leaf, Error> {
        self.issue(params(common_name)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Issues a client certificate with this subject.
    pub(crate) fn client_named(&self, subject: DistinguishedName) -> Result<Leaf, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = subject;
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Leaf, Error> {
        (params.not_before, params.not_after) = validity();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Leaf {
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key,
        })
    }

    /// Returns the authority's own certificate in DER.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        self.0.der()
    }

    /// Returns the authority's own certificate in PEM.
    pub(crate) fn certificate_pem(&self) -> String {
        self.0.pem()
    }
}

impl Leaf {
    /// Returns the certificate and its key for rustls.
    pub(crate) fn certified(&self) -> Result<Arc<CertifiedKey>, rustls::Error> {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der()).into();
        let provider = aws_lc_rs::default_provider().key_provider;
        let chain = vec![self.certificate.clone()];
        let key = provider.load_private_key(key)?;
        Ok(Arc::new(CertifiedKey::new(chain, key)))
    }

    /// Returns the key in PEM.
    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// Attributes of the subjects of Netdata's own certificates, before the common name.
const NETDATA_SUBJECT: [(DnType, &str); 5] = [
    (DnType::CountryName, "US"),
    (DnType::StateOrProvinceName, "California"),
    (DnType::LocalityName, "San Francisco"),
    (DnType::OrganizationName, "Netdata, Inc."),
    (DnType::OrganizationalUnitName, "Cloud SRE"),
];

/// Returns the parameters of a certificate whose subject is that of Netdata's own certificates, with
/// another common name.
fn params(common_name: &str) -> Result<CertificateParams, Error> {
    let mut subject = DistinguishedName::new();
    for (kind, value) in NETDATA_SUBJECT {
        subject.push(kind, value);
    }
    subject.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::new(Vec::new())?;
    (params.not_before, params.not_after) = validity();
    params.distinguished_name = subject;
    Ok(params)
}

fn validity() -> (time::OffsetDateTime, time::OffsetDateTime) {
    let now = SystemTime::now();
    // Starts an hour ago because clocks differ, even between containers.
    (
        (now - Duration::from_secs(3600)).into(),
        (now + VALIDITY).into(),
    )
}
