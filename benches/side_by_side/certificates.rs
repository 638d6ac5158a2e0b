//! The public-key infrastructure of a run: as Netdata Cloud's, with keys of the same kinds and
//! sizes.

use crate::Failure;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, PKCS_RSA_SHA512,
    RsaKeySize,
};
use std::path::{Path, PathBuf};

/// Files in PEM.
pub(crate) struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Netdata's root is RSA-4096 with SHA-512; what its leaves are is not known, so there are two
    /// of them. The server's certificate is ECDSA, from another authority, as Let's Encrypt issues
    /// it.
    pub(crate) fn generate(directory: &Path) -> Result<Self, Failure> {
        let netdata = authority(
            "Netdata Root CA",
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA512, RsaKeySize::_4096)?,
        )?;
        let public = authority("Public CA", KeyPair::generate()?)?;
        let certificates = Self {
            directory: directory.to_owned(),
        };
        certificates.write("netdata-ca.pem", &netdata.pem())?;
        certificates.write("public-ca.pem", &public.pem())?;
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        certificates.issue("rsa", &netdata, client(), &rsa)?;
        certificates.issue("ecdsa", &netdata, client(), &KeyPair::generate()?)?;
        certificates.issue("server", &public, server()?, &KeyPair::generate()?)?;
        Ok(certificates)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn issue(
        &self,
        name: &str,
        issuer: &CertifiedIssuer<'_, KeyPair>,
        params: CertificateParams,
        key: &KeyPair,
    ) -> Result<(), Failure> {
        let certificate = params.signed_by(key, issuer)?.pem();
        self.write(&format!("{name}.pem"), &certificate)?;
        self.write(&format!("{name}.key"), &key.serialize_pem())?;
        // HAProxy wants both in one file.
        self.write(
            &format!("{name}.both.pem"),
            &(certificate + &key.serialize_pem()),
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        Ok(std::fs::write(self.path(name), text)?)
    }
}

fn authority(name: &str, key: KeyPair) -> Result<CertifiedIssuer<'static, KeyPair>, Failure> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, key)?)
}

fn client() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject("app.netdata.cloud");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn server() -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn subject(common_name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CountryName, "US");
    subject.push(DnType::StateOrProvinceName, "California");
    subject.push(DnType::LocalityName, "San Francisco");
    subject.push(DnType::OrganizationName, "Netdata, Inc.");
    subject.push(DnType::OrganizationalUnitName, "Cloud SRE");
    subject.push(DnType::CommonName, common_name);
    subject
}
