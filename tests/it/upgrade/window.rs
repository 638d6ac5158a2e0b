//! What changes while a successor waits for the sockets.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | an authority that is withdrawn while a successor waits for the sockets is trusted again, for good | a configuration that is read before it is its turn | [`what_was_withdrawn_while_a_successor_waited_is_not_trusted_again`], in the window of the reading: [`what_is_withdrawn_while_a_successor_reads_is_not_trusted_for_good`] |
//! | by another configuration and a SIGHUP that only the process which ends can hear | likewise | [`a_configuration_that_changes_while_a_successor_starts_keeps_it_from_serving`] |
//! | what was right before the wait is wrong after it | fail closed: the one that runs goes on | [`a_successor_whose_files_went_wrong_while_it_waited_changes_nothing`] |
//! | `run --upgrade` dies of SIGHUP while it waits | a signal that has the system's effect | [`a_successor_that_waits_outlives_sighup`] |

use super::{ALERT, config, upgrade};
use crate::support::{Edit as _, Origin, Pipe, Pki, Proxy, Reading, Sender, eventually, is_event};

#[test]
fn what_was_withdrawn_while_a_successor_waited_is_not_trusted_again() {
    let (pki, next, origin) = (Pki::new(), Pki::new(), Origin::spawn());
    let (withdrawn, trusted) = (pki.netdata(), next.netdata());
    let config = config(&origin).edit("\"require\"", "\"request\"");
    let mut old = Proxy::spawn(&pki, &config);
    let new = old.successor();
    new.wait_for_event("upgrade_waiting_for_sockets");
    pki.write(
        "ca.pem",
        &std::fs::read_to_string(next.path().join("ca.pem")).unwrap(),
    );
    old.wait_for_event("config_reloaded");
    Sender::to(&old, Some(&withdrawn))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    old.signal("QUIT");
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
    Sender::to(&new, Some(&withdrawn))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    assert_eq!(Sender::to(&new, Some(&trusted)).post(ALERT).status, 200);
    assert!(
        !new.log()
            .iter()
            .any(|line| is_event(line, "config_reloaded")),
        "it was right from the start"
    );
}

/// A process, and its successor that has the sockets, has read its authorities and is about to read
/// its secret.
fn reading_successor(pki: &Pki, config: &str) -> (Proxy, Proxy, Pipe, Reading) {
    let pipe = Pipe::new(pki, "secret.pipe");
    let old = Proxy::spawn(pki, config);
    let path = pki.write(
        "successor.toml",
        &config.edit("challenge.secret", "secret.pipe"),
    );
    let new = Proxy::launch(&path, |command| {
        command.arg("--upgrade");
    });
    pipe.open().write("another-secret-0123456789");
    new.wait_for_event("upgrade_waiting_for_sockets");
    old.signal("QUIT");
    new.wait_for_event("upgrade_sockets_received");
    let reading = pipe.open();
    (old, new, pipe, reading)
}

#[test]
fn what_is_withdrawn_while_a_successor_reads_is_not_trusted_for_good() {
    let (pki, next, origin) = (Pki::new(), Pki::new(), Origin::spawn());
    let withdrawn = pki.netdata();
    let config = config(&origin).edit("\"require\"", "\"request\"");
    let (mut old, new, pipe, reading) = reading_successor(&pki, &config);
    pki.write(
        "ca.pem",
        &std::fs::read_to_string(next.path().join("ca.pem")).unwrap(),
    );
    reading.write("another-secret-0123456789");
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
    // The first look finds it.
    pipe.open().write("another-secret-0123456789");
    let sender = Sender::to(&new, Some(&withdrawn));
    eventually("the withdrawal", || {
        (sender.post(ALERT).status == 403).then_some(())
    });
}

#[test]
fn a_configuration_that_changes_while_a_successor_starts_keeps_it_from_serving() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = config(&origin).edit("\"require\"", "\"request\"");
    let (old, mut new, _pipe, reading) = reading_successor(&pki, &config);
    let changed = config.edit(
        "[tls.client]",
        "[tls.client]\ncommon_names = [\"new.netdata.cloud\"]",
    );
    std::fs::write(&new.config, &changed).unwrap();
    old.reload(&changed);
    reading.write("another-secret-0123456789");
    assert_eq!(new.wait().code(), Some(1));
    new.wait_for_log("the configuration changed while this process took over");
    old.wait_for_event("upgrade_failed");
    Sender::to(&old, Some(&pki.netdata()))
        .post(ALERT)
        .refuses(403, "common_name_mismatch");
    origin.received_nothing();
}

#[test]
fn a_successor_whose_files_went_wrong_while_it_waited_changes_nothing() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let ca = std::fs::read_to_string(pki.path().join("ca.pem")).unwrap();
    let mut wrong = old.successor();
    wrong.wait_for_event("upgrade_waiting_for_sockets");
    pki.write("ca.pem", "");
    old.signal("QUIT");
    assert_eq!(wrong.wait().code(), Some(2));
    assert!(wrong.wait_for_log("tls.client.ca").contains("is empty"));
    old.wait_for_event("upgrade_failed");
    assert_eq!(
        Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    pki.write("ca.pem", &ca);
    let new = upgrade(&mut old);
    assert_eq!(
        Sender::to(&new, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

#[test]
fn a_successor_that_waits_outlives_sighup() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let new = old.successor();
    new.wait_for_event("upgrade_waiting_for_sockets");
    new.signal("HUP");
    old.signal("QUIT");
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(
        Sender::to(&new, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}
