//! What attackers present in handshakes.

use crate::Failure;
use netdata_webhook_proxy::internals::AnyServer;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::sync::Arc;

pub(super) fn anonymous() -> ClientConfig {
    builder().with_no_client_auth()
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer::default()))
}

pub(super) fn with_certificate(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, Failure> {
    // rustls does not present what it cannot read, so it is not asked.
    let certified = CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&key)?);
    let mut config =
        builder().with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}

/// A certificate of no authority, with so much more in its subject.
pub(super) fn stranger(name: &str, padding: usize) -> Result<Arc<ClientConfig>, Failure> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    if padding > 0 {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "x".repeat(padding));
    }
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    with_certificate(vec![certificate.der().clone()], key, b"http/1.1")
}

/// A leaf below a chain of intermediates. There are as many as are let through the handshake.
pub(super) fn with_long_chain() -> Result<Arc<ClientConfig>, Failure> {
    let params = intermediate();
    let mut issuer = KeyPair::generate()?;
    let mut chain = Vec::new();
    for _ in 0..9 {
        let key = KeyPair::generate()?;
        let by = Issuer::from_params(&params, &issuer);
        chain.push(params.signed_by(&key, &by)?.der().clone());
        issuer = key;
    }
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = named("app.netdata.cloud");
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&params, &issuer))?;
    chain.insert(0, certificate.der().clone());
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    with_certificate(chain, key, b"http/1.1")
}

/// Intermediates of one name with different keys: path building tries each with each.
fn intermediate() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Netdata Intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
