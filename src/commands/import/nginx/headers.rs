//! `proxy_set_header`.

use super::condition;
use super::scope::Scope;
use super::variables::{Constants, Variables};
use crate::commands::import::access::Input;
use crate::commands::import::directive::InEffect;
use crate::commands::import::headers::{SetHeaders, known};
use crate::commands::import::report::Ledger;
use crate::commands::import::subject_match::Rendering;

/// What the headers are made in.
pub(super) struct Headers<'r, 't> {
    pub(super) ledger: &'r Ledger,
    pub(super) variables: &'r Variables<'t>,
    pub(super) constants: &'r Constants<'t>,
    /// What NGINX puts into `Host` unless it is told otherwise.
    pub(super) host: &'r str,
    pub(super) server_name: &'r str,
    pub(super) is_tls: bool,
}

impl<'t> Headers<'_, 't> {
    pub(super) fn carry(&self, scope: &Scope<'t>) -> SetHeaders {
        let mut headers = SetHeaders::new(self.is_tls);
        let directives = scope.all("proxy_set_header");
        if !directives
            .iter()
            .any(|it| it.value().eq_ignore_ascii_case("host"))
        {
            headers.insert("Host", self.host);
        }
        for directive in directives {
            let value = directive.arguments.get(1).map_or("", String::as_str);
            let value = if value == "$scheme" {
                value.to_owned()
            } else {
                self.constants.resolve(value)
            };
            headers.set(
                directive,
                directive.value(),
                &value,
                &|name| self.known(name),
                self.ledger,
            );
            if value.contains("$proxy_add_x_forwarded_for") && scope.one("real_ip_header").is_none()
            {
                let hole = "the application got what clients had put into X-Forwarded-For, in front of their address; now only \
                            trusted_proxies are believed";
                self.ledger.closed(directive, hole);
            }
        }
        headers
    }

    /// A variable as this program has it.
    fn known(&self, name: &str) -> Option<String> {
        let is_common_name = || {
            condition::input(&format!("${name}"), self.variables)
                == Input::Subject(Rendering::CommonName)
        };
        match name {
            "server_name" => Some(self.server_name.to_owned()),
            "proxy_host" => Some(self.host.to_owned()),
            _ if is_common_name() => Some("$client_cn".into()),
            _ => known(name, self.is_tls).map(str::to_owned),
        }
    }
}
