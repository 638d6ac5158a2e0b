//! The certificate of a server, and the authorities of its clients: `ssl_*` and `SSL*`.

use super::directive::Directive;
use super::report::Ledger;
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
    pub(super) fn read(scope: &Scope<'_>, ledger: &Ledger) -> Self {
        let file = |names, key| file(scope, names, key, ledger);
        let certificate = file("ssl_certificate SSLCertificateFile", "tls.certificate");
        let key = file(
            "ssl_certificate_key SSLCertificateKeyFile",
            "tls.private_key",
        );
        let mut rules = Self {
            has_certificate: certificate.is_some(),
            authority: authority(scope, ledger),
            crl: file("ssl_crl SSLCARevocationFile", "tls.client.crl"),
            ..Self::default()
        };
        // The key may be in the file of the certificate.
        let key = key.or(certificate.clone());
        let certificate = certificate.unwrap_or("fullchain.pem".into());
        rules.tls.set("certificate", certificate);
        rules
            .tls
            .set("private_key", key.unwrap_or("privkey.pem".into()));
        if let Some(directive) = scope.one("ssl_protocols SSLProtocol") {
            rules.versions(directive, ledger);
        }
        if let Some(directive) = scope.one("ssl_verify_client SSLVerifyClient") {
            rules.demand(directive, ledger);
        }
        rules
    }

    fn versions(&mut self, directive: &Directive, ledger: &Ledger) {
        let enables = |version| enables(directive, version);
        let is_old = enables("TLSv1") || enables("TLSv1.1");
        if enables("TLSv1.3") && !enables("TLSv1.2") && !is_old {
            return self
                .tls
                .carry(directive, "min_version", Some("1.3"), ledger);
        }
        ledger.carried(directive, "tls.min_version = \"1.2\"");
        if is_old {
            let hole = "versions before TLS 1.2 are not supported";
            ledger.closed(directive, hole);
        }
    }

    fn demand(&mut self, directive: &Directive, ledger: &Ledger) {
        let demand = directive.keyword();
        self.demands_certificate = matches!(&*demand, "on" | "require");
        self.is_optional = demand.starts_with("optional");
        let verify = match (self.demands_certificate, self.is_optional) {
            (true, _) => "require",
            (_, true) => "request",
            _ => return ledger.not_needed(directive, "no certificate was demanded"),
        };
        ledger.carried(directive, format!("tls.client.verify = \"{verify}\""));
        if demand == "optional_no_ca" {
            let hole =
                "certificates of any authority got through; now it must be one of tls.client.ca";
            ledger.closed(directive, hole);
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
fn file(scope: &Scope<'_>, names: &str, key: &str, ledger: &Ledger) -> Option<String> {
    let all = scope.all(names);
    for further in all.iter().skip(1) {
        ledger.not_carried(further, format!("{key} has only the first file"));
    }
    let path = scope.path(all.first()?.value());
    match path {
        Some(_) => ledger.carried(all[0], key),
        None => ledger.not_carried(all[0], format!("{key} names a file: write it to one")),
    }
    path
}

/// Returns the authority of client certificates, unless it is built in.
fn authority(scope: &Scope<'_>, ledger: &Ledger) -> Option<String> {
    let names = "ssl_client_certificate SSLCACertificateFile";
    let directive = scope.one(names)?;
    if scope
        .path(directive.value())
        .is_some_and(|path| is_builtin(Path::new(&path)))
    {
        let why = "it holds the Netdata Root CA, which is built in";
        ledger.not_needed(directive, why);
        return None;
    }
    file(scope, names, "tls.client.ca", ledger)
}

/// Returns whether a version is enabled: the last argument about it counts, in Apache's form, too.
fn enables(directive: &Directive, version: &str) -> bool {
    let name = |argument: &str| argument.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let is_about = |name: String| name == "all" || name.eq_ignore_ascii_case(version);
    let mut arguments = directive.arguments.iter().rev();
    arguments
        .find(|it| is_about(name(it)))
        .is_some_and(|it| !it.starts_with('-'))
}

/// Returns `true` if a file has Netdata's certificate and no other, not even an unreadable one.
fn is_builtin(path: &Path) -> bool {
    let text = SourceFiles::default().read(path).unwrap_or_default();
    let found = certificates_in(text.as_bytes()).filter(|found| !found.is_empty());
    found.is_some() && found == certificates_in(NETDATA_ROOT_CA.as_bytes())
}
