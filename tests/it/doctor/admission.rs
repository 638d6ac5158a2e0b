//! Clients that are accepted by mistake, and servers that do not request Netdata's certificate.

use super::{Kit, answer, doctor, rightly, url};
use crate::support::{MisconfiguredServer, Origin, Pki, Proxy, Seen};

fn read(pki: &Pki) -> String {
    std::fs::read_to_string(pki.path().join("ca.pem")).unwrap()
}

#[test]
fn wrong_requests_for_a_certificate_are_found() {
    let kit = Kit::new();
    let other = Pki::of("Other CA");
    let (ours, theirs) = (kit.pki.authority().clone(), other.authority().clone());
    let good = || MisconfiguredServer::new(&kit.pki).answers(rightly);
    const CHECK: &str = "client certificate";

    let none = url(good().no_client_cert().spawn());
    kit.examine(&none, &[])
        .has(CHECK, "fail", "does not request one")
        .has("no certificate", "pass", "403");
    let found = kit.examine(&none, &["--no-client-certificate"]);
    found
        .has(CHECK, "pass", "as intended")
        .has("no credentials", "pass", "403");
    let wrong = kit.examine(
        &url(good().names(std::slice::from_ref(&theirs)).spawn()),
        &[],
    );
    wrong
        .has(CHECK, "fail", "Other CA")
        .has(CHECK, "fail", "Test Root CA");
    // Some of those that are expected.
    let both = kit
        .pki
        .write("both.pem", &[&kit.pki, &other].map(read).concat());
    let server = url(good().spawn());
    let partly = doctor(&[
        &server,
        "--server-ca",
        &kit.file("ca.pem"),
        "--client-ca",
        both.to_str().unwrap(),
    ]);
    partly.has(
        CHECK,
        "warn",
        "none of \"O=Test, CN=Other CA\", which is expected, too",
    );
    kit.examine(&url(good().names(&[theirs, ours]).spawn()), &[])
        .has(CHECK, "warn", "but also accepts");
    kit.examine(&url(good().names(&[]).spawn()), &[])
        .has(CHECK, "warn", "of any authority");
    let asks = kit.examine(&url(good().spawn()), &["--no-client-certificate"]);
    asks.has(CHECK, "warn", "not intended");
    // Unless told otherwise, it is Netdata's own that is to be asked for.
    let found = doctor(&[&url(good().spawn()), "--server-ca", &kit.file("ca.pem")]);
    found
        .has(CHECK, "fail", "Netdata")
        .has("forged certificate", "pass", "TLS alert");
}

#[test]
fn who_lets_everybody_in_is_found() {
    let kit = Kit::new();
    // It asks, and does not look.
    let address = MisconfiguredServer::new(&kit.pki)
        .optional_client_cert()
        .spawn();
    let found = kit.examine(&url(address), &[]);
    found
        .has("no certificate", "fail", "was accepted, with response 200")
        .has("forged certificate", "pass", "TLS alert");
    // It looks whether there is one, and not whose it is.
    let address = MisconfiguredServer::new(&kit.pki)
        .accept_any_client_cert()
        .answers(rightly)
        .spawn();
    let found = kit.examine(&url(address), &[]);
    found.has("no certificate", "pass", "TLS alert").has(
        "forged certificate",
        "fail",
        "were accepted",
    );
    // An answer of the application that only looks like a refusal.
    for status in [
        "404 Not Found",
        "405 Method Not Allowed",
        "400 Bad Request",
        "502 Bad Gateway",
    ] {
        let address = MisconfiguredServer::new(&kit.pki)
            .optional_client_cert()
            .answers(move |_| answer(status, "", ""))
            .spawn();
        kit.examine(&url(address), &[])
            .has("no certificate", "fail", &status[..3]);
    }
    // A proxy whose route is open on purpose; and one that only requires credentials.
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &kit.pki, "off", "auth = \"none\"");
    kit.examine(&url(proxy.address(0)), &["--no-client-certificate"])
        .has("no credentials", "fail", "was accepted");
    let bearer = "[routes.auth]\nbearer = [{ token = { file = \"challenge.secret\" } }]";
    let proxy = Proxy::in_front_of(&origin, &kit.pki, "off", bearer);
    kit.examine(&url(proxy.address(0)), &["--no-client-certificate"])
        .has("no credentials", "pass", "401 authorization_missing");
    origin.received_nothing();
}

#[test]
fn a_forgery_that_only_some_servers_forgive_is_found() {
    let kit = Kit::new();
    let lenient = || {
        MisconfiguredServer::new(&kit.pki)
            .optional_client_cert()
            .accept_unknown_issuer()
    };
    let found = kit.examine(&url(lenient().answers(rightly).spawn()), &[]);
    found.has("no certificate", "pass", "403").has(
        "forged certificate",
        "fail",
        "one of an unrelated authority",
    );
    found.has(
        "forged certificate",
        "fail",
        "one that signed itself, with response 400",
    );
    assert!(
        !found.checks["forged certificate"].1.contains("right name"),
        "{found:#?}"
    );
    // Where it is looked at afterwards, none gets in.
    let refuses = |_: &Seen| answer("403 Forbidden", "", "");
    kit.examine(&url(lenient().answers(refuses).spawn()), &[])
        .has("forged certificate", "pass", "403");
}

