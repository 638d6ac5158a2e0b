//! Revocation lists: from the start, several, renewed, out of date.

use super::{ALERT, VERSIONS, server_certificate};
use crate::support::{Edit as _, Origin, Pki, Proxy, Sender, WEBHOOK, eventually};
use rustls::pki_types::pem::PemObject as _;
use std::os::unix::fs::symlink;
use time::Duration;

#[test]
fn revocation_lists_hold_from_the_start() {
    let pki = Pki::new();
    let (good, bad) = (
        pki.netdata(),
        pki.leaf(|params| params.serial_number = Some(9_u64.into())),
    );
    pki.write("crl.pem", &pki.revocation_list(&[1, 9], Duration::days(1)));
    let origin = Origin::spawn();
    let config = |verify| {
        Proxy::config(&origin, verify, "").edit("[tls.client]", "[tls.client]\ncrl = [\"crl.pem\"]")
    };
    let proxy = Proxy::spawn(&pki, &config("require"));
    for version in VERSIONS {
        assert_eq!(
            Sender::with_versions(&proxy, Some(&good), &[version])
                .post(ALERT)
                .status,
            200
        );
        assert!(
            Sender::with_versions(&proxy, Some(&bad), &[version])
                .send("POST", WEBHOOK, "", ALERT)
                .is_err()
        );
    }
    assert!(
        proxy
            .wait_for_event("handshake_refused")
            .contains("The certificate was revoked.")
    );
    let proxy = Proxy::spawn(&pki, &config("request"));
    Sender::to(&proxy, Some(&bad))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    let below = pki.below(1, |_| {});
    Sender::to(&proxy, Some(&below))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
}

#[test]
fn several_lists_in_pem_and_der_hold_together() {
    let pki = Pki::new();
    let list = pki.revocation_list(&[8], Duration::days(1));
    let der =
        rustls::pki_types::CertificateRevocationListDer::from_pem_slice(list.as_bytes()).unwrap();
    std::fs::write(pki.path().join("crl.der"), &der).unwrap();
    let other = Pki::of("Other Root CA").revocation_list(&[1], Duration::days(1));
    pki.write("two.pem", &format!("{other}{other}"));
    let origin = Origin::spawn();
    let lists = "[tls.client]\ncrl = [\"two.pem\", \"crl.der\"]";
    let proxy = Proxy::spawn(
        &pki,
        &Proxy::config(&origin, "request", "").edit("[tls.client]", lists),
    );
    let bad = pki.leaf(|params| params.serial_number = Some(8_u64.into()));
    Sender::to(&proxy, Some(&bad))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

#[test]
fn renewed_links_are_noticed() {
    let (pki, next) = (Pki::new(), Pki::new());
    let origin = Origin::spawn();
    // As Let's Encrypt has it: live/name.pem → ../archive/name1.pem, and after a renewal →
    // ../archive/name2.pem.
    for directory in ["live", "archive"] {
        std::fs::create_dir(pki.path().join(directory)).unwrap();
    }
    for (version, from) in [(1, &pki), (2, &next)] {
        for (name, file) in [("fullchain", "server.pem"), ("privkey", "server.key")] {
            let archived = pki.path().join(format!("archive/{name}{version}.pem"));
            std::fs::copy(from.path().join(file), archived).unwrap();
        }
    }
    let link = |version: u8| {
        for name in ["privkey", "fullchain"] {
            let live = pki.path().join(format!("live/{name}.pem"));
            let _ = std::fs::remove_file(&live);
            symlink(format!("../archive/{name}{version}.pem"), live).unwrap();
        }
    };
    link(1);
    let config = Proxy::config(&origin, "request", "")
        .edit("server.pem", "live/fullchain.pem")
        .edit("server.key", "live/privkey.pem");
    let proxy = Proxy::spawn(&pki, &config);
    let old = server_certificate(&proxy);
    link(2);
    eventually("the new certificate", || {
        (server_certificate(&proxy) != old).then_some(())
    });
}

#[test]
fn a_revoked_intermediate_lets_nobody_through() {
    let pki = Pki::new();
    let leaf = pki.below(1, |params| params.serial_number = Some(5_u64.into()));
    pki.write("crl.pem", &pki.revocation_list(&[5], Duration::days(1)));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "request", "")
        .edit("[tls.client]", "[tls.client]\ncrl = [\"crl.pem\"]");
    let proxy = Proxy::spawn(&pki, &config);
    Sender::to(&proxy, Some(&leaf))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    origin.received_nothing();
}

#[test]
fn a_revocation_list_that_runs_out_raises_an_alarm_and_goes_on() {
    let pki = Pki::new();
    let bad = pki.leaf(|params| params.serial_number = Some(3_u64.into()));
    pki.write("crl.pem", &pki.revocation_list(&[3], Duration::seconds(3)));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "request", "")
        .edit("[tls.client]", "[tls.client]\ncrl = [\"crl.pem\"]");
    let proxy = Proxy::spawn(&pki, &config);
    proxy.wait_for_event("revocation_list_expired");
    Sender::to(&proxy, Some(&bad))
        .post(ALERT)
        .refuses(403, "client_certificate_invalid");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    let refused = proxy.refuses_to_reload(&config);
    assert!(refused.contains("out of date"), "{refused}");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}
