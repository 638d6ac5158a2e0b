//! TLS to a database, whose certificate must prove its name.

use crate::config::{self, DatabaseUrl};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// The protocol's name where TLS begins at once.
const ALPN: &[u8] = b"postgresql";

/// Returns the settings of TLS for the servers of `url`.
pub(super) fn config(url: &DatabaseUrl) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for authority in authorities(url)?.iter() {
        let added = roots.add(authority.clone());
        added.map_err(|error| format!("an authority of sslrootcert cannot be used: {error}"))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match &url.certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let identity = config::read_identity(certificate, key)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
    };
    if url.is_direct {
        config.alpn_protocols = vec![ALPN.to_vec()];
    }
    Ok(config)
}

fn authorities(url: &DatabaseUrl) -> Result<Arc<[CertificateDer<'static>]>, String> {
    match &url.root_certificate {
        Some(file) => Ok(config::read_certificates(file)?.into()),
        None => config::system_authorities(),
    }
}
