//! The command line and the configuration: what is wrong is said, all of it, with its place and its
//! remedy.

mod files;
mod process;
mod values;

use crate::support::Pki;
use std::process::{Command, Output};

const MINIMAL: &str = r#"
[listen]
https = "127.0.0.1:0"
[tls]
certificate = "server.pem"
private_key = "server.key"
[[routes]]
path = "/webhooks/netdata"
upstream = "http://127.0.0.1:3000"
challenge_secret = { file = "challenge.secret" }
"#;

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .output()
        .unwrap()
}

fn pki() -> Pki {
    let pki = Pki::new();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    pki
}

/// The exit code of `check`, and what it says about problems.
fn check(pki: &Pki, config: &str) -> (Option<i32>, String) {
    let path = pki.write("config.toml", config);
    let output = program(&["check", "--config", path.to_str().unwrap()]);
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[track_caller]
fn complains(pki: &Pki, config: &str, expected: &str) {
    let (code, said) = check(pki, config);
    assert_eq!(code, Some(2), "{config}\n{said}");
    assert!(said.contains(expected), "{expected:?} in {said}");
}
