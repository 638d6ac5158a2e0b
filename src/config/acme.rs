//! `tls.acme`: the server's certificate comes from a certificate authority by ACME (RFC 8555).

use super::database_source::DatabaseSource;
use crate::auth::secret::Secret;
use rustls::pki_types::{CertificateDer, DnsName};
use std::env;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// The directory of Let's Encrypt.
pub(crate) const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The maximum number of names of a certificate: authorities accept 25 with every profile.
pub(crate) const MAX_DOMAINS: usize = 25;

/// The folder in which services keep their state, if systemd names no other.
const STATE: &str = "/var/lib/netdata-webhook-proxy";

/// The settings by which certificates are ordered.
#[derive(Clone, Debug)]
pub struct Acme {
    /// The names of the certificate, at least one, without duplicates.
    pub domains: Vec<Domain>,
    /// The address at which the authority can reach the operator.
    pub email: Option<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// Authorities that may have issued the certificate of the directory, beside the system's.
    pub directory_ca: Vec<CertificateDer<'static>>,
    /// The kind of certificate, if the authority offers several.
    pub profile: Option<String>,
    /// The account at the authority that exists already.
    pub eab: Option<ExternalAccount>,
    /// The place of account, orders and certificates.
    pub state: AcmeState,
}

/// The place where the state of ACME is kept, private keys included.
#[derive(Clone, Debug)]
pub enum AcmeState {
    /// A folder of this machine.
    Folder(PathBuf),
    /// The database of the queue, which several machines share.
    Database(DatabaseSource),
}

impl fmt::Display for AcmeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Database(_) => f.write_str("the database of the queue"),
        }
    }
}

/// The credentials of an account that an authority handed out (RFC 8555, section 7.3.4).
#[derive(Clone, Debug)]
pub struct ExternalAccount {
    /// The name of the key.
    pub key_id: String,
    /// The key of the MAC, decoded.
    pub key: Secret,
}

/// A name of the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A DNS name in lower case, without a dot at its end.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl Domain {
    /// Reads a name or an address.
    ///
    /// # Errors
    /// Says what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        if text.starts_with("*.") {
            return Err(
                "a wildcard cannot be validated by TLS-ALPN-01: list the names, or set certificate and private_key",
            );
        }
        if !text.is_ascii() {
            return Err(
                "must be in its ASCII form, such as \"xn--bcher-kva.example\" for \"bücher.example\"",
            );
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match DnsName::try_from(name.as_str()) {
            Ok(_) => Ok(Self::Dns(name)),
            Err(_) => {
                Err("must be a host name such as \"hooks.example\", without scheme, port or path")
            }
        }
    }

    /// Returns the server name by which a validation asks for it: of an address, that of its
    /// reverse mapping (RFC 8738, section 6).
    pub(crate) fn server_name(&self) -> String {
        match self {
            Self::Dns(name) => name.clone(),
            Self::Ip(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Self::Ip(IpAddr::V6(address)) => {
                let octets = address.octets();
                let nibbles = octets
                    .iter()
                    .rev()
                    .map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
                nibbles.collect::<String>() + "ip6.arpa"
            }
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl Acme {
    /// Returns the names, for messages.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.domains.iter().map(ToString::to_string).collect();
        names.join(", ")
    }
}

/// Returns the folder of the state if the configuration names none.
pub(super) fn default_state() -> PathBuf {
    // systemd may list several directories (`StateDirectory=`).
    env::var_os("STATE_DIRECTORY")
        .filter(|value| !value.is_empty())
        .and_then(|directories| env::split_paths(&directories).next())
        .unwrap_or_else(|| STATE.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_in_the_form_that_authorities_compare() {
        let check = |text: &str, expected: Option<&str>| {
            let parsed = Domain::parse(text).map(|domain| domain.to_string());
            assert_eq!(parsed.ok().as_deref(), expected, "{text}");
        };
        check("hooks.example", Some("hooks.example"));
        check("Hooks.Example.", Some("hooks.example"));
        check("xn--bcher-kva.example", Some("xn--bcher-kva.example"));
        check("192.0.2.1", Some("192.0.2.1"));
        check("2001:DB8::1", Some("2001:db8::1"));
        for text in [
            "",
            ".",
            "a..b",
            "*.example",
            "bücher.example",
            "https://a.example",
            "a.example:443",
            "a.example/b",
            "../a",
            "a b",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        let name = |text| Domain::parse(text).unwrap().server_name();
        assert_eq!(name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        assert_eq!(name("A.example."), "a.example");
        assert_eq!(
            name("2001:db8::567:89ab"),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }
}
