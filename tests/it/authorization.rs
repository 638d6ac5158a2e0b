//! Credentials: Basic and Bearer, several of each, beside the certificate.

use crate::support::{Answer, Edit as _, Origin, Pki, Proxy, Sender, WEBHOOK};
use base64::prelude::{BASE64_STANDARD, Engine as _};

const ALERT: &str = "{\"alert\":\"x\"}";

const AUTH: &str = "[routes.auth]\n\
    basic = [{ username = \"netdata\", password = { file = \"basic.secret\" } },\n\
             { username = \"old\", password = { sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\" } }]\n\
    bearer = [{ token = { file = \"bearer.secret\" } }, { token = { file = \"next.secret\" } }]\n";

fn scene(route: &str) -> (Pki, Origin, Proxy) {
    let pki = Pki::new();
    pki.write("basic.secret", "pass:word\n");
    pki.write("bearer.secret", "b3arer-t0ken\n");
    pki.write("next.secret", "n3xt-t0ken");
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "require", route);
    (pki, origin, proxy)
}

fn post(sender: &Sender, headers: &str) -> Answer {
    sender.send("POST", WEBHOOK, headers, ALERT).unwrap()
}

fn basic(credentials: &str) -> String {
    format!(
        "Authorization: Basic {}\r\n",
        BASE64_STANDARD.encode(credentials)
    )
}

#[test]
fn any_accepted_credentials_pass_and_stay_here() {
    let (pki, origin, proxy) = scene(AUTH);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    for (header, verified) in [
        (basic("netdata:pass:word"), "client-certificate, basic"),
        (
            basic("old:secret").edit("Basic", "bASIC"),
            "client-certificate, basic",
        ),
        (
            "Authorization: Bearer b3arer-t0ken\r\n".into(),
            "client-certificate, bearer",
        ),
        (
            "authorization: bearer n3xt-t0ken\r\n".into(),
            "client-certificate, bearer",
        ),
    ] {
        assert_eq!(post(&sender, &header).status, 200, "{header}");
        let received = origin.received().pop().unwrap();
        assert_eq!(received.header("X-Netdata-Verified"), verified);
        assert!(received.all("authorization").is_empty(), "{received:?}");
    }
}

/// Once by mistake, or because two files hold the same: neither makes a wrong one right, nor the
/// right one wrong.
#[test]
fn credentials_may_be_listed_twice() {
    let twice = "[routes.auth]\n\
                 basic = [{ username = \"netdata\", password = { file = \"basic.secret\" } },\n\
                          { username = \"netdata\", password = { file = \"basic.secret\" } },\n\
                          { username = \"netdata\", password = { file = \"next.secret\" } }]\n\
                 bearer = [{ token = { file = \"bearer.secret\" } }, { token = { file = \"bearer.secret\" } }]\n";
    let (pki, origin, proxy) = scene(twice);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let right = [
        basic("netdata:pass:word"),
        basic("netdata:n3xt-t0ken"),
        "Authorization: Bearer b3arer-t0ken\r\n".into(),
    ];
    for header in &right {
        assert_eq!(post(&sender, header).status, 200, "{header}");
        post(&sender, &header.repeat(2)).refuses(401, "authorization_invalid");
    }
    for header in [
        basic("netdata:"),
        basic("netdata:pass:wordpass:word"),
        "Authorization: Bearer n3xt-t0ken\r\n".into(),
    ] {
        post(&sender, &header).refuses(401, "authorization_invalid");
    }
    assert_eq!(origin.received().len(), right.len());
}

#[test]
fn missing_and_wrong_credentials_are_refused() {
    let (pki, origin, proxy) = scene(AUTH);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let missing = post(&sender, "");
    missing.refuses(401, "authorization_missing");
    let offered = missing.header("www-authenticate").unwrap();
    assert!(
        offered.contains("Basic realm=") && offered.contains("Bearer realm="),
        "{offered}"
    );
    for header in [
        basic("netdata:pass"),
        basic("netdata:pass:word2"),
        basic("old:pass:word"),
        basic("netdata"),
        "Authorization: Basic !!!\r\n".into(),
        "Authorization: Bearer b3arer-t0ke\r\n".into(),
        "Authorization: Bearer\r\n".into(),
        "Authorization: b3arer-t0ken\r\n".into(),
        "Authorization: Digest x\r\n".into(),
        "Authorization: \r\n".into(),
        basic("netdata:pass:word").repeat(2),
        format!("{}Authorization: Bearer b3arer-t0ken\r\n", basic("a:b")),
    ] {
        let answer = post(&sender, &header);
        answer.refuses(401, "authorization_invalid");
        assert!(answer.header("www-authenticate").is_some());
    }
    origin.received_nothing();
}

#[test]
fn no_secret_is_in_the_log() {
    let (pki, _origin, proxy) = scene(AUTH);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    post(&sender, &basic("netdata:pass:word"));
    post(&sender, "Authorization: Bearer wr0ng-t0ken\r\n");
    proxy.wait_for_log("authorization_invalid");
    let log = proxy.log().join("\n");
    for secret in [
        "pass:word",
        "wr0ng-t0ken",
        &BASE64_STANDARD.encode("netdata:pass:word"),
        "{\"alert\"",
        "Authorization:",
    ] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn the_certificate_comes_first_and_is_demanded_beside_credentials() {
    let (pki, origin, proxy) = scene(AUTH);
    let forged = Sender::to(&proxy, Some(&pki.named("evil")));
    post(&forged, "Authorization: Bearer b3arer-t0ken\r\n").refuses(403, "common_name_mismatch");
    origin.received_nothing();
}

#[test]
fn credentials_alone_suffice_where_that_is_said() {
    let pki = Pki::shared();
    let origin = Origin::spawn();
    let auth = "[routes.auth]\nbearer = [{ token = { sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\" } }]";
    let proxy = Proxy::in_front_of(&origin, pki, "off", auth);
    let sender = Sender::to(&proxy, None);
    post(&sender, "").refuses(401, "authorization_missing");
    origin.received_nothing();
    assert_eq!(
        post(&sender, "Authorization: Bearer secret\r\n").status,
        200
    );
    let received = origin.received_one();
    assert_eq!(received.header("X-Netdata-Verified"), "bearer");
    assert!(
        received.all("Client-Cert").is_empty() && received.all("X-Netdata-Client-CN").is_empty()
    );
}

#[test]
fn the_application_sees_credentials_where_that_is_said() {
    let (pki, origin, proxy) = scene(&format!("forward_authorization = true\n{AUTH}"));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(
        post(&sender, "Authorization: Bearer b3arer-t0ken\r\n").status,
        200
    );
    assert_eq!(
        origin.received_one().header("authorization"),
        "Bearer b3arer-t0ken"
    );
}
