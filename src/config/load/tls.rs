//! `[tls]`: the server certificate, and the trust in client certificates.

use super::Loader;
use super::acme;
use super::revocation::{current, uncovered};
use crate::config::document::{Located, TableReader};
use crate::config::files;
use crate::config::key_pair::{self, KeyPairError};
use crate::config::lints;
use crate::config::{
    ClientTrust, CrlCoverage, DatabaseSource, NETDATA_COMMON_NAME, RevocationList,
    ServerCertificate, Tls, TlsVersion, Verify,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
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
    /// Reads the section, except for `tls.client`, which has been read before. `database` is that of
    /// the queue.
    pub(super) fn tls(
        &self,
        table: &mut TableReader<'_>,
        client: ClientTrust,
        database: Option<&DatabaseSource>,
    ) -> Option<Tls> {
        let certificate = match table.names_any(&["acme"]) {
            true => self.acme_certificate(table, database),
            false => self.file_certificate(table),
        };
        let min_version = table
            .choice("min_version", &VERSIONS)
            .unwrap_or(TlsVersion::Tls12);
        Some(Tls {
            certificate: certificate?,
            min_version,
            client,
        })
    }

    fn acme_certificate(
        &self,
        table: &mut TableReader<'_>,
        database: Option<&DatabaseSource>,
    ) -> Option<ServerCertificate> {
        if table.names_any(&["certificate", "private_key"]) {
            table.complain(
                "acme",
                "set either acme, or certificate and private_key: both name the server's certificate",
            );
        }
        table.skip("certificate");
        table.skip("private_key");
        let expected = format!("a table such as {}", acme::EXAMPLE);
        let acme = table.table_like("acme", &expected, |table| {
            table
                .is_present()
                .then(|| self.acme(table, database))
                .flatten()
        });
        acme.map(Arc::new).map(ServerCertificate::Acme)
    }

    fn file_certificate(&self, table: &mut TableReader<'_>) -> Option<ServerCertificate> {
        table.skip("acme");
        let certificate = self.required_file(
            table,
            "certificate",
            "the server's chain in PEM, leaf first, or set acme",
        );
        let private_key = self.required_file(table, "private_key", "the certificate's key in PEM");
        self.server_certificate(table, certificate, private_key)
            .map(ServerCertificate::Files)
    }

    fn server_certificate(
        &self,
        table: &TableReader<'_>,
        certificate: Option<Located<PathBuf>>,
        private_key: Option<Located<PathBuf>>,
    ) -> Option<Arc<CertifiedKey>> {
        let (certificate, private_key) = both(table, certificate, private_key)?;
        let provider = aws_lc_rs::default_provider();
        match key_pair::server_certificate(&certificate.value, &private_key.value, &provider) {
            Ok(server) => {
                self.lint_certificate(table, &certificate, &server);
                lint_key_file(table, &private_key);
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
        certificate: &Located<PathBuf>,
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
        let uncovered = uncovered(&authorities, &lists, crl_coverage).into_iter();
        // After an error, the missing list may be one that could not be read.
        if table.document.count() == errors_before && verify != Verify::Off {
            uncovered.for_each(|message| table.complain("crl", message));
        }
        let trust = ClientTrust {
            verify,
            authorities,
            revocation_lists: current(table, lists),
            crl_coverage,
            common_names: common_names(table),
        };
        let foreign = trust.foreign_authorities().into_iter();
        foreign.for_each(|message| table.warn("ca", message));
        trust
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
            let message = "must not be empty: set \"builtin:netdata\" or PEM files";
            table.complain("ca", message);
        }
        let sources = sources.iter();
        sources
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
        let sources = table.strings("crl").unwrap_or_default().into_iter();
        sources
            .flat_map(|source| self.lists_at(table, &source))
            .collect()
    }

    /// Reads the lists of a file.
    fn lists_at(
        &self,
        table: &TableReader<'_>,
        source: &Located<String>,
    ) -> Vec<Located<RevocationList>> {
        let location = &source.location;
        let lists = files::revocation_lists(&self.file(&source.value));
        let lists = lists.unwrap_or_else(|message| {
            table.document.complain(location, message);
            Vec::new()
        });
        let located = |value| Located {
            value,
            location: location.clone(),
        };
        lists.into_iter().map(located).collect()
    }
}

fn common_names(table: &mut TableReader<'_>) -> Vec<String> {
    let Some(names) = table.strings("common_names") else {
        return vec![NETDATA_COMMON_NAME.to_owned()];
    };
    if names.is_empty() {
        let message = "must not be empty: every client would be rejected; the default is [\"app.netdata.cloud\"]";
        table.complain("common_names", message);
    }
    let check = |name: &Located<String>| {
        if let Some(fault) = fault_of_name(&name.value) {
            table.document.complain(&name.location, fault);
        }
    };
    names.iter().for_each(check);
    names.into_iter().map(|name| name.value).collect()
}

/// Returns why no certificate has this common name: names are compared whole.
fn fault_of_name(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.contains(char::is_control) {
        return Some("must be a name without control characters");
    }
    if name != name.trim() {
        return Some("begins or ends with a blank, which names are compared with: remove it");
    }
    if name.contains('*') {
        return Some(
            "has a \"*\", which stands for nothing but itself, as names are compared whole: write each name, such as \
             \"app.netdata.cloud\"",
        );
    }
    name.to_ascii_uppercase().contains("CN=").then_some(
        "has \"CN=\" in it, as no common name does: write the name alone, such as \"app.netdata.cloud\"",
    )
}

/// Returns a certificate and its key. If one is missing, the other is checked alone.
pub(super) fn both(
    table: &TableReader<'_>,
    certificate: Option<Located<PathBuf>>,
    key: Option<Located<PathBuf>>,
) -> Option<(Located<PathBuf>, Located<PathBuf>)> {
    let (location, fault) = match (certificate, key) {
        (Some(certificate), Some(key)) => return Some((certificate, key)),
        (Some(it), None) => (it.location, files::read_certificates(&it.value).err()),
        (None, Some(it)) => (it.location, key_pair::read_key(&it.value).err()),
        (None, None) => return None,
    };
    if let Some(fault) = fault {
        table.document.complain(&location, fault);
    }
    None
}

/// Reports the files of a certificate and its key that cannot be used.
pub(super) fn complain_about_pair(
    table: &TableReader<'_>,
    certificate: &Located<PathBuf>,
    key: &Located<PathBuf>,
    error: KeyPairError,
) {
    let of_certificate = error.certificate.map(|it| (&certificate.location, it));
    let of_key = error.key.map(|it| (&key.location, it));
    for (location, message) in of_certificate.into_iter().chain(of_key) {
        table.document.complain(location, message);
    }
}

/// Warns of a key file that other users can read.
pub(super) fn lint_key_file(table: &TableReader<'_>, key: &Located<PathBuf>) {
    if let Some(message) = lints::on_key_file(&key.value) {
        table.document.warn(&key.location, message);
    }
}
