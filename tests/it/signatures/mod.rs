//! Signatures of Standard Webhooks, as the specification's own library verifies them.

mod configuration;
mod delivery;
mod receivers;

use crate::support::{Pki, Received, is_documented};
use http::HeaderMap;
use standardwebhooks::Webhook;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const SIGN: &str = "sign = { secret = { file = \"signing.secret\" } }\n";

const SIGN_TWICE: &str = "sign = [{ secret = { file = \"signing.secret\" } }, { secret = { file = \"next.secret\" } }]\n";

/// A secret as the manual makes one.
fn new_secret() -> String {
    let make = "echo \"whsec_$(openssl rand -base64 32)\"";
    assert!(is_documented(make));
    let output = Command::new("sh").args(["-c", make]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A new secret, and a file with it.
fn signing_secret(pki: &Pki, file: &str) -> String {
    let secret = new_secret();
    pki.write(file, &format!("{secret}\n"));
    secret
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(elapsed.as_secs()).unwrap()
}

fn webhook_headers(received: &Received) -> HeaderMap {
    let ours = received.headers.iter();
    let ours = ours.filter(|(name, _)| name.starts_with("webhook-"));
    ours.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

/// The library accepts what arrived: signed with this secret, and just now.
#[track_caller]
fn is_signed(received: &Received, secret: &str) {
    let key = Webhook::new(secret).unwrap();
    let headers = webhook_headers(received);
    assert_eq!(headers.len(), 3, "{received:?}");
    key.verify(&received.body, &headers).unwrap();
    assert_eq!(
        received.header("webhook-id"),
        received.header("Idempotency-Key")
    );
    let at: i64 = received.header("webhook-timestamp").parse().unwrap();
    assert!((now() - 60..=now()).contains(&at), "{at}");
}

/// The library does not accept it.
#[track_caller]
fn is_not_signed(received: &Received, secret: &str) {
    let key = Webhook::new(secret).unwrap();
    let verdict = key.verify(&received.body, &webhook_headers(received));
    assert!(verdict.is_err(), "{received:?}");
}
