//! `tls.acme`: the names of the certificate, and the authority that issues it.

use super::Loader;
use crate::auth::secret::Secret;
use crate::config::acme::{LETS_ENCRYPT, MAX_DOMAINS, default_state};
use crate::config::document::{Located, TableReader};
use crate::config::{Acme, AcmeState, DatabaseSource, Domain, ExternalAccount};
use crate::config::{files, secret_source};
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use http::Uri;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

/// An example for messages.
pub(super) const EXAMPLE: &str = "{ domains = [\"hooks.example\"] }";

/// The profile of Let's Encrypt that has IP addresses.
const SHORT_LIVED: &str = "shortlived";

impl Loader<'_> {
    /// Reads the table. `database` is that of the queue. Returns `None` only if an error has been
    /// reported.
    pub(super) fn acme(
        &self,
        table: &mut TableReader<'_>,
        database: Option<&DatabaseSource>,
    ) -> Option<Acme> {
        let errors_before = table.document.count();
        let profile = table.string("profile").map(|profile| profile.value);
        let acme = Acme {
            domains: domains(table, profile.as_deref()),
            email: email(table),
            directory: directory(table),
            directory_ca: self.directory_ca(table),
            profile,
            eab: self.external_account(table),
            state: self.state(table, database),
        };
        (table.document.count() == errors_before).then_some(acme)
    }

    fn directory_ca(&self, table: &mut TableReader<'_>) -> Vec<CertificateDer<'static>> {
        let sources = table.strings("directory_ca").unwrap_or_default();
        let read = |source: &Located<String>| {
            files::authorities(&self.file(&source.value)).unwrap_or_else(|message| {
                table.document.complain(&source.location, message);
                Vec::new()
            })
        };
        sources.iter().flat_map(read).collect()
    }

    fn external_account(&self, table: &mut TableReader<'_>) -> Option<ExternalAccount> {
        if !table.names_any(&["eab"]) {
            table.skip("eab");
            return None;
        }
        let example = "a table such as { key_id = \"…\", key = { file = \"eab.key\" } }";
        table.table_like("eab", example, |table| {
            let key_id = table.string("key_id").filter(|id| !id.value.is_empty());
            if key_id.is_none() {
                table.complain("key_id", "missing; the authority hands it out with the key");
            }
            let key = table.table_like("key", "a table that says where the key is kept", |table| {
                let location = table.location();
                let source = self.secret_source(table, false)?;
                secret_source::secret(&source)
                    .and_then(|text| decode(&text))
                    .map_err(|message| table.document.complain(&location, message))
                    .ok()
            });
            Some(ExternalAccount {
                key_id: key_id?.value,
                key: key?,
            })
        })
    }

    /// Where replicas share a database, they share the certificate in it, unless a folder is named.
    fn state(&self, table: &mut TableReader<'_>, database: Option<&DatabaseSource>) -> AcmeState {
        let named = table.string("state").filter(|path| !path.value.is_empty());
        match (named, database) {
            (Some(path), _) => AcmeState::Folder(self.path_to_make(table, &path)),
            (None, Some(database)) => AcmeState::Database(database.clone()),
            (None, None) => AcmeState::Folder(default_state()),
        }
    }
}

fn domains(table: &mut TableReader<'_>, profile: Option<&str>) -> Vec<Domain> {
    let texts = table.strings("domains").unwrap_or_default();
    if texts.is_empty() {
        table.complain(
            "domains",
            "missing; name the hosts of the certificate, such as [\"hooks.example\"]",
        );
    }
    if texts.len() > MAX_DOMAINS {
        let message = format!("must be at most {MAX_DOMAINS} names, which one certificate holds");
        table.complain("domains", message);
    }
    let mut domains = Vec::new();
    for text in texts {
        match Domain::parse(&text.value) {
            Ok(Domain::Ip(_)) if profile != Some(SHORT_LIVED) => table.document.complain(
                &text.location,
                "is an address: authorities certify those only with profile = \"shortlived\"",
            ),
            Ok(domain) if !domains.contains(&domain) => domains.push(domain),
            Ok(_) => {}
            Err(message) => table.document.complain(&text.location, message),
        }
    }
    domains
}

fn email(table: &mut TableReader<'_>) -> Option<String> {
    let email = table
        .string("email")
        .filter(|text| !text.value.is_empty())?;
    let is_plain =
        |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',');
    let has_host = email
        .value
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !has_host || !is_plain(&email.value) {
        table.document.complain(
            &email.location,
            "must be one address such as \"ops@hooks.example\"",
        );
    }
    Some(email.value)
}

fn directory(table: &mut TableReader<'_>) -> String {
    let Some(url) = table
        .string("directory")
        .filter(|url| !url.value.is_empty())
    else {
        return LETS_ENCRYPT.to_owned();
    };
    let is_secure = url.value.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
    });
    if !is_secure {
        let message = format!("must be the URL of a directory, such as \"{LETS_ENCRYPT}\"");
        table.document.complain(&url.location, message);
    }
    url.value
}

