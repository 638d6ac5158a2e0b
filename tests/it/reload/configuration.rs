//! A configuration that is read again: whole, or not at all.

use super::ALERT;
use crate::support::{Edit as _, Load, Origin, Pki, Proxy, Sender, WEBHOOK, is_event};

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
        proxy.reload(&wrong);
        let log = proxy.log();
        let said = log
            .iter()
            .filter(|line| is_event(line, "config_reload_failed"));
        assert!(
            said.clone().any(|line| line.contains(named)),
            "{named}: {:#?}",
            said.collect::<Vec<_>>()
        );
        assert_eq!(sender.post(ALERT).status, 200);
    }
    assert!(
        !proxy
            .log()
            .iter()
            .any(|line| is_event(line, "config_reloaded"))
    );
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
    for round in 0..5 {
        load.goes_on_for(10);
        // Each is another configuration, and the last one is refused.
        let change = format!("[limits]\nmax_header_size = \"{}KiB\"\n[server]", 8 + round);
        let wrong = if round == 4 { "[nonsense]\n" } else { "" };
        proxy.reload(&config.edit("[server]", &format!("{wrong}{change}")));
    }
    load.goes_on_for(10);
    load.ends_without_failure();
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| is_event(line, "config_reloaded"))
            .count(),
        4
    );
}
