//! Authorities that are away, refuse, or answer with something else: what was issued goes on, and
//! they are not asked more often than they want.

use super::{ALERT, config, config_without_authority, publish};
use crate::support::{
    Edit as _, Fault, Operator, Origin, Pebble, Pki, Proxy, Sender, Setup, eventually,
};

const WITH_ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[tls]";

/// The seconds until the next try, of a line that says it failed.
fn wait_of(line: &str) -> i64 {
    let at: i64 = line
        .split("retry_at=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    at - i64::try_from(now).unwrap()
}

/// An error of an authority, with further header fields.
pub(super) fn problem(status: u16, code: &str, headers: &str) -> String {
    let body = format!(
        "{{\"type\": \"urn:ietf:params:acme:error:{code}\", \"detail\": \"told by the test\"}}"
    );
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/problem+json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn the_authority_s_words_are_shown_and_a_reload_tries_again() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let setup = Setup {
        more: ", \"domainBlocklist\": [\"hooks.example\"]".into(),
        ..Setup::default()
    };
    let Some(pebble) = Pebble::start_with(&pki, setup) else {
        return;
    };
    let config = config(&pebble, &origin).edit("[tls]", WITH_ADMIN);
    let proxy = Proxy::spawn(&pki, &config);
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(
        line.contains("rejectedIdentifier") && (50..=60).contains(&wait_of(&line)),
        "{line}"
    );
    let operator = Operator::of(&proxy);
    operator.wait_for("acme_failures", 1.0);
    operator.wait_for("acme_orders_total{outcome=\"failed\"}", 1.0);
    let page = operator.get("/").body;
    assert!(
        page.contains("rejectedIdentifier")
            && page.contains("There is no certificate for hooks.example yet")
    );
    assert_eq!(
        operator.get("/readyz").status,
        200,
        "or no validation would get through"
    );
    // Another name is another order; the wait of the first name does not hold it up.
    proxy.reload(&config.edit("[\"hooks.example\"]", "[\"b.example\"]"));
    proxy.wait_for_event("acme_certificate_installed");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    assert_eq!(pebble.requests("order-plz"), 2);
}

#[test]
fn a_restart_does_not_shorten_the_wait() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    // Longer than this test may take.
    let refusal = problem(403, "unauthorized", "Retry-After: 7200\r\n");
    pebble.plays("order-plz", Fault::Answer(refusal));
    let config = config(&pebble, &origin).edit("[tls]", WITH_ADMIN);
    let mut proxy = Proxy::spawn(&pki, &config);
    // The line comes before the wait is written down, which a process that is killed may not do.
    waits(&proxy);
    let asked = pebble.requests("");
    for _ in 0..3 {
        proxy.signal("KILL");
        proxy.wait();
        proxy = Proxy::spawn(&pki, &config);
        waits(&proxy);
    }
    assert_eq!(pebble.requests(""), asked, "nothing was asked");
    proxy.signal("HUP");
    proxy.wait_for_event("acme_certificate_installed");
}

/// Waits until it is written down that one order failed, and when the next one is tried.
fn waits(proxy: &Proxy) {
    let operator = Operator::of(proxy);
    eventually("the time of the next try", || {
        let metrics = operator.metrics();
        let is_known = metrics.contains_key("acme_retry_timestamp_seconds");
        (is_known && metrics.get("acme_failures") == Some(&1.0)).then_some(())
    });
}

#[test]
fn an_authority_that_asks_for_time_gets_it_in_either_form() {
    let origin = Origin::spawn();
    let two_hours = std::time::Duration::from_secs(7200);
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + two_hours);
    for wanted in ["7200", &date] {
        let pki = Pki::new();
        let Some(pebble) = Pebble::start(&pki) else {
            return;
        };
        let headers = format!("Retry-After: {wanted}\r\n");
        pebble.plays(
            "order-plz",
            Fault::Answer(problem(429, "rateLimited", &headers)),
        );
        let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
        let line = proxy.wait_for_event("acme_order_failed");
        assert!(line.contains("rateLimited"), "{line}");
        assert!((7150..=7200).contains(&wait_of(&line)), "{wanted}: {line}");
    }
}

#[test]
fn a_page_in_place_of_an_answer_is_a_failure_and_no_crash() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let page = "<html>Service Unavailable</html>";
    let response = format!(
        "HTTP/1.1 503 X\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    pebble.plays("order-plz", Fault::Answer(response));
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(
        line.contains("unexpected_response") && line.contains("503"),
        "{line}"
    );
    proxy.signal("HUP");
    proxy.wait_for_event("acme_certificate_installed");
    assert_eq!(pebble.requests("sign-me-up"), 1);
}

