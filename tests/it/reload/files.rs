//! Files that change are noticed without a signal.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | a file that is replaced while a reload reads the others is missed for good | a stamp that is taken after reading | [`what_is_replaced_while_it_is_read_is_noticed`]; at a start: [`what_is_replaced_during_the_start_is_noticed`] |
//! | a file that was replaced just before a SIGHUP with a wrong configuration is missed for good | what failed counts as seen | [`a_refused_configuration_hides_no_change_of_a_file`] |

use super::{ALERT, server_certificate};
use crate::support::{Edit as _, Leaf, Origin, Pipe, Pki, Proxy, Sender, WEBHOOK, eventually};
use std::os::unix::fs::symlink;

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
