//! `listen`, and the networks that may connect.

use super::choice::Target;
use super::scope::Scope;
use super::server::Server;
use crate::commands::import::access::AccessRules;
use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::networks::{self, address, network, trust};
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::ConfigTable;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a server without `listen` does.
const UNLESS_TOLD_OTHERWISE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listen<'t> {
    directive: &'t Directive,
    /// `None` for what this program cannot listen on.
    address: Option<SocketAddr>,
    pub(super) is_tls: bool,
}

impl<'t> Listen<'t> {
    /// All of a server's.
    pub(super) fn all(server: &Server<'t>) -> Vec<Self> {
        let all_tls = server.scope.value("ssl") == "on";
        let listens = server
            .scope
            .innermost()
            .iter()
            .filter(|it| it.name == "listen");
        let of = |directive| Listen {
            directive,
            address: address(Directive::value(directive)),
            is_tls: all_tls || has(directive, "ssl"),
        };
        listens.map(of).collect()
    }
}

fn has(directive: &Directive, parameter: &str) -> bool {
    directive
        .arguments
        .iter()
        .skip(1)
        .any(|argument| argument == parameter)
}

/// Writes where a server listens.
pub(super) fn addresses(listens: &[Listen<'_>], keys: &mut ConfigTable, ledger: &Ledger) {
    let has_tls = listens.iter().any(|listen| listen.is_tls);
    let mut found: Vec<SocketAddr> = Vec::new();
    for Listen {
        directive,
        address,
        is_tls,
    } in listens
    {
        match address {
            _ if has_tls && !is_tls => {
                ledger.not_needed(directive, "Netdata Cloud sends over HTTPS only")
            }
            None => ledger.not_carried(
                directive,
                "listen needs an address and a port: write the one that this stands for",
            ),
            Some(_) if has(directive, "quic") => {
                ledger.not_needed(directive, "Netdata Cloud speaks HTTP/1.1 and HTTP/2")
            }
            Some(address) => {
                let key = if has_tls {
                    "listen.https"
                } else {
                    "listen.http"
                };
                ledger.carried(directive, key);
                found.push(*address);
            }
        }
    }
    if listens.is_empty() {
        found.push(UNLESS_TOLD_OTHERWISE);
    }
    networks::listen(&found, has_tls, keys);
}

/// Writes which proxies are believed about where a request comes from.
pub(super) fn proxies(
    scope: &Scope<'_>,
    listens: &[Listen<'_>],
    keys: &mut ConfigTable,
    ledger: &Ledger,
) {
    let named = scope.all("set_real_ip_from").into_iter();
    let protocol = listens
        .iter()
        .find(|listen| has(listen.directive, "proxy_protocol"));
    let protocol = protocol.map(|listen| listen.directive);
    trust(named.map(|it| (it, it.value())), protocol, keys, ledger);
    if let Some(directive) = scope.one("real_ip_header") {
        networks::forwarded_header(directive, ledger);
    }
}

/// `allow` and `deny`.
fn rules<'t>(target: &Target<'t>) -> Vec<&'t Directive> {
    target
        .scopes()
        .flat_map(|scope| scope.all_of(&["allow", "deny"]))
        .collect()
}

/// Writes which networks may connect, where that is the same for all; says whether it could be
/// carried over.
pub(super) fn allow(targets: &[Target<'_>], keys: &mut ConfigTable, ledger: &Ledger) -> bool {
    let words = |target| {
        rules(target)
            .iter()
            .map(|it| (it.name == "allow", it.value()))
            .collect::<Vec<_>>()
    };
    let Some((first, others)) = targets.split_first() else {
        return true;
    };
    let is_same = others.iter().all(|target| words(target) == words(first));
    let is_behind_proxy = keys.has("trusted_proxies") && !keys.has("proxy_protocol");
    let networks: Option<Vec<String>> = match words(first).split_last() {
        None if is_same => return true,
        Some(((false, "all"), allowed)) if is_same && !is_behind_proxy => allowed
            .iter()
            .map(|(is_allowed, text)| network(text).filter(|_| *is_allowed))
            .collect(),
        _ => None,
    };
    let Some(networks) = networks.filter(|networks| !networks.is_empty()) else {
        return false;
    };
    keys.set_list("allow", networks);
    rules(first)
        .iter()
        .for_each(|it| ledger.carried(it, "listen.allow, checked before TLS"));
    true
}

/// Closes a route whose networks cannot be carried over.
pub(super) fn lose<'t>(target: &Target<'t>, guard: &mut AccessRules<'t>, ledger: &Ledger) {
    let remedy = "listen.allow is for all routes alike, has only what may connect, and sees the proxy where there is one: name \
                  networks there, or have a firewall look at them";
    rules(target)
        .into_iter()
        .for_each(|it| guard.close(it, remedy, ledger));
}
