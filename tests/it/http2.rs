//! HTTP/2 requests as clients do not send them.
//!
//! | test | the fault | stands for |
//! |---|---|---|
//! | `a_malformed_head_is_refused_like_any_other_request` | an ambiguous authority got a bare 400 without code, line or count; a fragment was dropped in silence; two equal lengths passed; an upper-case name ended the connection | what the library under HTTP/2 repairs or refuses by itself |
//! | `a_malformed_stream_does_not_end_its_neighbours` | after 32 malformed requests all others of the connection were dropped | one request's fault that another pays for |
//! | `crumbs_of_cookies_become_one_line` | several `Cookie` lines over HTTP/1.1 | what has to be said differently in another version |
//! | `trailers_with_pseudo_header_fields_are_refused` | a `:path` in the trailers passed | what is wrong behind the body |
//! | `a_body_that_is_not_as_long_as_declared_is_refused` | a reset without a word | the same, in the body |
//! | `a_much_too_large_head_is_refused_with_a_code` | a bare 431 | the same, of heads that are too large |
//! | `a_tunnel_is_refused_over_every_version` | `Allow: GET, POST` for what is not a webhook | answers that name another route's methods |
//! | `resets_do_not_multiply_what_is_in_flight` | {90 POSTs, wait, RST} repeated on one connection made 9,000 exchanges | what the library counts as over and goes on here |
//! | `an_idle_connection_is_given_notice` | the connection was closed without GOAWAY, and requests on the way were lost | ends that one side does not know of |
//! | `frames_without_end_are_cut_off` | 20,000 SETTINGS, PING, PRIORITY or WINDOW_UPDATE frames were worked off | work that belongs to no request |

use crate::support::frames::{
    DATA, END_STREAM, End, Frames, GOAWAY, PING, POST, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, headers, request,
};
use crate::support::{Http2, Origin, Pki, Proxy, Reply, Sender, WEBHOOK, eventually};

const ALERT: &str = "{\"alert\":\"x\"}";

/// ENHANCE_YOUR_CALM (RFC 9113 section 7).
const CALM: u32 = 11;

/// REFUSED_STREAM: it has not been looked at, and can be sent again.
const REFUSED_STREAM: u32 = 7;

fn scene(more: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let everything = format!(
        "[[routes]]\npath = \"/app/*\"\nkind = \"proxy\"\nupstream = \"{}\"\n",
        origin.url
    );
    let proxy = Proxy::spawn(
        Pki::shared(),
        &(Proxy::config(&origin, "require", "") + &everything + more),
    );
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

/// [`POST`], with these fields changed, or behind it.
fn with<'f>(changes: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let mut fields = POST.to_vec();
    for (name, value) in changes {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
    }
    fields
}

