//! Formats and levels of the log, and where its lines go.

use super::ALERT;
use crate::support::{
    Edit as _, Origin, Pki, Proxy, Sender, WEBHOOK, eventually, is_documented, is_event,
};
use std::process::Command;

#[test]
fn format_level_and_access_change_with_a_reload() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let base = Proxy::config(&origin, "require", "");
    let proxy = Proxy::spawn(&pki, &base);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(
        proxy
            .wait_for_log("outcome=\"forwarded\"")
            .contains(" INFO request ")
    );

    proxy.reload(&format!("{base}[log]\nformat = \"json\"\n"));
    assert_eq!(sender.post(ALERT).status, 200);
    let line: serde_json::Value =
        serde_json::from_str(&proxy.wait_for_log("\"outcome\":\"forwarded\"")).unwrap();
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"INFO".into(), &"request".into())
    );
    for field in line
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| !["timestamp", "level", "message"].contains(&key.as_str()))
    {
        assert!(
            is_documented(&format!("`{field}`")),
            "the manual does not explain {field}"
        );
    }
    assert!(
        line["timestamp"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{line}"
    );

    proxy.reload(&format!("{base}[log]\naccess = false\n"));
    assert_eq!(sender.post(ALERT).status, 200);
    // At level error a reload has no line, so another change shows that it has happened.
    let quiet = base.edit(WEBHOOK, "/quiet");
    std::fs::write(
        &proxy.config,
        format!("{quiet}[log]\nlevel = \"error\"\naccess = false\n"),
    )
    .unwrap();
    proxy.signal("HUP");
    eventually("the reload", || {
        (sender.post(ALERT).status == 404).then_some(())
    });
    assert!(
        Sender::to(&proxy, None)
            .send("POST", WEBHOOK, "", ALERT)
            .is_err()
    );
    std::fs::write(&proxy.config, "").unwrap();
    proxy.signal("HUP");
    // One line for each problem.
    proxy.wait_for_events("config_reload_failed", 2);

    // At level debug, what others log comes along, and says whose it is.
    proxy.reload(&format!("{base}[log]\nlevel = \"debug\"\n"));
    assert_eq!(sender.post(ALERT).status, 200);
    proxy.wait_for_log("DEBUG rustls::");
    proxy.wait_for_log(" pingora_");
    proxy.wait_for_logs("outcome=\"forwarded\"", 2);
    let log = proxy.log();
    assert_eq!(
        log.iter().filter(|line| line.contains("outcome")).count(),
        3,
        "those in between have none: {log:#?}"
    );
    assert!(
        !log.iter().any(|line| is_event(line, "handshake_refused")),
        "a warning at level error: {log:#?}"
    );
}

/// As systemd starts a service whose standard error is the journal, with a pipe for it.
fn in_the_journal(pki: &Pki, config: &str) -> Proxy {
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let path = pki.write("config.toml", config);
    let mut command = Command::new("sh");
    let start = "JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/2) exec \"$0\" run --config \"$1\"";
    command
        .args(["-c", start, env!("CARGO_BIN_EXE_netdata-webhook-proxy")])
        .arg(&path);
    let proxy = Proxy::run(command, &path);
    proxy.wait_for_event("ready");
    proxy
}

#[test]
fn the_journal_gets_priorities_and_keeps_the_time_itself() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "");
    let proxy = in_the_journal(&pki, &config);
    assert!(proxy.wait_for_event("ready").starts_with("<6> INFO ready"));
    assert!(
        Sender::to(&proxy, None)
            .send("POST", WEBHOOK, "", ALERT)
            .is_err()
    );
    assert!(
        proxy
            .wait_for_event("handshake_refused")
            .starts_with("<4> WARN TLS handshake refused")
    );
    std::fs::write(&proxy.config, "").unwrap();
    proxy.signal("HUP");
    assert!(
        proxy
            .wait_for_event("config_reload_failed")
            .starts_with("<3>ERROR")
    );
    assert!(
        proxy.log().iter().all(|line| !line.contains('\u{1b}')),
        "{:#?}",
        proxy.log()
    );

    let proxy = in_the_journal(&pki, &format!("{config}[log]\nformat = \"json\"\n"));
    let line = proxy.wait_for_event("ready");
    let record: serde_json::Value =
        serde_json::from_str(line.strip_prefix("<6>").unwrap()).unwrap();
    assert_eq!(record["message"], "ready");
}

#[test]
fn elsewhere_nothing_is_for_the_journal() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let path = pki.write("config.toml", &Proxy::config(&origin, "require", ""));
    // The variable is inherited by everything that a service starts, wherever its standard error
    // leads.
    let proxy = Proxy::launch(&path, |command| {
        command.env("JOURNAL_STREAM", "1:1");
    });
    assert!(proxy.wait_for_event("ready").contains("Z  INFO ready"));
}
