//! Files of certificates, keys and authorities: what cannot be read, or cannot be right, is an
//! error with its place.
//!
//! | fault, and the kind it stands for | test |
//! |---|---|
//! | `-----END CERTIFICATE----------BEGIN CERTIFICATE-----`, an indented section, an OpenSSL label: sections were dropped in silence and the rest was used | `a_section_that_is_not_understood_is_an_error_with_its_line` |
//! | a byte order mark hid the first section; CR LF and what tools write between sections are as usual | `what_editors_and_tools_leave_is_read` |
//! | the same for keys, whose text was repeated in the error | `a_broken_key_is_an_error_that_does_not_show_it` |
//! | the same for `send` and `doctor` | `commands_read_files_as_the_proxy_does` |
//! | an authority with an empty subject, an unknown critical extension or extensions that contradict each other was taken, and none of its clients, or more than it says | `authorities_that_cannot_issue_are_errors` |
//! | a leaf that no client accepts any more was a warning | `check::a_certificate_that_expires_soon_or_has` |
//! | an expired certificate that is not needed, behind a good one, had the server not ready | `admin::readiness::what_is_not_needed_of_the_chain_may_have_run_out` |

use crate::support::{Edit as _, Origin, Pki, Proxy, Sender, critical_unknown_extension, is_event};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, IsCa, KeyUsagePurpose};
use std::process::Command;
use time::Duration;

const ALERT: &str = "{\"alert\":\"x\"}";

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// The key and what is said about it, of the only thing that is wrong.
#[track_caller]
fn complains(pki: &Pki, config: &str, key: &str, expected: &str) -> String {
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let path = pki.write("config.toml", config);
    let (code, said) = run(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
    assert!(
        said.contains(&format!(": {key}: ")) && said.contains(expected),
        "{key} {expected:?} in {said}"
    );
    said
}

fn read(pki: &Pki, name: &str) -> String {
    std::fs::read_to_string(pki.path().join(name))
        .unwrap()
        .replace("\r\n", "\n")
}

/// Where a configuration names files in PEM: the file, the key, and the configuration.
fn places(pki: &Pki, origin: &Origin) -> [(&'static str, &'static str, String); 6] {
    pki.write("crl.pem", &pki.revocation_list(&[], Duration::days(1)));
    for (from, to) in [
        ("ca.pem", "upstream-ca.pem"),
        ("server.pem", "client.pem"),
        ("server.key", "client.key"),
    ] {
        std::fs::copy(pki.path().join(from), pki.path().join(to)).unwrap();
    }
    let config = Proxy::config(origin, "require", "");
    let upstream = config.edit(&format!("{:?}", origin.url), "\"app\"")
        + "[upstreams.app]\nservers = [\"https://127.0.0.1:1\"]\nca = \"upstream-ca.pem\"\n\
           client_certificate = \"client.pem\"\nclient_private_key = \"client.key\"\n";
    [
        ("ca.pem", "tls.client.ca", config.clone()),
        (
            "crl.pem",
            "tls.client.crl",
            config.edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\""),
        ),
        ("server.pem", "tls.certificate", config.clone()),
        ("server.key", "tls.private_key", config),
        ("upstream-ca.pem", "upstreams.app.ca", upstream.clone()),
        ("client.pem", "upstreams.app.client_certificate", upstream),
    ]
}

#[test]
fn a_section_that_is_not_understood_is_an_error_with_its_line() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    for (file, key, config) in places(&pki, &origin) {
        let good = read(&pki, file);
        let lines = good.lines().count();
        let glued = format!("{}{good}", good.trim_end());
        let label = good
            .split("-----")
            .nth(1)
            .unwrap()
            .trim_start_matches("BEGIN ")
            .to_owned();
        let relabelled = good.edit(&label, &format!("TRUSTED {label}"));
        let second = good.clone() + &relabelled;
        // Another section of the same kind is one too many for a key.
        for (wrong, line, expected) in [
            (glued, lines, "on a line of its own"),
            (good.edit("-----BEGIN", "  -----BEGIN"), 1, "indented"),
            (good.edit("-----END", "\t-----END"), 0, "indented"),
            (format!("# mine\n\n{second}"), lines + 3, ""),
            (
                relabelled.replace("TRUSTED CERTIFICATE", "X509 CERTIFICATE"),
                1,
                "",
            ),
            (good.edit("-----BEGIN", "–––––BEGIN"), 1, "looks like"),
            (good[..good.len() / 2].to_owned(), 0, ""),
            (good.edit("-----END", "-----END X"), 0, "another section"),
        ] {
            pki.write(file, &wrong);
            std::fs::set_permissions(
                pki.path().join(file),
                std::os::unix::fs::PermissionsExt::from_mode(0o600),
            )
            .unwrap();
            let said = complains(&pki, &config, key, expected);
            let place = if line == 0 {
                format!("{file}:")
            } else {
                format!("{file}:{line}: ")
            };
            assert!(said.contains(&place), "{place} in {said}");
        }
        pki.write(file, &good);
    }
}

