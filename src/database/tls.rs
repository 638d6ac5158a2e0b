//! TLS to a database, whose certificate must prove its name.

use crate::config::{self, DatabaseUrl};
use crate::tls::{CertificateFault, Presenter};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::sync::Arc;

/// The protocol's name where TLS begins at once.
const ALPN: &[u8] = b"postgresql";

/// Returns the settings of TLS for the servers of `url`.
pub(crate) fn config(url: &DatabaseUrl) -> Result<ClientConfig, String> {
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

/// Makes a certificate that passes, of a request and the authority that is in sslrootcert.
const RECIPE: &str = "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile <(printf 'basicConstraints=CA:FALSE\\nsubjectAltName=DNS:HOST') -out server.crt";

/// Says what is wrong with the certificate of a server, and what makes a better one.
pub(crate) fn explain(error: &CertificateError) -> String {
    let issue = |why: &str| format!("the certificate of the database {why}: {RECIPE}");
    match CertificateFault::from(error) {
        CertificateFault::Name => {
            issue("is not for the host in the URL, of which its common name says nothing")
        }
        CertificateFault::Version => issue("is of X.509 version 1, which has no names"),
        CertificateFault::IsAuthority => {
            issue("is that of an authority, and self-signed ones are: issue one with it")
        }
        CertificateFault::UnknownIssuer => {
            "the certificate of the database is of an authority that is neither in sslrootcert nor the system's".into()
        }
        fault => format!("the certificate of the database {}", fault.predicate(Presenter::Server)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::OtherError;

    #[test]
    fn what_libraries_refuse_and_others_take_is_explained_with_a_remedy() {
        let other = |error| CertificateError::Other(OtherError(Arc::new(error)));
        for (error, part) in [
            (CertificateError::NotValidForName, "common name"),
            (other(webpki::Error::UnsupportedCertVersion), "version 1"),
            (other(webpki::Error::CaUsedAsEndEntity), "self-signed"),
        ] {
            let said = explain(&error);
            assert!(
                said.contains(part) && said.contains("openssl x509"),
                "{said}"
            );
        }
        assert!(explain(&CertificateError::UnknownIssuer).contains("sslrootcert"));
        assert!(explain(&CertificateError::Expired).contains("has expired"));
    }
}
