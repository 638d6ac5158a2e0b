//! Servers that die under load.

use super::{ADMIN, Tally, health_of, keys};
use crate::support::{Operator, Origin, Pki, Proxy, Sender};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Each server in turn is killed and started again, with requests on pooled and on fresh
/// connections.
#[test]
fn servers_that_die_under_load_cost_no_notification() {
    const SENDERS: usize = 8;
    let mut lost = 0;
    for (keepalive, is_killed) in [
        ("", true),
        ("keepalive = 0\n", true),
        ("", false),
        ("keepalive = 0\n", false),
    ] {
        let origins = [Origin::spawn_apart(), Origin::spawn_apart()];
        // Each request is at the application for a while.
        origins
            .iter()
            .for_each(|origin| origin.answers_after(Duration::from_millis(5)));
        let group = format!("{keepalive}health_check = {{ interval = \"50ms\" }}\n{ADMIN}");
        let proxy = Proxy::spawn(
            Pki::shared(),
            &Proxy::config_of_group(&origins.each_ref(), &group),
        );
        let (operator, sender) = (
            Operator::of(&proxy),
            Sender::to(&proxy, Some(&Pki::shared().netdata())),
        );
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for number in 0..SENDERS {
                let (tally, sender) = (&tally, &sender);
                scope.spawn(move || tally.send(sender, number, Duration::ZERO));
            }
            for origin in origins.iter().chain(&origins) {
                tally.wait_for_more(100);
                if is_killed {
                    origin.kill()
                } else {
                    origin.stop()
                }
                operator.wait_for(&health_of(origin), 0.0);
                tally.wait_for_more(100);
                origin.start();
                operator.wait_for(&health_of(origin), 1.0);
            }
            tally.is_over.store(true, Ordering::SeqCst);
        });
        let (sent, failures) = (
            tally.sent.into_inner(),
            tally.failures.into_inner().unwrap(),
        );
        eprintln!(
            "{keepalive:?} killed={is_killed}: {} of {sent} failed",
            failures.len()
        );
        lost += failures.len();
        let mut arrived: Vec<_> = origins.iter().flat_map(keys).map(|(id, _)| id).collect();
        arrived.sort();
        arrived.dedup();
        assert!(
            arrived.len() + failures.len() >= sent,
            "{} of {sent} arrived",
            arrived.len()
        );
    }
    assert_eq!(lost, 0);
}
