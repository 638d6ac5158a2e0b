//! A configuration that is read again: whole, or not at all.

use super::ALERT;
use crate::support::{Edit as _, Load, Origin, Pki, Proxy, Sender, WEBHOOK};

#[test]
fn what_is_wrong_changes_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(&pki, &config);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    for (wrong, named) in [
        (config.edit("ca.pem", "missing.pem"), "tls.client.ca"),
        (config.edit("[server]", "[srever]"), "srever"),
        (config.edit("server.key", "ca.pem"), "tls.private_key"),
        (String::new(), "listen.https"),
    ] {
        let said = proxy.refuses_to_reload(&wrong);
        assert!(said.contains(named), "{named}: {said}");
        assert_eq!(sender.post(ALERT).status, 200);
    }
    assert!(proxy.events("config_reloaded").is_empty());
}

#[test]
fn routes_secrets_and_limits_change_with_a_reload() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(&pki, &config);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let mut connection = sender.connect().unwrap();
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
    proxy.reload(
        &config
            .edit(WEBHOOK, "/new")
            .edit("[server]", "[limits]\nmax_header_size = \"1KiB\"\n[server]"),
    );
    connection.post(ALERT).unwrap().refuses(404, "not_found");
    assert_eq!(
        connection.send("POST", "/new", "", ALERT).unwrap().status,
        200
    );
    let large = format!("X-A: {}\r\n", "x".repeat(1024));
    connection
        .send("POST", "/new", &large, ALERT)
        .unwrap()
        .refuses(431, "header_too_large");
}

#[test]
fn reloads_under_load_lose_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(&pki, &config);
    let load = Load::start(&Sender::to(&proxy, Some(&pki.netdata())));
    // Each is another configuration, and the last one is refused.
    for round in 0..4 {
        load.goes_on_for(10);
        let change = format!("[limits]\nmax_header_size = \"{}KiB\"\n[server]", 8 + round);
        proxy.reload(&config.edit("[server]", &change));
    }
    load.goes_on_for(10);
    proxy.refuses_to_reload(&config.edit("[server]", "[nonsense]\n[server]"));
    load.goes_on_for(10);
    load.ends_without_failure();
}
