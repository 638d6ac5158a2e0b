//! Ends of requests and answers: without a body, early, broken, or abandoned.

use super::{STREAMS, scene};
use crate::support::{Application, Carrier, Http2, Origin, Reply, Sender, Stream};

#[test]
fn answers_without_a_body_and_informational_ones_leave_the_connection_intact() {
    let origin = Origin::spawn();
    let (proxy, sender) = scene(&origin.url, "");
    let mut connection = sender.connect().unwrap();
    let mut http2 = Http2::connect(&sender).unwrap();
    for (method, reply, status, length) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            200,
            Some("5"),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            200,
            None,
        ),
        ("HEAD", "HTTP/1.1 404 Not Found\r\n\r\n", 404, None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
            304,
            Some("5"),
        ),
        (
            "GET",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            204,
            None,
        ),
        (
            "PUT",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
            Some("0"),
        ),
    ] {
        origin.will([Reply::Raw(reply.into())]);
        connection
            .write(format!("{method} /app/x HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
            .unwrap();
        let answer = connection.read_head().unwrap();
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (status, length),
            "{method} {reply:?}"
        );
        assert_eq!(answer.header("transfer-encoding"), None, "{reply:?}");
        // The next answer is the next request's.
        let next = connection.send("GET", "/app/next", "", "").unwrap();
        assert_eq!((next.status, next.body.as_str()), (200, "ok"), "{reply:?}");
        origin.will([Reply::Raw(reply.into())]);
        let answer = http2.send(method, "/app/x", &[], "").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, ""),
            "{reply:?}"
        );
        assert_eq!(http2.send("GET", "/app/next", &[], "").unwrap().body, "ok");
    }
    // Our own answers keep to it, too.
    let refused = http2.send("HEAD", "/nowhere", &[], "").unwrap();
    assert_eq!((refused.status, refused.body.as_str()), (404, ""));
    assert!(
        !proxy.log().iter().any(|line| line.contains("pingora")),
        "{:?}",
        proxy.log()
    );
}

#[test]
fn who_expects_to_be_told_to_continue_is_told_and_only_then() {
    let application = Application::listen();
    let (proxy, sender) = scene(&application.url, "max_body = \"1KiB\"");
    let mut connection = sender.connect().unwrap();
    let expecting = "PUT /app/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ";
    connection
        .write(format!("{expecting}4\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!(connection.read_head().unwrap().status, 100);
    let mut visit = application.accept();
    assert!(!visit.head().to_lowercase().contains("expect"));
    connection.write(b"body").unwrap();
    assert_eq!(visit.take(4), b"body");
    visit.answer("done");
    assert_eq!(connection.read().unwrap().body, "done");
    // A refused client is not asked for the body first.
    sender
        .raw(format!("{expecting}1025\r\n\r\n").as_bytes())
        .unwrap()
        .refuses(413, "body_too_large");
    let stranger = Sender::to(&proxy, None)
        .raw(format!("{expecting}4\r\n\r\n").as_bytes())
        .unwrap();
    stranger.refuses(403, "client_certificate_missing");
    application.assert_no_connection();
}

#[test]
fn every_way_to_end_an_answer_arrives_whole_or_visibly_broken() {
    let application = Application::listen();
    let (proxy, sender) = scene(&application.url, "");
    for carrier in Carrier::ALL {
        for (answer, length) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Some(5)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
                Some(5),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\nh\r\n0\r\nX: y\r\n\r\n",
                Some(1),
            ),
            ("HTTP/1.1 200 OK\r\n\r\nuntil it is closed", Some(18)),
            ("HTTP/1.0 200 OK\r\n\r\nold", Some(3)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", None),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                None,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
                None,
            ),
        ] {
            let mut stream = Stream::begin(&sender, carrier, "GET", "/app/x", &[], 0);
            stream.end().unwrap();
            let mut visit = application.accept();
            visit.head();
            visit.send(answer);
            drop(visit);
            let head = stream.head();
            let got = head.and_then(|head| {
                assert_eq!((head.status, head.header("trailer")), (200, None));
                stream.rest()
            });
            match length {
                Some(length) => assert_eq!(got.unwrap(), length, "{carrier:?} {answer:?}"),
                None => assert!(got.is_err(), "{carrier:?} {answer:?}: {got:?}"),
            }
        }
    }
    let broken = "code=\"upstream_unreachable\"";
    // The last line may come after the end of its answer.
    proxy.wait_for_logs(broken, 9);
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| line.contains(broken))
            .count(),
        9,
        "{:#?}",
        proxy.log()
    );
}

#[test]
fn a_sender_that_leaves_takes_its_request_along() {
    let application = Application::listen();
    let (proxy, sender) = scene(&application.url, STREAMS);
    for (round, carrier) in Carrier::ALL.into_iter().enumerate() {
        let mut stream = Stream::begin(&sender, carrier, "POST", "/app/x", &[], 100);
        stream.send(b"a part").unwrap();
        let mut visit = application.accept();
        visit.head();
        assert_eq!(visit.take(6), b"a part");
        stream.leave();
        assert!(
            visit.rest().is_err(),
            "{carrier:?}: a part is not the whole"
        );
        assert!(
            proxy
                .wait_for_logs("outcome=\"sender_gone\"", round + 1)
                .contains("body_bytes=6")
        );
    }
}

#[test]
fn an_answer_may_come_before_the_request_is_whole() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, STREAMS);
    for carrier in Carrier::ALL {
        let mut stream = Stream::begin(&sender, carrier, "POST", "/app/x", &[], 1 << 20);
        stream.send(&[b'x'; 1000]).unwrap();
        let mut visit = application.accept();
        visit.head();
        visit.take(1000);
        visit.send("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nless");
        let answer = stream.head().unwrap();
        assert_eq!(answer.status, 413, "{carrier:?}");
        assert_eq!(stream.take(4).unwrap(), b"less", "{carrier:?}");
        // What is left of the request goes nowhere.
        drop(visit);
        application.assert_no_connection();
    }
}
