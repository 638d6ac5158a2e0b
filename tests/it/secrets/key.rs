//! A private key that is damaged.

use super::{pki, revealed, said};
use crate::support::{Edit as _, Origin, Proxy};

/// Ways in which a key is damaged on its way: through a variable, an editor, a clipboard, a
/// template.
fn damaged(pem: &str) -> Vec<String> {
    let body = pem.lines().nth(1).unwrap();
    let marker = pem.lines().next().unwrap();
    vec![
        pem.replace('\n', ""),
        pem.replace('\n', " "),
        pem.replace('\n', "\\n"),
        pem.replacen('\n', "", 1),
        pem.replacen('\n', " ", 1),
        pem.edit("\n-----END", "-----END"),
        pem.edit("-----END", "-----EN"),
        pem[..pem.len() / 2].to_owned(),
        pem.edit_first(body, &format!("{}é{}", &body[..8], &body[9..])),
        pem.edit_first(body, &body[1..]),
        pem.edit_first(body, &format!("{body}=")),
        format!("{marker}{body}\n{pem}"),
        format!("{marker}\n{body}\n{pem}"),
        pem.edit("PRIVATE KEY", "PRIVAT KEY"),
        pem.edit("-----BEGIN", "----BEGIN"),
        pem.edit("-----BEGIN", "-----BEGIN BEGIN"),
        pem.edit("PRIVATE KEY", "RSA PRIVATE KEY"),
        pem.edit("PRIVATE KEY", "CERTIFICATE"),
        pem.edit("PRIVATE KEY", "X509 CRL"),
        pem.chars().flat_map(|c| [c, '\0']).collect(),
        body.to_owned(),
    ]
}

#[test]
fn a_key_that_is_damaged_is_shown_by_nothing() {
    let (pki, origin) = (pki(), Origin::spawn());
    let config = Proxy::config(&origin, "request", "");
    let key = std::fs::read_to_string(pki.path().join("server.key")).unwrap();
    let material: String = key
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let certificate = std::fs::read_to_string(pki.path().join("server.pem")).unwrap();
    pki.write_leaf("client", &pki.netdata());
    let path = |name: &str| pki.path().join(name).to_str().unwrap().to_owned();
    let bad = pki.write("bad.key", &key);
    let swapped = pki.write("swapped.toml", &config.edit("server.key", "bad.key"));
    let upstream = pki.write(
        "upstream.toml",
        &config.edit(&origin.url, "app").edit(
            "[server]",
            "[upstreams.app]\nservers = \"https://127.0.0.1:1\"\nclient_certificate = \"server.pem\"\n\
             client_private_key = \"bad.key\"\n[server]",
        ),
    );
    let mixed = pki.write("mixed.toml", &config.edit("server.pem", "mixed.pem"));
    let trusted = pki.write("trusted.toml", &config.edit("ca.pem", "mixed.pem"));
    let revoked = pki.write(
        "revoked.toml",
        &config.edit("[tls.client]", "[tls.client]\ncrl = \"mixed.pem\""),
    );
    let proxy = Proxy::spawn(&pki, &config);
    for (index, damaged) in damaged(&key).into_iter().enumerate() {
        std::fs::write(&bad, &damaged).unwrap();
        std::fs::write(
            pki.path().join("mixed.pem"),
            format!("{damaged}\n{certificate}"),
        )
        .unwrap();
        let bad = path("bad.key");
        for arguments in [
            &["check", "--config", swapped.to_str().unwrap()][..],
            &["run", "--config", swapped.to_str().unwrap()],
            &["check", "--config", upstream.to_str().unwrap()],
            &[
                "send",
                "alert",
                "https://127.0.0.1:1/",
                "--cert",
                &path("server.pem"),
                "--key",
                &bad,
            ],
            &[
                "doctor",
                "https://127.0.0.1:1/",
                "--certificate",
                &path("server.pem"),
                "--key",
                &bad,
            ],
        ] {
            let (code, said) = said(arguments);
            assert_eq!(code, Some(2), "{index} {arguments:?}: {said}");
            assert!(said.contains("bad.key"), "{index} {arguments:?}: {said}");
            assert_eq!(
                revealed(&said, material.as_bytes()),
                None,
                "{index} {arguments:?}: {said}"
            );
        }
        // A key that stands where certificates belong.
        for arguments in [
            &["check", "--config", mixed.to_str().unwrap()][..],
            &["check", "--config", trusted.to_str().unwrap()],
            &["check", "--config", revoked.to_str().unwrap()],
            &["send", "alert", "https://127.0.0.1:1/", "--ca", &bad],
            &[
                "send",
                "alert",
                "https://127.0.0.1:1/",
                "--cert",
                &bad,
                "--key",
                &bad,
            ],
            &["doctor", "https://127.0.0.1:1/", "--server-ca", &bad],
            &["doctor", "https://127.0.0.1:1/", "--client-ca", &bad],
        ] {
            let (_, said) = said(arguments);
            assert_eq!(
                revealed(&said, material.as_bytes()),
                None,
                "{index} {arguments:?}: {said}"
            );
        }
        proxy.refuses_to_reload(&config.edit("server.key", "bad.key"));
        proxy.refuses_to_reload(&config.edit("ca.pem", "mixed.pem"));
    }
    let log = proxy.log().join("\n");
    assert!(log.contains("bad.key"), "{log}");
    assert_eq!(revealed(&log, material.as_bytes()), None, "{log}");
}