#[test]
fn a_malformed_head_is_refused_like_any_other_request() {
    let (origin, proxy, sender) = scene("");
    let mut connection = Frames::connect(&sender);
    let twice = |name, value| [with(&[]), vec![(name, value); 2]].concat();
    let cases = [
        with(&[(":path", "/webhooks/netdata#b")]),
        with(&[(":path", "/webhooks/netdata\u{e9}")]),
        with(&[(":path", "https://localhost/webhooks/netdata")]),
        with(&[(":path", "webhooks/netdata")]),
        with(&[(":path", "/webhooks/netdata\r\nX: y")]),
        with(&[(":path", "")]),
        with(&[(":method", "PO ST")]),
        with(&[(":scheme", "ftp")]),
        with(&[(":authority", "")]),
        with(&[(":authority", "netdata@localhost")]),
        with(&[(":authority", "localhost, localhost")]),
        with(&[("host", "evil.example")]),
        twice("host", "localhost"),
        twice("content-length", "13"),
        with(&[("content-length", "13, 13")]),
        with(&[("content-length", "+13")]),
        with(&[("X-Upper", "x")]),
        with(&[("x y", "z")]),
        with(&[("", "z")]),
        with(&[("x-a", "b\0")]),
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("te", "gzip")]),
        with(&[(":status", "200")]),
        with(&[(":protocol", "websocket")]),
        twice(":path", WEBHOOK),
        [vec![("x-a", "b")], with(&[])].concat(),
        with(&[("x-a", "b"), (":x", "y")]),
        with(&[(":method", "CONNECT")]),
        with(&[(":path", "/webhooks/netdata x")]),
        with(&[])[1..].to_vec(),
        with(&[])[..3].to_vec(),
    ];
    for (stream, fields) in (1..).step_by(2).zip(&cases) {
        connection.send(&request(stream, fields, ALERT)).unwrap();
        let end = connection.end_of(stream);
        assert!(matches!(end, End::Answer(_)), "{fields:?}: {end:?}");
        end.refuses(400, "malformed_request");
    }
    origin.received_nothing();
    proxy.wait_for_logs("code=\"malformed_request\"", cases.len());
    let line = proxy.wait_for_log("path=\"/webhooks/netdata#b\"");
    for part in [
        "remote_addr=127.0.0.1",
        "client_cn=\"app.netdata.cloud\"",
        "tls=\"TLSv1.3\"",
        "method=\"POST\"",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn a_malformed_stream_does_not_end_its_neighbours() {
    let (origin, _proxy, sender) = scene("");
    let (application, reply) = Reply::when_told("there");
    origin.will([reply]);
    let mut connection = Frames::connect(&sender);
    connection.send(&request(1, &POST, ALERT)).unwrap();
    origin.wait_for(1);
    for stream in (3..203).step_by(2) {
        connection
            .send(&request(
                stream,
                &with(&[("host", "evil.example"), ("X-Upper", "x")]),
                ALERT,
            ))
            .unwrap();
        connection.end_of(stream).refuses(400, "malformed_request");
    }
    application.send(()).unwrap();
    assert_eq!(connection.end_of(1), End::Answer("there".into()));
}

#[test]
fn crumbs_of_cookies_become_one_line() {
    let (origin, _proxy, sender) = scene("");
    let crumbs = ["cookie: a=b", "x-a: 1", "cookie: c=d", "cookie: e=f; g=h"];
    assert_eq!(
        Http2::connect(&sender)
            .unwrap()
            .send("GET", "/app/x", &crumbs, "")
            .unwrap()
            .status,
        200
    );
    assert_eq!(origin.received_one().header("cookie"), "a=b; c=d; e=f; g=h");
}

#[test]
fn trailers_with_pseudo_header_fields_are_refused() {
    let (origin, proxy, sender) = scene("");
    let mut connection = Frames::connect(&sender);
    let cases = [
        (":path", "/x"),
        (":status", "200"),
        ("X-Upper", "x"),
        ("connection", "close"),
        ("x", "a\nb"),
    ];
    for (stream, trailer) in (1..).step_by(2).zip(cases) {
        let begun = [
            headers(0, stream, &POST),
            frame(DATA, 0, stream, ALERT.as_bytes()),
        ]
        .concat();
        connection
            .send(&[begun, headers(END_STREAM, stream, &[("x-a", "b"), trailer])].concat())
            .unwrap();
        connection.end_of(stream).refuses(400, "malformed_request");
    }
    origin.received_nothing();
    proxy.wait_for_logs("code=\"malformed_request\"", cases.len());
    let begun = [headers(0, 21, &POST), frame(DATA, 0, 21, ALERT.as_bytes())].concat();
    connection
        .send(&[begun, headers(END_STREAM, 21, &[("x-a", "b")])].concat())
        .unwrap();
    assert_eq!(connection.end_of(21), End::Answer("ok".into()));
    assert!(origin.received_one().all("x-a").is_empty());
}

#[test]
fn a_body_that_is_not_as_long_as_declared_is_refused() {
    let (origin, _proxy, sender) = scene("");
    let mut connection = Frames::connect(&sender);
    for (stream, length) in (1..).step_by(2).zip(["5", "12", "14", "0"]) {
        connection
            .send(&request(
                stream,
                &with(&[("content-length", length)]),
                ALERT,
            ))
            .unwrap();
        connection.end_of(stream).refuses(400, "malformed_request");
    }
    connection
        .send(&headers(END_STREAM, 21, &with(&[("content-length", "13")])))
        .unwrap();
    connection.end_of(21).refuses(400, "malformed_request");
    origin.received_nothing();
    connection
        .send(&request(23, &with(&[("content-length", "13")]), ALERT))
        .unwrap();
    assert_eq!(connection.end_of(23), End::Answer("ok".into()));
}

#[test]
fn a_much_too_large_head_is_refused_with_a_code() {
    let (origin, proxy, sender) = scene("[limits]\nmax_header_size = \"4KiB\"\n");
    let mut connection = Frames::connect(&sender);
    let large = "x".repeat(15_000);
    connection
        .send(&request(1, &with(&[("x-a", &large)]), ALERT))
        .unwrap();
    connection.end_of(1).refuses(431, "header_too_large");
    let many = [with(&[]), vec![("x", ""); 300]].concat();
    connection.send(&request(3, &many, ALERT)).unwrap();
    connection.end_of(3).refuses(431, "header_too_large");
    let many = "X: y\r\n".repeat(300);
    sender
        .send("POST", WEBHOOK, &many, ALERT)
        .unwrap()
        .refuses(431, "header_too_large");
    proxy.wait_for_logs(
        "path=\"/webhooks/netdata\" outcome=\"refused\" code=\"header_too_large\" detail=\"The head may have ",
        3,
    );
    connection.send(&request(5, &POST, ALERT)).unwrap();
    assert_eq!(connection.end_of(5), End::Answer("ok".into()));
    origin.received_one();
}

#[test]
fn a_tunnel_is_refused_over_every_version() {
    let (origin, proxy, sender) = scene("");
    let refused = sender
        .raw(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n")
        .unwrap();
    refused.refuses(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), Some(""));
    let mut connection = Frames::connect(&sender);
    connection
        .send(&headers(
            END_STREAM,
            1,
            &[(":method", "CONNECT"), (":authority", "x:443")],
        ))
        .unwrap();
    connection.end_of(1).refuses(405, "method_not_allowed");
    for protocol in ["HTTP/1.1", "HTTP/2.0"] {
        let line = proxy.wait_for_log(&format!(
            "protocol=\"{protocol}\" method=\"CONNECT\" path=\"x:443\""
        ));
        assert!(
            line.contains("client_cn=\"app.netdata.cloud\"") && line.contains("tls=\"TLSv1.3\""),
            "{line}"
        );
    }
    origin.received_nothing();
}

#[test]
fn frames_without_end_are_cut_off() {
    let (origin, _proxy, sender) = scene("");
    for flood in [
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]),
        frame(PING, 0, 0, &[0; 8]),
        frame(PRIORITY, 0, 9, &[0, 0, 0, 1, 5]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(0xbb, 0, 0, b"unknown"),
    ] {
        let mut connection = Frames::connect(&sender);
        // A few of them belong to every connection.
        connection
            .send(&[flood.repeat(100), request(1, &POST, ALERT)].concat())
            .unwrap();
        assert_eq!(connection.end_of(1), End::Answer("ok".into()));
        // It is no error that they are not taken.
        let _ = connection.send(&flood.repeat(20_000));
        assert_eq!(connection.goes_away(), Some(CALM), "{flood:?}");
    }
    assert_eq!(origin.received().len(), 6);
    assert_eq!(sender.post(ALERT).status, 200);
}

