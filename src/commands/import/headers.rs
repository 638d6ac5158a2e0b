//! The request headers that the application gets in addition: `set_headers`.

use super::directive::{Directive, names_a_secret, without_secrets};
use super::report::Ledger;
use super::template::expand;
use crate::http::header_class::is_reserved;
use http::HeaderName;

/// The members of `set_headers`. Values have the variables of NGINX.
#[derive(Debug)]
pub(super) struct SetHeaders {
    is_tls: bool,
    pub(super) members: Vec<(String, String)>,
    /// The application gets the `Authorization` header.
    pub(super) forwards_authorization: bool,
}

/// The advice for a value that is a secret.
const SECRET: &str =
    "secrets are not copied: write it into set_headers, or configure the application to do without";

/// Headers that are set to verified values, so that the client's never reach the application.
const VERIFIED: &str = "host x-forwarded-for x-forwarded-proto x-forwarded-host";

impl SetHeaders {
    pub(super) fn new(is_tls: bool) -> Self {
        Self {
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

    /// Sets a header as `directive` does. `known` returns the variables that this program has, too.
    pub(super) fn set(
        &mut self,
        directive: &Directive,
        name: &str,
        value: &str,
        known: &dyn Fn(&str) -> Option<String>,
        ledger: &Ledger,
    ) {
        if name.eq_ignore_ascii_case("authorization") {
            self.forwards_authorization = value == "$http_authorization";
            return match value {
                "$http_authorization" => ledger.carried(directive, "forward_authorization = true"),
                "" => ledger.not_needed(directive, "the application does not get it"),
                _ => ledger.not_carried(directive, SECRET),
            };
        }
        if let Some(why) = self.is_anyway(&name.to_ascii_lowercase(), value) {
            return ledger.not_needed(directive, why);
        }
        let is_secret = names_a_secret(name) || without_secrets(value) != value;
        if is_secret && !value.contains('$') && !value.is_empty() {
            return self.blank(directive, name, SECRET, ledger);
        }
        match expand(value, known) {
            Ok(value) if value.contains(char::is_control) => {
                self.blank(directive, name, "has control characters", ledger);
            }
            Ok(value) => {
                let shown = without_secrets(&value);
                ledger.carried(directive, format!("set_headers.{name} = \"{shown}\""));
                self.insert(name, &value);
            }
            Err(variable) => self.blank(directive, name, &unknown(&variable), ledger),
        }
    }

    /// Removes a header that cannot be set, rather than to pass on one that the client chose.
    pub(super) fn blank(
        &mut self,
        directive: &Directive,
        name: &str,
        remedy: &str,
        ledger: &Ledger,
    ) {
        ledger.not_carried(directive, remedy);
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            self.forwards_authorization = false;
        } else if is_name(name)
            && !is_reserved(&lower)
            && !VERIFIED.split(' ').any(|name| name == lower)
        {
            self.insert(name, "");
        }
    }

    /// Returns why a header has its value without being set.
    fn is_anyway(&self, header: &str, value: &str) -> Option<&'static str> {
        let is_scheme = value == "$scheme" || (value == "https" && self.is_tls);
        let is_same = |name: &str| name == header.replace('-', "_");
        Some(match header {
            name if !is_name(name) => "this is not the name of a header",
            "upgrade" | "connection" if !matches!(value, "" | "close" | "keep-alive") => {
                "there are no WebSockets, and connections are kept by themselves"
            }
            name if name.starts_with("x-netdata-") => "is set to what has been verified",
            name if is_reserved(name) => "is set to its right value, or ends at this hop",
            "host" if value == "$http_host" => "Host is passed on as it came",
            "x-forwarded-for"
                if value.contains("remote_addr") || value.contains("forwarded_for") =>
            {
                "is always set, to the addresses that can be trusted"
            }
            "x-forwarded-proto" if is_scheme => "is always set",
            "x-forwarded-host" if value == "$http_host" => "is always set",
            "x-request-id" if value.contains('$') => "is always set",
            _ if value.strip_prefix("$http_").is_some_and(is_same) => "is passed on as it came",
            _ => return None,
        })
    }
}

fn is_name(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}

/// Returns the advice for a variable that this program does not have.
fn unknown(name: &str) -> String {
    match name {
        "ssl_client_cert" | "ssl_client_raw_cert" => {
            "has several lines: the application gets Client-Cert (RFC 9440), or $client_cert".into()
        }
        "ssl_client_fingerprint" => {
            "is an SHA-1; configure the application to compare $client_fingerprint, an SHA-256"
                .into()
        }
        _ => format!("there is no ${name}, so the application does not get this header"),
    }
}

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

/// Returns a variable of NGINX as this program has it, if it is the same for each server.
pub(super) fn known(name: &str, is_tls: bool) -> Option<&'static str> {
    match (name, is_tls) {
        ("scheme", true) => return Some("https"),
        ("scheme", false) => return Some("http"),
        ("https", true) => return Some("on"),
        ("https", false) => return Some(""),
        _ => {}
    }
    let mut words = VARIABLES.split_whitespace();
    words.find(|word| *word == name).and_then(|_| words.next())
}
