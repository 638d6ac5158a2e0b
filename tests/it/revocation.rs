//! Revocation lists: whatever their order, number and form, none lets a revoked certificate
//! through.
//!
//! | fault, and the kind it stands for | test |
//! |---|---|
//! | of two lists of one issuer the first counted, so that an older one let a revoked certificate in: the newest counts, over all files, by number and then by date | `the_newest_list_counts_in_any_order` |
//! | the same, brought about by a reload | `a_newer_list_that_comes_with_a_reload_counts` |
//! | an older list that ran out, beside the one that replaced it, kept the program from starting | `a_list_that_was_replaced_may_have_run_out` |
//! | lists of one name and two keys, after a change of keys: the first refused the clients of the other | `lists_of_an_old_and_a_new_key_count_both` |
//! | a change of keys under one name, where the old key introduces the new one: the valid chain was refused with a word about a signature | `a_change_of_keys_under_one_name_is_followed` |
//! | a list that anyone can write, with a high number, took the place of the real one | `a_forged_list_replaces_nothing` |
//! | lists of parts of what an issuer issued: each is about its own part, and what any names is revoked | `lists_of_parts_count_together` |
//! | a name that is encoded otherwise in the list than in the certificate is the same name | `another_encoding_of_the_issuer_is_the_same_issuer` |
//! | an authority without a list, where there are lists, had all its clients refused in silence | `an_authority_without_a_list_is_named` |
//! | `crl_coverage = "listed"`: what has no list passes, and what has one does not for that | `listed_authorities_are_checked_and_others_are_not` |
//! | a list that cannot be read, or not in whole, was ignored, or found out with the first client | `lists_that_cannot_be_used_are_errors` |

use crate::support::{Edit as _, Leaf, Origin, Pki, Proxy, Sender, is_event};
use rcgen::string::PrintableString;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DnType, DnValue, KeyUsagePurpose,
};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use std::process::Command;
use time::{Duration, OffsetDateTime};

const ALERT: &str = "{\"alert\":\"x\"}";

/// The serial number of the certificate that is revoked.
const REVOKED: u64 = 7;

fn revoked(pki: &Pki) -> Leaf {
    pki.leaf(|params| params.serial_number = Some(REVOKED.into()))
}

/// A configuration with these further lines in `[tls.client]`.
fn config(origin: &Origin, client: &str) -> String {
    Proxy::config(origin, "request", "").edit("[tls.client]", &format!("[tls.client]\n{client}"))
}

/// Which code the clients are refused with, or "" where they are let in.
fn verdicts<const N: usize>(proxy: &Proxy, leaves: [&Leaf; N]) -> [String; N] {
    leaves
        .map(|leaf| Sender::to(proxy, Some(leaf)).post(ALERT))
        .map(|answer| match answer.status {
            200 => String::new(),
            _ => answer.body,
        })
}

#[track_caller]
fn lets_in<const N: usize>(proxy: &Proxy, leaves: [&Leaf; N]) {
    assert_eq!(verdicts(proxy, leaves), [const { String::new() }; N]);
}

#[track_caller]
fn refuses<const N: usize>(proxy: &Proxy, leaves: [&Leaf; N], why: &str) {
    for verdict in verdicts(proxy, leaves) {
        assert!(
            verdict.contains("client_certificate_invalid") && verdict.contains(why),
            "{why}: {verdict:?}"
        );
    }
}

const WAS_REVOKED: &str = "The certificate was revoked.";

const IS_UNKNOWN: &str = "no revocation list that says whether";

/// A list of this number, which was made so many days ago.
fn numbered(number: u64, days_ago: i64) -> impl FnOnce(&mut CertificateRevocationListParams) {
    move |list| {
        list.crl_number = number.into();
        list.this_update = OffsetDateTime::now_utc() - Duration::days(days_ago);
    }
}

