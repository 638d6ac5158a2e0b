//! The certificate of a server, and the authorities of its clients: `ssl_*` and `SSL*`.

use super::directive::{Directive, InEffect};
use super::report::Ledger;
use super::sources::SourceFiles;
use super::toml_writer::{ConfigDraft, ConfigTable};
use crate::config::{NETDATA_ROOT_CA, certificates_in};
use std::path::Path;

/// The TLS settings of a server.
#[derive(Debug, Default)]
pub(super) struct TlsRules {
    tls: ConfigTable,
    client: ConfigTable,
    demand: Demand,
    /// The first authority that is not Netdata's.
    pub(super) other_authority: Option<String>,
    pub(super) has_certificate: bool,
}

/// The demand for a client certificate in the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Demand {
    #[default]
    Off,
    Optional,
    On,
}

impl TlsRules {
    /// Reads the settings in effect. Relative names of files are relative to `base`.
    pub(super) fn read<'t>(at: &impl InEffect<'t>, base: &Path, ledger: &Ledger) -> Self {
        let reader = TlsReader { at, base, ledger };
        let certificate = reader.first("ssl_certificate", "SSLCertificateFile", "certificate");
        let key = reader.first(
            "ssl_certificate_key",
            "SSLCertificateKeyFile",
            "private_key",
        );
        let has_certificate = certificate.is_some();
        // The key may be in the file of the certificate.
        let key = key.or(certificate.clone());
        let mut tls = ConfigTable::default();
        tls.set(
            "certificate",
            certificate.as_deref().unwrap_or("fullchain.pem"),
        );
        tls.set("private_key", key.as_deref().unwrap_or("privkey.pem"));
        if reader.only_newest() {
            tls.set("min_version", "1.3");
        }
        let demand = reader.demand();
        let authorities = reader.authorities(demand);
        let mut client = ConfigTable::default();
        // Keeps the first place for the value that `write` knows.
        client.set("verify", "request");
        if authorities != [BUILTIN] {
            client.set_list("ca", authorities.clone());
        }
        let lists = reader.one("ssl_crl", "SSLCARevocationFile");
        let lists = lists.and_then(|it| reader.file(it, "tls.client.crl"));
        client.set_list("crl", lists.into_iter().collect());
        Self {
            tls,
            client,
            demand,
            other_authority: authorities.into_iter().find(|it| it != BUILTIN),
            has_certificate,
        }
    }

    /// Returns `true` if no client without a certificate got in.
    pub(super) fn demands_certificate(&self) -> bool {
        self.demand == Demand::On
    }

    /// Writes the settings. With `is_optional`, some route demands no certificate.
    pub(super) fn write(mut self, is_optional: bool, names: Vec<String>, draft: &mut ConfigDraft) {
        if !is_optional && self.demand != Demand::Optional {
            self.client.remove("verify");
        }
        self.client.set_list("common_names", names);
        draft.tls = self.tls;
        draft.client = self.client;
    }
}

/// Reads the files and options of a server. Each has a name in NGINX and another in Apache.
struct TlsReader<'r, A> {
    at: &'r A,
    base: &'r Path,
    ledger: &'r Ledger,
}

