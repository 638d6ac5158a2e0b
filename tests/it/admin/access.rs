//! Requests that the admin listener refuses.

use super::Scene;
use crate::support::Pki;
use std::net::TcpStream;

#[test]
fn names_that_are_not_local_are_refused() {
    let scene = Scene::new(Pki::shared(), "require", "");
    let port = scene.operator.address.port();
    for host in [
        "localhost".to_owned(),
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        "[::1]".to_owned(),
    ] {
        assert_eq!(
            scene.operator.ask("GET", "/metrics", &host).status,
            200,
            "{host}"
        );
    }
    for path in ["/", "/metrics", "/livez", "/api/status.json", "/nothing"] {
        for host in [
            "evil.example",
            "localhost.evil.example",
            &format!("evil.example:{port}"),
        ] {
            let answer = scene.operator.ask("GET", path, host);
            assert_eq!(answer.status, 421, "{path} {host}");
            assert!(
                !answer.body.contains("netdata_webhook_proxy"),
                "{}",
                answer.body
            );
        }
    }
    assert_eq!(
        scene
            .operator
            .raw("GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .status,
        421
    );
    assert_eq!(
        scene.operator.raw("GET /metrics HTTP/1.0\r\n\r\n").status,
        421
    );
}

#[test]
fn heads_are_bounded_in_size_time_and_form() {
    let scene = Scene::new(Pki::shared(), "require", "");
    let long = "x".repeat(17 * 1024);
    for (request, status) in [
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
            431,
        ),
        (format!("GET /{long}"), 431),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/1.1\n\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (
            "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET /<script> HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            400,
        ),
        ("GET /".to_owned(), 408),
    ] {
        assert_eq!(scene.operator.raw(&request).status, status, "{request}");
    }
    // A body that is not expected does not prevent the response.
    let body =
        format!("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n{long}");
    assert_eq!(scene.operator.raw(&body).status, 405);
    // Many silent connections do not keep the next one waiting for good.
    let silent: Vec<_> = (0..70)
        .map(|_| TcpStream::connect(scene.operator.address).unwrap())
        .collect();
    assert_eq!(scene.operator.get("/livez").status, 200);
    drop(silent);
}

#[test]
fn only_reading_is_allowed() {
    let scene = Scene::new(Pki::shared(), "require", "");
    let host = scene.operator.address.to_string();
    for path in ["/livez", "/readyz", "/metrics"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let answer = scene.operator.ask(method, path, &host);
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("GET, HEAD")),
                "{method} {path}"
            );
        }
        let (get, head) = (
            scene.operator.get(path),
            scene.operator.ask("HEAD", path, &host),
        );
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert!(
            head.header("content-length")
                .is_some_and(|length| length != "0")
        );
    }
    assert_eq!(scene.operator.get("/nothing").status, 404);
    assert_eq!(scene.operator.ask("POST", "/nothing", &host).status, 404);
}
