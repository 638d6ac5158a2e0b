//! Clients beside one's own Netdata Cloud that a configuration lets in: `check`, `doctor`, the log
//! and the status page say so.

use crate::support::{Edit as _, Operator, Origin, Pki, Proxy, WEBHOOK, free_address};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// What the program writes: its output and its errors.
fn run(directory: &Path, arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// A configuration that trusts these authorities, at an address that `doctor` can examine.
fn config(origin: &Origin, authorities: &str, route: &str) -> String {
    let address = free_address().to_string();
    Proxy::config(origin, "require", route)
        .edit("ca = \"ca.pem\"", &format!("ca = {authorities}"))
        .edit("127.0.0.1:0", &address)
        + ADMIN
}

fn status(proxy: &Proxy) -> Value {
    serde_json::from_str(&Operator::of(proxy).get("/api/status.json").body).unwrap()
}

/// Holds that everything which judges a configuration says this of it.
#[track_caller]
fn is_warned_of(pki: &Pki, config: &str, parts: &[&str]) {
    let path = Proxy::write(pki, config);
    let path = path.to_str().unwrap();
    let proxy = Proxy::spawn(pki, config);
    let (_, check) = run(pki.path(), &["check", "--config", path]);
    let line = proxy.wait_for_event("config_warning");
    let status = status(&proxy);
    let finding = status["findings"][0]["text"].as_str().unwrap();
    let (doctor, _) = run(pki.path(), &["doctor", "--config", path, "--json"]);
    let report: Value = serde_json::from_str(&doctor).unwrap();
    let checks = report["targets"][0]["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == "authorities");
    let found = found.unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(
        (&found["level"], &status["status"]),
        (&"warn".into(), &"warning".into())
    );
    assert!(
        found["remedy"].as_str().unwrap().starts_with("remove it"),
        "{found}"
    );
    for part in parts {
        assert!(
            check.contains(part) && check.contains("tls.client.ca"),
            "{check}"
        );
        assert!(line.contains(part), "{line}");
        assert!(finding.contains(part), "{finding}");
        assert!(found["text"].as_str().unwrap().contains(part), "{found}");
    }
}

#[test]
fn an_authority_beside_netdatas_own_is_warned_of_by_name_and_date() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = config(&origin, "[\"builtin:netdata\", \"ca.pem\"]", "");
    let parts = [
        "trusts another authority beside Netdata's own (",
        "CN=Test Root CA",
        "until Jan  1 00:00:00 4096",
    ];
    is_warned_of(&pki, &config, &parts);
}

#[test]
fn a_throw_away_authority_is_warned_of_as_such_even_alone() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let (_, error) = run(pki.path(), &["send", "certificate", "sender"]);
    assert_eq!(error, "");
    let config = config(&origin, "\"sender/ca.pem\"", "");
    let parts = [
        "trusts a throw-away authority of \"send certificate\" (",
        "CN=Root CA (throw-away)\", until ",
    ];
    let parts = parts.map(|part| part.replace('"', "\\\""));
    // The log quotes what the others do not.
    let parts: Vec<_> = parts
        .iter()
        .map(|part| part.split('\\').next().unwrap())
        .collect();
    is_warned_of(&pki, &config, &parts);
}

#[test]
fn netdatas_authority_alone_or_one_s_own_alone_is_not_warned_of() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    for authorities in ["\"builtin:netdata\"", "\"ca.pem\""] {
        let config = config(&origin, authorities, "");
        let path = Proxy::write(&pki, &config);
        let (_, check) = run(pki.path(), &["check", "--config", path.to_str().unwrap()]);
        assert_eq!(check, "", "{authorities}");
        let proxy = Proxy::spawn(&pki, &config);
        assert_eq!(status(&proxy)["status"], "ok", "{authorities}");
        assert!(proxy.events("config_warning").is_empty());
    }
}

#[test]
fn a_route_for_every_customer_of_netdata_cloud_has_a_note() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    pki.write("bearer.secret", "a-bearer-token-of-some-length");
    let bearer = "auth.bearer = [{ token = { file = \"bearer.secret\" } }]";
    let note = "any customer of Netdata Cloud can post here";
    for (authorities, route, is_noted) in [
        ("\"builtin:netdata\"", "", true),
        ("\"builtin:netdata\"", "spaces = [\"acme\"]", false),
        ("\"builtin:netdata\"", bearer, false),
        ("\"ca.pem\"", "", false),
    ] {
        let config = config(&origin, authorities, route);
        let path = Proxy::write(&pki, &config);
        let (summary, _) = run(pki.path(), &["check", "--config", path.to_str().unwrap()]);
        assert_eq!(summary.contains(note), is_noted, "{route}: {summary}");
        let proxy = Proxy::spawn(&pki, &config);
        let status = status(&proxy);
        let shown = &status["routes"][0];
        assert_eq!(shown["path"], WEBHOOK);
        let shown = shown["note"].as_str().unwrap_or_default();
        assert_eq!(shown.starts_with(note), is_noted, "{route}: {shown}");
        let page = Operator::of(&proxy).get("/").body;
        assert_eq!(page.contains(note), is_noted, "{route}");
        // It is no problem: most have no other customer's alerts.
        assert_eq!(status["status"], "ok");
    }
}

#[test]
fn the_shipped_configurations_say_how_to_accept_ones_own_alone() {
    for (name, text) in [
        ("mtls", include_str!("../../conf/mtls.toml")),
        ("systemd", include_str!("../../conf/systemd/config.toml")),
        ("package", include_str!("../../conf/package/config.toml")),
        (
            "kubernetes",
            include_str!("../../conf/kubernetes/config.toml"),
        ),
        (
            "kubernetes/replicas",
            include_str!("../../conf/kubernetes/replicas/config.toml"),
        ),
        (
            "container",
            include_str!("../../conf/container/config.toml"),
        ),
        ("compose", include_str!("../../conf/compose/config.toml")),
    ] {
        for line in ["\n#spaces = [", "\n#auth.bearer = [{ token = { "] {
            assert!(text.contains(line), "{name}: {line}");
        }
        // As they are once the comment is taken away.
        let text = text
            .replace("\n#spaces", "\nspaces")
            .replace("\n#auth", "\nauth");
        assert!(toml::de::DeTable::parse(&text).is_ok(), "{name}: {text}");
    }
}
