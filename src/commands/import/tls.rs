//! The certificate of a server, and the authorities of its clients: `ssl_*` and `SSL*`.

use super::authority::{self, BUILTIN};
use super::directive::{Directive, InEffect};
use super::report::Ledger;
use super::toml_writer::ConfigDraft;
use std::path::Path;

/// The names of directives, of which each server has its own.
pub(super) struct TlsDirectives {
    certificate: &'static str,
    private_key: &'static str,
    authorities: &'static str,
    /// More authorities, which are trusted for OCSP stapling, too.
    trusted: &'static str,
    revocation_lists: &'static str,
    /// The directive without which revocation lists are not used.
    revocation_check: Option<&'static str>,
    protocols: &'static str,
    verify: &'static str,
}

pub(super) const NGINX: TlsDirectives = TlsDirectives {
    certificate: "ssl_certificate",
    private_key: "ssl_certificate_key",
    authorities: "ssl_client_certificate",
    trusted: "ssl_trusted_certificate",
    revocation_lists: "ssl_crl",
    revocation_check: None,
    protocols: "ssl_protocols",
    verify: "ssl_verify_client",
};

pub(super) const APACHE: TlsDirectives = TlsDirectives {
    certificate: "SSLCertificateFile",
    private_key: "SSLCertificateKeyFile",
    authorities: "SSLCACertificateFile",
    trusted: "",
    revocation_lists: "SSLCARevocationFile",
    revocation_check: Some("SSLCARevocationCheck"),
    protocols: "SSLProtocol",
    verify: "SSLVerifyClient",
};

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
    pub(super) fn read<'t>(
        at: &impl InEffect<'t>,
        names: &TlsDirectives,
        base: &Path,
        ledger: &Ledger,
    ) -> Self {
        let reader = TlsReader { base, ledger };
        let certificate = reader.first(at.all(names.certificate), "tls.certificate");
        let private_key = reader.first(at.all(names.private_key), "tls.private_key");
        let demand = at
            .one(names.verify)
            .map_or(Demand::Off, |it| reader.demand(it));
        let mut authorities = Vec::new();
        let own = at.one(names.authorities);
        authorities.extend(own.and_then(|it| reader.authority(it)));
        if let Some(trusted) = at.one(names.trusted) {
            let is_stapling = at.one("ssl_stapling").is_some_and(|it| it.value() == "on");
            if own.is_some() && is_stapling {
                let hole = "it was for OCSP stapling, but the authorities in it could issue client \
                            certificates, too; now only those in tls.client.ca can";
                ledger.closed(trusted, hole);
            } else if own.is_none() && demand == Demand::Off {
                ledger.not_needed(trusted, "it is for OCSP stapling, which is not supported");
            } else {
                authorities.extend(reader.authority(trusted));
            }
        }
        let lists = at.one(names.revocation_lists);
        if let (Some(lists), Some(check)) = (lists, names.revocation_check)
            && at.one(check).is_none_or(|check| check.keyword() == "none")
        {
            ledger.closed(
                lists,
                format!("it was not used, without {check}; now it is"),
            );
        }
        Self {
            // The key may be in the file of the certificate.
            private_key: private_key.or(certificate.clone()),
            certificate,
            authorities,
            revocation_lists: lists
                .and_then(|it| reader.file(it, "tls.client.crl"))
                .into_iter()
                .collect(),
            only_newest: at
                .one(names.protocols)
                .is_some_and(|it| reader.only_newest(it)),
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
    fn first(&self, all: Vec<&Directive>, key: &str) -> Option<String> {
        for further in all.iter().skip(1) {
            let remedy = "only the first certificate is used, which every TLS client accepts";
            self.ledger.not_carried(further, remedy);
        }
        self.file(all.first()?, key)
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
                .closed(directive, "versions before TLS 1.2 are not spoken");
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
