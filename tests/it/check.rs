//! `check` warns of what works and is unwise, each with its place; `run` logs the same.

use crate::support::{Edit as _, Origin, Pki, Proxy, finish, is_event};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use time::OffsetDateTime;

fn pki() -> Pki {
    let pki = Pki::new();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    pki
}

/// What `check` says about a configuration that is not wrong.
#[track_caller]
fn check(pki: &Pki, config: &str) -> (String, String) {
    let path = pki.write("config.toml", config);
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    command
        .args(["check", "--config"])
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    (stdout, stderr)
}

/// It has this one warning.
#[track_caller]
fn warns(pki: &Pki, config: &str, expected: &str) {
    let (_, stderr) = check(pki, config);
    assert!(
        stderr.lines().count() == 1 && stderr.starts_with("warning: "),
        "{stderr}"
    );
    assert!(stderr.contains(expected), "{expected:?} in {stderr}");
}

/// Replaces the server's certificate by one that `change` changes.
fn certify(pki: &Pki, with_issuer: bool, change: impl FnOnce(&mut CertificateParams)) {
    let key = KeyPair::generate().unwrap();
    let text = key.serialize_pem();
    let leaf = pki.leaf_with_key(key, |params| {
        params.subject_alt_names = CertificateParams::new(vec!["hooks.example".to_owned()])
            .unwrap()
            .subject_alt_names;
        change(params);
    });
    let pem = |der: &[u8]| {
        let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, der);
        format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")
    };
    let issuer = if with_issuer {
        pem(pki.authority())
    } else {
        String::new()
    };
    pki.write("server.pem", &(pem(&leaf.chain[0]) + &issuer));
    // In place, so that its mode stays.
    std::fs::write(pki.path().join("server.key"), text).unwrap();
}

#[test]
fn nothing_is_said_about_what_is_good_and_the_certificate_is_described() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    assert_eq!(check(&pki, &config).1, "");
    certify(&pki, true, |_| {});
    let (stdout, stderr) = check(&pki, &config);
    assert_eq!(stderr, "");
    assert!(stdout.contains("for hooks.example, until "), "{stdout}");
}

#[test]
fn what_is_believed_of_whom_is_described() {
    let (pki, origin) = (pki(), Origin::spawn());
    for (protocol, expected) in [
        (
            "false",
            "trusted  X-Forwarded-For of 10.0.0.0/8, 192.0.2.1/32",
        ),
        (
            "true",
            "trusted  10.0.0.0/8, 192.0.2.1/32, which must send a PROXY protocol header",
        ),
    ] {
        let trusted = format!(
            "[listen]\nproxy_protocol = {protocol}\ntrusted_proxies = [\"10.0.0.0/8\", \"192.0.2.1\"]\n"
        );
        let config = Proxy::config(&origin, "require", "").edit_first("[listen]\n", &trusted);
        let (stdout, _) = check(&pki, &config);
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
}

#[test]
fn a_route_that_no_request_reaches() {
    let (pki, origin) = (pki(), Origin::spawn());
    for (path, is_reached) in [
        ("/Webhooks/Netdata", false),
        ("/webhooks/netdata/", false),
        ("/webhooks/netdata/*", true),
        ("/webhooks/netdata/below", true),
        ("/webhooks/*", true),
        ("/*", true),
    ] {
        let other = format!(
            "[[routes]]\npath = \"{path}\"\nkind = \"proxy\"\nupstream = \"{}\"\n",
            origin.url
        );
        let config = Proxy::config(&origin, "require", "") + &other;
        match is_reached {
            true => assert_eq!(check(&pki, &config).1, "", "{path}"),
            false => warns(&pki, &config, &format!("no request reaches \"{path}\"")),
        }
    }
}

#[test]
fn a_key_that_others_may_read() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    for (mode, who) in [
        (0o640, "is open to its group (mode 0640)"),
        (0o644, "is open to every user of this machine"),
    ] {
        std::fs::set_permissions(pki.path().join("server.key"), Permissions::from_mode(mode))
            .unwrap();
        warns(&pki, &config, who);
        warns(&pki, &config, "config.toml:5: tls.private_key: ");
    }
}

#[test]
fn a_certificate_that_expires_soon_or_has() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    let now = OffsetDateTime::now_utc();
    let days = time::Duration::days;
    certify(&pki, true, |params| {
        params.not_after = now + days(13) - time::Duration::minutes(1)
    });
    warns(&pki, &config, "expires in 12 days");
    warns(&pki, &config, "config.toml:4: tls.certificate: ");
    // No client accepts these, so `check` does not either. What runs goes on, for a reload may bring
    // something else.
    let proxy = Proxy::spawn(&pki, &config);
    for (from, until, said) in [(-9, -1, "has expired on "), (1, 9, "is not valid before ")] {
        certify(&pki, true, |params| {
            (params.not_before, params.not_after) = (now + days(from), now + days(until))
        });
        let said = format!(
            "error: {}: tls.certificate: \"O=Netdata, Inc., CN=app.netdata.cloud\" {said}",
            pki.path().join("config.toml:4").display()
        );
        let path = pki.write("config.toml", &config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        let output = command
            .args(["check", "--config"])
            .arg(path)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), stderr.lines().count()),
            (Some(2), 1),
            "{stderr}"
        );
        assert!(stderr.starts_with(&said), "{said} in {stderr}");
        proxy.reload(&config);
    }
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| is_event(line, "config_reloaded"))
            .count(),
        2
    );
    // What stands above it may be needed, or not.
    certify(&pki, true, |_| {});
    let good = std::fs::read_to_string(pki.path().join("server.pem")).unwrap();
    let old = pki.changed_authority(|params| params.not_after = now - days(1));
    pki.write("server.pem", &(good + &old));
    warns(&pki, &config, "renew it, or remove it if no client does");
}

