//! The certificate that handshakes present, which may be replaced at any time.

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The certificate for every server name: there is one policy per listener.
///
/// Its copies share it. Before the first one is issued there is none, and handshakes fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct PresentedCertificate(Arc<ArcSwapOption<CertifiedKey>>);

impl PresentedCertificate {
    pub(crate) fn of(certified: Arc<CertifiedKey>) -> Self {
        Self(Arc::new(ArcSwapOption::new(Some(certified))))
    }

    /// Returns the certificate of now.
    pub(crate) fn get(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }

    /// Presents another one from now on.
    pub(crate) fn replace(&self, certified: Option<Arc<CertifiedKey>>) {
        self.0.store(certified);
    }
}

impl ResolvesServerCert for PresentedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.get()
    }
}