#[test]
fn the_newest_list_counts_in_any_order() {
    let origin = Origin::spawn();
    let pki = Pki::new();
    let (good, bad) = (pki.netdata(), revoked(&pki));
    // The number decides; a list with the same one, by its date.
    for (older, newer) in [
        ((1, 9), (2, 9)),
        ((9, 1), (10, 9)),
        ((255, 3), (256, 3)),
        ((5, 3), (5, 2)),
    ] {
        let older = pki.changed_list(&[], numbered(older.0, older.1));
        let newer = pki.changed_list(&[REVOKED], numbered(newer.0, newer.1));
        pki.write("older.pem", &older);
        pki.write("newer.pem", &newer);
        pki.write("older-first.pem", &format!("{older}{newer}"));
        pki.write("newer-first.pem", &format!("{newer}{older}"));
        std::fs::write(pki.path().join("newer.der"), der(&newer)).unwrap();
        for files in [
            "[\"older.pem\", \"newer.pem\"]",
            "[\"newer.pem\", \"older.pem\"]",
            "[\"older.pem\", \"newer.der\"]",
            "\"older-first.pem\"",
            "\"newer-first.pem\"",
        ] {
            let proxy = Proxy::spawn(&pki, &config(&origin, &format!("crl = {files}")));
            refuses(&proxy, [&bad], WAS_REVOKED);
            lets_in(&proxy, [&good]);
        }
    }
    // What was on hold, and is no more.
    pki.write("older.pem", &pki.changed_list(&[REVOKED], numbered(1, 9)));
    pki.write("newer.pem", &pki.changed_list(&[], numbered(2, 1)));
    for files in [
        "[\"older.pem\", \"newer.pem\"]",
        "[\"newer.pem\", \"older.pem\"]",
    ] {
        lets_in(
            &Proxy::spawn(&pki, &config(&origin, &format!("crl = {files}"))),
            [&bad],
        );
    }
}

