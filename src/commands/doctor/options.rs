//! Options of the checks, as the arguments give them.

use super::arguments::DoctorArguments;
use crate::commands::forged_subjects::ForgedSubjects;
use crate::config::{read_certificates, read_identity};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::Duration;

/// Options of all checks.
pub(super) struct CheckOptions {
    pub(super) step_timeout: Duration,
    /// Authorities trusted for the server's certificate.
    pub(super) roots: RootCertStore,
    /// Source of these authorities, in words.
    pub(super) roots_name: String,
    /// Client certificate that the server trusts.
    pub(super) credentials: Option<Arc<CertifiedKey>>,
    /// Certificates with forged subjects, if they are to be tried.
    pub(super) forgeries: Option<ForgedSubjects>,
    /// Time for which an idle connection is watched, if at all.
    pub(super) idle: Option<Duration>,
}

impl CheckOptions {
    pub(super) fn new(arguments: &DoctorArguments) -> Result<Self, String> {
        let (certificates, roots_name) = match &arguments.ca {
            Some(path) => (read_certificates(path)?, path.display().to_string()),
            None => (
                rustls_native_certs::load_native_certs().certs,
                "the system".to_owned(),
            ),
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let credentials = match &arguments.cert {
            Some(certificate) => {
                let key = arguments.key.as_deref().unwrap_or(certificate);
                Some(read_identity(certificate, key)?)
            }
            None => None,
        };
        let forgeries = arguments.forgeries.as_deref().map(ForgedSubjects::read);
        Ok(Self {
            step_timeout: arguments.step_timeout(),
            roots,
            roots_name,
            credentials,
            forgeries: forgeries.transpose()?,
            idle: arguments.idle(),
        })
    }
}
