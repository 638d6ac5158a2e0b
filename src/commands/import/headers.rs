//! The request headers that the application gets in addition: `set_headers`.

use super::directive::{Directive, is_listed, names_a_secret, without_secrets};
use super::report::Ledger;
use super::template::expand;
use crate::http::header_class::is_reserved;
use http::HeaderName;

/// The advice for a value that is a secret.
const SECRET: &str =
    "secrets are not copied: write it into set_headers, or configure the application to do without";

/// Headers that are set to verified values, so that the client's never reach the application.
const VERIFIED: &str = "host x-forwarded-for x-forwarded-proto x-forwarded-host";

/// The variables of NGINX, each with that of this program.
const VARIABLES: &str = "
    ssl_client_s_dn             $client_dn
    ssl_client_s_dn_legacy      $client_dn_legacy
    ssl_client_i_dn             $client_issuer_dn
    ssl_client_i_dn_legacy      $client_issuer_dn_legacy
    ssl_client_serial           $client_serial
    ssl_client_escaped_cert     $client_cert
    ssl_client_v_end            $client_not_after
    ssl_client_v_remain         $client_days_left
    ssl_client_verify           $client_verify
    remote_addr                 $remote_addr
    realip_remote_addr          $remote_addr
    proxy_protocol_addr         $remote_addr
    proxy_add_x_forwarded_for   $remote_addr
    request_id                  $request_id
    host                        $host
    http_host                   $http_host
    server_port                 $server_port
    client_cn                   $client_cn
";

/// The members of `set_headers`. Values have the variables of NGINX.
#[derive(Debug)]
pub(super) struct SetHeaders<'r> {
    ledger: &'r Ledger,
    is_tls: bool,
    pub(super) members: Vec<(String, String)>,
    /// The application gets the `Authorization` header.
    pub(super) forwards_authorization: bool,
}

impl<'r> SetHeaders<'r> {
    pub(super) fn new(is_tls: bool, ledger: &'r Ledger) -> Self {
        Self {
            ledger,
            is_tls,
            members: Vec::new(),
            forwards_authorization: true,
        }
    }

    /// Sets a header that no directive sets. Of several of one name, the last counts.
    pub(super) fn insert(&mut self, name: &str, value: &str) {
        self.members
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.members.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a header as `directive` does.
    pub(super) fn set(&mut self, directive: &Directive, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("authorization") {
            return self.authorization(directive, value);
        } else if self.is_anyway(&name.to_ascii_lowercase(), value) {
            let why = "has its right value without being set, or ends at this hop";
            return self.ledger.not_needed(directive, why);
        }
        let is_secret = names_a_secret(name) || without_secrets(value) != value;
        if is_secret && !value.contains('$') && !value.is_empty() {
            return self.blank(directive, name, SECRET);
        }
        match expand(value, &|name| self.known(name)) {
            Ok(value) if value.contains(char::is_control) => {
                self.blank(directive, name, "has control characters");
            }
            Ok(value) => {
                let key = format!("set_headers.{name} = \"{}\"", without_secrets(&value));
                self.ledger.carried(directive, key);
                self.insert(name, &value);
            }
            Err(variable) => self.blank(directive, name, &unknown(&variable)),
        }
    }

    fn authorization(&mut self, directive: &Directive, value: &str) {
        self.forwards_authorization = value == "$http_authorization";
        match value {
            "$http_authorization" => self
                .ledger
                .carried(directive, "forward_authorization = true"),
            "" => self
                .ledger
                .carried(directive, "forward_authorization = false"),
            _ => self.ledger.not_carried(directive, SECRET),
        }
    }

    /// Removes a header that cannot be set, rather than to pass on one that the client chose.
    pub(super) fn blank(&mut self, directive: &Directive, name: &str, remedy: &str) {
        self.ledger.not_carried(directive, remedy);
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            self.forwards_authorization = false;
        } else if is_name(name) && !is_reserved(&lower) && !is_listed(VERIFIED, name) {
            self.insert(name, "");
        }
    }

    /// Returns whether a header has its value without being set.
    fn is_anyway(&self, header: &str, value: &str) -> bool {
        let scheme = if self.is_tls { "https" } else { "http" };
        let is_same = |name: &str| name == header.replace('-', "_");
        let is_own = value.strip_prefix("$http_").is_some_and(is_same);
        match header {
            "upgrade" | "connection" => true,
            "x-forwarded-for" if value.is_empty() => true,
            "x-forwarded-for" => value.contains("remote_addr") || value.contains("forwarded_for"),
            "x-forwarded-proto" => value == scheme || value.is_empty(),
            "x-forwarded-host" => value == "$http_host" || value.is_empty(),
            "x-request-id" => value.contains('$'),
            _ => is_own || !is_name(header) || is_reserved(header),
        }
    }

    /// Returns a variable of NGINX as this program has it, if it is the same for each server.
    fn known(&self, name: &str) -> Option<String> {
        let value = match (name, self.is_tls) {
            ("scheme", true) => "https",
            ("scheme", false) => "http",
            ("https", true) => "on",
            ("https", false) => "",
            _ => {
                let mut words = VARIABLES.split_whitespace();
                words
                    .find(|word| *word == name)
                    .and_then(|_| words.next())?
            }
        };
        Some(value.to_owned())
    }
}

fn is_name(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}

/// Returns the advice for a variable that this program does not have.
fn unknown(name: &str) -> String {
    let instead = match name {
        "ssl_client_cert" | "ssl_client_raw_cert" => "; it may read Client-Cert or $client_cert",
        "ssl_client_fingerprint" => "; it may read $client_fingerprint, an SHA-256",
        _ => "",
    };
    format!("there is no ${name}, so the application does not get this header{instead}")
}
