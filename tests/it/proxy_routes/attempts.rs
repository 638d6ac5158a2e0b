//! Applications that refuse, delay or die, and requests that are tried again.

use super::scene;
use crate::support::{Application, Carrier, Operator, Origin, Stream};

#[test]
fn refusals_and_delays_of_the_application_have_their_codes() {
    let gone = Application::listen();
    let url = gone.url.clone();
    drop(gone);
    let (_proxy, sender) = scene(&url, "");
    for carrier in Carrier::ALL {
        let mut stream = Stream::begin(&sender, carrier, "POST", "/app/x", &[], 1);
        let _ = stream.send(b"x").and_then(|()| stream.end());
        assert_eq!(stream.head().unwrap().status, 502, "{carrier:?}");
    }
    let silent = Application::listen();
    let group = format!(
        "[upstreams.app]\nservers = [\"{}\"]\nresponse_timeout = \"300ms\"\n",
        silent.url
    );
    let (_proxy, sender) = scene("app", &group);
    sender
        .send("GET", "/app/x", "", "")
        .unwrap()
        .refuses(504, "upstream_timeout");
    sender
        .send("POST", "/app/x", "", "x")
        .unwrap()
        .refuses(504, "upstream_timeout");
    // A sender that stops in the middle is the one to blame.
    let (_proxy, sender) = scene(&silent.url, "[limits]\nbody_timeout = \"300ms\"\n");
    let mut connection = sender.connect().unwrap();
    connection
        .write(b"POST /app/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        .unwrap();
    connection.read().unwrap().refuses(408, "timeout");
    connection.is_closed();
}

#[test]
fn another_server_is_tried_where_nothing_has_been_given_away() {
    let (gone, origin) = (Origin::spawn_apart(), Origin::spawn());
    let group = format!(
        "[upstreams.app]\nservers = [\"{}\", \"{}\"]\nhealth_check = {{ interval = \"10m\" }}\n[admin]\n\
         listen = \"127.0.0.1:0\"\n",
        gone.url, origin.url
    );
    let (proxy, sender) = scene("app", &group);
    let operator = Operator::of(&proxy);
    let mut connection = sender.connect().unwrap();
    for _ in 0..2 {
        assert_eq!(
            connection.send("GET", "/app/x", "", "").unwrap().status,
            200
        );
    }
    gone.stop();
    // One of these meets the connection that was just cut, and one, the closed port.
    for method in ["GET", "PUT", "POST", "DELETE"] {
        assert_eq!(
            connection
                .send(method, "/app/x", "", "body")
                .unwrap()
                .status,
            200,
            "{method}"
        );
    }
    operator.wait_for(
        &format!(
            "upstream_healthy{{server=\"{}\",upstream=\"app\"}}",
            gone.url
        ),
        0.0,
    );
    operator.wait_for(
        &format!(
            "upstream_healthy{{server=\"{}\",upstream=\"app\"}}",
            origin.url
        ),
        1.0,
    );
    assert_eq!(origin.received().len(), 5);
}

#[test]
fn an_idempotent_request_outlives_the_death_of_a_pooled_connection() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, "");
    let mut connection = sender.connect().unwrap();
    for (method, is_repeated) in [("GET", true), ("DELETE", true), ("POST", false)] {
        // The first request's connection is kept, and dies with the second one on it.
        let mut send = || {
            connection
                .write(format!("{method} /app/x HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
                .unwrap();
        };
        send();
        let mut visit = application.accept();
        visit.head();
        visit.answer("one");
        send();
        // The first answer has been read by the proxy, but not yet here.
        visit.head();
        drop(visit);
        if is_repeated {
            let mut again = application.accept();
            assert!(again.head().starts_with(method));
            // Not to be pooled for the next round.
            again.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo");
        }
        assert_eq!(connection.read().unwrap().body, "one");
        match is_repeated {
            true => assert_eq!(connection.read().unwrap().body, "two", "{method}"),
            false => connection
                .read()
                .unwrap()
                .refuses(502, "upstream_unreachable"),
        }
    }
    application.assert_no_connection();
}
