//! The answer to a challenge is verified, and what is wrong with it is named.

use super::{SECRET, Said, Scene, run, url};
use crate::support::{Edit as _, MisconfiguredServer, Origin, Pki, Proxy, Reply};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use netdata_webhook_proxy::internals::Secret;
use netdata_webhook_proxy::internals::challenge::{crc_token, response_token};
use serde_json::Value;
use std::thread;
use std::time::Duration;

fn hmac(secret: &str, text: &str) -> String {
    response_token(&Secret::new(secret.into()), text)
}

#[test]
fn the_right_secret_is_told_from_a_wrong_one() {
    let scene = Scene::new("");
    let secret = scene.file("challenge.secret");
    for arguments in [
        &[][..],
        &["--token", "a b+c&d=%41"],
        &["--token", "abc", "--http", "1.1"],
        &["--repeat", "20"],
    ] {
        let said = scene
            .send(&[&["challenge", "--secret-file", &secret], arguments].concat())
            .ends_with(0);
        assert_eq!(said.report()["results"][0]["status"], 200);
    }
    scene
        .pki
        .write("wrong.secret", "another secret than that\n");
    let said = scene
        .send(&["challenge", "--secret-file", &scene.file("wrong.secret")])
        .ends_with(1);
    let result = said.all("refused", "challenge_failed", 1);
    assert!(
        result["text"].as_str().unwrap().contains("another secret"),
        "{result:#}"
    );
    assert!(
        result["advice"]
            .as_str()
            .unwrap()
            .contains("use the secret that Netdata's UI shows"),
        "{result:#}"
    );
    // A newline too many, on the side of the sender.
    scene.pki.write("newline.secret", &format!("{SECRET}\n\n"));
    scene
        .send(&["challenge", "--secret-file", &scene.file("newline.secret")])
        .ends_with(1);
    scene
        .send(&["challenge", "--secret-file", &secret, "--token", ""])
        .ends_with(1)
        .all("refused", "crc_token_invalid", 1);
    scene.origin.received_nothing();
}

#[test]
fn a_route_without_a_secret_answers_no_challenge() {
    let scene = Scene::new("");
    let secret = scene.file("challenge.secret");
    let config = Proxy::config(&scene.origin, "require", "").edit("challenge_secret", "# ");
    scene.proxy.reload(&config);
    let said = scene
        .send(&["challenge", "--secret-file", &secret])
        .ends_with(1);
    let result = said.all("refused", "challenge_disabled", 1);
    assert!(
        result["advice"]
            .as_str()
            .unwrap()
            .contains("challenge_secret"),
        "{result:#}"
    );
}

/// What is said about a server that answers a challenge with what `answer` makes of the raw value
/// and the token.
fn sent_to(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static, more: &[&str]) -> Said {
    let pki = Pki::new();
    let secret = pki.write("challenge.secret", SECRET);
    let server = MisconfiguredServer::new(&pki)
        .no_client_cert()
        .answers(move |seen| {
            let query = seen.request.split_once('?').unwrap().1;
            let token = crc_token(query.as_bytes()).unwrap();
            let body = answer(query.strip_prefix("crc_token=").unwrap(), &token);
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        });
    let (url, ca) = (url(server.spawn()), pki.path().join("ca.pem"));
    let arguments = [
        "challenge",
        &url,
        "--ca",
        ca.to_str().unwrap(),
        "--secret-file",
        secret.to_str().unwrap(),
        "--json",
    ];
    run(&[&arguments, more].concat())
}

fn json(token: &str) -> String {
    format!("{{\"response_token\":\"{token}\"}}")
}

#[test]
fn usual_mistakes_are_named() {
    let right = |_: &str, token: &str| json(&hmac(SECRET, token));
    sent_to(right, &[])
        .ends_with(0)
        .all("accepted", Value::Null, 1);
    type Answer = fn(&str, &str) -> String;
    let mistakes: [(Answer, &str); 9] = [
        (
            |raw, _| json(&hmac(SECRET, raw)),
            "as it appears in the URL",
        ),
        (
            |_, token| json(&hmac(&format!("{SECRET}\n"), token)),
            "a newline after it",
        ),
        (
            |_, token| json(hmac(SECRET, token).strip_prefix("sha256=").unwrap()),
            "\"sha256=\" is missing",
        ),
        (
            |_, token| json(hmac(SECRET, token).trim_end_matches('=')),
            "standard Base64",
        ),
        (
            |_, token| {
                let bytes = BASE64_STANDARD.decode(&hmac(SECRET, token)[7..]).unwrap();
                json(
                    &bytes
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect::<String>(),
                )
            },
            "hexadecimal",
        ),
        (
            |_, token| Value::from(json(&hmac(SECRET, token))).to_string(),
            "encoded twice",
        ),
        (
            |_, token| json(&hmac(SECRET, token)).edit("response_token", "token"),
            "no response_token",
        ),
        (|_, _| json(&hmac(SECRET, "")), "an empty string"),
        (|_, _| "<html>".into(), "not JSON"),
    ];
    for (answer, expected) in mistakes {
        let said = sent_to(answer, &[]).ends_with(1);
        let result = said.all("refused", "challenge_failed", 1);
        assert!(
            result["text"].as_str().unwrap().contains(expected),
            "{expected}: {result:#}"
        );
        assert!(
            result["advice"]
                .as_str()
                .is_some_and(|advice| !advice.is_empty()),
            "{result:#}"
        );
    }
}

#[test]
fn only_200_answers_a_challenge() {
    let origin = Origin::spawn();
    let pki = Pki::new();
    let secret = pki.write("challenge.secret", SECRET);
    for (status, code) in [
        ("204 No Content", Value::from("challenge_failed")),
        ("503 Service Unavailable", Value::Null),
    ] {
        origin.will([Reply::Raw(format!(
            "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"
        ))]);
        let said = run(&[
            "challenge",
            &origin.url,
            "--secret-file",
            secret.to_str().unwrap(),
            "--json",
        ]);
        said.ends_with(1).all("refused", code, 1);
    }
}

#[test]
fn a_right_answer_that_is_not_waited_for_is_no_answer() {
    let slow = |_: &str, token: &str| {
        thread::sleep(Duration::from_millis(3100));
        json(&hmac(SECRET, token))
    };
    sent_to(slow, &["--timeout", "3"])
        .ends_with(1)
        .all("unanswered", "timeout", 1);
}
