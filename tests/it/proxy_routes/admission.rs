//! Which requests pass, to which route, with what said of their clients.

use super::{HTTPS, scene};
use crate::support::{Http2, NETDATA, Operator, Origin, Pki, Proxy, Reply, Sender, WEBHOOK};

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
];

#[test]
fn every_method_and_body_passes() {
    let origin = Origin::spawn();
    let (_proxy, sender) = scene(&origin.url, "");
    let mut http2 = Http2::connect(&sender).unwrap();
    for method in METHODS {
        for is_http2 in [false, true] {
            let (target, body) = (
                "/app/a/%41?b=%zz&c",
                if method == "HEAD" {
                    ""
                } else {
                    "not JSON \u{1}"
                },
            );
            // The answer to a HEAD has no body, so that the origin must not send one.
            let reply = "HTTP/1.1 201 Made\r\nContent-Length: 4\r\nX-App: yes\r\n\r\n";
            origin.will([Reply::Raw(format!(
                "{reply}{}",
                if method == "HEAD" { "" } else { "made" }
            ))]);
            let answer = match is_http2 {
                true => {
                    let length = format!("content-length: {}", body.len());
                    http2
                        .send(method, target, &["content-type: text/plain", &length], body)
                        .unwrap()
                }
                false => {
                    let mut connection = sender.connect().unwrap();
                    let head = format!(
                        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
                    );
                    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                    connection.write(request.as_bytes()).unwrap();
                    if method == "HEAD" {
                        connection.read_head().unwrap()
                    } else {
                        connection.read().unwrap()
                    }
                }
            };
            let received = origin.received().pop().unwrap();
            assert_eq!(received.request_line, format!("{method} {target} HTTP/1.1"));
            assert_eq!(
                (received.body, received.headers.len() > 5),
                (body.into(), true),
                "{method}"
            );
            let expected = if method == "HEAD" { "" } else { "made" };
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (201, expected),
                "{method} {is_http2}"
            );
            assert_eq!(
                (answer.header("x-app"), answer.header("content-length")),
                (Some("yes"), Some("4")),
                "{method}"
            );
        }
    }
}

