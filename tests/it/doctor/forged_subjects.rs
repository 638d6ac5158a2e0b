//! `doctor --forgeries` shows which forged subjects get into a server.

use super::{Kit, peers, run};
use crate::support::{Edit as _, Origin, Peer, Proxy, Stage, WEBHOOK, is_installed};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `send certificate --forgeries` makes.
fn forgeries(kit: &Kit) -> PathBuf {
    let directory = kit.pki.path().join("sender");
    let made = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["send", "certificate", "--forgeries"])
        .arg(&directory)
        .output()
        .unwrap();
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success(), "{said}");
    assert!(
        said.contains(" --forgeries ") && said.contains("/ca.pem"),
        "{said}"
    );
    directory
}

/// The level of each forged subject, and what is said about it.
fn tried(url: &str, kit: &Kit, directory: &Path) -> Vec<(String, String)> {
    let ca = kit.pki.path().join("ca.pem");
    let arguments = [
        "--json",
        url,
        "--ca",
        ca.to_str().unwrap(),
        "--forgeries",
        directory.to_str().unwrap(),
    ];
    let output = run(&arguments);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let checks = report["targets"][0]["checks"].as_array().unwrap();
    let forged = checks
        .iter()
        .filter(|check| check["check"] == "forged subject");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    forged
        .map(|check| (text(&check["level"]), text(&check["text"])))
        .collect()
}

/// NGINX as Netdata documents it, which searches for the name in the subject, and a second location
/// without that. It trusts the authority in `directory`.
fn documented(kit: &Kit, directory: &Path) -> Option<(Stage, Peer)> {
    const FILE: &str = "etc/nginx/conf.d/hooks.conf";
    if !is_installed("nginx", "nginx", "") {
        return None;
    }
    let stage = peers::stage(kit, FILE, SERVER);
    let trusted = stage.root().join("etc/nginx/tls/ca.pem");
    std::fs::copy(directory.join("ca.pem"), trusted).unwrap();
    let peer = Peer::nginx(&stage, FILE);
    Some((stage, peer))
}

const SERVER: &str = r#"
server {
    listen 443 ssl;
    ssl_certificate /etc/nginx/tls/server.pem;
    ssl_certificate_key /etc/nginx/tls/server.key;
    ssl_client_certificate /etc/nginx/tls/ca.pem;
    ssl_verify_client on;
    location / {
        if ($ssl_client_s_dn !~ "CN=app.netdata.cloud") { return 403; }
        return 200 "accepted";
    }
    location /other { return 200 "accepted"; }
}
"#;

#[test]
fn the_documented_nginx_lets_in_what_the_manual_says() {
    let kit = Kit::new();
    let directory = forgeries(&kit);
    let Some((_stage, peer)) = documented(&kit, &directory) else {
        return;
    };
    let url = peers::https(&peer);
    let found = tried(&url, &kit, &directory);
    let expected = [
        ("fail", "CN=app.netdata.cloud.evil.example: gets in"),
        ("fail", "CN=appXnetdataYcloud: gets in"),
        ("fail", "OU=CN=app.netdata.cloud, CN=evil: gets in"),
        ("fail", "O=\"x,CN=app.netdata.cloud\", CN=evil: gets in"),
        ("fail", "a CN with an embedded NUL: gets in"),
        ("fail", "a CN with a trailing space: gets in"),
        ("fail", "two CNs, the right one first: gets in"),
        ("fail", "two CNs, the right one last: gets in"),
        ("pass", "any other CN: is refused: 403"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((level, text), (expected_level, expected)) in found.iter().zip(expected) {
        assert!(
            level == expected_level && text.starts_with(expected),
            "{expected}: {found:#?}"
        );
    }
    // A second location without the check.
    let found = tried(&format!("{url}other"), &kit, &directory);
    assert!(
        found.len() == 9 && found.iter().all(|(level, _)| level == "fail"),
        "{found:#?}"
    );
}

#[test]
fn none_gets_into_this_program() {
    let kit = Kit::new();
    let (directory, origin) = (forgeries(&kit), Origin::spawn());
    for verify in ["require", "request"] {
        let config = Proxy::config(&origin, verify, "")
            .edit("\"ca.pem\"", "[\"ca.pem\", \"sender/ca.pem\"]");
        let proxy = Proxy::spawn(&kit.pki, &config);
        let url = format!("https://{}{WEBHOOK}", proxy.address(0));
        let found = tried(&url, &kit, &directory);
        assert_eq!(found.len(), 9, "{found:#?}");
        for (level, text) in found {
            assert!(
                level == "pass" && text.contains(": is refused: 403"),
                "{level} {text}"
            );
        }
    }
    origin.received_nothing();
}

#[test]
fn a_server_that_does_not_trust_their_authority_proves_nothing() {
    let kit = Kit::new();
    let (directory, origin) = (forgeries(&kit), Origin::spawn());
    let proxy = Proxy::in_front_of(&origin, &kit.pki, "require", "");
    let url = format!("https://{}{WEBHOOK}", proxy.address(0));
    let found = tried(&url, &kit, &directory);
    assert!(
        matches!(&found[..], [(level, text)] if level == "warn" && text.starts_with("none was tried")),
        "{found:#?}"
    );
    let missing = run(&[&url, "--forgeries", "/nonexistent"]);
    let said = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(said.contains("send certificate --forgeries DIR"), "{said}");
}