/// The number of descriptors of a process.
fn descriptors(proxy: &Proxy) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", proxy.id()))
        .unwrap()
        .count()
}

#[test]
fn resets_do_not_multiply_what_is_in_flight() {
    let (origin, proxy, sender) = scene("");
    let at_rest = descriptors(&proxy);
    let mut next = (1..).step_by(2);
    // What goes to a "proxy" route ends with its stream.
    let mut connection = Frames::connect(&sender);
    let (_silent, replies): (Vec<_>, Vec<_>) = (0..270).map(|_| Reply::when_told("never")).unzip();
    origin.will(replies);
    for round in 1..=3 {
        let streams: Vec<u32> = next.by_ref().take(90).collect();
        for stream in &streams {
            connection
                .send(&request(
                    *stream,
                    &with(&[(":path", "/app/x"), ("content-length", "13")]),
                    ALERT,
                ))
                .unwrap();
        }
        origin.wait_for(90 * round);
        for stream in &streams {
            connection
                .send(&frame(RST_STREAM, 0, *stream, &[0, 0, 0, 8]))
                .unwrap();
        }
        eventually("the end of the exchanges", || {
            (descriptors(&proxy) < at_rest + 20).then_some(())
        });
    }
    proxy.wait_for_logs("route=\"/app/*\" outcome=\"sender_gone\"", 270);
    // A notification goes on: the application has it. But there are no more of them than may be.
    let (tell, replies): (Vec<_>, Vec<_>) = (0..100).map(|_| Reply::when_told("late")).unzip();
    origin.will(replies);
    let mut connection = Frames::connect(&sender);
    let mut refused = 0;
    for round in 0..10 {
        let streams: Vec<u32> = (1..).step_by(2).skip(90 * round).take(90).collect();
        for stream in &streams {
            connection.send(&request(*stream, &POST, ALERT)).unwrap();
        }
        // Those that are served are at the application before they are given up, as far as there is
        // room for them.
        origin.wait_for(270 + (90 * (round + 1)).min(100));
        refused += streams
            .iter()
            .skip((100 - (90 * round).min(100)).min(90))
            .count();
        if let Some(last) = streams.last().filter(|_| round > 0) {
            assert_eq!(connection.end_of(*last), End::Reset(REFUSED_STREAM));
        }
        for stream in &streams {
            connection
                .send(&frame(RST_STREAM, 0, *stream, &[0, 0, 0, 8]))
                .unwrap();
        }
    }
    assert_eq!((origin.received().len(), refused), (370, 800));
    assert!(descriptors(&proxy) < at_rest + 120);
    for application in tell {
        application.send(()).unwrap();
    }
    let last = eventually("room for another", || {
        let mut another = Frames::connect(&sender);
        another.send(&request(1, &POST, ALERT)).unwrap();
        Some(another.end_of(1)).filter(|end| matches!(end, End::Answer(_)))
    });
    assert_eq!(last, End::Answer("ok".into()));
    eventually("the end of the exchanges", || {
        (descriptors(&proxy) < at_rest + 120).then_some(())
    });
}

