//! Applications that are known by a name.
//!
//! | fault | the kind it stands for | test |
//! |---|---|---|
//! | with a silent resolver, each fresh connection of a URL route took 5 s, though the last address worked | a request waits for what it does not need | `a_silent_resolver_delays_nothing` |
//! | 400 requests started 200 threads | work for a name is done once for each request | `a_silent_resolver_delays_nothing`, `requests_wait_for_one_look_up_together` |
//! | a URL route kept to its pooled connections after its name had moved | what was found out once is believed for ever | `a_name_that_moves_is_followed` |

use crate::support::{Edit as _, Origin, Pki, Proxy, Resolver, Sender, eventually};

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

const SENDERS: usize = 40;

/// A proxy of which `app.test` is the upstream, with the port of `origin`, and a sender to it.
fn scene(origin: &Origin, resolver: &Resolver) -> (Proxy, Sender) {
    let url = format!("http://app.test:{}", origin.address().port());
    let proxy = Proxy::spawn_with(
        Pki::shared(),
        &(Proxy::config_for(&url, "require", "") + "[log]\nlevel = \"debug\"\n"),
        &resolver.variables(),
    );
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (proxy, sender)
}

fn threads(proxy: &Proxy) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))
        .unwrap();
    line.trim().parse().unwrap()
}

/// Many requests at once, each over a connection of its own. Returns their statuses.
fn posts(sender: &Sender, meanwhile: impl FnOnce()) -> Vec<u16> {
    std::thread::scope(|scope| {
        let posts: Vec<_> = (0..SENDERS)
            .map(|_| scope.spawn(|| sender.post(ALERT).status))
            .collect();
        meanwhile();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    })
}

#[test]
fn a_silent_resolver_delays_nothing() {
    let origin = Origin::spawn_apart();
    let Some(resolver) = Resolver::answering(&origin) else {
        return;
    };
    let (proxy, sender) = scene(&origin, &resolver);
    assert_eq!(sender.post(ALERT).status, 200);
    resolver.falls_silent();
    // An address at which nothing listens is in doubt, so that the name is looked up.
    origin.stop();
    sender.post(ALERT).refuses(502, "upstream_unreachable");
    eventually("a look-up", || (resolver.waiting() == 1).then_some(()));
    origin.start();
    let (asked, before) = (resolver.asked(), threads(&proxy));
    let statuses = posts(&sender, || ());
    assert_eq!(statuses, [200; SENDERS]);
    // All have been answered while the look-up has not, and there is no other.
    assert_eq!((resolver.waiting(), resolver.asked()), (1, asked));
    // An idle thread for blocking work stays for a while.
    let after = threads(&proxy);
    assert!(after <= before + 2, "{before} threads became {after}");
    proxy.wait_for_event("name_resolution_failed");
    resolver.answers(&origin);
    proxy.wait_for_event("name_resolution_recovered");
}

#[test]
fn requests_wait_for_one_look_up_together() {
    let origin = Origin::spawn_apart();
    let Some(resolver) = Resolver::answering(&origin) else {
        return;
    };
    resolver.falls_silent();
    let (proxy, sender) = scene(&origin, &resolver);
    let statuses = posts(&sender, || {
        // The last check of each request, after which it is forwarded.
        proxy.wait_for_logs("check=\"notification\"", SENDERS);
        eventually("a look-up", || (resolver.waiting() > 0).then_some(()));
        assert_eq!(resolver.waiting(), 1, "there is one look-up at a time");
        resolver.answers(&origin);
    });
    assert_eq!(statuses, [200; SENDERS]);
    assert_eq!(resolver.asked(), 1);
}

#[test]
fn a_resolver_that_fails_changes_nothing() {
    let origin = Origin::spawn_apart();
    let Some(resolver) = Resolver::answering(&origin) else {
        return;
    };
    let (_proxy, sender) = scene(&origin, &resolver);
    assert_eq!(sender.post(ALERT).status, 200);
    resolver.fails();
    origin.stop();
    sender.post(ALERT).refuses(502, "upstream_unreachable");
    origin.start();
    assert_eq!(sender.post(ALERT).status, 200);
}

/// Though its connections to the old place are still open, and requests use them all the time.
#[test]
fn a_name_that_moves_is_followed() {
    let from = Origin::spawn_apart();
    let to = Origin::spawn_beside(&from);
    let url = format!("http://app.test:{}", from.address().port());
    let group = Proxy::config_of_group(&[&from], "health_check = { interval = \"10m\" }")
        .edit(&from.url, &url);
    let configs = [Proxy::config_for(&url, "require", ""), group];
    std::thread::scope(|scope| {
        for config in configs {
            let (from, to) = (&from, &to);
            scope.spawn(move || {
                let Some(resolver) = Resolver::answering(from) else {
                    return;
                };
                let proxy = Proxy::spawn_with(Pki::shared(), &config, &resolver.variables());
                let mut connection = Sender::to(&proxy, Some(&Pki::shared().netdata()))
                    .connect()
                    .unwrap();
                let mut post = |id: &str| {
                    let body = format!("{{\"alert\":{{\"transition_id\":\"{id}\"}}}}");
                    assert_eq!(connection.post(&body).unwrap().status, 200);
                };
                let came = |origin: &Origin, id: &str| {
                    origin
                        .received()
                        .iter()
                        .any(|received| received.header("Idempotency-Key") == id)
                };
                let id = |what: &str| format!("{what}-{}", proxy.id());
                post(&id("before"));
                assert!(came(from, &id("before")));
                resolver.answers(to);
                eventually("the new address", || {
                    post(&id("move"));
                    came(to, &id("move")).then_some(())
                });
                (0..20).for_each(|_| post(&id("after")));
                assert!(!came(from, &id("after")));
            });
        }
    });
}
