//! One certificate for all replicas: one orders, any answers the validation, all present it.

use super::server;
use crate::acme::ALERT;
use crate::queue::ADMIN;
use crate::support::{
    Edit as _, Fault, Operator, Origin, Pebble, Pki, Proxy, Sender, Setup, postgres,
};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

/// An authority, and replicas that keep what it issues in one database.
struct Scene {
    pki: Pki,
    pebble: Pebble,
    origin: Origin,
    url: String,
    config: String,
}

impl Scene {
    /// `None` where there is no server, or no authority.
    fn new(setup: Setup) -> Option<Self> {
        let url = server()?.create_database("UTF8");
        let (pki, origin) = (Pki::new(), Origin::spawn());
        let pebble = Pebble::start_with(&pki, setup)?;
        fs::write(pki.path().join("database.url"), &url).unwrap();
        let acme = pebble.acme("[\"hooks.example\"]");
        let config = Proxy::config(&origin, "require", "")
            .edit(
                "certificate = \"server.pem\"\nprivate_key = \"server.key\"",
                &acme.edit(", state = \"state\"", ""),
            )
            .edit(
                "[server]",
                "[queue]\nurl = { file = \"database.url\" }\n[server]",
            );
        Some(Self {
            pki,
            pebble,
            origin,
            url,
            config,
        })
    }

    /// A replica that the authority does not find.
    fn aside(&self) -> Proxy {
        Proxy::spawn(&self.pki, &self.config)
    }

    /// A replica to which the name leads.
    fn validated(&self) -> Proxy {
        let address = self.pebble.validated.to_string();
        Proxy::spawn(&self.pki, &self.config.edit("127.0.0.1:0", &address))
    }

    /// The replica that orders, which the authority does not find, while its first request is
    /// not answered; and another one, to which the name leads.
    fn ordering_and_validated(&self) -> (Proxy, Proxy) {
        self.pebble.holds(true);
        let ordering = self.aside();
        let held = "select count(*) from netdata_webhook_proxy.acme_lock where holder is not null";
        crate::support::eventually("the lock", || (self.sql(held) != "0").then_some(()));
        (ordering, self.validated())
    }

    fn sql(&self, sql: &str) -> String {
        postgres::sql(&self.url, sql)
    }

    /// The private key of the account.
    fn account_key(&self) -> String {
        self.sql("select value from netdata_webhook_proxy.acme where name like '%/account.key'")
    }

    fn certificate(&self, replica: &Proxy) -> Vec<u8> {
        Sender::to(replica, Some(&self.pki.netdata())).server_certificate()
    }

    #[track_caller]
    fn serves(&self, replica: &Proxy) {
        let sender = Sender::to(replica, Some(&self.pki.netdata()));
        assert_eq!(sender.post(ALERT).status, 200);
    }
}

#[test]
fn one_orders_another_answers_the_validation_and_both_present_each_certificate() {
    // Lives of seconds, so that one is renewed.
    let setup = Setup {
        validity: Some(20),
        ..Setup::default()
    };
    let Some(scene) = Scene::new(setup) else {
        return;
    };
    let (ordering, validated) = scene.ordering_and_validated();
    scene.pebble.holds(false);
    for number in [1, 2] {
        for replica in [&ordering, &validated] {
            replica.wait_for_events("acme_certificate_installed", number);
        }
        assert_eq!(scene.certificate(&ordering), scene.certificate(&validated));
        scene.serves(&ordering);
        scene.serves(&validated);
        assert!(validated.events("acme_order_placed").is_empty());
    }
    assert_eq!(ordering.events("acme_account_created").len(), 1);
    assert_eq!(scene.pebble.requests("sign-me-up"), 1);
    // Nothing of it is in a folder, and no log has a key.
    assert!(!scene.pki.path().join("state").exists());
    for replica in [&ordering, &validated] {
        assert!(!replica.log().join("\n").contains("PRIVATE KEY"));
    }
    assert!(scene.origin.received().len() >= 4);
}

/// Texts in the paths of requests of an order, before or after which a replica is killed.
const STEPS: [(&str, bool); 4] = [
    ("sign-me-up", true),
    ("chalZ", false),
    ("finalize-order", true),
    ("certZ", false),
];

#[test]
fn another_goes_on_with_the_account_and_the_order_of_one_that_is_killed() {
    std::thread::scope(|scope| {
        for (step, is_after) in STEPS {
            scope.spawn(move || is_killed(step, is_after));
        }
    });
}

