//! Answers of applications that do not keep to HTTP: each is put right or refused, and reaches the
//! sender with one framing, over HTTP/1.1 and HTTP/2, on webhooks and on "proxy" routes.
//!
//! | fault | the kind it stands for | test |
//! |---|---|---|
//! | a 204 went on with its `Content-Length`; `Content-Length: 2, 2` went on as it was, and ended the stream of a client of HTTP/2 | what tells the end of an answer is passed on instead of said anew (RFC 9110 section 8.6) | `what_can_be_put_right_is` |
//! | a connection was used again after an answer with two framings, or a 204 with a length | what is still to come of one answer is read as the next | `after_an_answer_in_doubt_the_connection_is_not_used_again` |
//! | lengths that differ, transfer codings twice or unknown, NUL, bare CR | an answer that can be read in two ways | `what_can_be_read_in_two_ways_is_refused` |
//! | an answer with 300 header lines got 502 | a limit that applications reach | `many_header_lines_pass` |

use crate::support::{
    Answer, Carrier, Edit as _, Origin, Pki, Proxy, Reply, Sender, Stream, WEBHOOK,
};

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

/// What a sender gets.
fn exchange(sender: &Sender, carrier: Carrier) -> Answer {
    let length = format!("content-length: {}", ALERT.len());
    let headers = ["content-type: application/json", &length];
    // Over HTTP/1.1, the carrier says it.
    let headers = if carrier == Carrier::Http2 {
        &headers[..]
    } else {
        &headers[..1]
    };
    let mut stream = Stream::begin(
        sender,
        carrier,
        "POST",
        WEBHOOK,
        headers,
        ALERT.len() as u64,
    );
    stream.send(ALERT.as_bytes()).unwrap();
    stream.end().unwrap();
    let mut answer = stream.head().unwrap();
    // A client would not wait for a body here.
    if answer.status != 204 {
        loop {
            let part = stream.some().unwrap();
            if part.is_empty() {
                break;
            }
            answer.body.push_str(std::str::from_utf8(&part).unwrap());
        }
    }
    answer
}

/// The values of a header.
fn all<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let named = answer
        .headers
        .iter()
        .filter(|(other, _)| other.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}

/// For each carrier, on each kind of route.
fn everywhere(origin: &Origin, check: impl Fn(&Sender, Carrier)) {
    let webhook = Proxy::config(origin, "require", "").edit("threads = 2", "threads = 1");
    let proxy = webhook.edit("challenge_secret", "kind = \"proxy\" #");
    for (config, carriers) in [
        (webhook, &Carrier::ALL[..]),
        // What comes in chunks is passed on in chunks, which the origin does not read.
        (proxy, &[Carrier::Sized, Carrier::Http2]),
    ] {
        let proxy = Proxy::spawn(Pki::shared(), &config);
        let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
        carriers.iter().for_each(|carrier| check(&sender, *carrier));
    }
}

