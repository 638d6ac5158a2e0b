//! `health` asks the running process, and says in one line what it answers.

use crate::support::{Edit as _, Operator, Origin, Pki, Proxy, finish};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// The exit code, and what was said where.
fn health(config: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    command
        .args(["health", "--config"])
        .arg(config)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code().unwrap(), stdout, stderr)
}

/// A configuration that names an admin listener and little else: `health` needs no secrets, and no
/// keys.
fn config(pki: &Pki, admin: &str) -> std::path::PathBuf {
    pki.write(
        "health.toml",
        &format!("[tls]\nprivate_key = \"/nonexistent\"\n[admin]\nlisten = \"{admin}\"\n"),
    )
}

#[track_caller]
fn fails(config: &Path, arguments: &[&str], code: i32, expected: &str) {
    let (exit, stdout, stderr) = health(config, arguments);
    assert_eq!((exit, stdout.as_str()), (code, ""), "{stderr}");
    assert!(
        stderr.lines().count() == 1 && stderr.contains(expected),
        "{expected:?} in {stderr}"
    );
}

#[test]
fn a_process_that_serves_is_alive_and_ready_and_then_it_is_not() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let mut proxy = Proxy::spawn(
        &pki,
        &(Proxy::config(&origin, "require", "") + "[admin]\nlisten = \"127.0.0.1:0\"\n"),
    );
    let config = config(&pki, &Operator::of(&proxy).address.to_string());
    assert_eq!(
        health(&config, &[]),
        (0, "ok (200)\n".into(), String::new())
    );
    assert_eq!(
        health(&config, &["--ready"]),
        (0, "ok (200)\n".into(), String::new())
    );
    proxy.signal("TERM");
    proxy.wait();
    fails(&config, &[], 1, "does not respond");
}

#[test]
fn a_process_that_wants_no_traffic_is_alive_and_says_why() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    pki.short_lived_server("old", time::Duration::seconds(-1));
    let text = Proxy::config(&origin, "require", "").edit("server.", "old.");
    let proxy = Proxy::spawn(&pki, &(text + "[admin]\nlisten = \"127.0.0.1:0\"\n"));
    let config = config(&pki, &Operator::of(&proxy).address.to_string());
    assert_eq!(health(&config, &[]).0, 0);
    fails(
        &config,
        &["--ready"],
        1,
        "The server's certificate has expired",
    );
}

#[test]
fn without_a_listener_to_ask_the_remedy_is_said() {
    let pki = Pki::new();
    fails(
        &pki.write("none.toml", "[listen]\nhttps = \"0.0.0.0:8443\"\n"),
        &[],
        2,
        "[admin] with listen",
    );
    fails(&config(&pki, "127.0.0.1:0"), &[], 2, "uses port 0");
    fails(
        &config(&pki, "localhost"),
        &[],
        2,
        "must be an address and a port",
    );
    fails(Path::new("/nonexistent.toml"), &[], 2, "/nonexistent.toml");
    fails(&pki.write("broken.toml", "[admin"), &[], 2, "not TOML");
}

#[test]
fn whoever_else_listens_there_is_not_waited_for() {
    let (pki, listener) = (Pki::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let config = config(&pki, &listener.local_addr().unwrap().to_string());
    // The first speaks another protocol; the second never ends; the third says nothing.
    thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        first.write_all(b"220 ready\r\n").unwrap();
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        while second.write_all(b"HTTP/1.1 200 OK\r\n").is_ok() {}
        let (mut third, _) = listener.accept().unwrap();
        let _ = third.read_to_end(&mut Vec::new());
    });
    fails(&config, &[], 1, "does not");
    fails(&config, &[], 1, "does not");
    fails(&config, &[], 1, "no response within");
}
