//! The applications in the documentation that verify signatures: each accepts what the proxy has
//! signed, and nothing else.

use super::{SIGN, SIGN_TWICE, new_secret, now, signing_secret};
use crate::support::{Edit as _, Language, Pki, Proxy, Receiver, Sender, WEBHOOK, eventually};
use standardwebhooks::Webhook;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

const FLAT_ALERT: &str = include_str!("../bodies/flat-alert.json");
const NESTED_ALERT: &str = include_str!("../bodies/nested-critical.json");

/// Of nearly the size that the proxy lets through.
fn large_alert() -> String {
    let info = "x".repeat(1024 * 1024 - 1024);
    format!("{{\"message\":\"large\",\"alert\":\"x\",\"info\":\"{info}\"}}")
}

fn sign(secret: &str, id: &str, at: i64, body: &str) -> String {
    let key = Webhook::new(secret).unwrap();
    key.sign(id, at, body.as_bytes()).unwrap()
}

/// The status with which an application answers to what is sent to it past the proxy.
fn status_past_the_proxy(receiver: &Receiver, headers: &str, body: &str) -> u16 {
    let address = receiver.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    connection.write_all((head + body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn fields(id: &str, timestamp: i64, signature: &str) -> String {
    format!(
        "webhook-id: {id}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: {signature}\r\n"
    )
}

/// What is not genuine, each in one way: name and headers.
fn forgeries(secret: &str, body: &str) -> Vec<(&'static str, String)> {
    let now = now();
    let good = sign(secret, "t-1", now, body);
    let other = new_secret();
    let stale = |at| fields("t-1", at, &sign(secret, "t-1", at, body));
    vec![
        ("no signature", String::new()),
        ("an empty signature", fields("t-1", now, "")),
        ("a part of one", fields("t-1", now, &good[..good.len() - 1])),
        ("its version alone", fields("t-1", now, "v1,")),
        (
            "another version",
            fields("t-1", now, &good.edit("v1,", "v2,")),
        ),
        (
            "another secret",
            fields("t-1", now, &sign(&other, "t-1", now, body)),
        ),
        ("another id", fields("t-2", now, &good)),
        ("another time", fields("t-1", now + 1, &good)),
        (
            "another body",
            fields("t-1", now, &sign(secret, "t-1", now, "{}")),
        ),
        ("too old", stale(now - 600)),
        ("too new", stale(now + 600)),
        (
            "no time",
            fields("t-1", now, &good).edit(&now.to_string(), "now"),
        ),
    ]
}

fn accepts_only_what_is_signed(language: &Language) {
    let pki = Pki::new();
    let secret = signing_secret(&pki, "signing.secret");
    let variables = [("WEBHOOK_SECRET", secret.as_str())];
    let Some(receiver) = Receiver::start_with(language, language.verifying(), &variables) else {
        return;
    };
    // During a rotation, each of the signatures is good enough.
    signing_secret(&pki, "next.secret");
    for route in [SIGN, SIGN_TWICE] {
        let signing = Proxy::spawn(&pki, &Proxy::config_for(&receiver.url, "require", route));
        let netdata = Sender::to(&signing, Some(&pki.netdata()));
        assert_eq!(netdata.post(NESTED_ALERT).status, 204);
        assert_eq!(netdata.post(&large_alert()).status, 204);
    }
    let at = now();
    let genuine = fields("t-1", at, &sign(&secret, "t-1", at, FLAT_ALERT));
    assert_eq!(status_past_the_proxy(&receiver, &genuine, FLAT_ALERT), 204);
    for (what, headers) in forgeries(&secret, FLAT_ALERT) {
        let status = status_past_the_proxy(&receiver, &headers, FLAT_ALERT);
        assert_eq!(status, 401, "{what}");
    }
    let unsigned = Proxy::spawn(&pki, &Proxy::config_for(&receiver.url, "require", ""));
    let netdata = Sender::to(&unsigned, Some(&pki.netdata()));
    assert_eq!(netdata.post(FLAT_ALERT).status, 401);
    let alert = "Disk /var space usage = 97%";
    printed_verified(receiver, &[alert, "large", alert, "large", "cpu high"]);
}

/// It has printed these messages as verified, and nothing else.
#[track_caller]
fn printed_verified(mut receiver: Receiver, messages: &[&str]) {
    eventually("what is to be printed", || {
        (receiver.lines().len() >= messages.len()).then_some(())
    });
    receiver.end();
    let lines = receiver.lines();
    assert_eq!(lines.len(), messages.len(), "{lines:#?}");
    for (line, message) in lines.iter().zip(messages) {
        assert!(
            line.starts_with("verified ") && line.contains(message),
            "{line}"
        );
    }
}

#[test]
fn a_flask_application_accepts_only_what_is_signed() {
    accepts_only_what_is_signed(&Language::FLASK);
}

#[test]
fn an_express_application_accepts_only_what_is_signed() {
    accepts_only_what_is_signed(&Language::EXPRESS);
}

#[test]
fn a_go_application_accepts_only_what_is_signed() {
    accepts_only_what_is_signed(&Language::GO);
}

#[test]
fn an_axum_application_accepts_only_what_is_signed() {
    accepts_only_what_is_signed(&Language::AXUM);
}
