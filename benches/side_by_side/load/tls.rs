//! The TLS of the sender, as a Go program such as Netdata Cloud has it.

use crate::Failure;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ClientConfig, RootCertStore, version};
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
    /// Whether X25519MLKEM768 is offered first, as Go does from 1.24 on.
    pub(crate) post_quantum: bool,
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
        let mut config = ClientConfig::builder_with_provider(Arc::new(self.provider()))
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

    /// Go prefers AES-128-GCM, rustls AES-256-GCM.
    fn provider(&self) -> CryptoProvider {
        let mut provider = aws_lc_rs::default_provider();
        provider
            .cipher_suites
            .sort_by_key(|suite| rank(suite.suite()));
        let mut groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
        if self.post_quantum {
            groups.insert(0, kx_group::X25519MLKEM768);
        }
        provider.kx_groups = groups;
        provider
    }
}

fn rank(suite: CipherSuite) -> usize {
    let name = suite.as_str().unwrap_or_default();
    ["AES_128_GCM", "AES_256_GCM"]
        .iter()
        .position(|cipher| name.contains(cipher))
        .unwrap_or(2)
}
