//! Trust that changes: whatever a session or a connection was once allowed, each request is judged
//! by the trust of now.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | a file that is replaced while a reload reads the others is missed for good | a stamp that is taken after reading | [`what_is_replaced_while_it_is_read_is_noticed`]; at a start: [`what_is_replaced_during_the_start_is_noticed`] |
//! | a file that was replaced just before a SIGHUP with a wrong configuration is missed for good | what failed counts as seen | [`a_refused_configuration_hides_no_change_of_a_file`] |
//!
//! The window of `run --upgrade` is in `upgrade`.

use crate::support::{
    Connection, Edit as _, Http2, Leaf, Load, Origin, Pipe, Pki, Proxy, Sender, WEBHOOK,
    eventually, is_event,
};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject as _;
use std::os::unix::fs::symlink;
use time::{Duration, OffsetDateTime};

const ALERT: &str = "{\"alert\":\"x\"}";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Everything a client may have kept from when it was welcome.
struct Veteran {
    name: String,
    sender: Sender,
    open: Connection,
    http2: Http2,
}

impl Veteran {
    fn all(proxy: &Proxy, leaf: &Leaf) -> Vec<Self> {
        VERSIONS
            .iter()
            .map(|version| Self::new(proxy, leaf, version))
            .collect()
    }

    fn new(proxy: &Proxy, leaf: &Leaf, version: &'static SupportedProtocolVersion) -> Self {
        let sender = Sender::with_versions(proxy, Some(leaf), &[version]);
        let mut open = sender.connect().unwrap();
        assert_eq!(open.post(ALERT).unwrap().status, 200);
        let mut http2 = Http2::connect(&sender).unwrap();
        assert_eq!(http2.post(ALERT).unwrap().status, 200);
        Self {
            name: format!("{version:?}"),
            sender,
            open,
            http2,
        }
    }

    /// Neither what is open nor what is resumed nor a new connection gets a request through.
    fn meets_refusal(mut self, origin: &Origin) {
        let before = origin.received().len();
        let open = self.open.post(ALERT);
        assert!(
            open.as_ref().is_ok_and(|answer| answer.status == 403) || open.is_err(),
            "{}: {open:?}",
            self.name
        );
        let http2 = self.http2.post(ALERT);
        assert!(
            http2.as_ref().is_ok_and(|answer| answer.status == 403) || http2.is_err(),
            "{}: {http2:?}",
            self.name
        );
        let mut again = self.sender.connect().unwrap();
        let answer = again.post(ALERT);
        assert!(
            answer.as_ref().is_ok_and(|answer| answer.status == 403) || answer.is_err(),
            "{}: {answer:?}",
            self.name
        );
        assert!(!again.is_resumed(), "{}", self.name);
        assert_eq!(origin.received().len(), before, "{}", self.name);
    }
}

/// Welcomes clients with `leaf`'s certificate, changes the configuration, and welcomes them no
/// more.
fn withdrawn(pki: &Pki, leaf: &Leaf, change: impl FnOnce(&str) -> String) {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(pki, &config);
    let veterans = Veteran::all(&proxy, leaf);
    proxy.reload(&change(&config));
    assert!(
        proxy
            .log()
            .iter()
            .any(|line| is_event(line, "config_reloaded")),
        "{:#?}",
        proxy.log()
    );
    veterans
        .into_iter()
        .for_each(|veteran| veteran.meets_refusal(&origin));
}

#[test]
fn a_withdrawn_authority_lets_nobody_through() {
    let (pki, other) = (Pki::new(), Pki::new());
    std::fs::copy(other.path().join("ca.pem"), pki.path().join("other.pem")).unwrap();
    withdrawn(&pki, &pki.netdata(), |config| {
        config.edit("ca.pem", "other.pem")
    });
}

#[test]
fn a_withdrawn_name_lets_nobody_through() {
    let pki = Pki::new();
    withdrawn(&pki, &pki.netdata(), |config| {
        config.edit(
            "[tls.client]",
            "[tls.client]\ncommon_names = [\"new.netdata.cloud\"]",
        )
    });
}

#[test]
fn a_revoked_certificate_lets_nobody_through() {
    let pki = Pki::new();
    let leaf = pki.leaf(|params| params.serial_number = Some(7_u64.into()));
    pki.write("crl.pem", &pki.revocation_list(&[7], Duration::days(1)));
    withdrawn(&pki, &leaf, |config| {
        config.edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\"")
    });
}

