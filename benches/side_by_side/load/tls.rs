//! The TLS of the sender, as a Go program such as Netdata Cloud has it.

use crate::Failure;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ClientConfig, NamedGroup, RootCertStore, version};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Authority that the client trusts, and certificate that it presents, as files in PEM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) version: TlsVersion,
}

/// The one version that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

impl Identity {
    /// Without resumption: Go's clients have no session cache unless they are given one.
    pub(super) fn client_config(&self, protocol: &[u8]) -> Result<ClientConfig, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority)?)?;
        let version = match self.version {
            TlsVersion::Tls12 => &version::TLS12,
            TlsVersion::Tls13 => &version::TLS13,
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[version])?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&self.certificate)?],
                PrivateKeyDer::from_pem_file(&self.key)?,
            )?;
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }
}

/// Go prefers AES-128-GCM, rustls AES-256-GCM. X25519 is what all the servers here have.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| rank(suite.suite()));
    provider
        .kx_groups
        .retain(|group| RANKED_GROUPS.contains(&group.name()));
    provider.kx_groups.sort_by_key(|group| {
        RANKED_GROUPS
            .iter()
            .position(|ranked| *ranked == group.name())
    });
    provider
}

const RANKED_GROUPS: [NamedGroup; 3] = [
    NamedGroup::X25519,
    NamedGroup::secp256r1,
    NamedGroup::secp384r1,
];

fn rank(suite: CipherSuite) -> usize {
    let name = suite.as_str().unwrap_or_default();
    ["AES_128_GCM", "AES_256_GCM"]
        .iter()
        .position(|cipher| name.contains(cipher))
        .unwrap_or(2)
}