#[test]
fn a_chain_that_is_not_whole() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    certify(&pki, false, |_| {});
    warns(
        &pki,
        &config,
        "tls.certificate: lacks the certificate of the issuer, ",
    );
    let leaf = std::fs::read_to_string(pki.path().join("server.pem")).unwrap();
    let other = std::fs::read_to_string(Pki::of("Other Root CA").path().join("ca.pem")).unwrap();
    pki.write("server.pem", &(leaf + &other));
    warns(&pki, &config, "Other Root CA\" follows");
}

#[test]
fn a_certificate_without_a_host() {
    let (pki, origin) = (pki(), Origin::spawn());
    certify(&pki, true, |params| params.subject_alt_names.clear());
    warns(
        &pki,
        &Proxy::config(&origin, "require", ""),
        "tls.certificate: has no DNS name",
    );
}

#[test]
fn a_certificate_of_an_authority() {
    let (pki, origin) = (pki(), Origin::spawn());
    for (is_ca, is_unwise) in [
        (IsCa::Ca(BasicConstraints::Unconstrained), true),
        (IsCa::ExplicitNoCa, false),
        (IsCa::NoCa, false),
    ] {
        certify(&pki, true, |params| params.is_ca = is_ca);
        let config = Proxy::config(&origin, "require", "");
        match is_unwise {
            true => warns(
                &pki,
                &config,
                "tls.certificate: is a CA certificate (CA:TRUE)",
            ),
            false => assert_eq!(check(&pki, &config).1, ""),
        }
    }
}

#[test]
fn a_challenge_secret_that_can_be_guessed() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    for (secret, said) in [
        ("hunter2\n", "has 7 bytes"),
        ("hunter2hunter2hunter2\n", "repeats itself"),
    ] {
        pki.write("challenge.secret", secret);
        warns(&pki, &config, said);
        warns(&pki, &config, "routes[0].challenge_secret: ");
        assert!(!check(&pki, &config).1.contains("hunter2"));
    }
}

#[test]
fn a_route_for_everybody() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "auth = \"none\"");
    warns(
        &pki,
        &config,
        "routes[0].auth: any client may use this route",
    );
}

#[test]
fn names_of_files_that_a_shell_would_change() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = |key: &str| {
        Proxy::config(&origin, "require", "").edit("[server]", &format!("[server]\n{key}"))
    };
    for (key, name) in [
        ("pid_file", "proxy.pid"),
        ("upgrade_socket", "proxy.upgrade"),
    ] {
        for (start, why) in [
            ("~/", "~ does not stand"),
            ("$HOME/", "variables are not replaced"),
            ("file:///", "not by a URL"),
        ] {
            warns(&pki, &config(&format!("{key} = \"{start}{name}\"")), why);
        }
    }
}

#[test]
fn keys_about_bodies_that_are_not_looked_at() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config =
        |route: &str| Proxy::config(&origin, "require", &format!("schema = \"off\"\n{route}"));
    warns(
        &pki,
        &config("spaces = [\"acme\"]"),
        "routes[0].spaces: requires reading bodies although schema is \"off\"",
    );
    warns(
        &pki,
        &config("tests = \"answer\""),
        "routes[0].tests: has no effect",
    );
    assert_eq!(check(&pki, &config("")).1, "");
}

#[test]
fn how_bodies_are_judged_is_described() {
    let (pki, origin) = (pki(), Origin::spawn());
    for (schema, said) in [
        (
            "enforce",
            "acknowledges Test notifications; forwards notifications of up to ",
        ),
        (
            "strict",
            "acknowledges Test notifications; forwards only alerts and reachability notifications of known types of up to ",
        ),
        (
            "warn",
            "acknowledges Test notifications; forwards any JSON object, with a warning if it is not recognised of up to ",
        ),
        (
            "off",
            "does not recognise Test notifications; forwards any body unread of up to ",
        ),
    ] {
        let (stdout, _) = check(
            &pki,
            &Proxy::config(&origin, "require", &format!("schema = \"{schema}\"")),
        );
        assert!(stdout.contains(said), "{stdout}");
    }
}

#[test]
fn an_application_that_does_not_answer() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    // A port that was free a moment ago, a socket that is not there, and a name that does not
    // exist.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for upstream in [
        format!("http://{free}"),
        "unix:missing.sock".into(),
        "http://name.invalid:80".into(),
    ] {
        let config = config.edit(&origin.url, &upstream);
        warns(&pki, &config, " does not respond: ");
        // It may come later, so a start does not depend on it.
        let proxy = Proxy::spawn(&pki, &config);
        assert!(
            !proxy
                .log()
                .iter()
                .any(|line| line.contains("does not respond"))
        );
    }
    let path = pki.path().join("app.sock");
    let on_socket = Origin::spawn_on_socket(&path);
    assert_eq!(check(&pki, &config.edit(&origin.url, &on_socket.url)).1, "");
}

#[test]
fn a_start_and_a_reload_log_the_same() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "auth = \"none\"");
    let proxy = Proxy::spawn(&pki, &config);
    assert!(
        proxy
            .wait_for_log("any client may use this route")
            .contains(" WARN ")
    );
    proxy.reload(&config);
    proxy.wait_for_logs("any client may use this route", 2);
}
