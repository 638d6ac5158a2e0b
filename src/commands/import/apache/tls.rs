//! `SSL*`: the server's certificate, and whose client certificates are trusted.

use super::host::Host;
use crate::commands::import::authority;
use crate::commands::import::builder::{Demand, Identity};
use crate::commands::import::directive::Directive;
use crate::commands::import::report::Ledger;
use std::path::Path;

/// What a virtual host says with `SSL*`. Relative names of files are relative to `root`.
pub(super) fn identity(host: &Host<'_>, root: &Path, ledger: &Ledger) -> Identity {
    let reader = Reader { ledger, root };
    if let Some(directive) = host.one("SSLCertificateChainFile") {
        ledger.not_carried(
            directive,
            "append it to the file in tls.certificate, which has the whole chain",
        );
    }
    let certificate = reader.first(host, "SSLCertificateFile", "tls.certificate");
    // The key may stand with the certificate.
    let private_key = reader
        .first(host, "SSLCertificateKeyFile", "tls.private_key")
        .or(certificate.clone());
    Identity {
        certificate,
        private_key,
        authorities: reader.authorities(host),
        revocation_lists: reader.revocation_lists(host),
        only_newest: reader.only_newest(host),
        demand: reader.demand(host),
    }
}

struct Reader<'r> {
    ledger: &'r Ledger,
    root: &'r Path,
}

impl Reader<'_> {
    fn file(&self, directive: &Directive, key: &str) -> String {
        self.ledger.carried(directive, key);
        self.path(directive)
    }

    fn path(&self, directive: &Directive) -> String {
        self.root.join(directive.value()).display().to_string()
    }

    /// Of several certificates only the first: there is one key.
    fn first(&self, host: &Host<'_>, name: &str, key: &str) -> Option<String> {
        let all = host.all_of(name);
        for further in all.iter().skip(1) {
            let remedy = "there is one certificate, and the first of them stays; every TLS client of today takes it";
            self.ledger.not_carried(further, remedy);
        }
        all.first().map(|first| self.file(first, key))
    }

    fn authorities(&self, host: &Host<'_>) -> Vec<String> {
        if let Some(directive) = host.one("SSLCACertificatePath") {
            self.ledger.not_carried(
                directive,
                "name the files in it that are of authorities of clients in tls.client.ca",
            );
        }
        let Some(directive) = host.one("SSLCACertificateFile") else {
            return Vec::new();
        };
        vec![authority::carry(
            directive,
            self.path(directive),
            self.ledger,
        )]
    }

    fn revocation_lists(&self, host: &Host<'_>) -> Vec<String> {
        if let Some(directive) = host.one("SSLCARevocationPath") {
            self.ledger
                .not_carried(directive, "name the files in it in tls.client.crl");
        }
        let Some(directive) = host.one("SSLCARevocationFile") else {
            return Vec::new();
        };
        let check = host.one("SSLCARevocationCheck");
        check
            .into_iter()
            .for_each(|it| self.ledger.not_needed(it, "the whole chain is checked"));
        if check.is_none_or(|it| it.value().eq_ignore_ascii_case("none")) {
            self.ledger.closed(
                directive,
                "it was never looked at, for want of SSLCARevocationCheck; now it is",
            );
        }
        vec![self.file(directive, "tls.client.crl")]
    }

    fn only_newest(&self, host: &Host<'_>) -> bool {
        let Some(directive) = host.one("SSLProtocol") else {
            return false;
        };
        let mut versions: Vec<String> = Vec::new();
        for argument in &directive.arguments {
            let name = argument.trim_start_matches(['+', '-']).to_ascii_lowercase();
            let named: Vec<String> = match name.as_str() {
                "all" => ["tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"]
                    .map(str::to_owned)
                    .to_vec(),
                _ => vec![name],
            };
            match argument.starts_with('-') {
                true => versions.retain(|version| !named.contains(version)),
                false => versions.extend(named),
            }
        }
        let only_newest =
            !versions.is_empty() && versions.iter().all(|version| version == "tlsv1.3");
        self.ledger.carried(
            directive,
            format!(
                "tls.min_version = \"{}\"",
                if only_newest { "1.3" } else { "1.2" }
            ),
        );
        if versions
            .iter()
            .any(|version| matches!(version.as_str(), "sslv3" | "tlsv1" | "tlsv1.1"))
        {
            self.ledger
                .closed(directive, "versions before TLS 1.2 are not spoken");
        }
        only_newest
    }

    fn demand(&self, host: &Host<'_>) -> Demand {
        let Some(directive) = host.one("SSLVerifyClient") else {
            return Demand::Off;
        };
        match directive.value().to_ascii_lowercase().as_str() {
            "require" => {
                self.ledger
                    .carried(directive, "tls.client.verify = \"require\"");
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
