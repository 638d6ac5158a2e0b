//! What `check` says about `sign`.

use super::{SIGN, SIGN_TWICE, new_secret};
use crate::support::{Edit as _, Origin, Pki, Proxy};
use std::process::Command;

/// The exit code of `check`, and what it says.
fn check(pki: &Pki, config: &str) -> (Option<i32>, String, String) {
    let path = pki.write("config.toml", config);
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["check", "--config"])
        .arg(path)
        .env("SIGNING_SECRET", new_secret())
        .output()
        .unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), stdout, stderr)
}

fn pki() -> Pki {
    let pki = Pki::new();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    for name in ["signing.secret", "next.secret"] {
        pki.write(name, &new_secret());
    }
    pki
}

#[test]
fn signatures_are_described() {
    let (pki, origin) = (pki(), Origin::spawn());
    for (route, expected) in [
        ("", "notifications of up to 1048576 bytes\n"),
        (SIGN, " of up to 1048576 bytes, signed with one secret\n"),
        (
            SIGN_TWICE,
            " of up to 1048576 bytes, signed with 2 secrets\n",
        ),
        (
            "sign = { secret = { env = \"SIGNING_SECRET\" } }",
            ", signed with one secret\n",
        ),
        ("sign = []", "notifications of up to 1048576 bytes\n"),
    ] {
        let (code, stdout, stderr) = check(&pki, &Proxy::config(&origin, "require", route));
        assert_eq!((code, &*stderr), (Some(0), ""), "{route}");
        assert!(stdout.contains(expected), "{route}: {stdout}");
    }
}

#[test]
fn a_secret_that_is_no_key_is_an_error() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", SIGN);
    for (secret, said) in [
        (
            "hunter2-hunter2-hunter2",
            "is a key of 23 bytes; Standard Webhooks requires 24 to 64",
        ),
        (
            "whsec_aHVudGVyMi1odW50ZXIyLWh1bnRlcjI=",
            "is a key of 23 bytes",
        ),
        (
            "whsec_hunter2-hunter2-hunter2-hunter2",
            "begins with whsec_, but base64 does not follow",
        ),
        (&"hunter2-".repeat(9), "is a key of 72 bytes"),
        ("", "is empty"),
    ] {
        pki.write("signing.secret", secret);
        let (code, stdout, stderr) = check(&pki, &config);
        assert_eq!(code, Some(2), "{secret}");
        assert!(
            stderr.contains("routes[0].sign.secret: ") && stderr.contains(said),
            "{secret}: {stderr}"
        );
        assert!(!(stdout + &stderr).contains("hunter2"));
    }
}

#[test]
fn a_secret_that_repeats_itself_is_a_warning() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "require", SIGN_TWICE);
    pki.write("next.secret", &"hunter2-".repeat(4));
    let (code, stdout, stderr) = check(&pki, &config);
    assert_eq!(code, Some(0), "{stderr}");
    let expected = "routes[0].sign[1].secret: the secret repeats itself so much that it can be guessed from one signature";
    assert!(stderr.contains(expected), "{stderr}");
    assert!(!(stdout + &stderr).contains("hunter2"));
}

#[test]
fn what_cannot_be_signed_is_an_error() {
    let (pki, origin) = (pki(), Origin::spawn());
    let webhook = Proxy::config(&origin, "require", SIGN);
    let proxied = webhook.edit("challenge_secret", "kind = \"proxy\" #");
    let digest = SIGN.edit(
        "file = \"signing.secret\"",
        &format!("sha256 = \"{}\"", "0".repeat(64)),
    );
    for (config, said) in [
        (proxied, "routes[0].sign: is for routes of kind \"webhook\""),
        (
            webhook.edit(SIGN, "sign = { file = \"signing.secret\" }"),
            "routes[0].sign.secret: must be { file",
        ),
        (
            webhook.edit(SIGN, "sign = \"signing.secret\""),
            "sign: must be an array of tables such as { secret = { file",
        ),
        (webhook.edit(SIGN, &digest), "routes[0].sign.secret: "),
    ] {
        let (code, _, stderr) = check(&pki, &config);
        assert_eq!(code, Some(2), "{config}");
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
}
