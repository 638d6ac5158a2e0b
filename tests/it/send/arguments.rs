//! Arguments that cannot be, and reports for people and for scripts.

use super::{Scene, run};

#[test]
fn what_is_wrong_with_the_arguments_is_exit_code_2() {
    let scene = Scene::new("");
    let [cert, key, secret, other] = [
        "netdata.pem",
        "netdata.key",
        "challenge.secret",
        "server.key",
    ]
    .map(|it| scene.file(it));
    let missing = scene.file("missing");
    for (arguments, expected) in [
        (&["alert"][..], "<URL>"),
        (&["alert", "hooks.example"], "must begin with https://"),
        (&["alert", "https://a:b@hooks.example/"], "--basic"),
        (
            &[
                "challenge",
                "https://x/?a&crc_token=b",
                "--secret-file",
                &secret,
            ],
            "--token",
        ),
        (&["alert", "https://x/", "--severity", "bad"], "critical"),
        (&["alert", "https://x/", "--shape", "round"], "nested"),
        (&["alert", "https://x/", "--repeat", "0"], "--repeat"),
        (
            &["alert", "https://x/", "--repeat", "1k"],
            "must be an integer of at least 1",
        ),
        (
            &["alert", "https://x/", "--active-alerts", "100001"],
            "must be an integer from 0 to 100000",
        ),
        (
            &["alert", "https://x/", "--duration", "0"],
            "must be a number from 0.001 to 1000000",
        ),
        (
            &["alert", "https://x/", "--connect-to", "localhost:1"],
            "such as 192.0.2.1:443",
        ),
        (
            &["alert", "https://x/", "--dry-run", "--json"],
            "cannot be used with",
        ),
        (
            &["alert", "https://x/", "--concurrency", "0"],
            "--concurrency",
        ),
        (&["alert", "https://x/", "--rate", "0"], "--rate"),
        (&["alert", "https://x/", "--rate", "NaN"], "--rate"),
        (&["alert", "https://x/", "--timeout", "0"], "--timeout"),
        (&["alert", "https://x/", "--key", &key], "--cert"),
        (&["alert", "https://x/", "--cert", &missing], "cannot read"),
        (
            &["alert", "https://x/", "--cert", &cert],
            "holds a certificate and no private key",
        ),
        (
            &["alert", "https://x/", "--cert", &cert, "--key", &other],
            "is not the key of",
        ),
        (
            &["alert", "https://x/", "--cert", &key, "--key", &key],
            "holds a private key and no certificate",
        ),
        (
            &["alert", "https://x/", "--ca", &secret],
            "holds no certificate",
        ),
        (
            &["alert", "http://x/", "--cert", &cert, "--key", &key],
            "https://",
        ),
        (&["alert", "https://x/", "--basic", "a"], "--password-file"),
        (
            &["alert", "https://x/", "--password-file", &secret],
            "--basic",
        ),
        (
            &[
                "alert",
                "https://x/",
                "--basic",
                "a:b",
                "--password-file",
                &secret,
            ],
            "must not contain",
        ),
        (
            &["alert", "https://x/", "--bearer-file", &missing],
            "cannot read",
        ),
        (
            &["alert", "https://x/", "--bearer-env", "NOT_SET_AT_ALL"],
            "is not set",
        ),
        (
            &[
                "alert",
                "https://x/",
                "--bearer-file",
                &secret,
                "--bearer-env",
                "X",
            ],
            "cannot be used with",
        ),
        (
            &["alert", "https://x/", "-H", "Host: y"],
            "is set by this program",
        ),
        (&["challenge", "https://x/"], "--secret-file"),
        (
            &["challenge", "https://x/", "--secret-file", &missing],
            "cannot read",
        ),
        (&["file", &missing, "https://x/"], "cannot read"),
        (&["certificate", &secret], "cannot write"),
    ] {
        let said = run(arguments).ends_with(2);
        assert!(
            said.err.contains(expected) && said.out.is_empty(),
            "{arguments:?}: {said:?}"
        );
    }
    scene.origin.received_nothing();
}

#[test]
fn people_read_what_scripts_read() {
    let scene = Scene::new("");
    let ca = scene.file("ca.pem");
    let [cert, key] = ["netdata.pem", "netdata.key"].map(|name| scene.file(name));
    let send = |arguments: &[&str]| {
        run(&[
            arguments,
            &[&scene.url(), "--ca", &ca, "--cert", &cert, "--key", &key],
        ]
        .concat())
    };
    let said = send(&["alert", "--seed", "5"]).ends_with(0);
    for part in [
        &format!("alert to {} (HTTP/2, TLS 1.3)", scene.url()),
        "accepted     1 × 200 OK",
        "latency",
        "--seed 5",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    let said = send(&["alert", "--repeat", "10", "--concurrency", "2"]).ends_with(0);
    for part in [
        "accepted     10 × 200",
        "p50 ",
        "p90 ",
        "p99 ",
        "max ",
        "/s: 10 in",
        "2 at a time",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    scene.pki.write("x.json", "{}");
    let said = send(&["file", &scene.file("x.json")]).ends_with(1);
    for part in [
        "refused      1 × 422 schema_mismatch: ",
        "The value at \"\" must be",
        "request id ",
        "→ compare the body",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
}