#[test]
fn an_authority_that_cannot_be_imitated_ends_nothing() {
    let kit = Kit::new();
    // A name with two attributes in one place, and one in the alphabet of Teletex.
    let server = url(MisconfiguredServer::new(&kit.pki).answers(rightly).spawn());
    for authority in [include_str!("two_at_once.pem"), include_str!("teletex.pem")] {
        let file = kit.pki.write("inimitable.pem", authority);
        let ca = kit.file("ca.pem");
        let found = doctor(&[
            &server,
            "--server-ca",
            &ca,
            "--client-ca",
            file.to_str().unwrap(),
        ]);
        found
            .has("forged certificate", "pass", "written in an unusual way")
            .has("clock", "skip", "");
        assert!(!format!("{found:?}").contains("X509Error"), "{found:#?}");
    }
}

#[test]
fn who_hangs_up_has_refused_nobody() {
    let kit = Kit::new();
    // As an application does that fails on a request without a body.
    for version in rustls::ALL_VERSIONS {
        let address = MisconfiguredServer::new(&kit.pki)
            .optional_client_cert()
            .speaks(&[*version])
            .accept_any_client_cert();
        let found = kit.examine(&url(address.answers(|_| String::new()).spawn()), &[]);
        found.has("no certificate", "warn", "unclear whether").has(
            "forged certificate",
            "warn",
            "unclear whether",
        );
    }
    let address = MisconfiguredServer::new(&kit.pki)
        .no_client_cert()
        .answers(|_| String::new())
        .spawn();
    kit.examine(&url(address), &["--no-client-certificate"])
        .has("no credentials", "warn", "the connection was closed");
}

#[test]
fn a_session_that_gets_in_without_a_certificate_is_found() {
    let kit = Kit::new();
    let resumed = |seen: &Seen| {
        if seen.is_resumed {
            answer("200 OK", "", "")
        } else {
            rightly(seen)
        }
    };
    for version in rustls::ALL_VERSIONS {
        let address = MisconfiguredServer::new(&kit.pki)
            .optional_client_cert()
            .resumes()
            .speaks(&[*version])
            .answers(resumed)
            .spawn();
        let found = kit.examine(&url(address), &[]);
        found.has("no certificate", "pass", "403").has(
            "resumption",
            "fail",
            "of a client with no certificate, resumed, was accepted",
        );
        // The same, where sessions are looked at.
        let address = MisconfiguredServer::new(&kit.pki)
            .optional_client_cert()
            .resumes()
            .speaks(&[*version])
            .answers(rightly)
            .spawn();
        kit.examine(&url(address), &[])
            .has("resumption", "pass", "but its requests are refused");
        // A session of a trusted client outlives the trust.
        let address = MisconfiguredServer::new(&kit.pki)
            .resumes()
            .speaks(&[*version])
            .answers(rightly)
            .spawn();
        kit.examine_whole(&url(address), &[])
            .has("resumption", "warn", "without its certificate");
    }
    let forged = |seen: &Seen| match (seen.is_resumed, seen.has_certificate) {
        (true, true) => answer("200 OK", "", ""),
        _ => answer("403 Forbidden", "", ""),
    };
    let address = MisconfiguredServer::new(&kit.pki)
        .optional_client_cert()
        .accept_any_client_cert()
        .resumes()
        .answers(forged)
        .spawn();
    let found = kit.examine(&url(address), &[]);
    found.has("forged certificate", "pass", "403").has(
        "resumption",
        "fail",
        "of a client with a forged certificate",
    );
}

#[test]
fn a_session_that_is_not_refused_any_more_is_not_passed() {
    let kit = Kit::new();
    for status in [
        "401 Unauthorized",
        "301 Moved Permanently",
        "429 Too Many Requests",
    ] {
        let resumed = move |seen: &Seen| {
            if seen.is_resumed {
                answer(status, "", "")
            } else {
                rightly(seen)
            }
        };
        let address = MisconfiguredServer::new(&kit.pki)
            .optional_client_cert()
            .resumes()
            .answers(resumed)
            .spawn();
        kit.examine(&url(address), &[])
            .has("resumption", "warn", &status[..3]);
    }
    let address = MisconfiguredServer::new(&kit.pki)
        .optional_client_cert()
        .resumes()
        .spawn();
    kit.examine(&url(address), &[])
        .has("resumption", "skip", "are accepted anyway");
    // A server that requires credentials first may require a certificate afterwards.
    let asks = |_: &Seen| answer("401 Unauthorized", "", "");
    let address = MisconfiguredServer::new(&kit.pki)
        .optional_client_cert()
        .resumes()
        .answers(asks)
        .spawn();
    kit.examine_whole(&url(address), &[])
        .has("resumption", "skip", "unclear whether");
}