#[test]
fn what_editors_and_tools_leave_is_read() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "")
        .edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\"");
    let other = Pki::of("Other Root CA");
    let crl = pki.revocation_list(&[7], Duration::days(1))
        + &other.revocation_list(&[], Duration::days(1));
    let both = read(&pki, "ca.pem") + &read(&other, "ca.pem");
    let files = [
        ("ca.pem", both),
        ("crl.pem", crl),
        ("server.pem", read(&pki, "server.pem")),
        ("server.key", read(&pki, "server.key")),
    ];
    type Change = fn(&str) -> String;
    let changes: [Change; 5] = [
        |pem| format!("\u{feff}{pem}"),
        |pem| pem.replace('\n', "\r\n"),
        |pem| pem.edit("-----\n", "----- \n"),
        |pem| pem.trim_end().to_owned(),
        |pem| {
            format!(
                "Bag Attributes\n    friendlyName: Back-End\nsubject=CN = a\n\n{pem}\n# -----------\n"
            )
        },
    ];
    for change in changes {
        for (file, good) in &files {
            pki.write(file, &change(good));
        }
        let proxy = Proxy::spawn(&pki, &config);
        // Every section counts: both authorities, and both lists.
        for authority in [&pki, &other] {
            assert_eq!(
                Sender::to(&proxy, Some(&authority.netdata()))
                    .post(ALERT)
                    .status,
                200
            );
        }
        let revoked = pki.leaf(|params| params.serial_number = Some(7_u64.into()));
        assert!(
            Sender::to(&proxy, Some(&revoked))
                .send("POST", crate::support::WEBHOOK, "", ALERT)
                .is_err()
        );
    }
}

#[test]
fn a_broken_key_is_an_error_that_does_not_show_it() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = Proxy::config(&origin, "require", "");
    let good = read(&pki, "server.key");
    let secret = good.lines().nth(1).unwrap().to_owned();
    let leaf = pki.netdata();
    let proxy = Proxy::spawn(&pki, &config);
    for wrong in [
        good.replace('\n', "\\n"),
        good.replace('\n', " "),
        good.replace('\n', ""),
        good.edit("-----END PRIVATE KEY-----", ""),
        good.edit(&secret, &format!("{secret}\u{201d}")),
        good.edit(&secret, &format!("{secret}=")),
        good.edit(
            "-----BEGIN PRIVATE KEY-----\n",
            "-----BEGIN PRIVATE KEY-----",
        ),
        good.clone() + &leaf.key_pem(),
        secret.clone(),
    ] {
        pki.write("server.key", &wrong);
        let said = complains(&pki, &config, "tls.private_key", "server.key");
        proxy.refuses_to_reload(&config);
        let bytes = format!("{:?}", secret.as_bytes());
        for text in [said, proxy.log().join("\n")] {
            assert!(
                !text.contains(&secret[..8]) && !text.contains(&bytes[1..20]),
                "{text}"
            );
        }
    }
    assert!(
        !proxy
            .log()
            .iter()
            .any(|line| is_event(line, "config_reloaded"))
    );
}

#[test]
fn commands_read_files_as_the_proxy_does() {
    let pki = Pki::new();
    let leaf = pki.netdata();
    pki.write_leaf("leaf", &leaf);
    let path = |name: &str| pki.path().join(name).to_str().unwrap().to_owned();
    let glued = read(&pki, "ca.pem");
    pki.write("ca.pem", &format!("{}{glued}", glued.trim_end()));
    pki.write("leaf.key", &leaf.key_pem().replace('\n', "\\n"));
    let (ca, certificate, key) = (path("ca.pem"), path("leaf.pem"), path("leaf.key"));
    let url = "https://127.0.0.1:1/";
    for (arguments, place) in [
        (&["send", "alert", url, "--ca", &ca][..], "ca.pem:"),
        (
            &["send", "alert", url, "--cert", &certificate, "--key", &key],
            "leaf.key:1: ",
        ),
        (&["doctor", url, "--server-ca", &ca], "ca.pem:"),
        (&["doctor", url, "--client-ca", &ca], "ca.pem:"),
        (
            &["doctor", url, "--certificate", &certificate, "--key", &key],
            "leaf.key:1: ",
        ),
    ] {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains(place) && !said.contains(&leaf.key_pem()[40..60]),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn authorities_that_cannot_issue_are_errors() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let good = read(&pki, "ca.pem");
    let places = places(&pki, &origin);
    let check = |expected: &str, change: fn(&mut CertificateParams)| {
        for (file, key, config) in places.iter().filter(|(file, ..)| file.ends_with("ca.pem")) {
            let kept = read(&pki, file);
            pki.write(file, &format!("{good}{}", pki.changed_authority(change)));
            let said = complains(&pki, config, key, expected);
            assert!(
                said.contains(&format!("{file}:{}: ", good.lines().count() + 1)),
                "{said}"
            );
            pki.write(file, &kept);
        }
    };
    check("an empty subject", |params| {
        params.distinguished_name = DistinguishedName::new()
    });
    check(
        "a critical extension that is not understood: 1.3.6.1.4.1.99999.1",
        |params| {
            params.custom_extensions.push(critical_unknown_extension());
        },
    );
    check("contradicts itself", |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature]
    });
    check("contradicts itself", |params| {
        params.key_usages = vec![KeyUsagePurpose::CrlSign]
    });
    check("an extension twice", |params| {
        // keyUsage, as it stands there already.
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(
                &[2, 5, 29, 15],
                vec![3, 2, 1, 6],
            ));
    });
    check("an extension that cannot be read", |params| {
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(
                &[2, 5, 29, 30],
                vec![3, 2, 1, 6],
            ));
    });
    check("not a certificate authority (CA:TRUE)", |params| {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages.clear();
    });
    check("not a certificate authority (CA:TRUE)", |params| {
        params.is_ca = IsCa::NoCa;
    });
}
