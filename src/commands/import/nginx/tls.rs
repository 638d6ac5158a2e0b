//! The server's certificate, and whose client certificates are trusted.

use super::scope::Scope;
use crate::commands::import::authority;
use crate::commands::import::builder::{Demand, Identity};
use crate::commands::import::directive::Directive;
use crate::commands::import::report::Ledger;
use std::path::Path;

/// What a server says with `ssl_*`. Relative names of files are relative to `prefix`.
pub(super) fn identity(scope: &Scope<'_>, prefix: &Path, ledger: &Ledger) -> Identity {
    let reader = Reader { ledger, prefix };
    let crl = scope
        .one("ssl_crl")
        .map(|it| reader.file(it, "tls.client.crl"));
    Identity {
        certificate: reader.first(scope, "ssl_certificate", "tls.certificate"),
        private_key: reader.first(scope, "ssl_certificate_key", "tls.private_key"),
        authorities: reader.authorities(scope),
        revocation_lists: crl.into_iter().flatten().collect(),
        only_newest: reader.only_newest(scope),
        demand: reader.demand(scope),
    }
}

struct Reader<'r> {
    ledger: &'r Ledger,
    prefix: &'r Path,
}

impl Reader<'_> {
    /// The path of a file; `None` where its name is known for each connection only.
    fn file(&self, directive: &Directive, key: &str) -> Option<String> {
        let path = self.path(directive, key)?;
        self.ledger.carried(directive, key);
        Some(path)
    }

    /// `None` where it is no file, which has been said then.
    fn path(&self, directive: &Directive, key: &str) -> Option<String> {
        let name = directive.value();
        if name.contains('$')
            || ["data:", "engine:", "store:"]
                .iter()
                .any(|scheme| name.starts_with(scheme))
        {
            self.ledger
                .not_carried(directive, format!("{key} is a file: write it to one"));
            return None;
        }
        Some(self.prefix.join(name).display().to_string())
    }

    /// Of several certificates only the first: there is one key.
    fn first(&self, scope: &Scope<'_>, name: &str, key: &str) -> Option<String> {
        let all = scope.all(name);
        for further in all.iter().skip(1) {
            self.ledger.not_carried(
                further,
                "there is one certificate, and the first of them stays; every TLS client of today takes it",
            );
        }
        all.first().and_then(|first| self.file(first, key))
    }

    fn authorities(&self, scope: &Scope<'_>) -> Vec<String> {
        let (client, trusted) = (
            scope.one("ssl_client_certificate"),
            scope.one("ssl_trusted_certificate"),
        );
        let mut authorities = Vec::new();
        if let Some(directive) = client {
            authorities.extend(self.authority(directive));
        }
        match (trusted, client) {
            (Some(directive), Some(_)) if scope.value("ssl_stapling") == "on" => {
                let hole = "it was for OCSP stapling, but the authorities in it could issue client certificates, too; now \
                            only those in tls.client.ca";
                self.ledger.closed(directive, hole);
            }
            (Some(directive), None) if matches!(scope.value("ssl_verify_client"), "" | "off") => {
                self.ledger
                    .not_needed(directive, "it is for OCSP stapling, which there is none of");
            }
            (Some(directive), _) => authorities.extend(self.authority(directive)),
            (None, _) => {}
        }
        authorities
    }

    fn authority(&self, directive: &Directive) -> Option<String> {
        let path = self.path(directive, "tls.client.ca")?;
        Some(authority::carry(directive, path, self.ledger))
    }

    fn only_newest(&self, scope: &Scope<'_>) -> bool {
        let Some(directive) = scope.one("ssl_protocols") else {
            return false;
        };
        let versions: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        let only_newest = versions == ["TLSv1.3"];
        self.ledger.carried(
            directive,
            format!(
                "tls.min_version = \"{}\"",
                if only_newest { "1.3" } else { "1.2" }
            ),
        );
        if versions
            .iter()
            .any(|version| matches!(*version, "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1"))
        {
            self.ledger
                .closed(directive, "versions before TLS 1.2 are not spoken");
        }
        only_newest
    }

    fn demand(&self, scope: &Scope<'_>) -> Demand {
        let Some(directive) = scope.one("ssl_verify_client") else {
            return Demand::Off;
        };
        match directive.value() {
            "on" => {
                self.ledger.carried(
                    directive,
                    "tls.client.verify = \"require\": a TLS alert where NGINX answered 400",
                );
                Demand::On
            }
            "optional" => {
                self.ledger
                    .carried(directive, "tls.client.verify = \"request\"");
                Demand::Optional
            }
            "optional_no_ca" => {
                self.ledger
                    .carried(directive, "tls.client.verify = \"request\"");
                let hole = "certificates of any authority got through; now it must be one of tls.client.ca";
                self.ledger.closed(directive, hole);
                Demand::Optional
            }
            _ => {
                self.ledger.carried(directive, "tls.client.verify");
                Demand::Off
            }
        }
    }
}
