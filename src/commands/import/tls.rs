//! The certificate of a server, and the authorities of its clients: `ssl_*` and `SSL*`.

use super::authority::{self, BUILTIN};
use super::directive::{Directive, InEffect};
use super::report::Ledger;
use super::toml_writer::ConfigDraft;
use std::path::Path;

/// The TLS settings of a server.
#[derive(Debug, Default)]
pub(super) struct TlsRules {
    certificate: Option<String>,
    private_key: Option<String>,
    /// The authorities whose client certificates are trusted.
    authorities: Vec<String>,
    revocation_lists: Vec<String>,
    only_newest: bool,
    demand: Demand,
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
        let reader = TlsReader { base, ledger };
        let all = |names: [&str; 2]| names.map(|name| at.all(name)).concat();
        let one = |names: [&str; 2]| all(names).pop();
        let certificates = all(["ssl_certificate", "SSLCertificateFile"]);
        let certificate = reader.first(&certificates, "tls.certificate");
        let keys = all(["ssl_certificate_key", "SSLCertificateKeyFile"]);
        // The key may be in the file of the certificate.
        let private_key = reader
            .first(&keys, "tls.private_key")
            .or(certificate.clone());
        let demand = one(["ssl_verify_client", "SSLVerifyClient"]);
        let demand = demand.map_or(Demand::Off, |it| reader.demand(it));
        let own = one(["ssl_client_certificate", "SSLCACertificateFile"]);
        let mut authorities: Vec<String> = own
            .and_then(|it| reader.authority(it))
            .into_iter()
            .collect();
        if let Some(trusted) = at.one("ssl_trusted_certificate") {
            let is_stapling = at.one("ssl_stapling").is_some_and(|it| it.value() == "on");
            if own.is_some() && is_stapling {
                let hole = "the authorities for OCSP stapling could issue client certificates, too; now \
                            only those in tls.client.ca can";
                ledger.closed(trusted, hole);
            } else if own.is_none() && demand == Demand::Off {
                ledger.not_needed(trusted, "it is for OCSP stapling, which is not supported");
            } else {
                authorities.extend(reader.authority(trusted));
            }
        }
        let protocols = one(["ssl_protocols", "SSLProtocol"]);
        Self {
            certificate,
            private_key,
            authorities,
            revocation_lists: reader.revocation_lists(at),
            only_newest: protocols.is_some_and(|it| reader.only_newest(it)),
            demand,
        }
    }

    /// Returns `true` if no client without a certificate got in.
    pub(super) fn demands_certificate(&self) -> bool {
        self.demand == Demand::On
    }

    /// Returns an authority other than Netdata's, if there is one.
    pub(super) fn other_authority(&self) -> Option<&String> {
        self.authorities
            .iter()
            .find(|authority| *authority != BUILTIN)
    }

    /// Writes the settings. With `is_optional`, some route demands no certificate.
    pub(super) fn write(self, is_optional: bool, draft: &mut ConfigDraft) {
        let certificate = self.certificate.as_deref().unwrap_or("fullchain.pem");
        let private_key = self.private_key.as_deref().unwrap_or("privkey.pem");
        draft.tls.set("certificate", certificate);
        draft.tls.set("private_key", private_key);
        if self.only_newest {
            draft.tls.set("min_version", "1.3");
        }
        if is_optional || self.demand == Demand::Optional {
            draft.client.set("verify", "request");
        }
        if self.authorities != [BUILTIN] {
            draft.client.set_list("ca", self.authorities);
        }
        draft.client.set_list("crl", self.revocation_lists);
    }

    pub(super) fn has_certificate(&self) -> bool {
        self.certificate.is_some()
    }
}

/// Reads the files and options of a server.
struct TlsReader<'r> {
    base: &'r Path,
    ledger: &'r Ledger,
}

impl TlsReader<'_> {
    /// Returns the path of a file; `None` if its name is not constant.
    fn path(&self, directive: &Directive, key: &str) -> Option<String> {
        let name = directive.value();
        let schemes = ["data:", "engine:", "store:"];
        if name.contains('$') || schemes.iter().any(|scheme| name.starts_with(scheme)) {
            let remedy = format!("{key} names a file: write it to one");
            self.ledger.not_carried(directive, remedy);
            return None;
        }
        Some(self.base.join(name).display().to_string())
    }

    fn file(&self, directive: &Directive, key: &str) -> Option<String> {
        let path = self.path(directive, key)?;
        self.ledger.carried(directive, key);
        Some(path)
    }

    /// Returns the first of several certificates or keys.
    fn first(&self, all: &[&Directive], key: &str) -> Option<String> {
        for further in all.iter().skip(1) {
            let remedy = "only the first certificate is used, which every TLS client accepts";
            self.ledger.not_carried(further, remedy);
        }
        self.file(all.first()?, key)
    }

    fn revocation_lists<'t>(&self, at: &impl InEffect<'t>) -> Vec<String> {
        if let Some(lists) = at.one("SSLCARevocationFile")
            && at
                .one("SSLCARevocationCheck")
                .is_none_or(|it| it.keyword() == "none")
        {
            let hole = "it was not used, without SSLCARevocationCheck; now it is";
            self.ledger.closed(lists, hole);
        }
        let lists = at.one("ssl_crl").or_else(|| at.one("SSLCARevocationFile"));
        lists
            .and_then(|it| self.file(it, "tls.client.crl"))
            .into_iter()
            .collect()
    }

    fn authority(&self, directive: &Directive) -> Option<String> {
        let path = self.path(directive, "tls.client.ca")?;
        Some(authority::carry(directive, path, self.ledger))
    }

    /// Returns `true` if TLS 1.3 is the only version. Apache adds and removes versions.
    fn only_newest(&self, directive: &Directive) -> bool {
        let mut versions: Vec<String> = Vec::new();
        for argument in &directive.arguments {
            let name = argument.trim_start_matches(['+', '-']).to_ascii_lowercase();
            let all = ["tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"].map(str::to_owned);
            let named = if name == "all" {
                all.to_vec()
            } else {
                vec![name]
            };
            match argument.starts_with('-') {
                true => versions.retain(|version| !named.contains(version)),
                false => versions.extend(named),
            }
        }
        let is_newest = !versions.is_empty() && versions.iter().all(|it| it == "tlsv1.3");
        let oldest = if is_newest { "1.3" } else { "1.2" };
        self.ledger
            .carried(directive, format!("tls.min_version = \"{oldest}\""));
        let old = ["sslv2", "sslv3", "tlsv1", "tlsv1.1"];
        if versions
            .iter()
            .any(|version| old.contains(&version.as_str()))
        {
            self.ledger
                .closed(directive, "versions before TLS 1.2 are not supported");
        }
        is_newest
    }

    fn demand(&self, directive: &Directive) -> Demand {
        let (demand, key) = match directive.keyword().as_str() {
            "on" | "require" => (Demand::On, "tls.client.verify = \"require\""),
            "optional" | "optional_no_ca" => (Demand::Optional, "tls.client.verify = \"request\""),
            _ => (Demand::Off, "tls.client.verify"),
        };
        self.ledger.carried(directive, key);
        if directive.keyword() == "optional_no_ca" {
            let hole =
                "certificates of any authority got through; now it must be one of tls.client.ca";
            self.ledger.closed(directive, hole);
        }
        demand
    }
}
