//! The certificate of a server, and the authorities of its clients: `ssl_*` and `SSL*`.

use super::directive::Directive;
use super::scope::Scope;
use super::sources::SourceFiles;
use super::toml_writer::{ConfigDraft, ConfigTable};
use crate::config::{NETDATA_ROOT_CA, certificates_in};
use std::path::Path;

/// The TLS settings of a server.
#[derive(Debug, Default)]
pub(super) struct TlsRules {
    tls: ConfigTable,
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
        let mut rules = Self {
            authority: authority(scope),
            crl: file(scope, "ssl_crl SSLCARevocationFile", "tls.client.crl"),
            ..Self::default()
        };
        rules.identity(scope);
        if let Some(directive) = scope.one("ssl_protocols SSLProtocol") {
            rules.versions(directive);
        }
        if let Some(directive) = scope.one("ssl_verify_client SSLVerifyClient") {
            rules.demand(directive);
        }
        rules
    }

    fn identity(&mut self, scope: &Scope<'_>) {
        let certificate = "ssl_certificate SSLCertificateFile";
        let certificate = file(scope, certificate, "tls.certificate");
        let key = "ssl_certificate_key SSLCertificateKeyFile";
        let key = file(scope, key, "tls.private_key");
        self.has_certificate = certificate.is_some();
        // The key may be in the file of the certificate.
        let key = key.or(certificate.clone()).unwrap_or("privkey.pem".into());
        let certificate = certificate.unwrap_or("fullchain.pem".into());
        self.tls.set("certificate", certificate);
        self.tls.set("private_key", key);
    }

    fn versions(&mut self, directive: &Directive) {
        let versions = directive.arguments.iter().filter(|it| !it.starts_with('-'));
        let mut versions = versions.map(|it| it.trim_start_matches('+'));
        match versions.all(|it| it.eq_ignore_ascii_case("TLSv1.3")) {
            true => self.tls.carry(directive, "min_version", Some("1.3")),
            false => directive.carried("tls.min_version = \"1.2\""),
        }
    }

    fn demand(&mut self, directive: &Directive) {
        let demand = directive.keyword();
        self.demands_certificate = matches!(&*demand, "on" | "require");
        self.is_optional = demand.starts_with("optional");
        if self.demands_certificate {
            directive.carried("tls.client.verify = \"require\"");
        } else if self.is_optional {
            directive.carried("tls.client.verify = \"request\"");
        } else {
            directive.not_needed("no certificate was demanded");
        }
        if demand == "optional_no_ca" {
            directive.closed(
                "certificates of any authority got through; now only those of tls.client.ca do",
            );
        }
    }

    /// Writes the settings. With `is_optional`, some route demands no certificate.
    pub(super) fn write(self, is_optional: bool, names: Vec<String>, draft: &mut ConfigDraft) {
        if is_optional || self.is_optional {
            draft.client.set("verify", "request");
        }
        draft
            .client
            .set_list("ca", self.authority.into_iter().collect());
        draft.client.set_list("crl", self.crl.into_iter().collect());
        draft.client.set_list("common_names", names);
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

/// Returns the authority of client certificates, unless it is built in.
fn authority(scope: &Scope<'_>) -> Option<String> {
    let names = "ssl_client_certificate SSLCACertificateFile";
    let directive = scope.one(names)?;
    let path = scope.path(directive.value());
    if path.is_some_and(|path| is_builtin(Path::new(&path))) {
        directive.not_needed("it holds the Netdata Root CA, which is built in");
        return None;
    }
    file(scope, names, "tls.client.ca")
}

/// Returns `true` if a file has Netdata's certificate and no other, not even an unreadable one.
fn is_builtin(path: &Path) -> bool {
    let text = SourceFiles::default().read(path).unwrap_or_default();
    let found = certificates_in(text.as_bytes()).filter(|found| !found.is_empty());
    found.is_some() && found == certificates_in(NETDATA_ROOT_CA.as_bytes())
}
