//! `listen`, and who may connect.

use super::scope::Scope;
use super::server::Server;
use crate::import::directive::Directive;
use crate::import::draft::Keys;
use crate::import::report::Ledger;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a server without `listen` does.
const UNLESS_TOLD_OTHERWISE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listen<'t> {
    pub(super) directive: &'t Directive,
    /// `None` for what this program cannot listen on.
    pub(super) address: Option<SocketAddr>,
    pub(super) is_tls: bool,
}

impl<'t> Listen<'t> {
    /// All of a server's.
    pub(super) fn all(server: &Server<'t>) -> Vec<Self> {
        let all_tls = server.scope.value("ssl") == "on";
        let listens = server.scope.innermost().iter().filter(|it| it.name == "listen");
        listens
            .map(|directive| Listen {
                directive,
                address: address(directive.value()),
                is_tls: all_tls || has(directive, "ssl"),
            })
            .collect()
    }
}

fn has(directive: &Directive, parameter: &str) -> bool {
    directive.arguments.iter().skip(1).any(|argument| argument == parameter)
}

/// `443`, `*:443`, `127.0.0.1:443`, `[::]:443`, `127.0.0.1` or `[::1]`.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.replace("localhost", "127.0.0.1");
    let text = text.strip_prefix('*').map_or(text.clone(), |rest| format!("0.0.0.0{rest}"));
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    text.parse()
        .ok()
        .or_else(|| Some(SocketAddr::new(any, text.parse().ok()?)))
        .or_else(|| Some(SocketAddr::new(plain.parse().ok()?, 80)))
}

/// Writes `[listen]`.
pub(super) struct Listening<'r> {
    pub(super) ledger: &'r Ledger,
    pub(super) keys: &'r mut Keys,
}

impl Listening<'_> {
    /// Where these servers listen. Says whether that is with TLS.
    pub(super) fn addresses(&mut self, listens: &[Listen<'_>]) -> bool {
        let has_tls = listens.iter().any(|listen| listen.is_tls);
        let mut addresses: Vec<(&Directive, SocketAddr)> = Vec::new();
        for Listen { directive, address, is_tls } in listens {
            match address {
                _ if has_tls && !is_tls => {
                    let why =
                        "Netdata Cloud sends over HTTPS only, and a client certificate cannot come over plain HTTP";
                    self.ledger.not_needed(directive, why);
                }
                None => {
                    let remedy = "listen needs an address and a port: write the one that this stands for";
                    self.ledger.not_carried(directive, remedy);
                }
                Some(_) if has(directive, "quic") => {
                    self.ledger.not_needed(directive, "Netdata Cloud speaks HTTP/1.1 and HTTP/2");
                }
                Some(address) => addresses.push((directive, *address)),
            }
        }
        let key = if has_tls { "https" } else { "http" };
        let mut kept = without_doubles(addresses.iter().map(|(_, address)| *address).collect());
        for (directive, address) in addresses {
            match kept.contains(&address) {
                true => self.ledger.carried(directive, format!("listen.{key}: {address}")),
                false => self.ledger.carried(directive, format!("listen.{key}: an address there takes this one, too")),
            }
        }
        if listens.is_empty() {
            kept.push(UNLESS_TOLD_OTHERWISE);
        }
        self.keys.set(key, texts(&kept));
        has_tls
    }

    pub(super) fn http2(&mut self, scope: &Scope<'_>) {
        let Some(directive) = scope.one("http2") else { return };
        match directive.value() {
            "off" => {
                self.keys.set("http2", false);
                self.ledger.carried(directive, "listen.http2 = false");
            }
            _ => self.ledger.not_needed(directive, "HTTP/2 is offered unless listen.http2 = false"),
        }
    }

    /// Whose word is taken for where a request comes from.
    pub(super) fn proxies(&mut self, scope: &Scope<'_>, listens: &[Listen<'_>]) {
        let protocol = listens.iter().find(|listen| has(listen.directive, "proxy_protocol"));
        let mut networks = Vec::new();
        for directive in scope.all("set_real_ip_from") {
            match network(directive.value()) {
                Some(network) => {
                    networks.push(network);
                    self.ledger.carried(directive, "listen.trusted_proxies");
                }
                None => self.ledger.not_carried(directive, "listen.trusted_proxies has networks and addresses only"),
            }
        }
        if let Some(Listen { directive, .. }) = protocol {
            self.keys.set("proxy_protocol", true);
            self.ledger.carried(directive, "listen.proxy_protocol");
            if networks.is_empty() {
                networks = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8"].map(str::to_owned).to_vec();
                let hole = "anybody could send a PROXY protocol header; now only private networks: name the balancer's \
                            addresses in listen.trusted_proxies";
                self.ledger.closed(directive, hole);
            }
        }
        if let Some(directive) = scope.one("real_ip_header") {
            match directive.value().to_ascii_lowercase().as_str() {
                "x-forwarded-for" => {
                    self.ledger.carried(directive, "listen.trusted_proxies: their X-Forwarded-For is read")
                }
                "proxy_protocol" => self.ledger.carried(directive, "listen.proxy_protocol"),
                _ => self.ledger.not_carried(directive, "X-Forwarded-For is read: let the proxy in front set that"),
            }
        }
        self.keys.set("trusted_proxies", networks);
    }

    /// `allow` and `deny`, where they are the same for all of `scopes`. Says whether they are lost.
    pub(super) fn allow(&mut self, scopes: &[&Scope<'_>]) -> bool {
        let rules = |scope: &Scope<'_>| -> Vec<(bool, String)> {
            scope.all_of(&["allow", "deny"]).iter().map(|it| (it.name == "allow", it.value().to_owned())).collect()
        };
        let Some((first, others)) = scopes.split_first() else { return false };
        let is_same = others.iter().all(|scope| rules(scope) == rules(first))
            && scopes.iter().all(|scope| scope.value("satisfy") != "any");
        let directives: Vec<_> = scopes.iter().flat_map(|scope| scope.all_of(&["allow", "deny"])).collect();
        let networks: Option<Vec<String>> = match rules(first).split_last() {
            Some(((false, all), allowed)) if is_same && all == "all" => {
                allowed.iter().map(|(is_allowed, text)| network(text).filter(|_| *is_allowed)).collect()
            }
            _ => None,
        };
        let is_behind_proxy = self.keys.get("trusted_proxies").is_some() && self.keys.get("proxy_protocol").is_none();
        match networks.filter(|networks| !networks.is_empty() && !is_behind_proxy) {
            Some(networks) => {
                self.keys.set("allow", networks);
                directives.iter().for_each(|it| self.ledger.carried(it, "listen.allow, checked before TLS"));
                false
            }
            None => {
                let remedy = match is_behind_proxy {
                    true => "listen.allow is about who connects, which is the proxy in front: let that one decide",
                    false => {
                        "listen.allow is for all routes alike, and has only who may connect, never who may not: name networks \
                         there if no route is for others, or have a firewall look at them"
                    }
                };
                directives.iter().for_each(|it| self.ledger.not_carried(it, remedy));
                true
            }
        }
    }
}

