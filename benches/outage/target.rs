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
    /// The address of each replica, the first of which gets everything that is not
    /// [meant](Self::of) for another one.
    pub(crate) addresses: Vec<SocketAddr>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Target {
    pub(crate) fn new(
        addresses: Vec<SocketAddr>,
        certificates: &Certificates,
    ) -> Result<Self, Failure> {
        let config = |protocol| client_config(certificates, protocol);
        Ok(Self {
            addresses,
            http1: config(b"http/1.1")?,
            http2: config(b"h2")?,
        })
    }

    /// Returns the target of a connection: each has one of the replicas, in turn.
    pub(crate) fn of(&self, connection: u32) -> Self {
        let mut target = self.clone();
        let replicas = target.addresses.len();
        target.addresses.rotate_left(connection as usize % replicas);
        target
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
            address: self.addresses[0],
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