#[test]
fn a_stricter_verification_holds_on_open_connections() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let route = "[routes.auth]\nclient_certificate = false\nbearer = [{ token = { file = \"challenge.secret\" } }]";
    let config = Proxy::config(&origin, "request", route);
    let proxy = Proxy::spawn(&pki, &config);
    let mut connection = Sender::to(&proxy, None).connect().unwrap();
    let mut post = || {
        connection
            .send(
                "POST",
                WEBHOOK,
                "Authorization: Bearer YOUR_CHALLENGE_SECRET\r\n",
                ALERT,
            )
            .unwrap()
    };
    assert_eq!(post().status, 200);
    proxy.reload(&config.edit("\"request\"", "\"require\""));
    post().refuses(403, "client_certificate_missing");
}

#[test]
fn a_certificate_that_expires_lets_nobody_through() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "require", "");
    let until = OffsetDateTime::now_utc() + Duration::seconds(4);
    let leaf = pki.leaf(|params| params.not_after = until);
    let veterans = Veteran::all(&proxy, &leaf);
    eventually("the expiry", || {
        (OffsetDateTime::now_utc() > until + Duration::seconds(1)).then_some(())
    });
    veterans
        .into_iter()
        .for_each(|veteran| veteran.meets_refusal(&origin));
}

#[test]
fn revocation_lists_hold_from_the_start() {
    let pki = Pki::new();
    let (good, bad) = (
        pki.netdata(),
        pki.leaf(|params| params.serial_number = Some(9_u64.into())),
    );
    pki.write("crl.pem", &pki.revocation_list(&[1, 9], Duration::days(1)));
    let origin = Origin::spawn();
    let config = |verify| {
        Proxy::config(&origin, verify, "").edit("[tls.client]", "[tls.client]\ncrl = [\"crl.pem\"]")
    };
    let proxy = Proxy::spawn(&pki, &config("require"));
    for version in VERSIONS {
        assert_eq!(
            Sender::with_versions(&proxy, Some(&good), &[version])
                .post(ALERT)
                .status,
            200
        );
        assert!(
            Sender::with_versions(&proxy, Some(&bad), &[version])
                .send("POST", WEBHOOK, "", ALERT)
                .is_err()
        );
    }
    assert!(
        proxy
            .wait_for_event("handshake_refused")
            .contains("The certificate was revoked.")
    );
    let proxy = Proxy::spawn(&pki, &config("request"));
    Sender::to(&proxy, Some(&bad))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    let below = pki.below(1, |_| {});
    Sender::to(&proxy, Some(&below))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
}

#[test]
fn several_lists_in_pem_and_der_hold_together() {
    let pki = Pki::new();
    let list = pki.revocation_list(&[8], Duration::days(1));
    let der =
        rustls::pki_types::CertificateRevocationListDer::from_pem_slice(list.as_bytes()).unwrap();
    std::fs::write(pki.path().join("crl.der"), &der).unwrap();
    let other = Pki::of("Other Root CA").revocation_list(&[1], Duration::days(1));
    pki.write("two.pem", &format!("{other}{other}"));
    let origin = Origin::spawn();
    let lists = "[tls.client]\ncrl = [\"two.pem\", \"crl.der\"]";
    let proxy = Proxy::spawn(
        &pki,
        &Proxy::config(&origin, "request", "").edit("[tls.client]", lists),
    );
    let bad = pki.leaf(|params| params.serial_number = Some(8_u64.into()));
    Sender::to(&proxy, Some(&bad))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

#[test]
fn renewed_links_are_noticed() {
    let (pki, next) = (Pki::new(), Pki::new());
    let origin = Origin::spawn();
    // As Let's Encrypt has it: live/name.pem → ../archive/name1.pem, and after a renewal →
    // ../archive/name2.pem.
    for directory in ["live", "archive"] {
        std::fs::create_dir(pki.path().join(directory)).unwrap();
    }
    for (version, from) in [(1, &pki), (2, &next)] {
        for (name, file) in [("fullchain", "server.pem"), ("privkey", "server.key")] {
            let archived = pki.path().join(format!("archive/{name}{version}.pem"));
            std::fs::copy(from.path().join(file), archived).unwrap();
        }
    }
    let link = |version: u8| {
        for name in ["privkey", "fullchain"] {
            let live = pki.path().join(format!("live/{name}.pem"));
            let _ = std::fs::remove_file(&live);
            symlink(format!("../archive/{name}{version}.pem"), live).unwrap();
        }
    };
    link(1);
    let config = Proxy::config(&origin, "request", "")
        .edit("server.pem", "live/fullchain.pem")
        .edit("server.key", "live/privkey.pem");
    let proxy = Proxy::spawn(&pki, &config);
    let old = server_certificate(&proxy);
    link(2);
    eventually("the new certificate", || {
        (server_certificate(&proxy) != old).then_some(())
    });
}

#[test]
fn a_revoked_intermediate_lets_nobody_through() {
    let pki = Pki::new();
    let leaf = pki.below(1, |params| params.serial_number = Some(5_u64.into()));
    pki.write("crl.pem", &pki.revocation_list(&[5], Duration::days(1)));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "request", "")
        .edit("[tls.client]", "[tls.client]\ncrl = [\"crl.pem\"]");
    let proxy = Proxy::spawn(&pki, &config);
    Sender::to(&proxy, Some(&leaf))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    origin.received_nothing();
}

