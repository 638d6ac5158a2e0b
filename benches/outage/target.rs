//! The listener that everything is sent to, with the certificate that it demands.

use crate::Failure;
use crate::certificates::Certificates;
use crate::client::Client;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The configurations of clients, of which one speaks HTTP/2.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, certificates: &Certificates) -> Result<Self, Failure> {
        let config = |protocol| client_config(certificates, protocol);
        Ok(Self {
            address,
            http1: config(b"http/1.1")?,
            http2: config(b"h2")?,
        })
    }

    /// A client over HTTP/1.1.
    pub(crate) fn http1(&self) -> Client {
        self.client(&self.http1)
    }

    /// One over HTTP/2.
    pub(crate) fn http2(&self) -> Client {
        self.client(&self.http2)
    }

    fn client(&self, config: &Arc<ClientConfig>) -> Client {
        Client {
            source: Some(Ipv4Addr::LOCALHOST),
            address: self.address,
            config: config.clone(),
        }
    }
}

fn client_config(
    certificates: &Certificates,
    protocol: &[u8],
) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    let authority = certificates.path("public-ca.pem");
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let chain = vec![CertificateDer::from_pem_file(certificates.path("rsa.pem"))?];
    let key = PrivateKeyDer::from_pem_file(certificates.path("rsa.key"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}
