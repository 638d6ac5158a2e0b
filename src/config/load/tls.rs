//! `[tls]`: the server certificate, and the trust in client certificates.

use super::revocation::{current, uncovered};
use super::{Loader, required};
use crate::config::document::{Located, TableReader};
use crate::config::files::{self, KeyPairError};
use crate::config::lints;
use crate::config::{
    ClientTrust, CrlCoverage, NETDATA_COMMON_NAME, RevocationList, Tls, TlsVersion, Verify,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;
use x509_parser::time::ASN1Time;

/// The values that `tls.min_version` may have.
const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

/// The values that `tls.client.verify` may have.
const VERIFY: [(&str, Verify); 3] = [
    ("require", Verify::Require),
    ("request", Verify::Request),
    ("off", Verify::Off),
];

/// The values that `tls.client.crl_coverage` may have.
const COVERAGE: [(&str, CrlCoverage); 2] =
    [("all", CrlCoverage::All), ("listed", CrlCoverage::Listed)];

impl Loader<'_> {
    /// Reads the section, except for `tls.client`, which has been read before.
    pub(super) fn tls(&self, table: &mut TableReader<'_>, client: ClientTrust) -> Option<Tls> {
        let certificate = required(
            table,
            "certificate",
            "the server's chain in PEM, leaf first",
        );
        let private_key = required(table, "private_key", "the certificate's key in PEM");
        let min_version = table
            .choice("min_version", &VERSIONS)
            .unwrap_or(TlsVersion::Tls12);
        Some(Tls {
            certificate: self.server_certificate(table, certificate?, private_key?)?,
            min_version,
            client,
        })
    }

    fn server_certificate(
        &self,
        table: &TableReader<'_>,
        certificate: Located<String>,
        private_key: Located<String>,
    ) -> Option<Arc<CertifiedKey>> {
        let certificate_path = self.file(&certificate.value);
        let key_path = self.file(&private_key.value);
        let provider = aws_lc_rs::default_provider();
        match files::server_certificate(&certificate_path, &key_path, &provider) {
            Ok(server) => {
                self.lint_certificate(table, &certificate, &server);
                lint_key_file(table, &private_key, &key_path);
                Some(server)
            }
            Err(error) => {
                complain_about_pair(table, &certificate, &private_key, error);
                None
            }
        }
    }

    /// Reports what clients may object to in the server's chain.
    fn lint_certificate(
        &self,
        table: &TableReader<'_>,
        certificate: &Located<String>,
        server: &CertifiedKey,
    ) {
        let now = ASN1Time::now().timestamp();
        if let Some(message) = lints::on_leaf(&server.cert, now) {
            let problem = table.document.problem(&certificate.location, message);
            self.errors.borrow_mut().push(problem);
        }
        for message in lints::on_chain(&server.cert, now, lints::is_known_to_system) {
            table.document.warn(&certificate.location, message);
        }
    }

    pub(super) fn client_trust(&self, table: &mut TableReader<'_>) -> ClientTrust {
        let verify = table.choice("verify", &VERIFY).unwrap_or(Verify::Require);
        let errors_before = table.document.count();
        let authorities = self.client_authorities(table, verify);
        let crl_coverage = table
            .choice("crl_coverage", &COVERAGE)
            .unwrap_or(CrlCoverage::All);
        let lists = self.revocation_lists(table);
        let uncovered = uncovered(&authorities, &lists, crl_coverage);
        // After an error, the missing list may be one that could not be read.
        if table.document.count() == errors_before && verify != Verify::Off {
            uncovered
                .into_iter()
                .for_each(|message| table.complain("crl", message));
        }
        ClientTrust {
            verify,
            authorities,
            revocation_lists: current(table, lists),
            crl_coverage,
            common_names: common_names(table),
        }
    }

    fn client_authorities(
        &self,
        table: &mut TableReader<'_>,
        verify: Verify,
    ) -> Vec<CertificateDer<'static>> {
        let Some(sources) = table.strings("ca") else {
            return files::builtin_authorities();
        };
        if sources.is_empty() && verify != Verify::Off {
            table.complain(
                "ca",
                "must not be empty: set \"builtin:netdata\" or PEM files",
            );
        }
        sources
            .iter()
            .flat_map(|source| self.authorities(table, source))
            .collect()
    }

    fn authorities(
        &self,
        table: &TableReader<'_>,
        source: &Located<String>,
    ) -> Vec<CertificateDer<'static>> {
        let loaded = match source.value.strip_prefix("builtin:") {
            Some("netdata") => Ok(files::builtin_authorities()),
            Some(_) => Err("the only built-in authority is \"builtin:netdata\"".to_owned()),
            None => files::authorities(&self.file(&source.value)),
        };
        loaded.unwrap_or_else(|message| {
            table.document.complain(&source.location, message);
            Vec::new()
        })
    }

    fn revocation_lists(&self, table: &mut TableReader<'_>) -> Vec<Located<RevocationList>> {
        let sources = table.strings("crl").unwrap_or_default();
        let of_source =
            |source: Located<String>| match files::revocation_lists(&self.file(&source.value)) {
                Ok(lists) => lists
                    .into_iter()
                    .map(|value| Located {
                        value,
                        location: source.location.clone(),
                    })
                    .collect(),
                Err(message) => {
                    table.document.complain(&source.location, message);
                    Vec::new()
                }
            };
        sources.into_iter().flat_map(of_source).collect()
    }
}

fn common_names(table: &mut TableReader<'_>) -> Vec<String> {
    let Some(names) = table.strings("common_names") else {
        return vec![NETDATA_COMMON_NAME.to_owned()];
    };
    if names.is_empty() {
        table.complain(
            "common_names",
            "must not be empty: every client would be rejected; the default is [\"app.netdata.cloud\"]",
        );
    }
    for name in &names {
        if name.value.is_empty() || name.value.contains(char::is_control) {
            table
                .document
                .complain(&name.location, "must be a name without control characters");
        }
    }
    names.into_iter().map(|name| name.value).collect()
}

/// Reports the file of a certificate and its key that cannot be used.
pub(super) fn complain_about_pair(
    table: &TableReader<'_>,
    certificate: &Located<String>,
    key: &Located<String>,
    error: KeyPairError,
) {
    let (location, message) = match error {
        KeyPairError::Certificate(message) => (&certificate.location, message),
        KeyPairError::Key(message) => (&key.location, message),
    };
    table.document.complain(location, message);
}

/// Warns of a key file that other users can read.
pub(super) fn lint_key_file(table: &TableReader<'_>, key: &Located<String>, path: &Path) {
    if let Some(message) = lints::on_key_file(path) {
        table.document.warn(&key.location, message);
    }
}
