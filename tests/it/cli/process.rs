//! The process: its arguments, its exit codes, its log.

use super::{MINIMAL, pki, program};
use crate::support::{Edit as _, Origin, Proxy};
use std::path::Path;

#[test]
fn a_process_with_a_wrong_configuration_does_not_start() {
    let pki = pki();
    let config = pki.write(
        "config.toml",
        &format!("{MINIMAL}[tls.client]\nca = \"missing.pem\"\n"),
    );
    let output = program(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("config.toml:12: tls.client.ca"));
}

#[test]
fn a_port_that_is_taken_is_a_failure_while_running() {
    let pki = pki();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = pki.write("config.toml", &MINIMAL.edit("127.0.0.1:0", &address));
    let output = program(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(&format!("cannot listen on {address}"))
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["serve"],
        &["run", "--confg", "x"],
        &["challenge", "x"],
    ] {
        assert_eq!(program(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(
        program(&["challenge", "--secret-file", "/nonexistent", "x"])
            .status
            .code(),
        Some(2)
    );
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        assert_eq!(program(arguments).status.code(), Some(0), "{arguments:?}");
    }
    assert!(
        String::from_utf8(program(&["--help"]).stdout)
            .unwrap()
            .contains("challenge")
    );
    assert!(Path::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy")).exists());
}

#[test]
fn logs_may_be_json_and_quiet() {
    let pki = pki();
    let origin = Origin::spawn();
    let config =
        Proxy::config(&origin, "require", "") + "[log]\nformat = \"json\"\nlevel = \"info\"\n";
    let proxy = Proxy::spawn(&pki, &config);
    crate::support::Sender::to(&proxy, Some(&pki.netdata())).post("{\"alert\":\"x\"}");
    let line: serde_json::Value = serde_json::from_str(&proxy.wait_for_log("\"outcome\"")).unwrap();
    for (key, value) in [
        ("message", "request"),
        ("code", "ok"),
        ("kind", "alert"),
        ("shape", "flat"),
        ("method", "POST"),
        ("path", "/webhooks/netdata"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!(line["status"], 200);
    let config = Proxy::config(&origin, "require", "") + "[log]\naccess = false\n";
    let proxy = Proxy::spawn(&pki, &config);
    crate::support::Sender::to(&proxy, Some(&pki.netdata())).post("{\"alert\":\"x\"}");
    assert_eq!(origin.wait_for(2).len(), 2);
    assert!(!proxy.log().iter().any(|line| line.contains("outcome")));
}
