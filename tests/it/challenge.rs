//! The proxy responds to the challenge, and the application never does.

use crate::support::{Edit as _, Http2, Origin, Pki, Proxy, Sender, WEBHOOK};

fn scene(route: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", route);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

#[test]
fn the_vectors_are_answered_and_never_reach_the_application() {
    let (origin, _proxy, sender) = scene("");
    for (query, token) in [
        (
            "?crc_token=abc",
            "sha256=igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk=",
        ),
        (
            "?crc_token=a+b",
            "sha256=+FYBgGG2E9SKTubKuapUoiczJR7C3m438PSfuwB9bpA=",
        ),
        (
            "?crc_token=a%20b",
            "sha256=+FYBgGG2E9SKTubKuapUoiczJR7C3m438PSfuwB9bpA=",
        ),
        (
            "?nonce=1&crc_token=a%2Bb&x",
            "sha256=BvpYePUUn9Wp+7+og3jHYXgKdZOI/zn4SiQ1e0UQJU8=",
        ),
    ] {
        let answer = sender.get(query);
        assert_eq!(
            (answer.status, answer.body),
            (200, format!("{{\"response_token\":\"{token}\"}}")),
            "{query}"
        );
    }
    let mut http2 = Http2::connect(&sender).unwrap();
    let answer = http2
        .send("GET", &format!("{WEBHOOK}?crc_token=abc"), &[], "")
        .unwrap();
    assert!(
        answer
            .body
            .contains("igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk="),
        "{answer:?}"
    );
    origin.received_nothing();
}

#[test]
fn the_answer_is_json_that_nobody_stores() {
    let (_origin, proxy, sender) = scene("");
    // Not by chance a part of an id, which is hexadecimal.
    let answer = sender.get("?crc_token=unmistakable");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let line = proxy.wait_for_log("outcome=\"challenge\"");
    assert!(
        line.contains("crc_token=***") && !line.contains("unmistakable"),
        "{line}"
    );
}

#[test]
fn a_secret_may_be_any_utf8() {
    let pki = Pki::new();
    pki.write("challenge.secret", "s3cr\u{e9}t\n");
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "require", "");
    let answer = Sender::to(&proxy, Some(&pki.netdata())).get("?crc_token=NDhlZjk0");
    assert!(
        answer
            .body
            .contains("sha256=NU0JH6TYFxeaRPcm9o7OI/ZOagx1Df8k0gOP8GV7dBA="),
        "{answer:?}"
    );
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let (origin, _proxy, sender) = scene("");
    sender.get("").refuses(400, "crc_token_missing");
    sender.get("?token=abc").refuses(400, "crc_token_missing");
    let long = format!("?crc_token={}", "x".repeat(1025));
    for query in [
        "?crc_token=",
        "?crc_token=a&crc_token=b",
        "?crc_token=%ff",
        &long,
    ] {
        sender.get(query).refuses(400, "crc_token_invalid");
    }
    origin.received_nothing();
}

#[test]
fn a_token_that_is_given_twice_is_answered_if_it_is_the_same() {
    let (origin, _proxy, sender) = scene("");
    let once = sender.get("?crc_token=abc").body;
    for query in [
        "?crc_token=abc&crc_token=abc",
        "?crc_token=abc&x=y&crc%5Ftoken=%61bc",
    ] {
        let answer = sender.get(query);
        assert_eq!((answer.status, &answer.body), (200, &once), "{query}");
    }
    sender
        .get("?crc_token=abc&crc_token=ab")
        .refuses(400, "crc_token_invalid");
    origin.received_nothing();
}

#[test]
fn without_a_secret_no_challenge_is_answered() {
    let origin = Origin::spawn();
    let config =
        Proxy::config(&origin, "require", "").edit("challenge_secret", "# challenge_secret");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    sender
        .get("?crc_token=abc")
        .refuses(404, "challenge_disabled");
    sender.get("").refuses(400, "crc_token_missing");
    origin.received_nothing();
}

#[test]
fn credentials_are_for_challenges_only_where_that_is_said() {
    let bearer = "[routes.auth]\nbearer = [{ token = { env = \"PATH\" } }]";
    let (_origin, _proxy, sender) = scene(bearer);
    assert_eq!(sender.get("?crc_token=abc").status, 200);
    let (_origin, _proxy, sender) = scene(&format!(
        "challenge_requires_authorization = true\n{bearer}"
    ));
    sender
        .get("?crc_token=abc")
        .refuses(401, "authorization_missing");
}

#[test]
fn other_methods_are_refused() {
    let (origin, _proxy, sender) = scene("");
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
        let answer = sender.send(method, WEBHOOK, "", "").unwrap();
        answer.refuses(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("GET, POST"), "{method}");
    }
    origin.received_nothing();
}