fn network(text: &str) -> Option<String> {
    let is_network = text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
    is_network.then(|| text.to_owned())
}

/// An address that takes what comes to another one as well is listened on alone; `[::]` takes IPv4, too.
fn without_doubles(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let any6 = |port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let any4 = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let mut kept: Vec<SocketAddr> = Vec::new();
    for address in &addresses {
        let (any6, any4) = (any6(address.port()), any4(address.port()));
        let is_covered = (*address != any6 && addresses.contains(&any6))
            || (address.is_ipv4() && *address != any4 && addresses.contains(&any4));
        if !is_covered && !kept.contains(address) {
            kept.push(*address);
        }
    }
    kept
}

/// The one port that there is, if there is one.
pub(super) fn port(listens: &[Listen<'_>], is_tls: bool) -> Option<u16> {
    let mut ports: Vec<u16> =
        listens.iter().filter(|it| it.is_tls == is_tls).filter_map(|it| Some(it.address?.port())).collect();
    ports.sort_unstable();
    ports.dedup();
    if let [port] = ports[..] { Some(port) } else { None }
}

/// Whether two servers listen on a port together.
pub(super) fn share_a_port(one: &[Listen<'_>], other: &[Listen<'_>]) -> bool {
    let ports = |listens: &[Listen<'_>]| listens.iter().filter_map(|it| Some(it.address?.port())).collect::<Vec<_>>();
    let ports_of_other = ports(other);
    ports(one).iter().any(|port| ports_of_other.contains(port))
}

fn texts(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_nginx_has_them() {
        for (text, expected) in [
            ("443", Some("0.0.0.0:443")),
            ("*:443", Some("0.0.0.0:443")),
            ("127.0.0.1:8443", Some("127.0.0.1:8443")),
            ("localhost:8443", Some("127.0.0.1:8443")),
            ("127.0.0.1", Some("127.0.0.1:80")),
            ("[::]:443", Some("[::]:443")),
            ("[::1]", Some("[::1]:80")),
            ("unix:/run/nginx.sock", None),
            ("hooks.example:443", None),
            ("65536", None),
            ("", None),
        ] {
            assert_eq!(address(text).map(|it| it.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_address_of_ipv6_is_that_of_ipv4_too() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let check = |given: &[&str], kept: &[&str]| assert_eq!(texts(&without_doubles(parse(given))), kept);
        check(&["0.0.0.0:443", "[::]:443"], &["[::]:443"]);
        check(&["[::]:443", "0.0.0.0:443", "0.0.0.0:8443"], &["[::]:443", "0.0.0.0:8443"]);
        check(&["127.0.0.1:443", "[::]:443", "127.0.0.1:443"], &["[::]:443"]);
        check(&["127.0.0.1:443", "0.0.0.0:443", "[::1]:443"], &["0.0.0.0:443", "[::1]:443"]);
        check(&["127.0.0.1:443", "127.0.0.2:443", "127.0.0.1:443"], &["127.0.0.1:443", "127.0.0.2:443"]);
    }
}
