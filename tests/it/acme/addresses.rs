//! Names with several addresses, of which some lead to other machines.

use super::doctor::doctor;
use super::{config_without_authority, publish};
use crate::support::{Edit as _, Origin, Pki, Proxy, Resolver, free_address, skip};
use rustls::{ServerConfig, ServerConnection};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

/// Two addresses of this machine with the port that authorities connect to; none if only root can
/// open it.
fn addresses() -> Option<[SocketAddr; 2]> {
    let addresses = [(); 2].map(|()| SocketAddr::new(free_address().ip(), 443));
    if TcpListener::bind(addresses[0]).is_err() {
        skip("port 443, which only root can open");
        return None;
    }
    Some(addresses)
}

/// Those addresses, and the resolver that names lead to them by; none where it cannot be had.
fn addresses_and_resolver(origin: &Origin) -> Option<([SocketAddr; 2], Resolver)> {
    Some((addresses()?, Resolver::answering(origin)?))
}

/// The same address over IPv6, of whose own there is but one on each machine.
fn over_ipv6(address: SocketAddr) -> IpAddr {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        ip => ip,
    }
}

/// The configuration of a machine at this address.
fn config_at(address: SocketAddr, origin: &Origin) -> String {
    config_without_authority(origin)
        .edit("\"hooks.example\", \"Other.example\"", "\"hooks.test\"")
        .edit("127.0.0.1:0", &address.to_string())
}

#[test]
fn the_doctor_validates_at_every_address() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(([here, there], resolver)) = addresses_and_resolver(&origin) else {
        return;
    };
    let proxy = Proxy::spawn(&pki, &config_at(here, &origin));
    // Another machine orders a certificate for the same name.
    let others = Pki::new();
    publish(&others, "hooks.test");
    let other = Proxy::spawn(&others, &config_at(there, &origin));
    let check = |addresses: &[IpAddr], expected: &[&str]| {
        resolver.leads_to(addresses);
        let said = doctor(&proxy.config, &resolver, &[], "ACME validation");
        for part in expected {
            assert!(said.contains(part), "{part}: {said}");
        }
    };
    let [over_here, over_there] = [here, there].map(over_ipv6);
    check(
        &[here.ip(), over_here],
        &[
            "pass",
            &here.to_string(),
            &format!("[{over_here}]:443 lead here"),
        ],
    );
    let at = |ip: IpAddr| {
        let address = SocketAddr::new(ip, 443);
        format!("hooks.test at {address}: another machine answers the validation")
    };
    check(
        &[here.ip(), over_there],
        &[
            "fail",
            &at(over_there),
            &format!("only {here} leads here, and authorities take IPv4 only if IPv6 does not"),
            "remove the address from the name",
        ],
    );
    check(
        &[over_here, there.ip()],
        &["fail", &at(there.ip()), "Netdata Cloud has no IPv6"],
    );
    check(
        &[here.ip(), there.ip()],
        &["fail", &at(there.ip()), "authorities take any address"],
    );
    assert!(!other.events("acme_validation_answered").is_empty());
    // Authorities go on from an address that accepts no connection.
    drop(other);
    check(&[here.ip(), over_there], &["warn", "no connection: "]);
    check(&[over_here, there.ip()], &["fail", "no connection: "]);
    origin.received_nothing();
}

/// Accepts every protocol with an ordinary certificate.
fn accept_everything(address: SocketAddr, mut config: ServerConfig) {
    config.alpn_protocols = vec![b"h2".to_vec(), b"acme-tls/1".to_vec()];
    let (listener, config) = (TcpListener::bind(address).unwrap(), Arc::new(config));
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(config.clone()).unwrap();
            // An error is the end of the connection.
            let _ = connection.complete_io(&mut socket);
        }
    });
}

#[test]
fn a_server_in_front_that_accepts_the_protocol_does_not_pass_for_this_one() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(([here, there], resolver)) = addresses_and_resolver(&origin) else {
        return;
    };
    let proxy = Proxy::spawn(&pki, &config_at(here, &origin));
    accept_everything(there, pki.own_server_config());
    resolver.leads_to(&[there.ip()]);
    let said = doctor(&proxy.config, &resolver, &[], "ACME validation");
    for part in [
        "fail",
        "another server answers, which takes no validations",
        "remove what ends TLS in front of this server",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    origin.received_nothing();
}
