//! Options of the checks, as the arguments give them.

use super::arguments::DoctorArguments;
use super::dns::NameServers;
use crate::commands::forged_subjects::ForgedSubjects;
use crate::config::{read_certificates, read_identity};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use std::path::Path;
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
    /// Servers that are asked for CAA records.
    pub(super) name_servers: NameServers,
}

impl CheckOptions {
    pub(super) fn new(arguments: &DoctorArguments) -> Result<Self, String> {
        let (roots, roots_name) = roots(arguments.ca.as_deref())?;
        let credentials = credentials(arguments)?;
        let forgeries = arguments.forgeries.as_deref().map(ForgedSubjects::read);
        Ok(Self {
            step_timeout: arguments.step_timeout(),
            roots,
            roots_name,
            credentials,
            forgeries: forgeries.transpose()?,
            idle: arguments.idle(),
            name_servers: arguments
                .name_server
                .map_or_else(NameServers::of_system, NameServers::only),
        })
    }
}

/// Returns the trusted authorities, and their source in words.
fn roots(ca: Option<&Path>) -> Result<(RootCertStore, String), String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok((roots, "the system".into()));
    };
    roots.add_parsable_certificates(read_certificates(path)?);
    Ok((roots, path.display().to_string()))
}

fn credentials(arguments: &DoctorArguments) -> Result<Option<Arc<CertifiedKey>>, String> {
    let Some(certificate) = &arguments.cert else {
        return Ok(None);
    };
    let key = arguments.key.as_deref().unwrap_or(certificate);
    read_identity(certificate, key).map(Some)
}