#[test]
fn a_revocation_list_that_runs_out_raises_an_alarm_and_goes_on() {
    let pki = Pki::new();
    let bad = pki.leaf(|params| params.serial_number = Some(3_u64.into()));
    pki.write("crl.pem", &pki.revocation_list(&[3], Duration::seconds(3)));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "request", "")
        .edit("[tls.client]", "[tls.client]\ncrl = [\"crl.pem\"]");
    let proxy = Proxy::spawn(&pki, &config);
    proxy.wait_for_event("revocation_list_expired");
    Sender::to(&proxy, Some(&bad))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    proxy.reload(&config);
    assert!(
        proxy
            .wait_for_event("config_reload_failed")
            .contains("out of date")
    );
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

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

/// The proxy's own certificate, as a client sees it.
fn server_certificate(proxy: &Proxy) -> Vec<u8> {
    Sender::to(proxy, None).server_certificate()
}

#[test]
fn changed_files_are_noticed_by_themselves() {
    let (pki, next) = (Pki::new(), Pki::new());
    let read = |pki: &Pki, name: &str| std::fs::read_to_string(pki.path().join(name)).unwrap();
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "request", "");
    let old = server_certificate(&proxy);
    // One half of a pair is never served.
    pki.write("server.pem", &read(&next, "server.pem"));
    proxy.wait_for_log("not the key of");
    assert_eq!(server_certificate(&proxy), old);
    pki.write("server.key", &read(&next, "server.key"));
    eventually("the new certificate", || {
        (server_certificate(&proxy) != old).then_some(())
    });
    // The authorities that it trusts, and its secrets.
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata()))
            .get("?crc_token=abc")
            .status,
        200
    );
    pki.write("ca.pem", &read(&next, "ca.pem"));
    eventually("the new authority", || {
        (Sender::to(&proxy, Some(&next.netdata()))
            .get("?crc_token=abc")
            .status
            == 200)
            .then_some(())
    });
    Sender::to(&proxy, Some(&pki.netdata()))
        .get("?crc_token=abc")
        .refuses(403, "client_certificate_invalid");
    let before = Sender::to(&proxy, Some(&next.netdata()))
        .get("?crc_token=abc")
        .body;
    pki.write("challenge.secret", "another-secret-0123456789\n");
    eventually("the new secret", || {
        (Sender::to(&proxy, Some(&next.netdata()))
            .get("?crc_token=abc")
            .body
            != before)
            .then_some(())
    });
}

#[test]
fn switched_links_are_noticed() {
    let (pki, next) = (Pki::new(), Pki::new());
    let origin = Origin::spawn();
    // As a Kubernetes volume has it: file → ..data/file, ..data → a directory of this version.
    for (version, from) in [("v1", &pki), ("v2", &next)] {
        std::fs::create_dir(pki.path().join(version)).unwrap();
        for name in ["server.pem", "server.key"] {
            std::fs::copy(from.path().join(name), pki.path().join(version).join(name)).unwrap();
        }
    }
    symlink("v1", pki.path().join("..data")).unwrap();
    for name in ["server.pem", "server.key"] {
        std::fs::remove_file(pki.path().join(name)).unwrap();
        symlink(format!("..data/{name}"), pki.path().join(name)).unwrap();
    }
    let proxy = Proxy::in_front_of(&origin, &pki, "request", "");
    let old = server_certificate(&proxy);
    symlink("v2", pki.path().join("..data_tmp")).unwrap();
    std::fs::rename(pki.path().join("..data_tmp"), pki.path().join("..data")).unwrap();
    eventually("the new certificate", || {
        (server_certificate(&proxy) != old).then_some(())
    });
}