impl<'t, A: InEffect<'t>> TlsReader<'_, A> {
    fn one(&self, nginx: &str, apache: &str) -> Option<&'t Directive> {
        self.at.one(nginx).or_else(|| self.at.one(apache))
    }

    /// Returns the first of several certificates or keys.
    fn first(&self, nginx: &str, apache: &str, key: &str) -> Option<String> {
        let mut all = self.at.all(nginx);
        all.extend(self.at.all(apache));
        for further in all.iter().skip(1) {
            let remedy = "only the first certificate is used, which every TLS client accepts";
            self.ledger.not_carried(further, remedy);
        }
        self.file(all.first()?, &format!("tls.{key}"))
    }

    fn file(&self, directive: &Directive, key: &str) -> Option<String> {
        let path = self.path(directive, key)?;
        self.ledger.carried(directive, key);
        Some(path)
    }

    /// Returns the path of a file; `None` if its name is not constant.
    fn path(&self, directive: &Directive, key: &str) -> Option<String> {
        let name = directive.value();
        if name.contains('$') {
            let remedy = format!("{key} names a file: write it to one");
            self.ledger.not_carried(directive, remedy);
            return None;
        }
        Some(self.base.join(name).display().to_string())
    }

    fn authorities(&self, demand: Demand) -> Vec<String> {
        let own = self.one("ssl_client_certificate", "SSLCACertificateFile");
        // With stapling, these issue certificates of servers.
        let is_stapling = self
            .at
            .one("ssl_stapling")
            .is_some_and(|it| it.value() == "on");
        let trusted = self.at.one("ssl_trusted_certificate");
        let trusted = trusted.filter(|_| demand != Demand::Off && !is_stapling);
        let directives = own.into_iter().chain(trusted);
        directives.filter_map(|it| self.authority(it)).collect()
    }

    fn authority(&self, directive: &Directive) -> Option<String> {
        let path = self.path(directive, "tls.client.ca")?;
        if is_builtin(Path::new(&path)) {
            let why = "it holds the Netdata Root CA, which is built in";
            self.ledger.not_needed(directive, why);
            return Some(BUILTIN.to_owned());
        }
        self.ledger.carried(directive, "tls.client.ca");
        Some(path)
    }

    /// Returns `true` if TLS 1.3 is the only version. Apache adds and removes versions.
    fn only_newest(&self) -> bool {
        let Some(directive) = self.one("ssl_protocols", "SSLProtocol") else {
            return false;
        };
        let mut versions: Vec<String> = Vec::new();
        for argument in &directive.arguments {
            let name = argument.trim_start_matches(['+', '-']).to_ascii_lowercase();
            let name = name.replace("all", "tlsv1 tlsv1.1 tlsv1.2 tlsv1.3");
            match argument.starts_with('-') {
                true => versions.retain(|version| name.split(' ').all(|it| it != version)),
                false => versions.extend(name.split(' ').map(str::to_owned)),
            }
        }
        let has = |names: &str| {
            versions
                .iter()
                .any(|it| names.split(' ').any(|name| name == it))
        };
        let is_newest = has("tlsv1.3") && !has("sslv2 sslv3 tlsv1 tlsv1.1 tlsv1.2");
        let oldest = if is_newest { "1.3" } else { "1.2" };
        self.ledger
            .carried(directive, format!("tls.min_version = \"{oldest}\""));
        if has("sslv2 sslv3 tlsv1 tlsv1.1") {
            let hole = "versions before TLS 1.2 are not supported";
            self.ledger.closed(directive, hole);
        }
        is_newest
    }

    fn demand(&self) -> Demand {
        let Some(directive) = self.one("ssl_verify_client", "SSLVerifyClient") else {
            return Demand::Off;
        };
        let (demand, key) = match directive.keyword().as_str() {
            "on" | "require" => (Demand::On, " = \"require\""),
            "optional" | "optional_no_ca" => (Demand::Optional, " = \"request\""),
            _ => (Demand::Off, ""),
        };
        self.ledger
            .carried(directive, format!("tls.client.verify{key}"));
        if directive.keyword() == "optional_no_ca" {
            let hole =
                "certificates of any authority got through; now it must be one of tls.client.ca";
            self.ledger.closed(directive, hole);
        }
        demand
    }
}

/// The name of Netdata's own authority in a configuration.
const BUILTIN: &str = "builtin:netdata";

/// Returns `true` if a file has Netdata's certificate and no other, not even an unreadable one.
fn is_builtin(path: &Path) -> bool {
    let text = SourceFiles::default().read(path).unwrap_or_default();
    let found = certificates_in(text.as_bytes()).filter(|found| !found.is_empty());
    found.is_some() && found == certificates_in(NETDATA_ROOT_CA.as_bytes())
}
