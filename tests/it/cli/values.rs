//! Keys and values of a configuration that cannot be.

use super::{MINIMAL, check, complains, pki, program};
use crate::support::{Edit as _, Origin};

#[test]
fn a_good_configuration_is_described() {
    let (pki, origin) = (pki(), Origin::spawn());
    let path = pki.write(
        "config.toml",
        &MINIMAL.edit("http://127.0.0.1:3000", &origin.url),
    );
    let output = program(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
    let said = String::from_utf8(output.stdout).unwrap();
    let route = format!("/webhooks/netdata → {}", origin.url);
    for part in [
        "127.0.0.1:0",
        "CN=app.netdata.cloud",
        &route,
        "the client certificate",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn all_problems_are_reported_at_once_with_their_places() {
    let config = r#"[listen]
htps = "127.0.0.1:8443"
http2 = "yes"
[tls]
certificate = "missing.pem"
private_key = "server.key"
[tls.client]
verify = "always"
[limts]
[[routes]]
path = "webhooks"
upstream = "ftp://x"
max_body = "1MB"
[routes.auth]
client_certificat = true
"#;
    let (code, said) = check(&pki(), config);
    assert_eq!(code, Some(2));
    for expected in [
        "config.toml:2: listen.htps: unknown key; did you mean \"https\"?",
        "config.toml:3: listen.http2: must be true or false, not \"yes\"",
        "config.toml:5: tls.certificate: cannot read",
        "config.toml:8: tls.client.verify: must be one of \"require\", \"request\", \"off\", not \"always\"",
        "config.toml:9: limts: unknown key; did you mean \"limits\"?",
        "config.toml:11: routes[0].path: must start with \"/\"",
        "config.toml:12: routes[0].upstream: must be \"http://host:port\"",
        "config.toml:13: routes[0].max_body: must be a size",
        "config.toml:15: routes[0].auth.client_certificat: unknown key; did you mean \"client_certificate\"?",
    ] {
        assert!(said.contains(expected), "{expected:?} in\n{said}");
    }
}

#[test]
fn an_admin_listener_that_others_can_reach_is_a_warning() {
    let pki = pki();
    let config = |listen: &str| format!("{MINIMAL}[admin]\nlisten = \"{listen}\"\n");
    for listen in ["127.0.0.1:9464", "[::1]:0", "127.8.9.1:1", ""] {
        let (code, said) = check(&pki, &config(listen));
        assert!(
            code == Some(0) && !said.contains("admin"),
            "{listen}: {said}"
        );
    }
    for listen in ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464"] {
        let (code, said) = check(&pki, &config(listen));
        assert_eq!(code, Some(0));
        assert!(
            said.contains("admin.listen: is not a loopback address"),
            "{said}"
        );
    }
    complains(
        &pki,
        &config("localhost"),
        "admin.listen: must be an address and a port",
    );
    complains(
        &pki,
        &format!("{MINIMAL}[admin]\nlistn = 1\n"),
        "admin.listn: unknown key; did you mean \"listen\"?",
    );
}

#[test]
fn what_is_missing_is_named() {
    let pki = pki();
    complains(&pki, "", "listen.https: missing");
    complains(&pki, "", "routes: missing");
    complains(&pki, "[listen]\nhttps = \"127.0.0.1:0\"\n", "tls: missing");
    complains(
        &pki,
        &MINIMAL.edit("path =", "# path ="),
        "routes[0].path: missing",
    );
    complains(
        &pki,
        &MINIMAL.edit("upstream =", "# upstream ="),
        "routes[0].upstream: missing",
    );
    complains(
        &pki,
        &MINIMAL.edit("certificate =", "# certificate ="),
        "tls.certificate: missing",
    );
    complains(&pki, "this is no TOML", "not TOML");
    let output = program(&["check", "--config", "/nonexistent/config.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/config.toml"));
}

#[test]
fn values_that_cannot_be_are_named() {
    let pki = pki();
    for (from, to, expected) in [
        (
            "127.0.0.1:0",
            "localhost",
            "listen.https: must be an address and a port",
        ),
        (
            "http://127.0.0.1:3000",
            "http://127.0.0.1:3000/app",
            "must not have a path",
        ),
        ("http://127.0.0.1:3000", "ftp://x", "must be \\\"http://"),
        (
            "http://127.0.0.1:3000",
            "http://a:b@x",
            "must not hold credentials",
        ),
        ("/webhooks/netdata", "/a*b", "only at its end"),
        (
            "{ file = \"challenge.secret\" }",
            "\"hunter2-hunter2-hunter2-hunter2-hunter2\"",
            "challenge_secret: must be a table",
        ),
        (
            "{ file = \"challenge.secret\" }",
            "{}",
            "challenge_secret: must be { file",
        ),
        (
            "{ file = \"challenge.secret\" }",
            "{ file = \"a\", env = \"B\" }",
            "names several sources",
        ),
        (
            "{ file = \"challenge.secret\" }",
            "{ env = \"NETDATA_NOT_SET\" }",
            "NETDATA_NOT_SET is not set",
        ),
        (
            "{ file = \"challenge.secret\" }",
            "{ file = \"missing.secret\" }",
            "cannot read",
        ),
        (
            "\"server.pem\"",
            "\"~/server.pem\"",
            "~ does not stand for a home directory",
        ),
        (
            "\"server.key\"",
            "\"$HOME/server.key\"",
            "variables are not replaced",
        ),
        (
            "\"server.key\"",
            "\"/etc/${NAME}/server.key\"",
            "variables are not replaced",
        ),
        (
            "\"challenge.secret\"",
            "\"file:///etc/challenge.secret\"",
            "is named by its path, not by a URL",
        ),
        (
            "\"challenge.secret\"",
            "\"~root/challenge.secret\"",
            "~ does not stand for a home directory",
        ),
    ] {
        complains(&pki, &MINIMAL.edit(from, to), &expected.replace('\\', ""));
    }
    for (more, expected) in [
        ("auth = \"everybody\"", "auth: must be a table"),
        (
            "set_headers = { \"X-A\" = \"$nothing\" }",
            "there is no variable $nothing",
        ),
        (
            "set_headers = { \"X-Netdata-Verified\" = \"x\" }",
            "is set by this program",
        ),
        (
            "set_headers = { \"Content-Length\" = \"x\" }",
            "is set by this program",
        ),
        ("max_body = 0", "must be more than 0"),
        (
            "buffer_body = \"64KiB\"",
            "buffer_body: is for routes of kind \"proxy\"",
        ),
        ("kind = \"magic\"", "kind: must be one of"),
        (
            "[routes.auth]\nclient_certificate = false",
            "would admit every client",
        ),
        (
            "[routes.auth]\nbasic = [{ username = \"a:b\", password = { file = \"challenge.secret\" } }]",
            "must not contain \":\"",
        ),
        (
            "[routes.auth]\nbearer = [{ token = { sha256 = \"abc\" } }]",
            "64 hexadecimal digits",
        ),
        (
            "[limits]\nheader_timeout = \"10\"",
            "limits.header_timeout: must be a duration",
        ),
        ("[limits]\nmax_connections = -1", "must be a whole number"),
        ("[server]\nthreads = 100000", "must be at most 1024"),
        (
            "[[routes]]\npath = \"/webhooks/netdata\"\nupstream = \"http://x\"",
            "two routes have the path",
        ),
        (
            "[tls.client]\nverify = \"off\"\n",
            "would admit every client",
        ),
        (
            "[tls.client]\ncommon_names = []\n",
            "common_names: must not be empty",
        ),
    ] {
        complains(&pki, &format!("{MINIMAL}{more}\n"), expected);
    }
    assert!(
        !check(
            &pki,
            &MINIMAL.edit(
                "{ file = \"challenge.secret\" }",
                "\"hunter2-hunter2-hunter2-hunter2-hunter2\""
            )
        )
        .1
        .contains("hunter2")
    );
}

#[test]
fn only_who_demands_nothing_lets_everybody_in() {
    let pki = pki();
    for (auth, expected) in [
        ("basic = []", "would admit every client"),
        (
            "bearer = [{ token = { sha256 = \"abc\" } }]",
            "64 hexadecimal digits",
        ),
        (
            "bearer = [{ token = { env = \"NETDATA_NOT_SET\" } }]",
            "NETDATA_NOT_SET is not set",
        ),
        (
            "basic = [{ username = \"a\", password = { file = \"missing.secret\" } }]",
            "cannot read",
        ),
        (
            "basic = [{ password = { file = \"challenge.secret\" } }]",
            "username",
        ),
    ] {
        let (code, said) = check(
            &pki,
            &format!("{MINIMAL}[routes.auth]\nclient_certificate = false\n{auth}\n"),
        );
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{auth}: {said}");
        assert!(said.contains(expected), "{auth}: {said}");
    }
}
