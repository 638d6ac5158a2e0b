//! What the bodies of requests take in memory.
//!
//! In a container of 128 MB, 300 alerts of 1 MB at once ended the process, and with it all that
//! were under way: each took 2.3 times its size, all of them together had no bound, and what was
//! freed stayed. So here: a body takes little more than its size, however it comes
//! ([`a_body_takes_little_more_than_its_size`]); what it took goes back to the system; all together
//! have a bound, over which a request is refused with 503, counted and told to the operator
//! ([`there_is_a_bound_for_all_bodies`]), on "proxy" routes that gather as well; a burst waits a
//! moment for memory instead of being refused; the bound follows from what the process may have
//! ([`the_bound_follows_from_what_there_is`]), and under that nothing ends the process, and what
//! was answered 2xx has arrived ([`a_burst_ends_nothing`], and in a control group of that size,
//! where one can be made, [`a_burst_ends_nothing_in_a_container`]).

use crate::support::{
    Application, Carrier, Cgroup, Operator, Origin, Pki, Proxy, Sender, Stream, WEBHOOK,
    eventually, skip,
};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

const MB: u64 = 1_000_000;

/// The address space of a small container.
const SMALL: u64 = 128 << 20;

/// Address space that nothing is kept in: the file of a program that is not optimised, the stacks of
/// its threads, and what the C library reserves for each of them.
const OWN_SPACE: u64 = 384 << 20;

/// An alert of so many bytes.
fn alert(bytes: u64) -> Vec<u8> {
    let text = "x".repeat(bytes as usize - "{\"alert\":\"\"}".len());
    format!("{{\"alert\":\"{text}\"}}").into_bytes()
}

/// In front of `upstream`, with these bounds.
fn config(upstream: &str, limits: &str) -> String {
    Proxy::config_for(upstream, "require", "max_body = \"4MiB\"")
        + "[admin]\nlisten = \"127.0.0.1:0\"\n[limits]\n"
        + limits
}

fn scene(upstream: &str, limits: &str) -> (Proxy, Sender, Operator) {
    let proxy = Proxy::spawn(Pki::shared(), &config(upstream, limits));
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    let operator = Operator::of(&proxy);
    (proxy, sender, operator)
}

/// Sends a notification, of which the answer is still to come.
fn post(sender: &Sender, carrier: Carrier, body: &[u8]) -> Stream {
    let mut stream = Stream::begin(sender, carrier, "POST", WEBHOOK, &[], body.len() as u64);
    body.chunks(10_000)
        .for_each(|part| stream.send(part).unwrap());
    stream.end().unwrap();
    stream
}