fn der(pem: &str) -> Vec<u8> {
    CertificateRevocationListDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn a_newer_list_that_comes_with_a_reload_counts() {
    let (origin, pki) = (Origin::spawn(), Pki::new());
    let bad = revoked(&pki);
    pki.write("older.pem", &pki.changed_list(&[], numbered(1, 9)));
    pki.write("newer.pem", &pki.changed_list(&[REVOKED], numbered(2, 1)));
    for files in [
        "[\"older.pem\", \"newer.pem\"]",
        "[\"newer.pem\", \"older.pem\"]",
    ] {
        let proxy = Proxy::spawn(&pki, &config(&origin, "crl = \"older.pem\""));
        let sender = Sender::to(&proxy, Some(&bad));
        let mut open = sender.connect().unwrap();
        assert_eq!(open.post(ALERT).unwrap().status, 200);
        proxy.reload(&config(&origin, &format!("crl = {files}")));
        open.post(ALERT)
            .unwrap()
            .refuses(403, "client_certificate_invalid");
        refuses(&proxy, [&bad], WAS_REVOKED);
    }
}

#[test]
fn a_list_that_was_replaced_may_have_run_out() {
    let (origin, pki) = (Origin::spawn(), Pki::new());
    let ran_out = |list: &mut CertificateRevocationListParams| {
        list.next_update = OffsetDateTime::now_utc() - Duration::days(1);
    };
    pki.write("older.pem", &pki.changed_list(&[], ran_out));
    pki.write("newer.pem", &pki.changed_list(&[REVOKED], numbered(2, 1)));
    let proxy = Proxy::spawn(
        &pki,
        &config(&origin, "crl = [\"older.pem\", \"newer.pem\"]"),
    );
    refuses(&proxy, [&revoked(&pki)], WAS_REVOKED);
    assert!(
        !proxy
            .log()
            .iter()
            .any(|line| is_event(line, "revocation_list_expired")),
        "{:#?}",
        proxy.log()
    );
    // One that nothing has replaced may not.
    complains(&pki, &config(&origin, "crl = \"older.pem\""), "out of date");
}

#[test]
fn lists_of_an_old_and_a_new_key_count_both() {
    let (origin, old, new) = (Origin::spawn(), Pki::new(), Pki::new());
    old.write("old.pem", &old.changed_list(&[REVOKED], numbered(9, 1)));
    old.write("new.pem", &new.changed_list(&[], numbered(1, 1)));
    let both = [&old, &new].map(|pki| std::fs::read_to_string(pki.path().join("ca.pem")).unwrap());
    old.write("ca.pem", &both.concat());
    for files in ["[\"old.pem\", \"new.pem\"]", "[\"new.pem\", \"old.pem\"]"] {
        let proxy = Proxy::spawn(&old, &config(&origin, &format!("crl = {files}")));
        lets_in(&proxy, [&old.netdata(), &new.netdata(), &revoked(&new)]);
        refuses(&proxy, [&revoked(&old)], WAS_REVOKED);
    }
    // The key that has no list is one without, whatever the other of its name has.
    for coverage in ["all", "listed"] {
        let client = format!("crl_coverage = \"{coverage}\"\ncrl = \"old.pem\"");
        complains(
            &old,
            &config(&origin, &client),
            "is not signed with its key",
        );
    }
}

#[test]
fn a_change_of_keys_under_one_name_is_followed() {
    let (origin, old, new) = (Origin::spawn(), Pki::new(), Pki::new());
    // The new key is introduced by the old one, which is what is trusted.
    let mut leaf = new.netdata();
    leaf.chain.push(old.cross_sign(&new, |_| {}));
    let proxy = Proxy::in_front_of(&origin, &old, "request", "");
    lets_in(&proxy, [&leaf, &old.netdata()]);
    refuses(&proxy, [&new.netdata()], "signature");
    // So it is where there are lists, one of each key.
    old.write("old.pem", &old.changed_list(&[], |_| {}));
    old.write("new.pem", &new.changed_list(&[REVOKED], |_| {}));
    let mut bad = revoked(&new);
    bad.chain.push(leaf.chain[1].clone());
    for files in ["[\"old.pem\", \"new.pem\"]", "[\"new.pem\", \"old.pem\"]"] {
        let proxy = Proxy::spawn(&old, &config(&origin, &format!("crl = {files}")));
        lets_in(&proxy, [&leaf, &old.netdata()]);
        refuses(&proxy, [&bad], WAS_REVOKED);
    }
    // Of an authority that is not at hand before a client sends it, the newest list counts as well.
    old.write("newer.pem", &new.changed_list(&[], numbered(2, 1)));
    for files in [
        "[\"old.pem\", \"new.pem\", \"newer.pem\"]",
        "[\"newer.pem\", \"old.pem\", \"new.pem\"]",
    ] {
        lets_in(
            &Proxy::spawn(&old, &config(&origin, &format!("crl = {files}"))),
            [&leaf, &bad],
        );
    }
    let proxy = Proxy::spawn(&old, &config(&origin, "crl = \"old.pem\""));
    refuses(&proxy, [&leaf], IS_UNKNOWN);
}

#[test]
fn a_forged_list_replaces_nothing() {
    let (origin, pki, forger) = (Origin::spawn(), Pki::new(), Pki::new());
    pki.write("real.pem", &pki.changed_list(&[REVOKED], numbered(1, 1)));
    pki.write("forged.pem", &forger.changed_list(&[], numbered(99, 0)));
    for files in [
        "[\"real.pem\", \"forged.pem\"]",
        "[\"forged.pem\", \"real.pem\"]",
    ] {
        for coverage in ["all", "listed"] {
            let client = format!("crl_coverage = \"{coverage}\"\ncrl = {files}");
            let proxy = Proxy::spawn(&pki, &config(&origin, &client));
            refuses(&proxy, [&revoked(&pki)], WAS_REVOKED);
            lets_in(&proxy, [&pki.netdata()]);
            proxy.wait_for_log("which none of the authorities here has signed");
        }
    }
}

#[test]
fn lists_of_parts_count_together() {
    let (origin, pki) = (Origin::spawn(), Pki::new());
    let part = |uri: &str, scope| CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint {
            uris: vec![uri.to_owned()],
        },
        scope,
    };
    let at = |uri: &str, serial: u64| {
        pki.leaf(|params| {
            params.serial_number = Some(serial.into());
            params.crl_distribution_points = vec![CrlDistributionPoint {
                uris: vec![uri.to_owned()],
            }];
        })
    };
    let lists = [("a", 11_u64, 1_u64), ("b", 12, 9)].map(|(name, serial, number)| {
        pki.changed_list(&[serial], |list| {
            list.crl_number = number.into();
            list.issuing_distribution_point =
                Some(part(&format!("http://crl.example/{name}"), None));
        })
    });
    pki.write("parts.pem", &lists.concat());
    let proxy = Proxy::spawn(&pki, &config(&origin, "crl = \"parts.pem\""));
    let [a, b, c] = ["a", "b", "c"].map(|name| format!("http://crl.example/{name}"));
    lets_in(&proxy, [&at(&a, 1), &at(&b, 1)]);
    refuses(&proxy, [&at(&a, 11), &at(&b, 12)], WAS_REVOKED);
    refuses(&proxy, [&at(&c, 1)], IS_UNKNOWN);
    // A list of everything, older or newer, does not outdo the list of a part, nor that the other.
    for number in [0_u64, 99] {
        pki.write(
            "whole.pem",
            &pki.changed_list(&[13], |list| list.crl_number = number.into()),
        );
        for files in [
            "[\"whole.pem\", \"parts.pem\"]",
            "[\"parts.pem\", \"whole.pem\"]",
        ] {
            let proxy = Proxy::spawn(&pki, &config(&origin, &format!("crl = {files}")));
            refuses(
                &proxy,
                [&at(&a, 11), &at(&b, 12), &at(&c, 13), &at(&a, 13)],
                WAS_REVOKED,
            );
            lets_in(&proxy, [&at(&c, 1), &pki.netdata()]);
        }
    }
    // One for authorities alone says nothing about a client.
    let of = |scope| {
        pki.changed_list(&[], |list| {
            list.issuing_distribution_point = Some(part("http://x", Some(scope)))
        })
    };
    pki.write("scope.pem", &of(CrlScope::CaCertsOnly));
    refuses(
        &Proxy::spawn(&pki, &config(&origin, "crl = \"scope.pem\"")),
        [&pki.netdata()],
        IS_UNKNOWN,
    );
    pki.write("scope.pem", &of(CrlScope::UserCertsOnly));
    let proxy = Proxy::spawn(&pki, &config(&origin, "crl = \"scope.pem\""));
    lets_in(&proxy, [&pki.netdata()]);
    refuses(&proxy, [&pki.below(1, |_| {})], IS_UNKNOWN);
}