#[test]
fn an_idle_connection_is_given_notice() {
    let (origin, _proxy, sender) = scene("[limits]\nidle_timeout = \"500ms\"\n");
    let mut connection = Frames::connect(&sender);
    connection.send(&request(1, &POST, ALERT)).unwrap();
    assert_eq!(connection.end_of(1), End::Answer("ok".into()));
    let until = |connection: &mut Frames, kind| loop {
        let frame = connection.next().expect("it is open");
        if frame.kind == kind {
            return frame;
        }
    };
    let notice = until(&mut connection, GOAWAY);
    assert_eq!(
        (notice.code(), &notice.payload[..4]),
        (0, &[0x7f, 0xff, 0xff, 0xff][..])
    );
    // What was on its way is served, and the last word says so.
    connection.send(&request(3, &POST, ALERT)).unwrap();
    let ping = until(&mut connection, PING);
    assert_eq!(connection.end_of(3), End::Answer("ok".into()));
    connection.send(&frame(PING, 1, 0, &ping.payload)).unwrap();
    let last = until(&mut connection, GOAWAY);
    assert_eq!((last.code(), &last.payload[..4]), (0, &[0, 0, 0, 3][..]));
    assert!(connection.next().is_none());
    assert_eq!(origin.received().len(), 2);
    // A client that does not listen is not waited for.
    let mut connection = Frames::connect(&sender);
    assert_eq!(connection.goes_away(), Some(0));
}
