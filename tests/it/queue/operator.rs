//! What the operator sees of a queue on the status page, and what probes see.

use super::{Scene, alert, receives, transitions};
use crate::support::{Operator, Origin, Pki, Proxy, Reply, Sender, eventually};

#[test]
fn it_stays_ready_where_the_routes_of_an_unhealthy_group_store() {
    for (delivery, status) in [("fallback", 200), ("direct", 503)] {
        let origin = Origin::spawn_apart();
        let directory = tempfile::tempdir().unwrap();
        let group = format!(
            "health_check = {{ interval = \"50ms\" }}\n[queue]\npath = {:?}\n{}",
            directory.path().join("queue.db"),
            super::ADMIN
        );
        let config = Proxy::config_of_group(&[&origin], &group);
        let config = config.replace(
            "path = \"/webhooks/netdata\"",
            &format!("path = \"/webhooks/netdata\"\ndelivery = \"{delivery}\""),
        );
        let proxy = Proxy::spawn(Pki::shared(), &config);
        let operator = Operator::of(&proxy);
        origin.stop();
        proxy.wait_for_event("upstream_check_failed");
        eventually("a finding", || {
            let found = operator.get("/api/status.json").body;
            found.contains("has no healthy server").then_some(())
        });
        assert_eq!(operator.get("/readyz").status, status, "{delivery}");
        if delivery == "fallback" {
            let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
            assert_eq!(sender.post(&alert("n", "critical")).status, 202);
            eventually("what waits", || {
                let found = operator.get("/api/status.json").body;
                found
                    .contains("1 notification of /webhooks/netdata wait")
                    .then_some(())
            });
            assert_eq!(operator.get("/readyz").status, 200);
            // A passed check is a reason to try at once.
            origin.start();
            origin.wait_for(1);
        }
    }
}

#[test]
fn a_poison_is_tried_less_and_less_often_and_the_status_page_says_so() {
    let scene = Scene::new("queue", "");
    let refuse = || Reply::Raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into());
    scene.origin.will([refuse(), refuse()]);
    scene.stores(&alert("n", "critical"));
    scene.proxy.wait_for_event("queue_not_taken");
    let received = scene.origin.wait_for(3);
    assert_eq!(transitions(&received), ["n-critical"; 3]);
    let attempts: Vec<_> = received
        .iter()
        .map(|it| it.header("X-Netdata-Attempt"))
        .collect();
    assert_eq!(attempts, ["1", "2", "3"]);
}

#[test]
fn what_waits_for_too_long_is_parked_and_can_still_be_sent() {
    let scene = Scene::new("queue", "max_age = \"1s\"");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    let line = scene.proxy.wait_for_event("queue_parked");
    assert!(
        line.contains("too_old") && line.contains("queue retry 1"),
        "{line}"
    );
    assert_eq!(scene.listed(&["--parked"])[0]["parked"], "too_old");
    let text = std::fs::read_to_string(&scene.proxy.config).unwrap();
    scene.proxy.reload(&text.replace("max_age = \"1s\"", ""));
    scene.origin.start();
    scene.asks(&["retry", "--all"]);
    receives(&scene.origin, &["n-critical"]);
}