#[test]
fn a_contact_that_the_authority_refuses_is_told_and_another_one_is_taken() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    pebble.plays(
        "my-account",
        Fault::Answer(problem(400, "invalidContact", "")),
    );
    let config = config(&pebble, &origin)
        .edit("[tls]", WITH_ADMIN)
        .edit("domains", "email = \"ops@none.example\", domains");
    let proxy = Proxy::spawn(&pki, &config);
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(line.contains("invalidContact"), "{line}");
    let operator = Operator::of(&proxy);
    eventually("the finding", || {
        operator
            .get("/")
            .body
            .contains("invalidContact")
            .then_some(())
    });
    assert_eq!(pebble.requests("order-plz"), 0);
    proxy.reload(&config.edit("ops@none.example", "ops@hooks.example"));
    proxy.wait_for_event("acme_certificate_installed");
    // The account of the first try is found again by its key.
    let accounts = proxy.events("acme_account_created");
    assert_eq!(accounts.len(), 1, "{accounts:?}");
}

#[test]
fn a_clock_that_is_wrong_is_told_for_as_long_as_it_is() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    pebble.plays(
        "order-plz",
        Fault::Answer(problem(503, "serverInternal", date)),
    );
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin).edit("[tls]", WITH_ADMIN));
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(line.contains("s ahead of the authority's"), "{line}");
    let operator = Operator::of(&proxy);
    let told = || {
        operator
            .get("/")
            .body
            .contains("The clock of this machine is")
    };
    eventually("the finding", || told().then_some(()));
    proxy.signal("HUP");
    proxy.wait_for_event("acme_certificate_installed");
    eventually("the end of the finding", || (!told()).then_some(()));
}

#[test]
fn an_authority_without_this_validation_is_told_as_such() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    pebble.plays(
        "authZ",
        Fault::Rewrite("tls-alpn-01".into(), "tls-alpn-99".into()),
    );
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(line.contains("no_tls_alpn_01"), "{line}");
}

#[test]
fn a_validation_that_fails_is_told_in_the_authority_s_words() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    // Nothing answers where the name leads.
    let config = config(&pebble, &origin).edit(&pebble.validated.to_string(), "127.0.0.1:0");
    let proxy = Proxy::spawn(&pki, &config);
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(line.contains("hooks.example: Failed to connect"), "{line}");
}

#[test]
fn a_validation_that_another_machine_answers_is_told_in_the_authority_s_words() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let validated = pebble.validated.to_string();
    // The name leads to a machine that orders a certificate for it as well.
    let others = Pki::new();
    publish(&others, "hooks.example");
    let at_name = config_without_authority(&origin).edit("127.0.0.1:0", &validated);
    let other = Proxy::spawn(&others, &at_name);
    let config = config(&pebble, &origin)
        .edit(&validated, "127.0.0.1:0")
        .edit("[tls]", WITH_ADMIN);
    let proxy = Proxy::spawn(&pki, &config);
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(
        line.contains("unauthorized") && line.contains("hooks.example: "),
        "{line}"
    );
    let line = other.wait_for_event("acme_validation_answered");
    assert!(
        line.contains("name=\"hooks.example\"") && line.contains("remote_addr=127."),
        "{line}"
    );
    assert!(proxy.events("acme_validation_answered").is_empty());
    let operator = Operator::of(&proxy);
    eventually("the finding", || {
        operator
            .get("/")
            .body
            .contains("unauthorized")
            .then_some(())
    });
}

#[test]
fn half_of_all_nonces_may_be_refused() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let setup = Setup {
        variables: vec![("PEBBLE_WFE_NONCEREJECT", "50".into())],
        ..Setup::default()
    };
    let Some(pebble) = Pebble::start_with(&pki, setup) else {
        return;
    };
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    proxy.wait_for_event("acme_certificate_installed");
    assert!(proxy.events("acme_order_failed").is_empty());
}

#[test]
fn an_account_that_the_authority_lost_is_created_again() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let setup = Setup {
        validity: Some(14),
        ..Setup::default()
    };
    let Some(mut pebble) = Pebble::start_with(&pki, setup) else {
        return;
    };
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    proxy.wait_for_event("acme_certificate_installed");
    pebble.restart(&pki);
    proxy.wait_for_events("acme_certificate_installed", 2);
    assert_eq!(proxy.events("acme_account_created").len(), 2);
    assert!(proxy.events("acme_order_failed").is_empty());
}

#[test]
fn an_authority_that_is_away_stops_nothing_that_was_issued() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    // It is renewed when a sixth is left at the latest, within what a test waits for an event.
    let setup = Setup {
        validity: Some(24),
        ..Setup::default()
    };
    let Some(pebble) = Pebble::start_with(&pki, setup) else {
        return;
    };
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin).edit("[tls]", WITH_ADMIN));
    proxy.wait_for_event("acme_certificate_installed");
    drop(pebble);
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(
        line.contains("unreachable") || line.contains("unexpected_response"),
        "{line}"
    );
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    let operator = Operator::of(&proxy);
    operator.wait_for("acme_failures", 1.0);
    assert_eq!(operator.get("/readyz").status, 200);
}
