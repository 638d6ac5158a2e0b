//! Files that a configuration names: certificates, keys, lists, secrets.

use super::{MINIMAL, check, complains, pki, program};
use crate::support::{Edit as _, Origin, Pki};
use std::process::Command;

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
