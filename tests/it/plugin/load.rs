//! Many requests at once, also while the policy is replaced.

use super::{BODIES, Scene, builder};
use crate::support::eventually;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[test]
fn the_policy_is_replaced_under_load_without_a_wrong_answer() {
    let scene = Scene::new();
    let policy = |names: &[&str]| builder(&scene.pki, names).build_policy().unwrap();
    let both = ["app.netdata.cloud", "other.netdata.cloud"];
    let other = scene.pki.named("other.netdata.cloud");
    let load = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = scene.netdata().connect().unwrap();
                while !is_over.load(Ordering::SeqCst) {
                    assert_eq!(connection.post(BODIES[0]).unwrap().status, 200);
                    load.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // An open connection is judged by the policy of the moment.
        let mut open = scene.client(Some(&other)).connect().unwrap();
        for round in 1..=40 {
            scene.gate.replace(policy(&both));
            assert_eq!(open.post(BODIES[0]).unwrap().status, 200);
            scene.gate.replace(policy(&both[..1]));
            let refused = open.post(BODIES[0]).unwrap();
            refused.refuses(403, "common_name_mismatch");
            eventually("some load", || {
                (load.load(Ordering::SeqCst) > 10 * round).then_some(())
            });
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn ten_thousand_requests_at_32_connections_do_not_hang() {
    const CONNECTIONS: usize = 32;
    const EACH: usize = 10_000 / CONNECTIONS + 1;
    let scene = Scene::new();
    let client = scene.netdata();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = client.connect().unwrap();
                for number in 0..EACH {
                    let body = BODIES[number % BODIES.len()];
                    assert_eq!(connection.post(body).unwrap().status, 200);
                }
            });
        }
    });
    assert_eq!(scene.origin.received().len(), CONNECTIONS * EACH);
}