#[test]
fn a_file_that_changes_does_not_bring_an_unfinished_configuration_along() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(&pki, &config);
    std::fs::write(&proxy.config, config.edit(WEBHOOK, "/unfinished")).unwrap();
    pki.write("challenge.secret", "another-secret-0123456789\n");
    proxy.wait_for_event("config_reloaded");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

/// A configuration whose challenge secret, which is read last, comes through a pipe: whoever has
/// opened that knows that the authorities have been read and the reading is not over.
fn through_a_pipe(pki: &Pki, origin: &Origin) -> (String, Pipe) {
    (
        Proxy::config(origin, "request", "").edit("challenge.secret", "secret.pipe"),
        Pipe::new(pki, "secret.pipe"),
    )
}

/// Neither at once, nor ever.
fn is_withdrawn(proxy: &Proxy, leaf: &Leaf) {
    let sender = Sender::to(proxy, Some(leaf));
    eventually("the withdrawal", || {
        (sender.post(ALERT).status == 403).then_some(())
    });
}

#[test]
fn what_is_replaced_while_it_is_read_is_noticed() {
    let (pki, next, origin) = (Pki::new(), Pki::new(), Origin::spawn());
    let leaf = pki.netdata();
    let (config, pipe) = through_a_pipe(&pki, &origin);
    let proxy = Proxy::start(&pki, &config);
    pipe.open().write("another-secret-0123456789");
    proxy.wait_for_event("ready");
    assert_eq!(Sender::to(&proxy, Some(&leaf)).post(ALERT).status, 200);
    proxy.signal("HUP");
    let reading = pipe.open();
    pki.write(
        "ca.pem",
        &std::fs::read_to_string(next.path().join("ca.pem")).unwrap(),
    );
    reading.write("another-secret-0123456789");
    proxy.wait_for_event("config_reloaded");
    // The next look finds it.
    pipe.open().write("another-secret-0123456789");
    is_withdrawn(&proxy, &leaf);
    assert_eq!(
        Sender::to(&proxy, Some(&next.netdata())).post(ALERT).status,
        200
    );
}

#[test]
fn what_is_replaced_during_the_start_is_noticed() {
    let (pki, next, origin) = (Pki::new(), Pki::new(), Origin::spawn());
    let leaf = pki.netdata();
    let (config, pipe) = through_a_pipe(&pki, &origin);
    let proxy = Proxy::start(&pki, &config);
    let reading = pipe.open();
    pki.write(
        "ca.pem",
        &std::fs::read_to_string(next.path().join("ca.pem")).unwrap(),
    );
    reading.write("another-secret-0123456789");
    proxy.wait_for_event("ready");
    pipe.open().write("another-secret-0123456789");
    is_withdrawn(&proxy, &leaf);
}

#[test]
fn a_refused_configuration_hides_no_change_of_a_file() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = Proxy::config(&origin, "request", "");
    let proxy = Proxy::spawn(&pki, &config);
    let mut trusted = pki.netdata();
    // Which of the two the process takes up first, after it stood still, is a matter of chance.
    for _ in 0..6 {
        let next = Pki::new();
        assert_eq!(Sender::to(&proxy, Some(&trusted)).post(ALERT).status, 200);
        proxy.signal("STOP");
        pki.write(
            "ca.pem",
            &std::fs::read_to_string(next.path().join("ca.pem")).unwrap(),
        );
        std::fs::write(&proxy.config, "nonsense = 1\n").unwrap();
        proxy.signal("HUP");
        proxy.signal("CONT");
        is_withdrawn(&proxy, &trusted);
        trusted = next.netdata();
        eventually("the next authority", || {
            (Sender::to(&proxy, Some(&trusted)).post(ALERT).status == 200).then_some(())
        });
    }
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