#[test]
fn another_encoding_of_the_issuer_is_the_same_issuer() {
    let (origin, pki) = (Origin::spawn(), Pki::new());
    let other_words = |params: &mut CertificateParams| {
        let printable =
            |text: &str| DnValue::PrintableString(PrintableString::try_from(text).unwrap());
        params
            .distinguished_name
            .push(DnType::OrganizationName, printable("TEST"));
        params
            .distinguished_name
            .push(DnType::CommonName, printable("Test  Root CA"));
    };
    pki.write(
        "crl.pem",
        &pki.list_of_changed_issuer(&[REVOKED], other_words),
    );
    for coverage in ["all", "listed"] {
        let client = format!("crl_coverage = \"{coverage}\"\ncrl = \"crl.pem\"");
        let proxy = Proxy::spawn(&pki, &config(&origin, &client));
        refuses(&proxy, [&revoked(&pki)], WAS_REVOKED);
        lets_in(&proxy, [&pki.netdata()]);
    }
}

/// What `check` says, which is not that it is good.
#[track_caller]
fn complains(pki: &Pki, config: &str, expected: &str) {
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let path = pki.write("config.toml", config);
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    let output = command
        .args(["check", "--config"])
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("tls.client.crl") && said.contains(expected),
        "{expected:?} in {said}"
    );
}

