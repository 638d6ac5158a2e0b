//! Reads the `proxy_set_header` directives of a location.

use super::condition;
use super::reader::LocationReader;
use crate::commands::import::access::Input;
use crate::commands::import::directive::InEffect;
use crate::commands::import::headers::{SetHeaders, known};
use crate::commands::import::subject_match::Rendering;

impl LocationReader<'_, '_> {
    /// Reads the headers of the application. `host` is the `Host` that NGINX sends by default.
    pub(super) fn headers(&self, host: &str) -> SetHeaders {
        let mut headers = SetHeaders::new(self.site.is_tls);
        let is_unfiltered = self.target.scope.one("real_ip_header").is_none();
        let directives = self.target.scope.all("proxy_set_header");
        let mut names = directives.iter().map(|it| it.value());
        if !names.any(|name| name.eq_ignore_ascii_case("host")) {
            headers.insert("Host", host);
        }
        for directive in directives {
            let [name, value] = &directive.arguments[..] else {
                continue;
            };
            let value = match value.as_str() {
                "$scheme" => value.clone(),
                _ => self.constants.resolve(value),
            };
            let known = |name: &str| self.known(name, host);
            headers.set(directive, name, &value, &known, self.ledger);
            if is_unfiltered && value.contains("$proxy_add_x_forwarded_for") {
                let hole = "the application got what clients had put into X-Forwarded-For, in front of \
                            their address; now only trusted_proxies are believed";
                self.ledger.closed(directive, hole);
            }
        }
        headers
    }

    /// Returns the variable of this program with the same value.
    fn known(&self, name: &str, host: &str) -> Option<String> {
        let common_name = Input::Subject(Rendering::CommonName);
        match name {
            "server_name" => self.site.server.names().first().map(ToString::to_string),
            "proxy_host" => Some(host.to_owned()),
            _ if condition::input(name, self.site.maps) == common_name => {
                Some("$client_cn".to_owned())
            }
            _ => known(name, self.site.is_tls).map(str::to_owned),
        }
    }
}
