//! A secret that is pasted for the name of a file, or as an option.

use super::{SECRET, config, pki, revealed, said};
use crate::support::Edit as _;

#[test]
fn what_is_pasted_for_a_file_is_not_repeated() {
    let pki = pki();
    let key = std::fs::read_to_string(pki.path().join("server.key")).unwrap();
    let certificate = pki.path().join("server.pem").to_str().unwrap().to_owned();
    let both = key.clone() + &std::fs::read_to_string(&certificate).unwrap();
    let plain = config("http://127.0.0.1:1", "");
    for (name, pasted) in [
        ("server.key", &key),
        ("server.pem", &both),
        ("ca.pem", &both),
    ] {
        let config = plain.edit(&format!("\"{name}\""), &format!("\"\"\"\n{pasted}\"\"\""));
        let path = pki.write("config.toml", &config);
        let (code, said) = said(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(
            (code, revealed(&said, key.as_bytes())),
            (Some(2), None),
            "{said}"
        );
    }
    let url = "https://127.0.0.1:1/";
    for arguments in [
        &["send", "alert", url, "--cert", &certificate, "--key", &key][..],
        &["send", "alert", url, "--bearer-file", SECRET],
        &["send", "alert", url, "--bearer-env", SECRET],
        &[
            "send",
            "alert",
            url,
            "--basic",
            "netdata",
            "--password-file",
            SECRET,
        ],
        &[
            "send",
            "alert",
            url,
            "--basic",
            &format!("netdata:{SECRET}"),
        ],
        &[
            "send",
            "alert",
            url,
            "--header",
            &format!("Authorization: Bearer {SECRET}"),
        ],
        &["send", "challenge", url, "--secret-file", SECRET],
        &["doctor", url, "--secret-file", SECRET],
        &["doctor", url, "--certificate", &certificate, "--key", &key],
        &["challenge", "--secret-file", SECRET, "token"],
        &["send", "alert", url, "--basic", "netdata", SECRET],
        &[
            "send",
            "alert",
            url,
            "--bearer-file",
            "bearer.secret",
            SECRET,
        ],
        &["challenge", "token", SECRET],
    ] {
        let (code, said) = said(arguments);
        assert_eq!(code, Some(2), "{said}");
        assert_eq!(revealed(&said, SECRET.as_bytes()), None, "{said}");
        assert_eq!(revealed(&said, key.as_bytes()), None, "{said}");
    }
}

#[test]
fn an_option_that_takes_no_secret_does_not_repeat_one() {
    let url = "https://127.0.0.1:1/";
    for option in [
        "--bearer",
        "--password",
        "--token",
        "--secret",
        "--authorization",
        "-p",
        "--challenge-secret",
    ] {
        for command in [
            &["send", "alert", url][..],
            &["send", "challenge", url],
            &["doctor", url],
            &["run"],
            &["check"],
        ] {
            let (joined, separate) = (
                [format!("{option}={SECRET}")],
                [option.to_owned(), SECRET.to_owned()],
            );
            for option in [&joined[..], &separate] {
                let arguments: Vec<_> = command
                    .iter()
                    .copied()
                    .chain(option.iter().map(String::as_str))
                    .collect();
                let (code, said) = said(&arguments);
                assert_eq!(code, Some(2), "{said}");
                assert_eq!(
                    revealed(&said, SECRET.as_bytes()),
                    None,
                    "{arguments:?}: {said}"
                );
            }
        }
    }
}
