//! What is withdrawn by a reload lets no client through, on no connection and in no session.

use super::{ALERT, Veteran, withdrawn};
use crate::support::{Edit as _, Origin, Pki, Proxy, Sender, WEBHOOK, eventually};
use time::{Duration, OffsetDateTime};

#[test]
fn a_withdrawn_authority_lets_nobody_through() {
    let (pki, other) = (Pki::new(), Pki::new());
    std::fs::copy(other.path().join("ca.pem"), pki.path().join("other.pem")).unwrap();
    withdrawn(
        &pki,
        &pki.netdata(),
        "client_certificate_invalid",
        |config| config.edit("ca.pem", "other.pem"),
    );
}

#[test]
fn a_withdrawn_name_lets_nobody_through() {
    let pki = Pki::new();
    withdrawn(&pki, &pki.netdata(), "common_name_mismatch", |config| {
        config.edit(
            "[tls.client]",
            "[tls.client]\ncommon_names = [\"new.netdata.cloud\"]",
        )
    });
}

#[test]
fn a_revoked_certificate_lets_nobody_through() {
    let pki = Pki::new();
    let leaf = pki.leaf(|params| params.serial_number = Some(7_u64.into()));
    pki.write("crl.pem", &pki.revocation_list(&[7], Duration::days(1)));
    withdrawn(&pki, &leaf, "client_certificate_invalid", |config| {
        config.edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\"")
    });
}

#[test]
fn a_stricter_verification_holds_on_open_connections() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let route = "[routes.auth]\nclient_certificate = false\nbearer = [{ token = { file = \"challenge.secret\" } }]";
    let config = Proxy::config(&origin, "request", route);
    let proxy = Proxy::spawn(&pki, &config);
    let mut connection = Sender::to(&proxy, None).connect().unwrap();
    let mut post = || {
        connection
            .send(
                "POST",
                WEBHOOK,
                "Authorization: Bearer YOUR_CHALLENGE_SECRET\r\n",
                ALERT,
            )
            .unwrap()
    };
    assert_eq!(post().status, 200);
    proxy.reload(&config.edit("\"request\"", "\"require\""));
    post().refuses(403, "client_certificate_missing");
}

#[test]
fn a_certificate_that_expires_lets_nobody_through() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "require", "");
    let until = OffsetDateTime::now_utc() + Duration::seconds(4);
    let leaf = pki.leaf(|params| params.not_after = until);
    let veterans = Veteran::all(&proxy, &leaf);
    eventually("the expiry", || {
        (OffsetDateTime::now_utc() > until + Duration::seconds(1)).then_some(())
    });
    veterans
        .into_iter()
        .for_each(|veteran| veteran.meets_refusal(&origin, "client_certificate_invalid"));
}
