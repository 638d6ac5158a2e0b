//! From nothing to a verified alert, and on through renewals.

use super::{ALERT, config, config_for, keep_certificate_of, kept, state};
use crate::support::{
    Edit as _, Fault, Load, Operator, Origin, Pebble, Pki, Proxy, Sender, Setup, eventually,
    is_recent,
};
use rcgen::CertificateParams;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// The issuer of what the proxy presents.
fn issuer(sender: &Sender) -> String {
    let certificate = sender.server_certificate();
    let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    certificate.issuer().to_string()
}

#[test]
fn a_fresh_start_leads_to_a_verified_alert_within_seconds() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let config = config(&pebble, &origin).edit("[tls]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tls]");
    let started = Instant::now();
    let proxy = Proxy::spawn(&pki, &config);
    let operator = Operator::of(&proxy);
    // It can be reached before, or it could not be validated.
    let ready = operator.get("/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    proxy.wait_for_event("acme_certificate_installed");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert!(issuer(&sender).contains("Pebble"), "{}", issuer(&sender));
    assert_eq!(origin.received().len(), 1);
    assert!(
        Sender::to(&proxy, None)
            .send("POST", "/webhooks/netdata", "", ALERT)
            .is_err()
    );

    operator.wait_for("acme_orders_total{outcome=\"issued\"}", 1.0);
    // The authority is asked for a time, and the metric follows what is kept.
    let metrics = eventually("the next renewal", || {
        let metrics = operator.metrics();
        let is_known = metrics.contains_key("acme_renewal_timestamp_seconds");
        is_known.then_some(metrics)
    });
    assert!(metrics["acme_validations_total{outcome=\"answered\"}"] >= 1.0);
    assert_eq!(metrics["acme_failures"], 0.0);
    let lifetime = metrics["certificate_not_after_timestamp_seconds{which=\"server\"}"]
        - metrics["certificate_not_before_timestamp_seconds{which=\"server\"}"];
    assert!((lifetime - 90.0 * 86400.0).abs() < 86400.0, "{lifetime}");
    assert!(
        metrics["acme_renewal_timestamp_seconds"] > metrics["acme_last_success_timestamp_seconds"]
    );
    let status = operator.get("/api/status.json").body;
    assert!(!status.contains("There is no certificate"), "{status}");
    for name in [
        "account.json",
        "account.key",
        "certificate.pem",
        "history.json",
        "lock",
        "renewal.json",
    ] {
        assert!(
            kept(&pki).contains(&name.to_owned()),
            "{name} in {:?}",
            kept(&pki)
        );
    }
}

#[test]
fn a_restart_goes_on_with_the_certificate_and_orders_nothing() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let config = config(&pebble, &origin);
    let mut proxy = Proxy::spawn(&pki, &config);
    proxy.wait_for_event("acme_certificate_installed");
    let certificate = Sender::to(&proxy, None).server_certificate();
    let pattern = format!("{}/*/*/renewal.json", state(&pki).display());
    let renewal = eventually("the next renewal", || glob::glob(&pattern).unwrap().next());
    proxy.signal("TERM");
    proxy.wait();
    let asked = pebble.requests("/dir");
    // The authority is asked whether it suggests another time, and nothing else.
    std::fs::remove_file(renewal.unwrap()).unwrap();
    let proxy = Proxy::spawn(&pki, &config);
    assert_eq!(
        Sender::to(&proxy, None).server_certificate(),
        certificate,
        "from the first connection on"
    );
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    eventually("the next step", || {
        (pebble.requests("/dir") > asked).then_some(())
    });
    assert_eq!(pebble.requests("order-plz"), 1);
}

