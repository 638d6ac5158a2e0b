//! The command line and the configuration: what is wrong is said, all of it, with its place and its
//! remedy.

use crate::support::{Edit as _, Origin, Pki, Proxy};
use std::path::Path;
use std::process::{Command, Output};

const MINIMAL: &str = r#"
[listen]
https = "127.0.0.1:0"
[tls]
certificate = "server.pem"
private_key = "server.key"
[[routes]]
path = "/webhooks/netdata"
upstream = "http://127.0.0.1:3000"
challenge_secret = { file = "challenge.secret" }
"#;

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .output()
        .unwrap()
}

fn pki() -> Pki {
    let pki = Pki::new();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    pki
}

/// The exit code of `check`, and what it says about problems.
fn check(pki: &Pki, config: &str) -> (Option<i32>, String) {
    let path = pki.write("config.toml", config);
    let output = program(&["check", "--config", path.to_str().unwrap()]);
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[track_caller]
fn complains(pki: &Pki, config: &str, expected: &str) {
    let (code, said) = check(pki, config);
    assert_eq!(code, Some(2), "{config}\n{said}");
    assert!(said.contains(expected), "{expected:?} in {said}");
}

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
fn what_has_no_end_is_not_read_for_ever() {
    let pki = pki();
    for (from, to, expected) in [
        (
            "\"server.pem\"",
            "\"/dev/zero\"",
            "cannot read /dev/zero: it has more than 16 MiB",
        ),
        (
            "\"server.key\"",
            "\"/dev/zero\"",
            "cannot read /dev/zero: it has more than 16 MiB",
        ),
        (
            "[[routes]]",
            "[tls.client]\nca = \"/dev/zero\"\n[[routes]]",
            "cannot read /dev/zero: it has more than 16 MiB",
        ),
        (
            "\"challenge.secret\"",
            "\"/dev/zero\"",
            "cannot read /dev/zero: it has more than 1 MiB",
        ),
        (
            "[[routes]]",
            "[tls.client]\ncrl = \"/dev/zero\"\n[[routes]]",
            "cannot read /dev/zero: it has more than 64 MiB",
        ),
    ] {
        let config = MINIMAL.edit(from, to);
        assert_ne!(config, MINIMAL, "{from}");
        complains(&pki, &config, expected);
    }
    let zero = |arguments: &[&str]| {
        let output = program(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && said.contains(": it has more than"),
            "{arguments:?}: {said}"
        );
    };
    zero(&["check", "--config", "/dev/zero"]);
    zero(&["challenge", "--secret-file", "/dev/zero", "x"]);
    for option in ["--cert", "--ca", "--bearer-file"] {
        zero(&["send", "alert", "https://x/", option, "/dev/zero"]);
    }
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

#[test]
fn files_that_are_not_what_they_should_be_are_errors() {
    let pki = pki();
    let ca = std::fs::read_to_string(pki.path().join("ca.pem")).unwrap();
    let server = std::fs::read_to_string(pki.path().join("server.pem")).unwrap();
    pki.write("empty.pem", "");
    pki.write("garbage.pem", "garbage\n");
    pki.write("truncated.pem", &ca[..ca.len() / 2]);
    pki.write(
        "no-der.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    pki.write(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    pki.write(
        "other.key",
        &std::fs::read_to_string(Pki::new().path().join("server.key")).unwrap(),
    );
    pki.write(
        "crl.pem",
        &pki.revocation_list(&[], time::Duration::days(-1)),
    );
    std::fs::create_dir(pki.path().join("directory")).unwrap();
    assert!(server.contains("CERTIFICATE"));
    let trusts = |ca: &str| format!("{MINIMAL}[tls.client]\nca = [\"{ca}\"]\n");
    for wrong in [
        "missing.pem",
        "empty.pem",
        "garbage.pem",
        "truncated.pem",
        "no-der.pem",
        "directory",
        "server.key",
        "server.pem",
        "crl.pem",
        "builtin:x",
    ] {
        complains(&pki, &trusts(wrong), "tls.client.ca");
    }
    complains(
        &pki,
        &format!("{MINIMAL}[tls.client]\nca = []\n"),
        "tls.client.ca: must not be empty",
    );
    for wrong in [
        "missing.pem",
        "empty.pem",
        "garbage.pem",
        "truncated.pem",
        "no-der.pem",
        "directory",
        "server.key",
        "crl.pem",
    ] {
        complains(&pki, &MINIMAL.edit("server.pem", wrong), "tls.certificate");
    }
    for wrong in [
        "missing.pem",
        "empty.pem",
        "garbage.pem",
        "server.pem",
        "directory",
        "encrypted.key",
        "other.key",
    ] {
        complains(&pki, &MINIMAL.edit("server.key", wrong), "tls.private_key");
    }
    for wrong in [
        "missing.pem",
        "empty.pem",
        "garbage.pem",
        "ca.pem",
        "crl.pem",
        "directory",
    ] {
        complains(
            &pki,
            &format!("{MINIMAL}[tls.client]\ncrl = [\"{wrong}\"]\n"),
            "tls.client.crl",
        );
    }
}

#[test]
fn a_process_with_a_wrong_configuration_does_not_start() {
    let pki = pki();
    let config = pki.write(
        "config.toml",
        &format!("{MINIMAL}[tls.client]\nca = \"missing.pem\"\n"),
    );
    let output = program(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("config.toml:12: tls.client.ca"));
}

#[test]
fn a_port_that_is_taken_is_a_failure_while_running() {
    let pki = pki();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = pki.write("config.toml", &MINIMAL.edit("127.0.0.1:0", &address));
    let output = program(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(&format!("cannot listen on {address}"))
    );
}

#[test]
fn secrets_lose_one_newline_and_may_not_be_empty() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = MINIMAL.edit("http://127.0.0.1:3000", &origin.url);
    for (secret, code, said) in [
        ("", 2, "is empty"),
        ("\n", 2, "is empty"),
        ("short\n", 0, "warning: "),
        ("0123456789abcdef\n", 0, ""),
    ] {
        pki.write("challenge.secret", secret);
        let (exit, stderr) = check(&pki, &config);
        assert_eq!(exit, Some(code), "{secret:?}");
        assert!(
            stderr.contains(said) && (!said.is_empty() || stderr.is_empty()),
            "{secret:?}: {stderr}"
        );
        assert!(!stderr.contains("short"));
    }
    let answer = |secret: &str| {
        let path = pki.write("other.secret", secret);
        String::from_utf8(
            program(&["challenge", "--secret-file", path.to_str().unwrap(), "abc"]).stdout,
        )
        .unwrap()
    };
    let expected = "{\"response_token\":\"sha256=igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk=\"}\n";
    assert_eq!(answer("YOUR_CHALLENGE_SECRET"), expected);
    assert_eq!(answer("YOUR_CHALLENGE_SECRET\n"), expected);
    assert_ne!(answer("YOUR_CHALLENGE_SECRET\n\n"), expected);
    assert_ne!(answer(" YOUR_CHALLENGE_SECRET"), expected);
}

#[test]
fn secrets_may_come_from_the_environment_and_from_systemd() {
    let pki = pki();
    std::fs::create_dir(pki.path().join("credentials")).unwrap();
    pki.write("credentials/challenge", "YOUR_CHALLENGE_SECRET\n");
    for source in [
        "{ env = \"NETDATA_CHALLENGE\" }",
        "{ credential = \"challenge\" }",
    ] {
        let config = pki.write(
            "config.toml",
            &MINIMAL.edit("{ file = \"challenge.secret\" }", source),
        );
        let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
            .arg("check")
            .env("NETDATA_WEBHOOK_PROXY_CONFIG", &config)
            .env("NETDATA_CHALLENGE", "YOUR_CHALLENGE_SECRET")
            .env("CREDENTIALS_DIRECTORY", pki.path().join("credentials"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{source}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    complains(
        &pki,
        &MINIMAL.edit(
            "{ file = \"challenge.secret\" }",
            "{ credential = \"../x\" }",
        ),
        "the name of a credential",
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["serve"],
        &["run", "--confg", "x"],
        &["challenge", "x"],
    ] {
        assert_eq!(program(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(
        program(&["challenge", "--secret-file", "/nonexistent", "x"])
            .status
            .code(),
        Some(2)
    );
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        assert_eq!(program(arguments).status.code(), Some(0), "{arguments:?}");
    }
    assert!(
        String::from_utf8(program(&["--help"]).stdout)
            .unwrap()
            .contains("challenge")
    );
    assert!(Path::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy")).exists());
}

#[test]
fn logs_may_be_json_and_quiet() {
    let pki = pki();
    let origin = Origin::spawn();
    let config =
        Proxy::config(&origin, "require", "") + "[log]\nformat = \"json\"\nlevel = \"info\"\n";
    let proxy = Proxy::spawn(&pki, &config);
    crate::support::Sender::to(&proxy, Some(&pki.netdata())).post("{\"alert\":\"x\"}");
    let line: serde_json::Value = serde_json::from_str(&proxy.wait_for_log("\"outcome\"")).unwrap();
    for (key, value) in [
        ("message", "request"),
        ("code", "ok"),
        ("kind", "alert"),
        ("shape", "flat"),
        ("method", "POST"),
        ("path", "/webhooks/netdata"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!(line["status"], 200);
    let config = Proxy::config(&origin, "require", "") + "[log]\naccess = false\n";
    let proxy = Proxy::spawn(&pki, &config);
    crate::support::Sender::to(&proxy, Some(&pki.netdata())).post("{\"alert\":\"x\"}");
    assert_eq!(origin.wait_for(2).len(), 2);
    assert!(!proxy.log().iter().any(|line| line.contains("outcome")));
}
