//! The request headers that the application gets in addition: `set_headers`.

use super::directive::{Directive, is_listed, without_secrets};
use super::template::expand;
use crate::http::header_class::is_reserved;
use http::HeaderName;

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
    proxy_add_x_forwarded_for   $remote_addr
    request_id                  $request_id
    host                        $host
    http_host                   $http_host
    server_port                 $server_port
    client_cn                   $client_cn
";

/// The members of `set_headers`. Values have the variables of NGINX.
#[derive(Debug)]
pub(super) struct SetHeaders {
    scheme: &'static str,
    pub(super) members: Vec<(String, String)>,
    /// The application gets the `Authorization` header.
    pub(super) forwards_authorization: bool,
}

impl SetHeaders {
    pub(super) fn new(is_tls: bool) -> Self {
        Self {
            scheme: if is_tls { "https" } else { "http" },
            members: Vec::new(),
            forwards_authorization: true,
        }
    }

    /// Sets a header that no directive sets. Of several of one name, the last counts.
    pub(super) fn insert(&mut self, name: &str, value: &str) {
        let members = &mut self.members;
        members.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        members.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a header as `directive` does.
    pub(super) fn set(&mut self, directive: &Directive, name: &str, value: &str) {
        let setting = format!("set {name} {value}");
        let is_secret = without_secrets(&setting) != setting;
        if name.eq_ignore_ascii_case("authorization") {
            self.authorization(directive, value);
        } else if self.is_anyway(&name.to_ascii_lowercase(), value) {
            directive.not_needed("has its right value without being set, or ends at this hop");
        } else if is_secret && !value.contains('$') && !value.is_empty() {
            self.blank(directive, name, SECRET);
        } else {
            self.expand(directive, name, value);
        }
    }

    fn expand(&mut self, directive: &Directive, name: &str, value: &str) {
        match expand(value, &|name| self.known(name)) {
            Ok(value) if value.contains(char::is_control) => {
                self.blank(directive, name, "has control characters");
            }
            Ok(value) => {
                let shown = without_secrets(&value);
                directive.carried(format!("set_headers.{name} = \"{shown}\""));
                self.insert(name, &value);
            }
            Err(variable) => {
                let why = "so the application does not get this header";
                self.blank(directive, name, &format!("there is no ${variable}, {why}"));
            }
        }
    }

    fn authorization(&mut self, directive: &Directive, value: &str) {
        self.forwards_authorization = value == "$http_authorization";
        match value {
            "$http_authorization" => directive.carried("forward_authorization = true"),
            "" => directive.carried("forward_authorization = false"),
            _ => directive.not_carried(SECRET),
        }
    }

    /// Removes a header that cannot be set, rather than to pass on one that the client chose.
    pub(super) fn blank(&mut self, directive: &Directive, name: &str, remedy: &str) {
        directive.not_carried(remedy);
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            self.forwards_authorization = false;
        } else if is_name(name) && !is_reserved(&lower) && !is_listed(VERIFIED, name) {
            self.insert(name, "");
        }
    }

    /// Returns whether a header has its value without being set.
    fn is_anyway(&self, header: &str, value: &str) -> bool {
        let is_same = |name: &str| name == header.replace('-', "_");
        let is_own = value.strip_prefix("$http_").is_some_and(is_same);
        match header {
            "upgrade" | "connection" => true,
            "x-forwarded-for" => {
                value.is_empty() || is_listed("*remote_addr* *forwarded_for*", value)
            }
            "x-forwarded-proto" => value.is_empty() || value == self.scheme,
            "x-forwarded-host" => value.is_empty() || value == "$http_host",
            "x-request-id" => value.contains('$'),
            _ => is_own || !is_name(header) || is_reserved(header),
        }
    }

    /// Returns a variable of NGINX as this program has it, if it is the same for each server.
    fn known(&self, name: &str) -> Option<String> {
        let value = match (name, self.scheme) {
            ("scheme", scheme) => scheme,
            ("https", "https") => "on",
            ("https", _) => "",
            _ => translated(VARIABLES, name)?,
        };
        Some(value.to_owned())
    }
}

/// Returns what stands behind a name in a table of two columns.
pub(super) fn translated(table: &'static str, name: &str) -> Option<&'static str> {
    let mut words = table.split_whitespace();
    words.find(|word| *word == name).and_then(|_| words.next())
}

fn is_name(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}
