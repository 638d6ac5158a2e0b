//! Reads `listen`, and the networks that may connect.

use super::reader::LocationReader;
use super::server::ProxiedLocation;
use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::networks::{self, address, network};
use crate::commands::import::toml_writer::ConfigTable;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address of a server without `listen`.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);

impl LocationReader<'_, '_> {
    /// Carries over the addresses of the server, and which proxies it trusts.
    pub(super) fn listen(&self, listen: &mut ConfigTable) {
        let server = self.site.server;
        let scope = &server.scope;
        let is_tls = self.site.is_tls;
        let mut addresses = Vec::new();
        for directive in scope.own("listen") {
            if has(directive, "quic") || is_tls && !server.is_tls_listen(directive) {
                let why = "Netdata Cloud uses HTTP/1.1 and HTTP/2 over TLS only";
                self.ledger.not_needed(directive, why);
            } else if let Some(address) = address(directive.value()) {
                let key = if is_tls {
                    "listen.https"
                } else {
                    "listen.http"
                };
                self.ledger.carried(directive, key);
                addresses.push(address);
            } else {
                let remedy = "listen needs an address and a port";
                self.ledger.not_carried(directive, remedy);
            }
        }
        if scope.own("listen").next().is_none() {
            addresses.push(DEFAULT);
        }
        networks::listen(&addresses, is_tls, listen);
        let trusted = scope.all("set_real_ip_from").into_iter();
        let protocol = scope.own("listen").find(|it| has(it, "proxy_protocol"));
        networks::trust(
            trusted.map(|it| (it, it.value())),
            protocol,
            listen,
            self.ledger,
        );
        if let Some(directive) = scope.one("real_ip_header") {
            networks::forwarded_header(directive, self.ledger);
        }
    }

    /// Carries over which networks may connect, where that is the same for all locations. Returns
    /// whether no rule is lost.
    pub(super) fn allow(&self, all: &[ProxiedLocation<'_>], listen: &mut ConfigTable) -> bool {
        let words = |it: &&Directive| (it.name == "allow", it.value().to_owned());
        let all_words = |target| network_rules(target).iter().map(words).collect::<Vec<_>>();
        let first = all_words(self.target);
        let is_same = all.iter().all(|target| all_words(target) == first);
        // Addresses are checked before a proxy's X-Forwarded-For is read.
        let is_behind_proxy = listen.has("trusted_proxies") && !listen.has("proxy_protocol");
        let allowed = match first.split_last() {
            None => return is_same,
            Some(((false, last), allowed)) if last == "all" => allowed,
            Some(_) => return false,
        };
        let read = |(is_allowed, text): &(bool, String)| network(text).filter(|_| *is_allowed);
        let networks: Option<Vec<_>> = allowed.iter().map(read).collect();
        let networks = networks.unwrap_or_default();
        if !is_same || is_behind_proxy || networks.is_empty() {
            return false;
        }
        listen.set_list("allow", networks);
        for rule in network_rules(self.target) {
            self.ledger
                .carried(rule, "listen.allow, checked before TLS");
        }
        true
    }
}

fn has(listen: &Directive, parameter: &str) -> bool {
    listen.arguments.iter().skip(1).any(|it| it == parameter)
}

/// Returns the `allow` and `deny` that are in effect.
pub(super) fn network_rules<'t>(target: &ProxiedLocation<'t>) -> Vec<&'t Directive> {
    let scopes = target.scopes();
    let rules = scopes.flat_map(|scope| scope.all_of(&["allow", "deny"]));
    rules.collect()
}