#[test]
fn a_certificate_that_expired_while_nothing_ran_is_replaced_at_once() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let expired = pki.leaf(|params| {
        let name = "hooks.example".to_owned();
        *params = CertificateParams::new([name]).unwrap();
        params.not_after = OffsetDateTime::now_utc() - time::Duration::HOUR;
    });
    pki.write_leaf("expired", &expired);
    keep_certificate_of(&pki, "expired", &pebble.url("/dir"));
    // It serves what it has, until it has another one.
    pebble.holds(true);
    let config = config(&pebble, &origin).edit("[tls]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tls]");
    let proxy = Proxy::spawn(&pki, &config);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.server_certificate(), expired.chain[0].to_vec());
    let operator = Operator::of(&proxy);
    let ready = operator.get("/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(operator.get("/").body.contains("has expired"));
    pebble.holds(false);
    // After the one that has expired.
    proxy.wait_for_events("acme_certificate_installed", 2);
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(issuer(&sender).contains("Pebble"));
    assert!(proxy.events("acme_order_failed").is_empty());
}

/// The serial number in a line of the log.
fn serial(line: &str) -> &str {
    let after = line.split("serial=").nth(1).unwrap();
    after.split(' ').next().unwrap()
}

/// The renewals of a month, of certificates that are valid for 160 hours.
const MONTH: usize = 9;

#[test]
fn a_month_of_renewals_under_load_loses_nothing() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    // Lives of seconds, so that a month passes in a minute.
    let setup = Setup {
        validity: Some(10),
        ..Setup::default()
    };
    let Some(pebble) = Pebble::start_with(&pki, setup) else {
        return;
    };
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    proxy.wait_for_event("acme_certificate_installed");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let first = sender.server_certificate();
    let load = Load::start(&sender);
    for renewal in 2..=1 + MONTH {
        proxy.wait_for_events("acme_certificate_installed", renewal);
        load.goes_on_for(20);
    }
    load.ends_without_failure();
    let installed = proxy.events("acme_certificate_installed");
    let serials: HashSet<_> = installed.iter().map(|line| serial(line)).collect();
    assert!(serials.len() > MONTH, "{serials:?}");
    assert_ne!(sender.server_certificate(), first);
    assert_eq!(pebble.requests("sign-me-up"), 1, "one account for all");
    assert!(proxy.events("config_reloaded").is_empty());
    assert!(proxy.events("acme_order_failed").is_empty());
}

#[test]
fn an_authority_that_wants_another_certificate_gets_it_once() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let setup = Setup {
        validity: Some(10),
        ..Setup::default()
    };
    let Some(pebble) = Pebble::start_with(&pki, setup) else {
        return;
    };
    // The relay suggests a window that is over, and no replacement is confirmed.
    if is_recent() {
        let confirmed = Fault::Rewrite("\"replaces\"".into(), "\"other\"".into());
        pebble.plays("order-plz", confirmed);
    } else {
        let place = "\"newNonce\"";
        let window = format!(
            "\"renewalInfo\": \"{}\", {place}",
            pebble.url("/renewalInfo")
        );
        pebble.plays("/dir", Fault::Rewrite(place.into(), window));
    }
    let body = "{\"suggestedWindow\": {\"start\": \"2026-01-01T00:00:00Z\", \"end\": \"2026-01-02T00:00:00Z\"}, \
                \"explanationURL\": \"https://ca.example/revoked\"}";
    let response = format!(
        "HTTP/1.1 200 X\r\nRetry-After: 3600\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    pebble.plays("/renewalInfo/", Fault::Answer(response));
    let config = config(&pebble, &origin).edit("[tls]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tls]");
    let proxy = Proxy::spawn(&pki, &config);
    proxy.wait_for_event("acme_certificate_installed");
    let operator = Operator::of(&proxy);
    eventually("the authority's page", || {
        let status = operator.get("/api/status.json").body;
        status.contains("https://ca.example/revoked").then_some(())
    });
    proxy.wait_for_events("acme_order_placed", 2);
    // It is ordered once more, without a replacement.
    assert_eq!(pebble.requests("order-plz"), 3);
    proxy.wait_for_events("acme_certificate_installed", 2);
    // Of the new certificate, nothing of the kind is said.
    eventually("the end of the explanation", || {
        let status = operator.get("/api/status.json").body;
        (!status.contains("https://ca.example/revoked")).then_some(())
    });
    assert!(proxy.events("acme_order_failed").is_empty());
}

