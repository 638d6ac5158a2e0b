//! `doctor` finds each mistake that is planted, says what to do about it, and is content with what
//! is right.

mod admission;
mod answers;
mod certificate;
mod configuration;
mod forged_subjects;
mod peers;
mod reach;

use crate::support::{
    Leaf, MisconfiguredServer, Origin, Pki, Proxy, Seen, WEBHOOK, finish, is_documented,
};
use netdata_webhook_proxy::internals::Secret;
use netdata_webhook_proxy::internals::challenge::{crc_token, response_token};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::SystemTime;

const SECRET: &str = "YOUR_CHALLENGE_SECRET";

/// What was found.
#[derive(Debug)]
struct Diagnosis {
    code: i32,
    /// Level, text and remedy of each check.
    checks: BTreeMap<String, (String, String, String)>,
}

impl Diagnosis {
    #[track_caller]
    fn has(&self, check: &str, level: &str, text: &str) -> &Self {
        let found = self
            .checks
            .get(check)
            .unwrap_or_else(|| panic!("no {check} in {self:#?}"));
        assert!(
            found.0 == level && found.1.contains(text),
            "{check}: {level} {text:?} in {self:#?}"
        );
        assert_eq!(
            found.2.is_empty(),
            ["pass", "skip"].contains(&level),
            "a remedy: {found:?}"
        );
        assert_eq!(
            self.code,
            i32::from(self.checks.values().any(|(level, ..)| level == "fail")),
            "{self:#?}"
        );
        self
    }

    /// These and no others are not passed.
    #[track_caller]
    fn not_passed(&self, expected: &[&str]) {
        let not_passed: Vec<_> = self
            .checks
            .iter()
            .filter(|(_, (level, ..))| level != "pass")
            .map(|(check, _)| check)
            .collect();
        assert_eq!(not_passed, expected, "{self:#?}");
    }
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    command
        .env_remove("NETDATA_WEBHOOK_PROXY_CONFIG")
        .arg("doctor")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

/// Of the only target, or of the last of several.
#[track_caller]
fn doctor(arguments: &[&str]) -> Diagnosis {
    let output = run(&[&["--json"], arguments].concat());
    let (stdout, stderr) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr),
    );
    let report: serde_json::Value =
        serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    assert_eq!(report["ok"], output.status.code() == Some(0));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let checks = report["targets"].as_array().unwrap().last().unwrap()["checks"]
        .as_array()
        .unwrap();
    let checks = checks.iter().map(|it| {
        (
            text(&it["check"]),
            (text(&it["level"]), text(&it["text"]), text(&it["remedy"])),
        )
    });
    Diagnosis {
        code: output.status.code().unwrap(),
        checks: checks.collect(),
    }
}

/// What an operator has at hand: authorities, a certificate that is trusted, the secret.
struct Kit {
    pki: Pki,
}

impl Kit {
    fn new() -> Self {
        let pki = Pki::new();
        pki.write_leaf("netdata", &pki.netdata());
        pki.write("challenge.secret", &format!("{SECRET}\n"));
        Self { pki }
    }

    fn file(&self, name: &str) -> String {
        self.pki.path().join(name).to_str().unwrap().to_owned()
    }

    /// What `doctor` says about `url`, without a client certificate.
    #[track_caller]
    fn examine(&self, url: &str, more: &[&str]) -> Diagnosis {
        let ca = self.file("ca.pem");
        doctor(&[&[url, "--server-ca", &ca, "--client-ca", &ca], more].concat())
    }

    /// With the certificate and the secret.
    #[track_caller]
    fn examine_whole(&self, url: &str, more: &[&str]) -> Diagnosis {
        let [certificate, key, secret] =
            ["netdata.pem", "netdata.key", "challenge.secret"].map(|name| self.file(name));
        let whole = [
            "--certificate",
            &certificate,
            "--key",
            &key,
            "--secret-file",
            &secret,
        ];
        self.examine(url, &[&whole[..], more].concat())
    }

    /// A server certificate for `localhost`, of which `change` changes something.
    fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        self.pki.leaf(|params| {
            params.subject_alt_names = localhost();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            change(params);
        })
    }
}

fn localhost() -> Vec<rcgen::SanType> {
    CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .subject_alt_names
}

fn url(address: SocketAddr) -> String {
    format!("https://localhost:{}{WEBHOOK}", address.port())
}

/// An answer with a date.
fn answer(status: &str, headers: &str, body: &str) -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!(
        "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// As an application does that answers challenges itself.
fn rightly(seen: &Seen) -> String {
    match seen.request.split_once('?') {
        Some((_, query)) if seen.has_certificate => {
            let token = crc_token(query.as_bytes()).unwrap();
            let token = response_token(&Secret::new(SECRET.into()), &token);
            answer("200 OK", "", &format!("{{\"response_token\":\"{token}\"}}"))
        }
        _ if seen.has_certificate => answer("400 Bad Request", "", "no notification"),
        _ => answer("403 Forbidden", "", "who are you?"),
    }
}

/// Answers every ClientHello with these bytes, and closes.
fn scripted(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut hello = [0; 8192];
            // A connection that only probes the port sends nothing.
            if let Ok(length @ 1..) = socket.read(&mut hello) {
                let _ = socket.write_all(&answer(&hello[..length]));
            }
        }
    });
    address
}

#[test]
fn nothing_is_wrong_with_the_program_itself() {
    let (kit, origin) = (Kit::new(), Origin::spawn());
    for verify in ["require", "request"] {
        let proxy = Proxy::in_front_of(&origin, &kit.pki, verify, "");
        let found = kit.examine_whole(&url(proxy.address(0)), &["--slow=1"]);
        found.not_passed(&["idle timeout", "name"]);
        found.has("name", "warn", "127.0.0.1, which is not public");
        found.has("challenge", "pass", "right, after");
        for check in found.checks.keys() {
            assert!(
                is_documented(&format!("`{check}`")),
                "{check} is not in the manual"
            );
        }
        found.has(
            "resumption",
            "pass",
            "does not bypass client authentication",
        );
        assert_eq!(found.code, 0);
        // Without what only Netdata Cloud has, as much as is possible.
        let found = kit.examine(&url(proxy.address(0)), &[]);
        found
            .has("no certificate", "pass", "refused")
            .has("forged certificate", "pass", "refused");
        found.has(
            "challenge",
            "skip",
            "needs a client certificate that the server trusts",
        );
        found.has("idle timeout", "skip", "--slow");
    }
    origin.received_nothing();
}

#[test]
fn a_good_server_of_another_make_is_good() {
    let kit = Kit::new();
    let address = MisconfiguredServer::new(&kit.pki).answers(rightly).spawn();
    kit.examine_whole(&url(address), &["--slow=1"])
        .not_passed(&["idle timeout", "name"]);
    let address = MisconfiguredServer::new(&kit.pki)
        .optional_client_cert()
        .answers(rightly)
        .spawn();
    kit.examine_whole(&url(address), &["--slow=1"])
        .not_passed(&["idle timeout", "name"]);
}
