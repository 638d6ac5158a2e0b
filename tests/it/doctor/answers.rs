//! What is answered to a challenge, and when; redirects, idle connections, dates.

use super::{Kit, SECRET, answer, rightly, run, url};
use crate::support::{Edit as _, MisconfiguredServer, Origin, Pki, Proxy, Seen};
use netdata_webhook_proxy::internals::Secret;
use netdata_webhook_proxy::response_token;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

#[test]
fn wrong_answers_to_the_challenge_are_found() {
    let kit = Kit::new();
    let examine = |answers: fn(&Seen) -> String| {
        kit.examine_whole(
            &url(MisconfiguredServer::new(&kit.pki).answers(answers).spawn()),
            &[],
        )
    };
    examine(|_| answer("200 OK", "", "{\"response_token\":\"sha256=AAAA\"}")).has(
        "challenge",
        "fail",
        "another secret",
    );
    examine(|_| answer("200 OK", "", "hello")).has("challenge", "fail", "the response is not");
    examine(|_| answer("404 Not Found", "", "")).has("challenge", "fail", "404 instead of 200");
    // As an application does that does not undo the percent-encoding.
    examine(|seen| match seen.request.split_once("crc_token=") {
        Some((_, raw)) if seen.has_certificate => {
            let token = response_token(&Secret::new(SECRET.into()), raw);
            answer("200 OK", "", &format!("{{\"response_token\":\"{token}\"}}"))
        }
        _ => rightly(seen),
    })
    .has("challenge", "fail", "as it appears in the URL");

    let origin = Origin::spawn();
    let proxy = Proxy::spawn(
        &kit.pki,
        &Proxy::config(&origin, "require", "").edit("challenge_secret", "# "),
    );
    kit.examine_whole(&url(proxy.address(0)), &[]).has(
        "challenge",
        "fail",
        "404 challenge_disabled",
    );
    let proxy = Proxy::in_front_of(&origin, &kit.pki, "require", "");
    let wrong = url(proxy.address(0)) + "/";
    kit.examine_whole(&wrong, &[])
        .has("challenge", "fail", "404 not_found");
    let secret = kit.pki.write("other.secret", "another secret than that\n");
    let found = kit.examine_whole(&url(proxy.address(0)), &[]);
    found.has("challenge", "pass", "right");
    let (certificate, key) = (kit.file("netdata.pem"), kit.file("netdata.key"));
    let arguments = [
        "--certificate",
        &certificate,
        "--key",
        &key,
        "--secret-file",
        secret.to_str().unwrap(),
    ];
    kit.examine(&url(proxy.address(0)), &arguments)
        .has("challenge", "fail", "another secret");
}

#[test]
fn a_certificate_that_is_not_trusted_is_found() {
    let kit = Kit::new();
    kit.pki
        .write_leaf("netdata", &Pki::of("Other CA").netdata());
    let address = MisconfiguredServer::new(&kit.pki).answers(rightly).spawn();
    kit.examine_whole(&url(address), &[]).has(
        "challenge",
        "fail",
        "does not trust the given certificate: TLS alert",
    );
}

#[test]
fn a_slow_challenge_is_found() {
    let kit = Kit::new();
    let (end, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let address = MisconfiguredServer::new(&kit.pki).answers(move |seen| {
        // What other checks ask is answered at once.
        if seen.request.starts_with("GET") && !seen.request.ends_with("=doctor") {
            // An error says that the test is over.
            let _ = ended.lock().unwrap().recv();
        }
        rightly(seen)
    });
    kit.examine_whole(&url(address.spawn()), &["--timeout", "1"])
        .has("challenge", "fail", "no response within 1 s");
    drop(end);
    // It is not answered before all of the answer is there.
    let address = MisconfiguredServer::new(&kit.pki)
        .answers(rightly)
        .delay_body(Duration::from_millis(1100))
        .spawn();
    kit.examine_whole(&url(address), &[])
        .has("challenge", "warn", "right, but after 1");
}

#[test]
fn a_redirect_is_found() {
    let kit = Kit::new();
    let redirects = |_: &Seen| {
        answer(
            "301 Moved Permanently",
            "Location: https://www.example/\u{9b}2J\r\n",
            "",
        )
    };
    let strict = url(MisconfiguredServer::new(&kit.pki)
        .answers(redirects)
        .spawn());
    kit.examine_whole(&strict, &[])
        .has("redirect", "fail", "301 to https://www.example/")
        .has("challenge", "fail", "301");
    kit.examine(&strict, &[]).has("redirect", "skip", "--cert ");
    let polite = url(MisconfiguredServer::new(&kit.pki)
        .optional_client_cert()
        .answers(redirects)
        .spawn());
    kit.examine(&polite, &[])
        .has("redirect", "fail", "301")
        .has("no certificate", "warn", "a redirect");
    // It is unknown for requests that are refused.
    let polite_and_right = url(MisconfiguredServer::new(&kit.pki)
        .optional_client_cert()
        .answers(rightly)
        .spawn());
    kit.examine(&polite_and_right, &[])
        .has("redirect", "skip", "no request was accepted");
    kit.examine_whole(&polite_and_right, &[])
        .has("redirect", "pass", "none");
    assert!(
        !String::from_utf8_lossy(&run(&[&polite]).stdout).contains('\u{9b}'),
        "what a server says moves no cursor"
    );
}

#[test]
fn a_connection_that_is_closed_early_is_found() {
    let kit = Kit::new();
    let server = || MisconfiguredServer::new(&kit.pki).answers(rightly);
    let early = url(server().waits(Duration::from_millis(500)).spawn());
    kit.examine_whole(&early, &["--slow"])
        .has("idle timeout", "fail", "closed after 0.");
    let late = url(server().spawn());
    kit.examine_whole(&late, &["--slow=1"])
        .has("idle timeout", "skip", "still open after 1 s");
    kit.examine_whole(&late, &[])
        .has("idle timeout", "skip", "--slow");
    kit.examine(&late, &["--slow=1"])
        .has("idle timeout", "skip", "no connection to keep idle");
    // A server that announces the close does not race.
    let each = |seen: &Seen| rightly(seen).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let found = kit.examine_whole(
        &url(MisconfiguredServer::new(&kit.pki).answers(each).spawn()),
        &["--slow=1"],
    );
    found.has("idle timeout", "pass", "no connection is ever idle");
    let refuses = |_: &Seen| answer("404 Not Found", "Connection: close\r\n", "");
    let found = kit.examine_whole(
        &url(MisconfiguredServer::new(&kit.pki).answers(refuses).spawn()),
        &["--slow=1"],
    );
    found.has("idle timeout", "skip", "after the response, 404");
    assert!(
        !found.checks["idle timeout"].1.contains("--cert "),
        "{found:#?}"
    );
}

#[test]
fn a_wrong_clock_is_found() {
    let kit = Kit::new();
    let dated = |offset: i64| {
        let server = MisconfiguredServer::new(&kit.pki).answers(move |seen| {
            let wrong =
                SystemTime::from(OffsetDateTime::now_utc() + time::Duration::seconds(offset));
            let (right, rest) = (answer("", "", ""), rightly(seen));
            let date = right.lines().nth(1).unwrap().to_owned();
            rest.replace(&date, &format!("Date: {}", httpdate::fmt_http_date(wrong)))
        });
        kit.examine_whole(&url(server.spawn()), &[])
    };
    dated(0).has("clock", "pass", "agree");
    dated(60).has("clock", "warn", "ahead of");
    dated(-60).has("clock", "warn", "behind");
    dated(3600).has("clock", "fail", "ahead of");
    dated(-3600).has("clock", "fail", "behind");
}