#[test]
fn an_authority_without_a_list_is_named() {
    let (origin, pki, other) = (Origin::spawn(), Pki::new(), Pki::of("Other Root CA"));
    std::fs::copy(other.path().join("ca.pem"), pki.path().join("other.pem")).unwrap();
    pki.write("crl.pem", &pki.changed_list(&[], |_| {}));
    let config = config(&origin, "crl = \"crl.pem\"");
    let two = config.edit("ca = \"ca.pem\"", "ca = [\"ca.pem\", \"other.pem\"]");
    let builtin = config.edit("ca = \"ca.pem\"", "ca = [\"ca.pem\", \"builtin:netdata\"]");
    for (config, named) in [
        (&two, "CN=Other Root CA\""),
        (&builtin, "builtin:netdata, which Netdata Cloud's own"),
    ] {
        complains(&pki, config, named);
        complains(&pki, config, "set crl_coverage = \"listed\"");
    }
    // Nor does it start, or become that by a reload.
    let mut refused = Proxy::start(&pki, &two);
    assert_eq!(refused.wait().code(), Some(2));
    let proxy = Proxy::spawn(&pki, &config);
    let refused = proxy.refuses_to_reload(&two);
    assert!(refused.contains("Other Root CA"), "{refused}");
    lets_in(&proxy, [&pki.netdata()]);
    // An authority whose key usage does not let it sign lists has none.
    let may_not =
        pki.changed_authority(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    pki.write("ca.pem", &may_not);
    complains(&pki, &config, "cRLSign");
}

#[test]
fn listed_authorities_are_checked_and_others_are_not() {
    let (origin, pki, other) = (Origin::spawn(), Pki::new(), Pki::of("Other Root CA"));
    std::fs::copy(other.path().join("ca.pem"), pki.path().join("other.pem")).unwrap();
    pki.write("crl.pem", &pki.changed_list(&[REVOKED, 5], |_| {}));
    let config = config(&origin, "crl_coverage = \"listed\"\ncrl = \"crl.pem\"").edit(
        "ca = \"ca.pem\"",
        "ca = [\"ca.pem\", \"other.pem\", \"builtin:netdata\"]",
    );
    let proxy = Proxy::spawn(&pki, &config);
    lets_in(&proxy, [&pki.netdata(), &other.netdata(), &revoked(&other)]);
    refuses(&proxy, [&revoked(&pki)], WAS_REVOKED);
    // Which these are can be seen before.
    let path = pki.write("config.toml", &config);
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    let output = command
        .args(["check", "--config"])
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let expected =
        "not revoked by 1 list; not checked because there is no list: O=Test, CN=Other Root CA; ";
    assert!(
        said.contains(expected) && said.contains("CN=Netdata Root CA"),
        "{said}"
    );
    // Each certificate of a chain is judged by its own issuer.
    lets_in(&proxy, [&pki.below(1, |_| {}), &other.below(2, |_| {})]);
    refuses(
        &proxy,
        [&pki.below(1, |params| params.serial_number = Some(5_u64.into()))],
        WAS_REVOKED,
    );
    // Where all must have a list, an intermediate that has none is refused.
    let proxy = Proxy::spawn(&pki, &self::config(&origin, "crl = \"crl.pem\""));
    refuses(&proxy, [&pki.below(1, |_| {})], IS_UNKNOWN);
}

#[test]
fn lists_that_cannot_be_used_are_errors() {
    let (origin, pki) = (Origin::spawn(), Pki::new());
    let good = der(&pki.changed_list(&[0x7b], |list| {
        list.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec!["http://crl.example/".to_owned()],
            },
            scope: Some(CrlScope::UserCertsOnly),
        });
    }));
    let whole = pki.changed_list(&[1], |_| {});
    for (from, to, expected) in [
        // The number of a list, and the number of the list that a delta is to, look alike.
        (
            &[0x55, 0x1d, 20][..],
            &[0x55, 0x1d, 27][..],
            "is a delta list",
        ),
        // So do its flags: that it is about users only, and that it is about others' certificates.
        (&[0x81, 1, 0xff], &[0x84, 1, 0xff], "is an indirect list"),
        // The serial number of an entry, as a number and as something else.
        (&[2, 1, 0x7b], &[4, 1, 0x7b], "every entry must be readable"),
    ] {
        let at = good
            .windows(from.len())
            .rposition(|window| window == from)
            .unwrap();
        let changed = [&good[..at], to, &good[at + from.len()..]].concat();
        std::fs::write(pki.path().join("bad.crl"), &changed).unwrap();
        complains(&pki, &config(&origin, "crl = \"bad.crl\""), expected);
        let pem = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &changed);
        let pem = format!("{whole}-----BEGIN X509 CRL-----\n{pem}\n-----END X509 CRL-----\n");
        pki.write("bad.pem", &pem);
        let line = whole.lines().count() + 1;
        complains(
            &pki,
            &config(&origin, "crl = \"bad.pem\""),
            &format!("bad.pem:{line}: the list "),
        );
    }
}
