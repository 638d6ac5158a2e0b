//! What a health check asks, and what its answer means.
//!
//! | fault | the kind it stands for | test |
//! |---|---|---|
//! | a check said `Host: ADDRESS:PORT`; an application with a list of hosts answered 400, and its group was left out | a check that differs from the requests whose way it is to try | `a_check_asks_under_the_host_that_requests_carry`, `a_particular_application_passes_its_check` |
//! | the log said "status 400" of a server that runs | a failure that does not say whose it is | `a_check_that_is_refused_says_what_was_sent` |
//! | 401 of an application that wants credentials for everything | what is good for one is bad for another | `headers_and_statuses_are_a_matter_of_the_application` |
//! | an https upstream that answered 421 to every request, because TLS and `Host` named different hosts | what can be seen in the configuration, and was not said | `names_that_differ_are_warned_of` |

use crate::support::{Edit as _, Operator, Origin, Pki, Proxy, Sender, is_event};
use std::process::Command;

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// An authority, and a server's certificate for each of these names in `server.pem`.
fn pki(names: &[&str]) -> Pki {
    let pki = Pki::new();
    let names = names
        .iter()
        .map(|name| (*name).to_owned())
        .collect::<Vec<_>>();
    pki.server("server", |params| {
        params.subject_alt_names = rcgen::CertificateParams::new(names)
            .unwrap()
            .subject_alt_names;
    });
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    pki
}

/// A group of `origin` whose check asks for a path, with these further keys of the check and of the
/// group.
fn config(origin: &Origin, check: &str, group: &str) -> String {
    let check =
        format!("health_check = {{ path = \"/healthz\", interval = \"50ms\"{check} }}\n{group}\n");
    Proxy::config_of_group(&[origin], &check)
}

/// What a command says about a configuration, on both of its outputs.
fn said(pki: &Pki, command: &str, config: &str) -> String {
    let path = pki.write("config.toml", config);
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args([command, "--config"])
        .arg(path)
        .output()
        .unwrap();
    [output.stdout, output.stderr]
        .map(|text| String::from_utf8(text).unwrap())
        .concat()
}

#[test]
fn a_check_asks_under_the_host_that_requests_carry() {
    let (one, two) = (
        pki(&["hooks.example"]),
        pki(&["hooks.example", "www.hooks.example"]),
    );
    let (wild, none) = (pki(&["*.hooks.example"]), pki(&[]));
    let plain = Origin::spawn();
    let own = plain.url.strip_prefix("http://").unwrap();
    let socket = Origin::spawn_on_socket(&one.path().join("app.sock"));
    let set = |host: &str| format!("set_headers = {{ Host = \"{host}\" }}\n");
    for (pki, origin, check, route, expected) in [
        (&one, &plain, "", String::new(), "hooks.example"),
        (&one, &socket, "", String::new(), "hooks.example"),
        (
            &one,
            &plain,
            ", host = \"other.example:8080\"",
            String::new(),
            "other.example:8080",
        ),
        (&one, &plain, "", set("fixed.example"), "fixed.example"),
        (&one, &plain, "", set("$host"), "hooks.example"),
        (&one, &plain, "", set("$http_host"), "hooks.example"),
        (&one, &plain, "", set("$remote_addr"), own),
        (&two, &plain, "", set("fixed.example"), "fixed.example"),
        (&two, &plain, "", String::new(), own),
        (&wild, &plain, "", String::new(), own),
        (&none, &plain, "", String::new(), own),
        (&two, &socket, "", String::new(), "localhost"),
    ] {
        let config =
            config(origin, check, "").edit("[upstreams.app]", &format!("{route}[upstreams.app]"));
        let _proxy = Proxy::spawn(pki, &config);
        assert_eq!(
            origin.next_check().header("Host"),
            expected,
            "{check} {route}"
        );
    }
    // Two routes that disagree leave the server its own name.
    let second =
        "[[routes]]\npath = \"/b\"\nupstream = \"app\"\nset_headers = { Host = \"b.example\" }\n";
    let config =
        config(&plain, "", "").edit("[upstreams.app]", &format!("{second}[upstreams.app]"));
    let _proxy = Proxy::spawn(&one, &config);
    assert_eq!(plain.next_check().header("Host"), own);
}

/// Like Django with `ALLOWED_HOSTS`.
#[test]
fn a_particular_application_passes_its_check() {
    let pki = pki(&["localhost"]);
    let origin = Origin::spawn();
    origin.only_answers_checks_as("localhost");
    let proxy = Proxy::spawn(&pki, &config(&origin, "", ADMIN));
    let operator = Operator::of(&proxy);
    let healthy = format!(
        "upstream_healthy{{server=\"{}\",upstream=\"app\"}}",
        origin.url
    );
    origin.next_check();
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    assert_eq!(
        origin.received_one().header("Host"),
        "localhost",
        "as requests have it"
    );
    origin.next_check();
    assert_eq!(operator.metrics()[&healthy], 1.0);
    assert!(
        !proxy
            .log()
            .iter()
            .any(|line| is_event(line, "upstream_check_failed"))
    );
}

