//! Connections from addresses outside `listen.allow`, while a validation is pending.

use super::{config_without_authority, pending, publish};
use crate::support::{
    Edit as _, Hello, HelloReply, Operator, Origin, PATIENCE, Pki, Proxy, eventually,
};
use std::io::Read as _;
use std::net::TcpStream;

const REFUSED: &str = "connections_refused_total{reason=\"not_allowed\"}";

/// The number whose hello is read at once.
const AT_ONCE: usize = 256;

/// The configuration of a proxy that this machine may not connect to.
fn config_for_others(origin: &Origin) -> String {
    config_without_authority(origin).edit(
        "[tls]",
        "allow = [\"192.0.2.0/24\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[tls]",
    )
}

#[test]
fn validations_come_from_anywhere_and_other_clients_do_not() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let proxy = Proxy::spawn(&pki, &config_for_others(&origin));
    let address = proxy.address(0);
    let operator = Operator::of(&proxy);
    assert_eq!(
        Hello::validation("hooks.example").send(address),
        HelloReply::Closed
    );
    operator.wait_for(REFUSED, 1.0);
    publish(&pki, "hooks.example");
    eventually("the answer", || {
        (Hello::validation("hooks.example").send(address) == HelloReply::GoesOn).then_some(())
    });
    let before = operator.metrics()[REFUSED];
    let hello = Hello::validation("hooks.example").protocols(&[b"h2"]);
    assert_eq!(hello.send(address), HelloReply::Closed);
    operator.wait_for(REFUSED, before + 1.0);
    origin.received_nothing();
}

#[test]
fn hellos_of_strangers_are_read_in_a_limited_number_and_time() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = config_for_others(&origin) + "[limits]\nhandshake_timeout = \"4s\"\n";
    let (proxy, address) = pending(&pki, &config);
    let operator = Operator::of(&proxy);
    let connect = || {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let mut silent: Vec<_> = (0..2 * AT_ONCE).map(|_| connect()).collect();
    // One more than are read is refused without a hello.
    eventually("refusals", || {
        let refused = operator.metrics().get(REFUSED).copied().unwrap_or_default();
        (refused >= AT_ONCE as f64).then_some(())
    });
    // In the end, all are closed, and a validation gets through.
    for socket in &mut silent {
        let _ = socket.read(&mut [0]);
    }
    eventually("the answer", || {
        (Hello::validation("hooks.example").send(address) == HelloReply::GoesOn).then_some(())
    });
    origin.received_nothing();
}
