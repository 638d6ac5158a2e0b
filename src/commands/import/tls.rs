//! The certificate of a server, and the authorities of its clients: `ssl_*` and `SSL*`.

use super::directive::Directive;
use super::scope::Scope;
use super::sources::SourceFiles;
use super::toml_writer::{ConfigDraft, set_list};
use crate::config::{NETDATA_ROOT_CA, certificates_in};
use std::path::Path;
use toml_edit::{Table, value};

const AUTHORITY: &str = "ssl_client_certificate SSLCACertificateFile";
const ANY_AUTHORITY: &str =
    "certificates of any authority got through; now only those of tls.client.ca do";

/// The TLS settings of a server.
#[derive(Debug, Default)]
pub(super) struct TlsRules {
    tls: Table,
    /// The authorities that are not built in.
    pub(super) authority: Option<String>,
    crl: Option<String>,
    /// Clients may be without a certificate.
    is_optional: bool,
    /// No client without a certificate got in.
    pub(super) demands_certificate: bool,
    pub(super) has_certificate: bool,
}

impl TlsRules {
    /// Reads the settings in effect.
    pub(super) fn read(scope: &Scope<'_>) -> Self {
        let certificate = "ssl_certificate SSLCertificateFile";
        let certificate = file(scope, certificate, "tls.certificate");
        let key = "ssl_certificate_key SSLCertificateKeyFile";
        let key = file(scope, key, "tls.private_key");
        let mut rules = Self {
            has_certificate: certificate.is_some(),
            authority: authority(scope),
            crl: file(scope, "ssl_crl SSLCARevocationFile", "tls.client.crl"),
            ..Self::default()
        };
        // The key may be in the file of the certificate.
        let key = key.or(certificate.clone()).unwrap_or("privkey.pem".into());
        let certificate = certificate.unwrap_or("fullchain.pem".into());
        rules.tls["certificate"] = value(certificate);
        rules.tls["private_key"] = value(key);
        if let Some(directive) = scope.one("ssl_protocols SSLProtocol") {
            rules.versions(directive);
        }
        if let Some(directive) = scope.one("ssl_verify_client SSLVerifyClient") {
            rules.demand(directive);
        }
        rules
    }

    fn versions(&mut self, directive: &Directive) {
        let versions = directive.arguments.iter().filter(|it| !it.starts_with('-'));
        let mut versions = versions.map(|it| it.trim_start_matches('+'));
        let is_newest = versions.all(|it| it.eq_ignore_ascii_case("TLSv1.3"));
        if is_newest {
            self.tls["min_version"] = value("1.3");
        }
        let version = if is_newest { "1.3" } else { "1.2" };
        directive.carried(format!("tls.min_version = \"{version}\""));
    }

    fn demand(&mut self, directive: &Directive) {
        let demand = directive.keyword();
        self.demands_certificate = matches!(&*demand, "on" | "require");
        self.is_optional = demand.starts_with("optional");
        match (self.demands_certificate, self.is_optional) {
            (true, _) => directive.carried("tls.client.verify = \"require\""),
            (_, true) => directive.carried("tls.client.verify = \"request\""),
            _ => directive.not_needed("no certificate was demanded"),
        }
        if demand == "optional_no_ca" {
            directive.closed(ANY_AUTHORITY);
        }
    }

    /// Writes the settings. With `is_optional`, some route demands no certificate.
    pub(super) fn write(self, is_optional: bool, names: Vec<String>, draft: &mut ConfigDraft) {
        let client = &mut draft.client;
        if is_optional || self.is_optional {
            client["verify"] = value("request");
        }
        set_list(client, "ca", self.authority.into_iter().collect());
        set_list(client, "crl", self.crl.into_iter().collect());
        set_list(client, "common_names", names);
        draft.tls = self.tls;
    }
}

/// Returns the first of the files that directives name.
fn file(scope: &Scope<'_>, names: &str, key: &str) -> Option<String> {
    let all = scope.all(names);
    let (first, more) = all.split_first()?;
    for further in more {
        further.not_carried(format!("{key} has only the first file"));
    }
    let path = scope.path(first.value());
    match path {
        Some(_) => first.carried(key),
        None => first.not_carried(format!("{key} names a file: write it to one")),
    }
    path
}

/// Returns the authority of client certificates, unless it is the built-in one and no other.
fn authority(scope: &Scope<'_>) -> Option<String> {
    let directive = scope.one(AUTHORITY)?;
    let path = scope.path(directive.value()).unwrap_or_default();
    let text = SourceFiles::default().read(Path::new(&path));
    let found = certificates_in(text.unwrap_or_default().as_bytes());
    let found = found.filter(|found| !found.is_empty());
    if found.is_some() && found == certificates_in(NETDATA_ROOT_CA.as_bytes()) {
        directive.not_needed("it holds the Netdata Root CA, which is built in");
        return None;
    }
    file(scope, AUTHORITY, "tls.client.ca")
}