#[test]
fn a_check_that_is_refused_says_what_was_sent() {
    let pki = pki(&["hooks.example"]);
    let origin = Origin::spawn();
    origin.only_answers_checks_as("django.example");
    let wrong = config(&origin, ", headers = { X-Key = \"s3cret\" }", "");
    let right = config(&origin, ", host = \"django.example\"", "");
    let parts = [
        "/healthz returned status 400: the server is up",
        "Host: hooks.example",
        "x-key",
    ];
    let proxy = Proxy::spawn(&pki, &wrong);
    let line = proxy.wait_for_event("upstream_check_failed");
    let checked = said(&pki, "check", &wrong);
    let examined = said(
        &pki,
        "doctor",
        &wrong.edit("127.0.0.1:0", &proxy.address(0).to_string()),
    );
    for said in [&line, &checked, &examined] {
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert!(
        checked.contains("health check /healthz as hooks.example every"),
        "{checked}"
    );
    assert!(examined.contains("warn  health check"), "{examined}");
    // The group's alerts get through all the same.
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    let checked = said(&pki, "check", &right);
    assert!(
        !checked.contains("fails its health check") && checked.contains("as django.example every"),
        "{checked}"
    );
    let proxy = Proxy::spawn(&pki, &right);
    let examined = said(
        &pki,
        "doctor",
        &right.edit("127.0.0.1:0", &proxy.address(0).to_string()),
    );
    assert!(examined.contains("pass  health check"), "{examined}");
    origin.next_check();
    assert!(
        !proxy
            .log()
            .iter()
            .any(|line| is_event(line, "upstream_check_failed"))
    );
}

#[test]
fn headers_and_statuses_are_a_matter_of_the_application() {
    let origin = Origin::spawn();
    for (status, keys, is_good) in [
        (401, "", false),
        (401, ", status = [\"2xx\", \"401\"]", true),
        (404, ", status = \"4xx\"", true),
        (302, ", status = \"2xx\"", false),
        (200, ", status = \"204\"", false),
        (503, ", status = \"5xx\"", true),
    ] {
        origin.answers_checks_with(status);
        let config = config(
            &origin,
            &format!("{keys}, headers = {{ X-Probe = \"yes\", user-agent = \"p/1\" }}"),
            "",
        );
        let proxy = Proxy::spawn(Pki::shared(), &config);
        let check = origin.next_check();
        assert_eq!(
            (check.header("X-Probe"), check.header("User-Agent")),
            ("yes", "p/1")
        );
        match is_good {
            true => {
                origin.next_check();
                assert!(
                    !proxy
                        .log()
                        .iter()
                        .any(|line| is_event(line, "upstream_check_failed")),
                    "{status} {keys}"
                );
            }
            false => assert!(
                proxy
                    .wait_for_event("upstream_check_failed")
                    .contains(&status.to_string())
            ),
        }
    }
}

/// Its TLS asks for the name that requests ask for, whatever its GET says.
#[test]
fn a_check_over_tls_asks_for_the_name_of_the_server() {
    let (pki, theirs) = (pki(&["a.example", "b.example"]), Pki::of("Their Root CA"));
    pki.write(
        "upstream-ca.pem",
        &std::fs::read_to_string(theirs.path().join("ca.pem")).unwrap(),
    );
    let leaf = theirs.server("app.internal", |_| {});
    let tls = "ca = \"upstream-ca.pem\"\nserver_name = \"app.internal\"";
    for (check, host) in [
        ("", "app.internal"),
        (", host = \"hooks.example\"", "hooks.example"),
    ] {
        let origin = Origin::spawn_tls(Pki::server_config(&leaf, None));
        let proxy = Proxy::spawn(&pki, &config(&origin, check, tls));
        assert_eq!(origin.next_check().header("Host"), host);
        assert!(
            origin
                .server_names()
                .iter()
                .all(|name| name == "app.internal"),
            "{:?}",
            origin.server_names()
        );
        assert!(
            !proxy
                .log()
                .iter()
                .any(|line| is_event(line, "upstream_check_failed"))
        );
    }
}

#[test]
fn names_that_differ_are_warned_of() {
    let (one, two) = (
        pki(&["hooks.example"]),
        pki(&["hooks.example", "www.hooks.example"]),
    );
    let theirs = Pki::of("Their Root CA");
    let leaf = theirs.server("app.internal", |params| {
        let names = ["app.internal", "hooks.example"].map(str::to_owned);
        params.subject_alt_names = rcgen::CertificateParams::new(names)
            .unwrap()
            .subject_alt_names;
    });
    let origin = Origin::spawn_tls(Pki::server_config(&leaf, None));
    for pki in [&one, &two] {
        pki.write(
            "upstream-ca.pem",
            &std::fs::read_to_string(theirs.path().join("ca.pem")).unwrap(),
        );
    }
    let named = |name: &str| format!("ca = \"upstream-ca.pem\"\nserver_name = \"{name}\"");
    let set = "set_headers = { Host = \"app.internal\" }\n";
    for (pki, name, route, is_warned) in [
        (&one, "app.internal", "", true),
        (&one, "hooks.example", "", false),
        (&one, "Hooks.Example", "", false),
        (&one, "app.internal", set, false),
        (&one, "hooks.example", set, true),
        // What requests carry is not known.
        (&two, "app.internal", "", false),
    ] {
        let config = config(&origin, "", &named(name))
            .edit("[upstreams.app]", &format!("{route}[upstreams.app]"));
        let said = said(pki, "check", &config);
        assert_eq!(
            said.contains("set server_name"),
            is_warned,
            "{name} {route}: {said}"
        );
        assert_eq!(
            said.matches("421").count(),
            usize::from(is_warned),
            "{said}"
        );
    }
}