fn is_killed(step: &str, is_after: bool) {
    let Some(scene) = Scene::new(Setup::default()) else {
        return;
    };
    let (mut ordering, validated) = scene.ordering_and_validated();
    let fault = match is_after {
        true => Fault::KillAfter(ordering.id()),
        false => Fault::KillBefore(ordering.id()),
    };
    scene.pebble.plays(step, fault);
    scene.pebble.holds(false);
    ordering.wait();
    let (killed, key) = (Instant::now(), scene.account_key());
    assert!(key.len() > 100, "{key}");
    validated.wait_for_event("acme_certificate_installed");
    let taken = killed.elapsed();
    assert!(taken < Duration::from_secs(15), "{step}: {taken:?}");
    scene.serves(&validated);
    assert_eq!(scene.account_key(), key, "{step}: one account");
    assert_eq!(scene.pebble.requests("order-plz"), 1, "{step}: one order");
}

#[test]
fn one_that_slept_while_another_took_over_writes_nothing() {
    let Some(scene) = Scene::new(Setup::default()) else {
        return;
    };
    let (ordering, validated) = scene.ordering_and_validated();
    ordering.signal("STOP");
    scene.pebble.holds(false);
    validated.wait_for_event("acme_certificate_installed");
    let account = |replica: &Proxy| replica.events("acme_account_created").len();
    assert_eq!(account(&validated), 1);
    let kept = "select string_agg(name || value::text, '' order by name)
        from netdata_webhook_proxy.acme where name not like '%renewal.json'";
    let before = scene.sql(kept);
    ordering.signal("CONT");
    ordering.wait_for_event("acme_certificate_installed");
    ordering.wait_for_log("another process orders by now");
    assert_eq!(scene.sql(kept), before);
    assert_eq!(account(&ordering), 0);
    assert_eq!(scene.certificate(&ordering), scene.certificate(&validated));
}

#[test]
fn a_certificate_outlasts_the_database_and_a_named_folder_is_used_instead() {
    let Some(mut server) = postgres::Server::start() else {
        return;
    };
    let url = server.create_database("UTF8");
    let Some(scene) = Scene::new(Setup::default()) else {
        return;
    };
    fs::write(scene.pki.path().join("database.url"), url).unwrap();
    let replica = scene.validated();
    replica.wait_for_event("acme_certificate_installed");
    let certificate = scene.certificate(&replica);
    server.kill();
    replica.wait_for_event("acme_state_failed");
    assert_eq!(scene.certificate(&replica), certificate);
    scene.serves(&replica);
    server.run();
    drop(replica);
    let config = scene
        .config
        .edit("directory_ca", "state = \"state\", directory_ca")
        .edit("127.0.0.1:0", &scene.pebble.validated.to_string());
    let replica = Proxy::spawn(&scene.pki, &config);
    replica.wait_for_event("acme_certificate_installed");
    assert!(scene.pki.path().join("state/acme").is_dir());
    assert_ne!(scene.certificate(&replica), certificate);
}

/// Returns the findings of a replica, in one text.
fn findings(replica: &Proxy) -> String {
    let status = Operator::of(replica).get("/api/status.json").body;
    let status: Value = serde_json::from_str(&status).unwrap();
    status["findings"].to_string()
}

#[test]
fn one_that_starts_without_the_database_says_that_it_has_no_certificate_and_gets_it_later() {
    let Some(mut server) = postgres::Server::start() else {
        return;
    };
    let Some(mut scene) = Scene::new(Setup::default()) else {
        return;
    };
    let url = server.create_database("UTF8");
    fs::write(scene.pki.path().join("database.url"), url).unwrap();
    let first = scene.validated();
    first.wait_for_event("acme_certificate_installed");
    let certificate = scene.certificate(&first);
    server.kill();
    scene.config += ADMIN;
    let late = scene.aside();
    let sender = Sender::to(&late, Some(&scene.pki.netdata()));
    assert!(sender.send("GET", "/", "", "").is_err());
    let line = late.wait_for_event("handshake_refused");
    assert!(
        line.contains("code=\"server_certificate_missing\"")
            && line.contains("reason=\"This server has no certificate yet: with tls.acme, "),
        "{line}"
    );
    let found = findings(&late);
    assert!(
        found.contains("There is no certificate for hooks.example yet.")
            && found.contains("The state of ACME cannot be used, so nothing is ordered: "),
        "{found}"
    );
    server.run();
    late.wait_for_event("acme_certificate_installed");
    assert_eq!(scene.certificate(&late), certificate);
    scene.serves(&late);
    assert_eq!(late.events("handshake_refused").len(), 1);
}
