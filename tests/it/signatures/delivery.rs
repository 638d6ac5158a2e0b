//! What the application gets is signed, over each version of HTTP, in each attempt.

use super::{SIGN, SIGN_TWICE, is_not_signed, is_signed, now, signing_secret};
use crate::support::{
    Application, Edit as _, Http2, Origin, Pki, Proxy, Received, Reply, Sender, ServerConnection,
    eventually,
};

const ALERT: &str = include_str!("../bodies/nested-critical.json");
const REACHABILITY: &str = include_str!("../bodies/nested-reachable.json");
const TEST: &str = r#"{"message":"m","title":"Test Notification","token":"4dfa1e0c-0000"}"#;

/// Nothing of a client's own is signed.
const FORGED: &str =
    "webhook-id: forged\r\nWebhook_Timestamp: 1\r\nWEBHOOK-SIGNATURE: v1,forged\r\n";

/// More than is sent in one piece with its head.
fn large_alert() -> String {
    format!(
        "{{\"alert\":\"x\",\"info\":\"{}\"}}",
        "\u{e9}".repeat(20_000)
    )
}

#[test]
fn every_notification_is_signed_over_each_version_of_http() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let secret = signing_secret(&pki, "signing.secret");
    let route = format!("{SIGN}tests = \"forward\"\n");
    let proxy = Proxy::in_front_of(&origin, &pki, "require", &route);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let mut connection = sender.connect().unwrap();
    let mut http2 = Http2::connect(&sender).unwrap();
    let headers = ["webhook-id: forged", "webhook-signature: v1,forged"];
    for body in [ALERT, REACHABILITY, TEST, &large_alert()] {
        let target = crate::support::WEBHOOK;
        let answer = connection.send("POST", target, FORGED, body).unwrap();
        assert_eq!(answer.status, 200);
        let answer = http2.send("POST", target, &headers, body).unwrap();
        assert_eq!(answer.status, 200);
        for received in origin.received().iter().rev().take(2) {
            assert_eq!(received.body, body.as_bytes());
            is_signed(received, &secret);
        }
    }
}

#[test]
fn a_signed_request_arrives_whole_over_tls_and_over_a_socket() {
    let (pki, theirs) = (Pki::new(), Pki::of("Their Root CA"));
    let secret = signing_secret(&pki, "signing.secret");
    let authority = std::fs::read_to_string(theirs.path().join("ca.pem")).unwrap();
    pki.write("upstream-ca.pem", &authority);
    let certificate = theirs.server("app.internal", |_| {});
    let tls = Origin::spawn_tls(Pki::server_config(&certificate, None));
    let socket = Origin::spawn_on_socket(&pki.path().join("app.sock"));
    let keys = "ca = \"upstream-ca.pem\"\nserver_name = \"app.internal\"";
    for (origin, keys) in [(&tls, keys), (&socket, "")] {
        let config = Proxy::config_of_group(&[origin], keys)
            .edit("[[routes]]\n", &format!("[[routes]]\n{SIGN}"));
        let proxy = Proxy::spawn(&pki, &config);
        let sender = Sender::to(&proxy, Some(&pki.netdata()));
        for body in [ALERT, &large_alert()] {
            assert_eq!(sender.post(body).status, 200);
            let received = origin.received().pop().unwrap();
            assert_eq!(received.body, body.as_bytes());
            is_signed(&received, &secret);
        }
    }
}

#[test]
fn nothing_is_signed_unless_the_route_says_so() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let proxy = Proxy::in_front_of(&origin, &pki, "require", "");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let answer = sender.send("POST", crate::support::WEBHOOK, FORGED, ALERT);
    assert_eq!(answer.unwrap().status, 200);
    let received = origin.received_one();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert!(received.all(name).is_empty(), "{received:?}");
    }
}

