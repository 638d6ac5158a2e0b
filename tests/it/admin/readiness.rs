//! When the process lives, when it is ready, and when it is not.

use super::{ADMIN, ALERT, Scene};
use crate::support::{Edit as _, Operator, Origin, Pki, Proxy, Reply, eventually};
use time::{Duration, OffsetDateTime};

#[test]
fn it_lives_and_is_ready_until_it_drains() {
    let pki = Pki::shared();
    let mut scene = Scene::new(pki, "require", "");
    for path in ["/livez", "/readyz"] {
        let answer = scene.operator.get(path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "ok\n"),
            "{path}"
        );
    }
    let (tell, reply) = Reply::when_told("late");
    scene.origin.will([reply]);
    let sender = scene.sender(Some(&pki.netdata()));
    let in_flight = std::thread::spawn(move || sender.post(ALERT));
    scene.origin.wait_for(1);
    scene.proxy.signal("TERM");
    let answer = eventually("the drain", || {
        Some(scene.operator.get("/readyz")).filter(|answer| answer.status == 503)
    });
    assert_eq!(answer.body, "The process is about to end.\n");
    assert_eq!(scene.operator.get("/livez").status, 200);
    tell.send(()).unwrap();
    assert_eq!(in_flight.join().unwrap().status, 200);
    assert_eq!(scene.proxy.wait().code(), Some(0));
}

#[test]
fn it_is_not_ready_before_the_self_test_has_passed() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "request", "") + ADMIN;
    // The self-test takes some milliseconds, in which it has to be asked.
    let is_seen = (0..20).any(|_| {
        let proxy = Proxy::start(&pki, &config);
        let operator = Operator::of(&proxy);
        let answer = operator.get("/readyz");
        assert_eq!(operator.get("/livez").status, 200);
        eventually("the end of the self-test", || {
            (operator.get("/readyz").status == 200).then_some(())
        });
        answer.status == 503 && answer.body == "The self-test has not passed yet.\n"
    });
    assert!(is_seen);
}

#[test]
fn it_is_not_ready_with_what_has_expired() {
    let pki = Pki::new();
    pki.write("crl.pem", &pki.revocation_list(&[1], Duration::seconds(3)));
    pki.short_lived_server("short", Duration::seconds(3));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "")
        .edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\"");
    let scene = Scene::spawn(&pki, &(config.edit("server.", "short.") + ADMIN), origin);
    let answer = eventually("the expiry", || {
        Some(scene.operator.get("/readyz"))
            .filter(|answer| answer.status == 503 && answer.body.lines().count() == 2)
    });
    assert!(
        answer.body.contains("A revocation list is out of date"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains("The server's certificate has expired"),
        "{}",
        answer.body
    );
    assert_eq!(scene.operator.get("/livez").status, 200);
}

#[test]
fn what_is_not_needed_of_the_chain_may_have_run_out() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let chain = std::fs::read_to_string(pki.path().join("server.pem")).unwrap();
    let old = pki.changed_authority(|params| {
        params.not_after = OffsetDateTime::now_utc() - Duration::days(1)
    });
    pki.write("server.pem", &(chain + &old));
    let scene = Scene::spawn(
        &pki,
        &(Proxy::config(&origin, "require", "") + ADMIN),
        origin,
    );
    let answer = scene.operator.get("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    let status = scene.operator.get("/api/status.json").body;
    assert!(
        status.contains("beside its own, has expired: O=Test, CN=Test Root CA."),
        "{status}"
    );
    let metrics = scene.operator.metrics();
    for which in ["server", "chain"] {
        let until =
            metrics[&format!("certificate_not_after_timestamp_seconds{{which=\"{which}\"}}")];
        assert!(
            until > OffsetDateTime::now_utc().unix_timestamp() as f64,
            "{which}"
        );
    }
}
