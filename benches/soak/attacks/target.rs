//! What is attacked, and by which clients.

use super::identity;
use crate::Failure;
use crate::certificates::Certificates;
use crate::client::{Answer, Client};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// What is attacked, and all the certificates that play a part.
pub(crate) struct Target {
    pub(super) address: SocketAddr,
    pub(super) trusted: Arc<ClientConfig>,
    pub(super) trusted_http2: Arc<ClientConfig>,
    pub(super) strangers: Vec<Arc<ClientConfig>>,
    pub(super) long_chain: Arc<ClientConfig>,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, certificates: &Certificates) -> Result<Self, Failure> {
        let chain = vec![CertificateDer::from_pem_file(certificates.path("rsa.pem"))?];
        let key = PrivateKeyDer::from_pem_file(certificates.path("rsa.key"))?;
        let own = |alpn: &[u8]| identity::with_certificate(chain.clone(), key.clone_key(), alpn);
        let strangers = [
            identity::stranger("app.netdata.cloud", 0)?,
            identity::stranger("x", 100_000)?,
            Arc::new(identity::anonymous()),
        ];
        Ok(Self {
            address,
            trusted: own(b"http/1.1")?,
            trusted_http2: own(b"h2")?,
            strangers: strangers.into(),
            long_chain: identity::with_long_chain()?,
        })
    }

    /// A well-behaved client over HTTP/1.1.
    pub(crate) fn first(&self) -> Client {
        Client {
            source: Some(Ipv4Addr::LOCALHOST),
            address: self.address,
            config: self.trusted.clone(),
        }
    }

    /// One over HTTP/2.
    pub(crate) fn http2(&self) -> Client {
        Client {
            config: self.trusted_http2.clone(),
            ..self.first()
        }
    }
}

/// Returns the answer to a GET on a connection of its own.
pub(crate) async fn get(client: &Client, target: &str) -> Result<Answer, Failure> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.connect().await?.exchange(request.as_bytes()).await
}
