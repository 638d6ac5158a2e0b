//! A database that takes no deletes: what was delivered cannot be recorded. It would be sent again by
//! the next replica, so it does not become more and more.

use super::{Scene, postgres};
use crate::queue::{alert, transitions};
use crate::support::{Operator, eventually};
use std::collections::HashSet;
use std::thread;

/// The number of ends of attempts that may wait, and of attempts that are under way at most.
const MAX: usize = 1000;
const DELIVERIES: usize = 8;

const FEW: usize = 200;
const MANY: usize = MAX + 200;

const NO_DELETES: &str = "create function public.no_deletes() returns trigger language plpgsql as
    $$ begin raise exception 'nothing can be deleted'; end $$;
    create trigger no_deletes before delete on netdata_webhook_proxy.notification
    execute function public.no_deletes()";

impl Scene {
    /// Stores notifications of so many alerts, several at a time.
    fn stores_alerts(&self, numbers: std::ops::Range<usize>) {
        let threads = 8;
        thread::scope(|scope| {
            for thread in 0..threads {
                let numbers = numbers
                    .clone()
                    .filter(move |number| number % threads == thread);
                scope.spawn(move || {
                    let mut connection = self.replicas[1].sender.connect().unwrap();
                    for number in numbers {
                        let answer = connection.post(&alert(&format!("n{number}"), "0"));
                        assert_eq!(answer.unwrap().status, 202, "{number}");
                    }
                });
            }
        });
    }

    /// Waits until the replica that delivers has said so many times that it still does.
    fn beats(&self, times: usize) {
        let beat = || self.sql("select term || ' ' || beat from netdata_webhook_proxy.deliverer");
        for _ in 0..times {
            let before = beat();
            eventually("another beat", || (beat() != before).then_some(()));
        }
    }
}

#[test]
fn no_attempt_begins_while_a_thousand_deliveries_cannot_be_recorded() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.sql(NO_DELETES);
    // The control: it is not by itself that deletes are needed for attempts.
    scene.stores_alerts(0..FEW);
    scene.origin.wait_for(FEW);
    assert_eq!(
        scene.sql("select count(*) from netdata_webhook_proxy.notification"),
        FEW.to_string()
    );
    scene.stores_alerts(FEW..MANY);
    scene.origin.wait_for(MAX);
    scene.beats(3);
    let count = scene.origin.received().len();
    assert!((MAX..MAX + DELIVERIES).contains(&count), "{count}");
    let status = Operator::of(&scene.replicas[0].proxy).get("/api/status.json");
    assert!(status.body.contains("nothing can be deleted"), "{status:?}");
    let line = scene.replicas[0].proxy.wait_for_event("queue_unwritable");
    assert!(line.contains("nothing can be deleted"), "{line}");
    postgres::sql(&scene.url, "drop function public.no_deletes cascade");
    scene.replicas[0].proxy.wait_for_event("queue_writable");
    scene.drained();
    let received = scene.origin.received();
    let keys: HashSet<_> = transitions(&received).into_iter().collect();
    assert_eq!((received.len(), keys.len()), (MANY, MANY));
}
