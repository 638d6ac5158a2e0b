//! Many requests at once, also while the policy is replaced.

use super::{BODIES, Scene, builder};

#[test]
fn the_policy_is_replaced_under_load_without_a_wrong_answer() {
    let scene = Scene::new();
    let leaves = [scene.pki.netdata(), scene.pki.named("other.netdata.cloud")];
    let policy = |names: &[&str]| builder(&scene.pki, names).build_policy().unwrap();
    let both = ["app.netdata.cloud", "other.netdata.cloud"];
    std::thread::scope(|scope| {
        let clients: Vec<_> = leaves
            .iter()
            .map(|leaf| {
                let client = scene.client(Some(leaf));
                scope.spawn(move || {
                    let mut connection = client.connect().unwrap();
                    let statuses = (0..400).map(|_| connection.post(BODIES[0]).unwrap().status);
                    statuses.collect::<Vec<_>>()
                })
            })
            .collect();
        for round in 0..40 {
            scene.gate.replace(policy(&both[..1 + round % 2]));
        }
        let mut statuses = clients.into_iter().map(|client| client.join().unwrap());
        assert!(statuses.next().unwrap().iter().all(|status| *status == 200));
        let others = statuses.next().unwrap();
        assert!(others.iter().all(|status| [200, 403].contains(status)));
    });
    // An open connection is judged by the policy of the moment.
    let mut open = scene.client(Some(&leaves[1])).connect().unwrap();
    scene.gate.replace(policy(&both));
    assert_eq!(open.post(BODIES[0]).unwrap().status, 200);
    scene.gate.replace(policy(&both[..1]));
    open.post(BODIES[0])
        .unwrap()
        .refuses(403, "common_name_mismatch");
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