#[test]
fn identity_and_credentials_are_demanded_of_every_method() {
    let pki = Pki::shared();
    pki.write("basic.secret", "p4ssword\n");
    let origin = Origin::spawn();
    let auth = "[routes.auth]\nclient_certificate = true\n\
                basic = [{ username = \"netdata\", password = { file = \"basic.secret\" } }]\n";
    let (proxy, sender) = scene(&origin.url, auth);
    let right = "Authorization: Basic bmV0ZGF0YTpwNHNzd29yZA==\r\n";
    for method in METHODS.into_iter().filter(|method| *method != "HEAD") {
        let stranger = Sender::to(&proxy, None)
            .send(method, "/app/x", right, "x")
            .unwrap();
        stranger.refuses(403, "client_certificate_missing");
        let other = Sender::to(&proxy, Some(&pki.named("app.netdata.cloud.evil.example")));
        other
            .send(method, "/app/x", right, "x")
            .unwrap()
            .refuses(403, "common_name_mismatch");
        let sent = |headers: &str| sender.send(method, "/app/x", headers, "x").unwrap();
        sent("").refuses(401, "authorization_missing");
        sent("Authorization: Basic bmV0ZGF0YTpwNHNzd29yZB==\r\n")
            .refuses(401, "authorization_invalid");
        sent(&right.repeat(2)).refuses(401, "authorization_invalid");
    }
    origin.received_nothing();
    assert_eq!(
        sender.send("DELETE", "/app/x", right, "x").unwrap().status,
        200
    );
    let received = origin.received_one();
    assert_eq!(
        received.header("X-Netdata-Verified"),
        "client-certificate, basic"
    );
    assert!(received.all("Authorization").is_empty());
    let mut http2 = Http2::connect(&Sender::to(&proxy, None)).unwrap();
    http2
        .send("PUT", "/app/x", &[], "x")
        .unwrap()
        .refuses(403, "client_certificate_missing");
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn what_is_ours_cannot_be_forged_and_set_headers_have_every_variable() {
    let origin = Origin::spawn();
    let variables = "client_cn client_dn client_dn_legacy client_issuer_dn client_issuer_dn_legacy client_serial \
                     client_fingerprint client_cert client_not_after client_days_left client_verify remote_addr request_id \
                     notification severity host http_host server_port";
    let headers: Vec<String> = variables
        .split(' ')
        .map(|name| format!("\"My-{name}\" = \"<${name}>\""))
        .collect();
    let (_proxy, sender) = scene(
        &origin.url,
        &format!(
            "forward_authorization = true\nset_headers = {{ {} }}\n",
            headers.join(", ")
        ),
    );
    let forged = "X-Netdata-Verified: forged\r\nx_netdata_client_cn: forged\r\nClient-Cert: forged\r\n\
                  X-Netdata-Notification: forged\r\nX-Forwarded-For: 192.0.2.1\r\nX-Request-Id: mine\r\n\
                  My-client_cn: forged\r\nmy.CLIENT-cn: forged\r\nConnection: X-Netdata-Verified, X-Mine\r\n\
                  X-Mine: 1\r\nTE: trailers\r\nAuthorization: Bearer kept\r\n";
    assert_eq!(sender.send("GET", "/app", forged, "").unwrap().status, 200);
    let received = origin.received_one();
    assert!(!format!("{received:?}").contains("forged"), "{received:?}");
    for (name, value) in [
        ("X-Netdata-Verified", "client-certificate"),
        ("X-Netdata-Client-CN", NETDATA),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Request-Id", "mine"),
        ("Authorization", "Bearer kept"),
        ("My-client_cn", "<app.netdata.cloud>"),
        ("My-client_verify", "<SUCCESS>"),
        ("My-remote_addr", "<127.0.0.1>"),
        ("My-request_id", "<mine>"),
        ("My-host", "<localhost>"),
        ("My-notification", "<>"),
        ("My-severity", "<>"),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    for name in [
        "My-client_dn",
        "My-client_dn_legacy",
        "My-client_issuer_dn",
        "My-client_cert",
        "My-client_serial",
        "My-server_port",
    ] {
        assert!(received.header(name).len() > 4, "{name}: {received:?}");
    }
    for name in [
        "X-Netdata-Notification",
        "X-Netdata-Severity",
        "Connection",
        "TE",
        "X-Mine",
    ] {
        assert!(received.all(name).is_empty(), "{name}: {received:?}");
    }
}

#[test]
fn the_longest_match_wins() {
    let origins = [Origin::spawn(), Origin::spawn(), Origin::spawn()];
    let route = |path: &str, origin: &Origin| {
        format!(
            "[[routes]]\npath = \"{path}\"\nkind = \"proxy\"\nupstream = \"{}\"\n",
            origin.url
        )
    };
    let routes = [
        ("/app/admin/*", &origins[1]),
        ("/app/*", &origins[0]),
        ("/app/admin/login", &origins[2]),
    ];
    let routes: String = routes
        .iter()
        .map(|(path, origin)| route(path, origin))
        .collect();
    let proxy = Proxy::spawn(Pki::shared(), &(HTTPS.to_owned() + &routes));
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    for (target, owner) in [
        ("/app", Some(0)),
        ("/app/", Some(0)),
        ("/app?x=/app/admin/login", Some(0)),
        ("/app/administrator", Some(0)),
        ("/app/admin", Some(1)),
        ("/app/admin/", Some(1)),
        ("/app/admin/login/x", Some(1)),
        ("/app/admin/login", Some(2)),
        ("/app/admin/login?x", Some(2)),
        ("/application", None),
        ("/", None),
    ] {
        let before: Vec<_> = origins
            .iter()
            .map(|origin| origin.received().len())
            .collect();
        let answer = sender.send("GET", target, "", "").unwrap();
        match owner {
            None => answer.refuses(404, "not_found"),
            Some(_) => assert_eq!(answer.status, 200, "{target}"),
        }
        for (index, origin) in origins.iter().enumerate() {
            assert_eq!(
                origin.received().len(),
                before[index] + usize::from(owner == Some(index)),
                "{target}: {index}"
            );
        }
    }
}

#[test]
fn proxied_requests_are_counted_as_such() {
    let origin = Origin::spawn();
    let pki = Pki::shared();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let webhook = format!(
        "[[routes]]\npath = \"{WEBHOOK}\"\nupstream = \"{}\"\nchallenge_secret = {{ file = \"challenge.secret\" }}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n",
        origin.url
    );
    let (proxy, sender) = scene(&origin.url, &webhook);
    let operator = Operator::of(&proxy);
    let mut connection = sender.connect().unwrap();
    assert_eq!(connection.post("{\"alert\":\"x\"}").unwrap().status, 200);
    let series = |outcome: &str, code: &str| {
        format!("requests_total{{code=\"{code}\",outcome=\"{outcome}\",route=\"/app/*\"}}")
    };
    let duration = "request_duration_seconds_count{route=\"/app/*\"}";
    let upstream = format!(
        "upstream_duration_seconds_count{{upstream=\"{}\"}}",
        origin.url
    );
    operator.wait_for(&upstream, 1.0);
    for method in ["GET", "PUT"] {
        operator.moves(
            method,
            || {
                assert_eq!(
                    connection
                        .send(method, "/app/x?crc_token=x", "", "")
                        .unwrap()
                        .status,
                    200
                )
            },
            &[&series("forwarded", "ok"), duration, &upstream],
        );
    }
    origin.will([Reply::Last(String::new())]);
    operator.moves(
        "a refusal",
        || {
            connection
                .send("POST", "/app/x", "", "x")
                .unwrap()
                .refuses(502, "upstream_unreachable")
        },
        &[
            &series("refused", "upstream_unreachable"),
            duration,
            &upstream,
        ],
    );
    assert!(
        !operator
            .metrics()
            .keys()
            .any(|series| series.contains("/app/*") && series.starts_with("challenges"))
    );
    let status: serde_json::Value =
        serde_json::from_str(&operator.get("/api/status.json").body).unwrap();
    let events: Vec<_> = status["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["label"])
        .collect();
    assert_eq!(
        events,
        ["Request", "Alert"],
        "those that went well leave room for notifications"
    );
}