/// What a process has in memory of its own, in bytes.
fn memory(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn buffered(operator: &Operator) -> u64 {
    operator.metrics()["buffered_bytes"] as u64
}

/// The application ends every connection, those included over which a request is sent again.
fn until_nothing_is_held(application: &Application, operator: &Operator) {
    eventually("that nothing is held", || {
        while let Some(visit) = application.next() {
            drop(visit);
        }
        (buffered(operator) == 0).then_some(())
    });
}

#[test]
fn a_body_takes_little_more_than_its_size() {
    const ALERTS: u64 = 40;
    // It takes connections, and neither reads nor answers.
    let application = Application::listen();
    for carrier in Carrier::ALL {
        let (proxy, sender, operator) = scene(&application.url, "max_buffered = \"256MiB\"\n");
        let hold = |bytes: u64| -> Vec<_> {
            let held = buffered(&operator);
            let streams = (0..ALERTS)
                .map(|_| post(&sender, carrier, &alert(bytes)))
                .collect();
            eventually("that all are held", || {
                (buffered(&operator) >= held + ALERTS * bytes).then_some(())
            });
            streams
        };
        // What a connection takes does not count.
        let small = hold(1000);
        let before = memory(&proxy);
        let large = hold(MB);
        let taken = memory(&proxy) - before;
        assert!(
            taken <= ALERTS * MB * 13 / 10,
            "{carrier:?}: {taken} bytes for {ALERTS} MB"
        );
        assert!(buffered(&operator) <= ALERTS * MB * 13 / 10, "{carrier:?}");
        // The clients leave, and the application as well.
        drop((small, large));
        until_nothing_is_held(&application, &operator);
        eventually("that memory goes back", || {
            (memory(&proxy) < before + ALERTS * MB / 4).then_some(())
        });
    }
}

#[test]
fn there_is_a_bound_for_all_bodies() {
    let application = Application::listen();
    let (proxy, sender, operator) = scene(&application.url, "max_buffered = 3000000\n");
    let held: Vec<_> = (0..3)
        .map(|_| post(&sender, Carrier::Sized, &alert(MB)))
        .collect();
    eventually("that all are held", || {
        (buffered(&operator) == 3 * MB).then_some(())
    });
    for (round, carrier) in Carrier::ALL.into_iter().enumerate() {
        let mut stream = Stream::begin(&sender, carrier, "POST", WEBHOOK, &[], 13);
        // It may have been refused before it is sent.
        let _ = stream
            .send(b"{\"alert\":\"x\"}")
            .and_then(|()| stream.end());
        let refused = stream.head().unwrap();
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (503, Some("1")),
            "{carrier:?}"
        );
        let refusals = format!(
            "requests_total{{code=\"overloaded\",outcome=\"refused\",route=\"{WEBHOOK}\"}}"
        );
        operator.wait_for(&refusals, (round + 1) as f64);
    }
    let refused = sender.post("{\"alert\":\"x\"}");
    refused.refuses(503, "overloaded");
    assert!(
        proxy
            .wait_for_log("code=\"overloaded\"")
            .contains("status=503")
    );
    let status = operator.get("/api/status.json").body;
    assert!(
        status.contains(
            "Requests were refused for want of memory, 0 min ago: see limits.max_buffered."
        ),
        "{status}"
    );
    assert_eq!(operator.metrics()["buffered_limit_bytes"], 3e6);
    // What needs no memory is served on, and so is what comes when there is some again.
    assert_eq!(sender.get("?crc_token=abc").status, 200);
    drop(held);
    until_nothing_is_held(&application, &operator);
    let mut stream = post(&sender, Carrier::Sized, &alert(3 * MB));
    let mut visit = application.accept();
    visit.head();
    assert_eq!(visit.rest().unwrap().len() as u64, 3 * MB);
    visit.send("HTTP/1.1 204 Taken\r\nConnection: close\r\n\r\n");
    assert_eq!(
        stream.head().unwrap().status,
        204,
        "the bound is the last that fits"
    );
    // What can never fit is refused as well.
    sender
        .post(&String::from_utf8(alert(3 * MB + 1)).unwrap())
        .refuses(503, "overloaded");
}

#[test]
fn what_is_gathered_counts() {
    let application = Application::listen();
    let route = format!(
        "[[routes]]\npath = \"/app\"\nkind = \"proxy\"\nupstream = \"{}\"\n",
        application.url
    );
    let proxy = Proxy::spawn(
        Pki::shared(),
        &(config(&application.url, "max_buffered = 100000\n") + &route),
    );
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    for (size, status) in [(50_000, 204), (100_001, 503)] {
        let mut stream = Stream::begin(&sender, Carrier::Chunked, "POST", "/app", &[], 0);
        // It may have been refused before it is sent.
        let _ = stream.send(&vec![b'x'; size]).and_then(|()| stream.end());
        if status == 204 {
            application
                .accept()
                .send("HTTP/1.1 204 Taken\r\nConnection: close\r\n\r\n");
        }
        assert_eq!(stream.head().unwrap().status, status, "{size}");
    }
    application.assert_no_connection();
}

/// A burst is over in a moment where the application is quick, so that it is not refused at once.
#[test]
fn a_body_waits_for_the_one_before_it() {
    let application = Application::listen();
    let (_proxy, sender, operator) = scene(&application.url, "max_buffered = 1000000\n");
    let mut first = post(&sender, Carrier::Sized, &alert(MB));
    let mut visit = application.accept();
    visit.head();
    assert_eq!(visit.rest().unwrap().len() as u64, MB);
    let mut second = post(&sender, Carrier::Sized, &alert(MB));
    assert_eq!(buffered(&operator), MB);
    visit.send("HTTP/1.1 204 Taken\r\nConnection: close\r\n\r\n");
    assert_eq!(first.head().unwrap().status, 204);
    let mut visit = application.accept();
    visit.head();
    assert_eq!(visit.rest().unwrap().len() as u64, MB);
    visit.send("HTTP/1.1 204 Taken\r\nConnection: close\r\n\r\n");
    assert_eq!(second.head().unwrap().status, 204);
}