/// What a visit of the proxy brings.
fn visit(application: &Application) -> (ServerConnection, Received) {
    let mut visit = application.accept();
    let head = visit.head();
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let received = Received {
        request_line: head.lines().next().unwrap().to_owned(),
        headers: fields.collect(),
        body: visit.rest().unwrap(),
    };
    (visit, received)
}

#[test]
fn every_attempt_has_the_same_id_and_its_own_time() {
    let (pki, application) = (Pki::new(), Application::listen());
    let secret = signing_secret(&pki, "signing.secret");
    let proxy = Proxy::spawn(&pki, &Proxy::config_for(&application.url, "require", SIGN));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| sender.post(ALERT));
        let (broken, first) = visit(&application);
        let second_begins = now() + 1;
        eventually("the next second", || (now() >= second_begins).then_some(()));
        broken.reset();
        let (mut again, second) = visit(&application);
        again.answer("again");
        assert_eq!(answer.join().unwrap().body, "again");
        for received in [&first, &second] {
            is_signed(received, &secret);
        }
        let field = |name: &str| [&first, &second].map(|it| it.header(name).to_owned());
        let [ids, times, signatures] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(field);
        assert_eq!(ids[0], ids[1]);
        let times = times.map(|time| time.parse::<i64>().unwrap());
        assert!(times[0] < second_begins && times[1] >= second_begins);
        assert_ne!(signatures[0], signatures[1]);
    });
}

#[test]
fn secrets_are_rotated_without_a_gap() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let old = signing_secret(&pki, "signing.secret");
    let new = signing_secret(&pki, "next.secret");
    let config = Proxy::config(&origin, "require", SIGN);
    let proxy = Proxy::spawn(&pki, &config);
    let mut connection = Sender::to(&proxy, Some(&pki.netdata())).connect().unwrap();
    let mut delivered = || {
        assert_eq!(connection.post(ALERT).unwrap().status, 200);
        origin.received().pop().unwrap()
    };
    let received = delivered();
    is_signed(&received, &old);
    is_not_signed(&received, &new);
    proxy.reload(&config.edit(SIGN, SIGN_TWICE));
    let received = delivered();
    is_signed(&received, &old);
    is_signed(&received, &new);
    assert_eq!(
        received.header("webhook-signature").matches("v1,").count(),
        2
    );
    proxy.reload(&config.edit("signing.secret", "next.secret"));
    let received = delivered();
    is_signed(&received, &new);
    is_not_signed(&received, &old);
}

#[test]
fn a_secret_that_changes_in_its_file_is_read_again() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let old = signing_secret(&pki, "signing.secret");
    let proxy = Proxy::in_front_of(&origin, &pki, "require", SIGN);
    let mut connection = Sender::to(&proxy, Some(&pki.netdata())).connect().unwrap();
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
    is_signed(&origin.received_one(), &old);
    let new = signing_secret(&pki, "signing.secret");
    proxy.wait_for_event("config_reloaded");
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
    let received = origin.received().pop().unwrap();
    is_signed(&received, &new);
    is_not_signed(&received, &old);
}

#[test]
fn every_attempt_from_the_queue_is_signed_with_the_same_id() {
    let (pki, origin, directory) = (Pki::new(), Origin::spawn(), tempfile::tempdir().unwrap());
    let secret = signing_secret(&pki, "signing.secret");
    let file = directory.path().join("queue.db");
    let route = format!("{SIGN}delivery = \"fallback\"\n[queue]\npath = {file:?}\n");
    let proxy = Proxy::in_front_of(&origin, &pki, "require", &route);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    for body in [ALERT, REACHABILITY, &large_alert()] {
        let before = origin.received().len();
        let refusal = "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n";
        origin.will([Reply::Raw(refusal.into())]);
        assert_eq!(sender.post(body).status, 202);
        let received = origin.wait_for(before + 2);
        let [first, second] = &received[before..] else {
            panic!("{received:?}");
        };
        for attempt in [first, second] {
            assert_eq!(attempt.body, body.as_bytes());
            is_signed(attempt, &secret);
        }
        assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    }
}
