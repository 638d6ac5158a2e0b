//! What the application is told besides: `set_headers`.

use super::directive::{Directive, names_a_secret};
use super::report::Ledger;
use super::template::expand;
use crate::http::header_class::is_reserved;
use http::HeaderName;

/// The members of `set_headers` in the making. Values have the variables of NGINX.
#[derive(Debug)]
pub(super) struct SetHeaders {
    is_tls: bool,
    pub(super) members: Vec<(String, String)>,
    /// Whether the application gets the `Authorization` header.
    pub(super) forwards_authorization: bool,
}

/// What becomes of a header.
enum Fate {
    Set(String),
    /// It is as it would be without.
    NotNeeded(&'static str),
    /// The application gets none, rather than one that the client made up.
    Blank(String),
}

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

    /// What `directive` sets. `known` are the variables that this program has, too.
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
        match self.fate(name, value, known) {
            Fate::Set(value) => {
                ledger.carried(directive, format!("set_headers.{name} = \"{value}\""));
                self.insert(name, &value);
            }
            Fate::NotNeeded(why) => ledger.not_needed(directive, why),
            Fate::Blank(remedy) => self.blank(directive, name, &remedy, ledger),
        }
    }

    /// The application gets none rather than one that the client made up.
    pub(super) fn blank(
        &mut self,
        directive: &Directive,
        name: &str,
        remedy: &str,
        ledger: &Ledger,
    ) {
        ledger.not_carried(directive, remedy);
        if name.eq_ignore_ascii_case("authorization") {
            self.forwards_authorization = false;
        } else if let Ok(header) = HeaderName::from_bytes(name.as_bytes())
            && !is_reserved(header.as_str())
            // These are known, and not the client's word.
            && !["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].contains(&header.as_str())
        {
            self.insert(name, "");
        }
    }

    fn fate(&self, name: &str, value: &str, known: &dyn Fn(&str) -> Option<String>) -> Fate {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return Fate::NotNeeded("this is not the name of a header");
        };
        if let Some(why) = self.is_anyway(header.as_str(), value) {
            return Fate::NotNeeded(why);
        }
        if !value.contains('$') && !value.is_empty() && names_a_secret(name) {
            return Fate::Blank(SECRET.into());
        }
        match expand(value, known) {
            Ok(value) if value.contains(char::is_control) => {
                Fate::Blank("has control characters".into())
            }
            Ok(value) => Fate::Set(value),
            Err(name) => Fate::Blank(unknown(&name)),
        }
    }

    /// Why a header need not be set to be as it is to be.
    fn is_anyway(&self, header: &str, value: &str) -> Option<&'static str> {
        Some(match header {
            "upgrade" | "connection" if !matches!(value, "" | "close" | "keep-alive") => {
                "there are no WebSockets: Upgrade ends here, and connections are kept by themselves"
            }
            name if name.starts_with("x-netdata-") => "is set to what has been verified",
            name if is_reserved(name) => "is taken care of",
            "host" if value == "$http_host" => "Host is passed on as it came",
            "x-forwarded-for"
                if value.contains("remote_addr") || value.contains("forwarded_for") =>
            {
                "is always set, to the addresses that can be believed"
            }
            "x-forwarded-proto" if value == "$scheme" || (value == "https" && self.is_tls) => {
                "is always set"
            }
            "x-forwarded-host" if value == "$http_host" => "is always set",
            "x-request-id" if value.contains('$') => "is always set",
            name if value
                .strip_prefix("$http_")
                .is_some_and(|same| name.replace('-', "_") == same) =>
            {
                "is passed on as it came"
            }
            _ => return None,
        })
    }
}

/// What is to be done about a value that is one.
const SECRET: &str = "no secret stands in the configuration: let the application do without, or write it into set_headers";

fn unknown(name: &str) -> String {
    match name {
        "ssl_client_cert" | "ssl_client_raw_cert" => {
            "is several lines long, and so no header: the application gets Client-Cert (RFC 9440), or $client_cert"
                .into()
        }
        "ssl_client_fingerprint" => {
            "is an SHA-1; $client_fingerprint is the SHA-256: let the application compare that".into()
        }
        _ => format!("there is no ${name}, so the application does not get this header"),
    }
}

/// Variables of NGINX, and the same ones of this program.
const VARIABLES: [(&str, &str); 18] = [
    ("ssl_client_s_dn", "$client_dn"),
    ("ssl_client_s_dn_legacy", "$client_dn_legacy"),
    ("ssl_client_i_dn", "$client_issuer_dn"),
    ("ssl_client_i_dn_legacy", "$client_issuer_dn_legacy"),
    ("ssl_client_serial", "$client_serial"),
    ("ssl_client_escaped_cert", "$client_cert"),
    ("ssl_client_v_end", "$client_not_after"),
    ("ssl_client_v_remain", "$client_days_left"),
    ("ssl_client_verify", "$client_verify"),
    ("remote_addr", "$remote_addr"),
    ("realip_remote_addr", "$remote_addr"),
    ("proxy_protocol_addr", "$remote_addr"),
    ("proxy_add_x_forwarded_for", "$remote_addr"),
    ("request_id", "$request_id"),
    ("host", "$host"),
    ("http_host", "$http_host"),
    ("server_port", "$server_port"),
    ("client_cn", "$client_cn"),
];

/// A variable of NGINX as this program has it, where it is the same for each server.
pub(super) fn known(name: &str, is_tls: bool) -> Option<&'static str> {
    match name {
        "scheme" if is_tls => Some("https"),
        "scheme" => Some("http"),
        "https" if is_tls => Some("on"),
        "https" => Some(""),
        _ => VARIABLES
            .iter()
            .find(|(theirs, _)| *theirs == name)
            .map(|(_, own)| *own),
    }
}