/// Decodes a key as authorities print it: Base64 of either alphabet, padded or not.
fn decode(text: &Secret) -> Result<Secret, String> {
    let message = "must be the key as the authority prints it, in Base64";
    let mut plain = Zeroizing::new(Vec::with_capacity(text.expose().len()));
    plain.extend(text.expose().trim_ascii().iter().map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    }));
    while plain.last() == Some(&b'=') {
        plain.pop();
    }
    let key = BASE64_STANDARD_NO_PAD
        .decode(&*plain)
        .map_err(|_| message)?;
    match key.is_empty() {
        true => Err(message.into()),
        false => Ok(Secret::new(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    /// Reads a configuration with these keys in `tls.acme`, and `more` in `[tls]`.
    fn read(keys: &str, more: &str) -> Result<Acme, String> {
        let text = format!(
            "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\nacme = {{ {keys} }}\n{more}\n\
             [[routes]]\npath = \"/a\"\nupstream = \"http://127.0.0.1:1\"\n"
        );
        let loaded =
            Config::from_toml(&text, Path::new("/conf")).map_err(|error| error.to_string())?;
        let tls = loaded.config.tls.unwrap();
        Ok(Acme::clone(tls.certificate.acme().unwrap()))
    }

    #[track_caller]
    fn refuses(keys: &str, more: &str, key: &str, message: &str) {
        let error = read(keys, more).unwrap_err();
        assert!(error.contains(key) && error.contains(message), "{error}");
    }

    const DOMAIN: &str = "domains = \"hooks.example\"";

    #[test]
    fn a_name_is_enough() {
        let acme = read(
            "domains = [\"Hooks.example.\", \"hooks.example\", \"b.example\"]",
            "",
        )
        .unwrap();
        assert_eq!(acme.names(), "hooks.example, b.example");
        assert_eq!(acme.directory, LETS_ENCRYPT);
        assert!(acme.email.is_none() && acme.profile.is_none() && acme.eab.is_none());
        let acme = read(
            &format!("{DOMAIN}, state = \"state\", email = \"a@b.example\""),
            "",
        )
        .unwrap();
        assert_eq!(acme.state.to_string(), "/conf/state");
        assert_eq!(acme.email.as_deref(), Some("a@b.example"));
    }

    #[test]
    fn what_no_authority_certifies_is_an_error() {
        refuses("domains = []", "", "tls.acme.domains", "missing");
        refuses("", "", "tls.acme.domains", "missing");
        refuses(
            "domains = [\"*.a.example\"]",
            "",
            "tls.acme.domains[0]",
            "wildcard",
        );
        refuses(
            "domains = [\"192.0.2.1\"]",
            "",
            "tls.acme.domains[0]",
            "shortlived",
        );
        assert!(read("domains = [\"192.0.2.1\"], profile = \"shortlived\"", "").is_ok());
        let many: Vec<_> = (0..=MAX_DOMAINS)
            .map(|n| format!("\"{n}.example\""))
            .collect();
        refuses(
            &format!("domains = [{}]", many.join(", ")),
            "",
            "tls.acme.domains",
            "at most 25",
        );
        assert!(read(&format!("domains = [{}]", many[1..].join(", ")), "").is_ok());
    }

    #[test]
    fn each_key_is_checked() {
        for url in ["http://ca.example/", "ca.example", "https:///", "https://"] {
            let keys = format!("{DOMAIN}, directory = \"{url}\"");
            refuses(&keys, "", "tls.acme.directory", "must be the URL");
        }
        for email in ["a", "@b", "a@", "a@b@c", "a@b, c@d", "a @b"] {
            let keys = format!("{DOMAIN}, email = \"{email}\"");
            refuses(&keys, "", "tls.acme.email", "one address");
        }
        refuses(
            &format!("{DOMAIN}, directory_ca = \"none.pem\""),
            "",
            "tls.acme.directory_ca",
            "cannot read",
        );
        refuses(
            &format!("{DOMAIN}, eab = {{ }}"),
            "",
            "tls.acme.eab.key_id",
            "missing",
        );
        refuses(
            &format!("{DOMAIN}, eab = \"x\""),
            "",
            "tls.acme.eab",
            "a table",
        );
        refuses(
            &format!("{DOMAIN}, domain = \"a\""),
            "",
            "tls.acme.domain",
            "did you mean \"domains\"",
        );
        for more in ["certificate = \"a.pem\"", "private_key = \"a.key\""] {
            refuses(DOMAIN, more, "tls.acme", "either");
        }
    }

    #[test]
    fn a_key_is_read_as_authorities_print_it() {
        let decoded = |text: &str| {
            let key = decode(&Secret::new(text.as_bytes().to_vec())).ok();
            key.map(|key| key.expose().to_vec())
        };
        let expected = Some(vec![0xfb, 0xff, 0xfe, 0x01]);
        for text in ["+//+AQ==", "-__-AQ==", "-__-AQ", "+//+AQ", " -__-AQ \n"] {
            assert_eq!(decoded(text), expected, "{text}");
        }
        for text in ["", "==", "not base64!", "a"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }
}