#[test]
fn what_can_be_put_right_is() {
    let origin = Origin::spawn();
    everywhere(&origin, |sender, carrier| {
        for (reply, status, header, body) in [
            (
                "1 204 No Content\r\nContent-Length: 0\r\n\r\n",
                204,
                None,
                "",
            ),
            (
                "1 204 No Content\r\nContent-Length: 5\r\nX-App: yes\r\n\r\n",
                204,
                Some("yes"),
                "",
            ),
            (
                "1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                204,
                None,
                "",
            ),
            (
                "1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
                200,
                None,
                "ab",
            ),
            (
                "1 200 OK\r\nContent-Length: 2\r\nX-App: a\r\ncontent-length: 2\r\n\r\nab",
                200,
                Some("a"),
                "ab",
            ),
            ("1 200 OK\r\nContent-Length: 02\r\n\r\nab", 200, None, "ab"),
            (
                "1 103 Early Hints\r\nContent-Length: 9\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
                200,
                None,
                "ab",
            ),
            (
                "1 100 Continue\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
                204,
                None,
                "",
            ),
            (
                "1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                200,
                None,
                "ab",
            ),
            (
                "1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                200,
                None,
                "ab",
            ),
            (
                "1 200 OK\r\nX-App: a\r\n\tb\r\n  c\r\nContent-Length: 2\r\n\r\nab",
                200,
                Some("a  \tb    c"),
                "ab",
            ),
            (
                "1 200 OK\r\nX-App:\r\n a\r\n \r\nContent-Length:\r\n 2\r\n\r\nab",
                200,
                Some("a"),
                "ab",
            ),
            (
                "1 200 OK\r\nX-App : a\r\nContent-Length\t : 2\r\n\r\nab",
                200,
                Some("a"),
                "ab",
            ),
            (
                "1 200 OK\nX-App: a\nContent-Length: 2\n\nab",
                200,
                Some("a"),
                "ab",
            ),
            ("1 200\r\nContent-Length: 2\r\n\r\nab", 200, None, "ab"),
            ("1 200 \r\nContent-Length: 2\r\n\r\nab", 200, None, "ab"),
            (
                "0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
                200,
                None,
                "ab",
            ),
        ] {
            origin.will([Reply::Raw(format!("HTTP/1.{reply}"))]);
            let answer = exchange(sender, carrier);
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (status, body),
                "{carrier:?} {reply:?}"
            );
            assert_eq!(answer.header("x-app"), header, "{carrier:?} {reply:?}");
            let (lengths, codings) = (
                all(&answer, "content-length"),
                all(&answer, "transfer-encoding"),
            );
            let expected = if status == 204 || reply.contains("chunked") {
                vec![]
            } else {
                vec!["2"]
            };
            assert_eq!(lengths, expected, "{carrier:?} {reply:?}");
            let is_chunked = status != 204 && carrier != Carrier::Http2 && expected.is_empty();
            assert_eq!(
                codings,
                if is_chunked { vec!["chunked"] } else { vec![] },
                "{carrier:?} {reply:?}"
            );
            // Nothing of it is left for the next one.
            assert_eq!(
                exchange(sender, carrier).body,
                "ok",
                "{carrier:?} {reply:?}"
            );
        }
    });
}

#[test]
fn after_an_answer_in_doubt_the_connection_is_not_used_again() {
    let origin = Origin::spawn();
    everywhere(&origin, |sender, carrier| {
        for (reply, is_kept) in [
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                false,
            ),
        ] {
            // On a connection that is there for it.
            exchange(sender, carrier);
            let before = origin.connections();
            origin.will([Reply::Raw(reply.into())]);
            exchange(sender, carrier);
            exchange(sender, carrier);
            assert_eq!(
                origin.connections() - before,
                usize::from(!is_kept),
                "{carrier:?} {reply:?}"
            );
        }
    });
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let origin = Origin::spawn();
    everywhere(&origin, |sender, carrier| {
        for reply in [
            "1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
            "1 200 OK\r\nContent-Length: 2, 3\r\n\r\nabc",
            "1 200 OK\r\nContent-Length: 2\r\n 3\r\n\r\nab",
            "1 200 OK\r\nContent-Length: -2\r\n\r\nab",
            "1 204 No Content\r\nContent-Length: 0\r\nContent-Length: 2\r\n\r\n",
            "1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "1 200 OK\r\nTransfer-Encoding: chunked, identity\r\nContent-Length: 2\r\n\r\nab",
            "1 200 OK\r\nTransfer-Encoding: x\r\nContent-Length: 2\r\n\r\nab",
            "1 200 OK\r\nX-App: a\0b\r\nContent-Length: 2\r\n\r\nab",
            "1 200 OK\r\nX-App: a\rContent-Length: 9\r\nContent-Length: 2\r\n\r\nab",
            "1 200 OK\r\n X-App: a\r\nContent-Length: 2\r\n\r\nab",
            "1 200 OK\r\nX App: a\r\nContent-Length: 2\r\n\r\nab",
            "1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nab",
            "1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        ] {
            origin.will([Reply::Last(format!("HTTP/1.{reply}"))]);
            exchange(sender, carrier).refuses(502, "upstream_unreachable");
        }
    });
}

#[test]
fn many_header_lines_pass() {
    let origin = Origin::spawn();
    everywhere(&origin, |sender, carrier| {
        let lines: String = (0..300)
            .map(|index| format!("X-Line-{index}: {index}\r\n"))
            .collect();
        origin.will([Reply::Raw(format!(
            "HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nab"
        ))]);
        let answer = exchange(sender, carrier);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "ab"),
            "{carrier:?}"
        );
        for index in 0..300 {
            assert_eq!(
                all(&answer, &format!("x-line-{index}")),
                [index.to_string()],
                "{carrier:?}"
            );
        }
    });
}