/// A proxy that may have so much address space.
fn limited(config: &str, bytes: u64) -> Option<Proxy> {
    if Command::new("prlimit").arg("--version").output().is_err() {
        skip("there is no prlimit (Debian package util-linux)");
        return None;
    }
    let path = Proxy::write(Pki::shared(), config);
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--as={bytes}"))
        .arg(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    command.args(["run", "--config"]).arg(&path);
    let proxy = Proxy::run(command, &path);
    proxy.wait_for_event("ready");
    Some(proxy)
}

#[test]
fn the_bound_follows_from_what_there_is() {
    let origin = Origin::spawn();
    for (bytes, limits, expected) in [
        (SMALL, "", SMALL / 4),
        (SMALL, "max_buffered = \"5MiB\"\n", 5 << 20),
        (8 << 30, "max_buffered = \"1GiB\"\n", 1 << 30),
    ] {
        let Some(proxy) = limited(&config(&origin.url, limits), bytes) else {
            return;
        };
        assert_eq!(
            Operator::of(&proxy).metrics()["buffered_limit_bytes"] as u64,
            expected,
            "{bytes} {limits}"
        );
    }
    let Some(proxy) = limited(&config(&origin.url, ""), 8 << 30) else {
        return;
    };
    assert!(Operator::of(&proxy).metrics()["buffered_limit_bytes"] as u64 <= 256 << 20);
}

#[test]
fn a_burst_ends_nothing() {
    let origin = Origin::spawn();
    let config = config(&origin.url, "max_buffered = \"32MiB\"\n");
    if let Some(proxy) = limited(&config, SMALL + OWN_SPACE) {
        survives_a_burst(&origin, &proxy);
    }
}

/// Unlike an address space, a control group counts what the system holds for the process as well,
/// and ends it when there is not enough.
#[test]
fn a_burst_ends_nothing_in_a_container() {
    let origin = Origin::spawn();
    let Some(container) = Cgroup::new(SMALL) else {
        return;
    };
    let path = Proxy::write(Pki::shared(), &config(&origin.url, ""));
    let mut command = container.command(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    command.args(["run", "--config"]).arg(&path);
    let proxy = Proxy::run(command, &path);
    proxy.wait_for_log("ready");
    let bound = Operator::of(&proxy).metrics()["buffered_limit_bytes"];
    assert_eq!(bound as u64, SMALL / 4);
    survives_a_burst(&origin, &proxy);
    assert_eq!(container.ended(), 0);
}

/// Sends a hundred alerts of 1 MB at once.
fn survives_a_burst(origin: &Origin, proxy: &Proxy) {
    const ALERTS: usize = 100;
    let sender = Sender::to(proxy, Some(&Pki::shared().netdata()));
    let (accepted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..ALERTS {
            scope.spawn(|| {
                let mut connection = sender.connect().unwrap();
                let body = alert(MB);
                let head = format!(
                    "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                // It may have been refused before all of it is sent.
                let _ = connection
                    .write(head.as_bytes())
                    .and_then(|()| connection.write(&body));
                match connection.read().unwrap().status {
                    200 => accepted.fetch_add(1, Ordering::SeqCst),
                    503 => refused.fetch_add(1, Ordering::SeqCst),
                    other => panic!("{other}"),
                };
            });
        }
    });
    let (accepted, refused) = (accepted.into_inner(), refused.into_inner());
    assert_eq!(accepted + refused, ALERTS);
    assert!(accepted >= 20, "{accepted} were accepted");
    let whole = origin
        .received()
        .iter()
        .filter(|received| received.body.len() as u64 == MB)
        .count();
    assert_eq!(whole, accepted, "what was answered 2xx has arrived");
    assert_eq!(sender.post("{\"alert\":\"x\"}").status, 200);
}
