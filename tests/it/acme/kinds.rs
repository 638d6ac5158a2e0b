//! Certificates of other kinds, and validations that are not needed.

use super::{ALERT, config, config_for};
use crate::support::{
    Edit as _, Fault, Operator, Origin, Pebble, Pki, Proxy, Sender, Setup, is_recent, skip,
};
use x509_parser::extensions::GeneralName;

/// An authority that offers the profile.
fn with_profiles(pki: &Pki) -> Option<Pebble> {
    let setup = Setup {
        profiles: ", \"shortlived\": {\"description\": \"s\", \"validityPeriod\": 518400}",
        ..Setup::default()
    };
    let pebble = Pebble::start_with(pki, setup)?;
    if !is_recent() {
        // It takes any profile, and does not say so.
        let meta = "\"meta\": {";
        let with_profiles = format!("{meta} \"profiles\": {{\"shortlived\": \"s\"}},");
        pebble.plays("/dir", Fault::Rewrite(meta.into(), with_profiles));
    }
    Some(pebble)
}

#[test]
fn an_address_is_certified_and_asked_for_by_its_reverse_name() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = with_profiles(&pki) else {
        return;
    };
    let address = pebble.validated.ip();
    let domains = format!("[\"{address}\", \"hooks.example\"], profile = \"shortlived\"");
    let proxy = Proxy::spawn(&pki, &config_for(&pebble, &origin, &domains));
    proxy.wait_for_event("acme_certificate_installed");
    let line = proxy.wait_for_event("acme_validation_answered");
    assert!(line.contains("name="), "{line}");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    let certificate = sender.server_certificate();
    let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let std::net::IpAddr::V4(address) = address else {
        panic!("{address}")
    };
    assert!(
        names
            .value
            .general_names
            .contains(&GeneralName::IPAddress(&address.octets()))
    );
    assert!(
        names
            .value
            .general_names
            .contains(&GeneralName::DNSName("hooks.example"))
    );
}

#[test]
fn the_profile_decides_for_how_long_a_certificate_is_valid() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = with_profiles(&pki) else {
        return;
    };
    let config = config(&pebble, &origin)
        .edit("[tls]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tls]")
        .edit("domains", "profile = \"shortlived\", domains");
    let proxy = Proxy::spawn(&pki, &config);
    proxy.wait_for_event("acme_certificate_installed");
    if !is_recent() {
        return skip("an authority that knows profiles");
    }
    let metrics = Operator::of(&proxy).metrics();
    let time = |which: &str| {
        metrics[&format!("certificate_{which}_timestamp_seconds{{which=\"server\"}}")]
    };
    let days = (time("not_after") - time("not_before")) / 86400.0;
    assert!((days - 6.0).abs() < 0.1, "{days}");
    // Another profile is another certificate; one that is not offered leaves the old one in use.
    proxy.reload(&config.edit("\"shortlived\"", "\"none-such\""));
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(line.contains("invalidProfile"), "{line}");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
}

#[test]
fn a_name_that_was_validated_before_needs_no_other_validation() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let setup = Setup {
        validity: Some(12),
        variables: vec![("PEBBLE_AUTHZREUSE", "100".into())],
        ..Setup::default()
    };
    let Some(pebble) = Pebble::start_with(&pki, setup) else {
        return;
    };
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    proxy.wait_for_events("acme_certificate_installed", 2);
    assert_eq!(pebble.requests("chalZ"), 1);
    assert!(proxy.events("acme_order_failed").is_empty());
}

#[test]
fn an_authority_that_is_not_done_yet_is_asked_again() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let body = "{\"type\": \"urn:ietf:params:acme:error:orderNotReady\", \"detail\": \"not yet\"}";
    let response = format!(
        "HTTP/1.1 403 X\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    pebble.plays("finalize-order", Fault::Answer(response));
    let (valid, processing) = ("\"status\": \"valid\"", "\"status\": \"processing\"");
    for _ in 0..3 {
        pebble.plays("my-order", Fault::Rewrite(valid.into(), processing.into()));
    }
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    proxy.wait_for_event("acme_certificate_installed");
    assert!(proxy.events("acme_order_failed").is_empty());
    assert_eq!(pebble.requests("order-plz"), 1);
    assert_eq!(pebble.requests("finalize-order"), 2);
}