#[test]
fn several_names_are_one_certificate_and_a_change_of_them_another() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let before = config_for(&pebble, &origin, "[\"hooks.example\", \"Other.example.\"]");
    let proxy = Proxy::spawn(&pki, &before);
    proxy.wait_for_event("acme_certificate_installed");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let names = |sender: &Sender| {
        let certificate = sender.server_certificate();
        let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        certificate
            .subject_alternative_name()
            .unwrap()
            .unwrap()
            .value
            .general_names
            .len()
    };
    assert_eq!(names(&sender), 2);
    let load = Load::start(&sender);
    proxy.reload(&before.edit("\"Other.example.\"", "\"other.example\", \"third.example\""));
    proxy.wait_for_events("acme_certificate_installed", 2);
    load.goes_on_for(5);
    load.ends_without_failure();
    assert_eq!(names(&sender), 3);
}

#[test]
fn of_two_processes_one_orders_and_both_have_the_certificate() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let config = config(&pebble, &origin);
    let other = config.edit(&pebble.validated.to_string(), "127.0.0.1:0");
    // The one that is not validated may be the one that orders.
    let second = Proxy::spawn(&pki, &other);
    let first = Proxy::spawn(&pki, &config);
    for proxy in [&first, &second] {
        proxy.wait_for_event("acme_certificate_installed");
        assert_eq!(
            Sender::to(proxy, Some(&pki.netdata())).post(ALERT).status,
            200
        );
    }
    assert_eq!(pebble.requests("order-plz"), 1);
    assert!(!first.events("acme_validation_answered").is_empty());
    let certificates = [&first, &second].map(|proxy| Sender::to(proxy, None).server_certificate());
    assert_eq!(certificates[0], certificates[1]);
}

#[test]
fn files_are_replaced_by_an_authority_without_an_interruption() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let acme = config(&pebble, &origin);
    let files = acme.edit(&pebble.acme("[\"hooks.example\"]"), super::FILES);
    let proxy = Proxy::spawn(&pki, &files);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let load = Load::start(&sender);
    load.goes_on_for(5);
    proxy.reload(&acme);
    proxy.wait_for_event("acme_certificate_installed");
    load.goes_on_for(5);
    assert!(issuer(&sender).contains("Pebble"));
    proxy.reload(&files);
    load.goes_on_for(5);
    load.ends_without_failure();
    assert!(issuer(&sender).contains("Test Root CA"));
}

#[test]
fn the_chain_is_presented_as_it_was_sent() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let setup = Setup {
        variables: vec![("PEBBLE_CHAIN_LENGTH", "3".into())],
        ..Setup::default()
    };
    let Some(pebble) = Pebble::start_with(&pki, setup) else {
        return;
    };
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    proxy.wait_for_event("acme_certificate_installed");
    let pattern = format!("{}/*/*/certificate.pem", state(&pki).display());
    let file = glob::glob(&pattern).unwrap().next().unwrap().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 4);
    assert_eq!(text.matches("PRIVATE KEY").count(), 2);
}

#[test]
fn an_account_of_the_authority_is_used_whichever_way_its_key_is_written() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let setup = Setup {
        more:
            ", \"externalAccountBindingRequired\": true, \"externalAccountMACKeys\": {\"kid-1\": \
               \"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\"}"
                .into(),
        ..Setup::default()
    };
    let Some(pebble) = Pebble::start_with(&pki, setup) else {
        return;
    };
    pki.write(
        "eab.key",
        "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W==\n",
    );
    let eab = "eab = { key_id = \"kid-1\", key = { file = \"eab.key\" } }, email = \"ops@hooks.example\", domains";
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin).edit("domains", eab));
    proxy.wait_for_event("acme_certificate_installed");
    // The account is kept, with the key that was made for it.
    assert_eq!(pebble.requests("sign-me-up"), 1);
    drop(proxy);
    let proxy = Proxy::spawn(
        &pki,
        &config(&pebble, &origin).edit("\"hooks.example\"", "\"b.example\""),
    );
    proxy.wait_for_event("acme_certificate_installed");
    assert_eq!(pebble.requests("sign-me-up"), 1);
}
