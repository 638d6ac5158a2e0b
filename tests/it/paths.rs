//! Which route a request gets, however its path and its host are spelt.
//!
//! | fault | kind | test |
//! |---|---|---|
//! | `/Webhooks/Netdata/` passed `/*`, which demands less than the webhook, to an application to which it is the webhook | a path read by two programs in two ways | `no_spelling_of_a_path_passes_by_a_route_that_demands_more`, `each_demand_counts` |
//! | `/web%68ooks/netdata` had no route beside one that demands the same | a check that keeps out what it need not | `routes_that_demand_the_same_hinder_nothing` |
//! | `GET http://x?a=b` reached the application as `GET  HTTP/1.1` | a form of the target that is not the usual one | `an_absolute_target_without_a_path_is_for_the_root` |
//! | raw UTF-8 in `:path` passed over HTTP/2, no host, too | a check that one version of HTTP has and another has not | `both_versions_of_http_hold_a_target_to_the_same`, `http2` |
//! | `Host:` without a value passed | a field that is there and says nothing | `there_is_no_request_without_a_host`, `http2` |
//! | `/hook/..%00/admin` passed | a path that ends earlier to some programs | `a_path_holds_no_nul` |
//! | `http://x:80/` with `Host: x` was refused, and `/a<b>` | what is equal, or what peers let pass | `hosts_are_equal_with_and_without_the_default_port`, `what_peers_let_pass_in_a_target_passes` |

use crate::support::{Http2, Origin, Pki, Proxy, Sender, WEBHOOK};

const ALERT: &str = r#"{"alert":"x","space":"prod"}"#;

const BEARER: &str = "Authorization: Bearer t0ken-of-the-webhook\r\n";

/// Ways to spell [`WEBHOOK`], each of which some application takes for it.
const SPELLINGS: [&str; 44] = [
    "/webhooks/netdata/",
    "/webhooks/netdata//",
    "/webhooks/netdata///",
    "/Webhooks/Netdata",
    "/WEBHOOKS/NETDATA",
    "/webhooks/netdatA",
    "/webhooks/Netdata/",
    "/webhooks/netdata;x",
    "/webhooks/netdata;x=y;z",
    "/webhooks/netdata;",
    "/webhooks;x/netdata",
    "/;x/webhooks/netdata",
    "/webhooks/netdata%3bx",
    "/webhooks\\netdata",
    "/\\webhooks/netdata",
    "/webhooks%5cnetdata",
    "/webhooks%5Cnetdata",
    "/webhooks/netdata%5c",
    "/webhooks%2fnetdata",
    "/webhooks%2Fnetdata",
    "/webhooks/netdata%2f",
    "/webhooks%252fnetdata",
    "/webhooks/netdata.",
    "/webhooks/netdata..",
    "/webhooks/netdata%2e",
    "/webhooks/netdata%20",
    "/webhooks/netdata%20.",
    "/webhooks./netdata",
    "/webhooks%20/netdata",
    "/webhooks/netdata%0a",
    "/webhooks/netdata.json",
    "//webhooks/netdata",
    "/webhooks//netdata",
    "/./webhooks/netdata",
    "/webhooks/./netdata",
    "/x/../webhooks/netdata",
    "/x/%2e%2e/webhooks/netdata",
    "/x/..;/webhooks/netdata",
    "/webhooks//../netdata",
    "/../webhooks/netdata",
    "/webhooks/%6eetdata",
    "/%77ebhooks/netdata",
    "/webhooks/%256eetdata",
    "/webhooks/%u006eetdata",
];

/// A webhook that demands a certificate and a token, beside `more`, in front of `origin`.
fn config(origin: &Origin, more: &str) -> String {
    Pki::shared().write("webhook.token", "t0ken-of-the-webhook\n");
    let demands =
        "spaces = [\"prod\"]\n[routes.auth]\nbearer = [{ token = { file = \"webhook.token\" } }]\n";
    let other = format!(
        "[[routes]]\npath = \"/*\"\nupstream = \"{}\"\n{more}\n",
        origin.url
    );
    Proxy::config(origin, "request", demands) + &other
}

fn scene(more: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let proxy = Proxy::spawn(Pki::shared(), &config(&origin, more));
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

#[test]
fn no_spelling_of_a_path_passes_by_a_route_that_demands_more() {
    let (origin, _proxy, sender) = scene("kind = \"proxy\"");
    let mut connection = sender.connect().unwrap();
    let mut http2 = Http2::connect(&sender).unwrap();
    for target in SPELLINGS
        .into_iter()
        .flat_map(|path| [path.to_owned(), format!("{path}?crc_token=x")])
    {
        for (method, body) in [("GET", ""), ("POST", ALERT), ("PUT", ALERT)] {
            connection
                .send(method, &target, BEARER, body)
                .unwrap()
                .refuses(404, "not_found");
            http2
                .send(method, &target, &[], body)
                .unwrap()
                .refuses(404, "not_found");
        }
        connection
            .send("GET", &format!("http://localhost{target}"), "", "")
            .unwrap()
            .refuses(404, "not_found");
    }
    origin.received_nothing();
    for target in [
        "/",
        "/Other/",
        "/webhooks",
        "/webhooks/netdata/Below/",
        "/a//b/../c/%41;d",
        "/netdata.json",
    ] {
        assert_eq!(
            connection.send("GET", target, "", "").unwrap().status,
            200,
            "{target}"
        );
        assert_eq!(
            origin.received().pop().unwrap().request_line,
            format!("GET {target} HTTP/1.1")
        );
        assert_eq!(
            http2.send("GET", target, &[], "").unwrap().status,
            200,
            "{target}"
        );
    }
    connection
        .send("POST", WEBHOOK, "", ALERT)
        .unwrap()
        .refuses(401, "authorization_missing");
    assert_eq!(
        connection
            .send("POST", WEBHOOK, BEARER, ALERT)
            .unwrap()
            .status,
        200
    );
}

#[test]
fn routes_that_demand_the_same_hinder_nothing() {
    let demands =
        "spaces = [\"prod\"]\n[routes.auth]\nbearer = [{ token = { file = \"webhook.token\" } }]\n";
    let (origin, _proxy, sender) = scene(demands);
    let mut connection = sender.connect().unwrap();
    for target in SPELLINGS {
        connection
            .send("POST", target, "", ALERT)
            .unwrap()
            .refuses(401, "authorization_missing");
        assert_eq!(
            connection
                .send("POST", target, BEARER, ALERT)
                .unwrap()
                .status,
            200,
            "{target}"
        );
        assert_eq!(
            origin.received().pop().unwrap().request_line,
            format!("POST {target} HTTP/1.1")
        );
    }
}

/// What the other route demands less, each alone.
#[test]
fn each_demand_counts() {
    let same = "[routes.auth]\nbearer = [{ token = { file = \"webhook.token\" } }]\n";
    let spaces = "spaces = [\"prod\"]\n";
    Pki::shared().write("other.token", "t0ken-of-another-route\n");
    for (less, authorization) in [
        (
            format!("{spaces}auth.bearer = [{{ token = {{ file = \"other.token\" }} }}]"),
            "Bearer t0ken-of-another-route",
        ),
        (
            format!(
                "{spaces}auth.bearer = [{{ token = {{ file = \"other.token\" }} }}, {{ token = {{ file = \"webhook.token\" }} }}]"
            ),
            "Bearer t0ken-of-another-route",
        ),
        (spaces.to_owned(), ""),
        (format!("{spaces}auth = \"none\""), ""),
        (
            format!("spaces = [\"prod\", \"test\"]\n{same}"),
            "Bearer t0ken-of-the-webhook",
        ),
        (same.to_owned(), "Bearer t0ken-of-the-webhook"),
        (
            format!("{spaces}schema = \"warn\"\n{same}"),
            "Bearer t0ken-of-the-webhook",
        ),
        (
            format!("{spaces}tests = \"forward\"\n{same}"),
            "Bearer t0ken-of-the-webhook",
        ),
        (
            format!("{spaces}max_body = \"2MiB\"\n{same}"),
            "Bearer t0ken-of-the-webhook",
        ),
        (
            format!("kind = \"proxy\"\n{same}"),
            "Bearer t0ken-of-the-webhook",
        ),
    ] {
        let (origin, _proxy, sender) = scene(&less);
        let authorization = format!("Authorization: {authorization}\r\n");
        for target in ["/Webhooks/netdata", "/webhooks/netdata/"] {
            sender
                .send("POST", target, &authorization, ALERT)
                .unwrap()
                .refuses(404, "not_found");
        }
        origin.received_nothing();
        assert_eq!(
            sender
                .send("POST", "/elsewhere", &authorization, ALERT)
                .unwrap()
                .status,
            200,
            "{less}"
        );
    }
}

#[test]
fn what_is_behind_a_password_has_one_spelling() {
    let origin = Origin::spawn();
    let open = "kind = \"proxy\"\nauth = \"none\"\n";
    let closed = format!(
        "[[routes]]\npath = \"/app/*\"\nkind = \"proxy\"\nupstream = \"{}\"\n",
        origin.url
    );
    let proxy = Proxy::spawn(Pki::shared(), &(config(&origin, open) + &closed));
    let stranger = Sender::to(&proxy, None);
    let mut http2 = Http2::connect(&stranger).unwrap();
    stranger
        .send("GET", "/app/x", "", "")
        .unwrap()
        .refuses(403, "client_certificate_missing");
    for target in [
        "/%61pp/x",
        "/app%2fx",
        "//app/x",
        "/y/../app/x",
        "/y/%2e%2e/app/x",
        "/./app",
        "/app;y/x",
        "/App/x",
        "/APP",
        "/app\\x",
        "/App/../y",
        "/app%2f..%2fy",
        "/app.json",
        "/app%20/x",
        "/a/../b/../c/../d/../e",
    ] {
        stranger
            .send("GET", target, "", "")
            .unwrap()
            .refuses(404, "not_found");
        http2
            .send("GET", target, &[], "")
            .unwrap()
            .refuses(404, "not_found");
    }
    // Literally below it.
    stranger
        .send("GET", "/app/../y", "", "")
        .unwrap()
        .refuses(403, "client_certificate_missing");
    origin.received_nothing();
    assert_eq!(
        stranger
            .send("GET", "/y/%61//z/../", "", "")
            .unwrap()
            .status,
        200
    );
    assert_eq!(
        origin.received_one().request_line,
        "GET /y/%61//z/../ HTTP/1.1"
    );
}

#[test]
fn an_absolute_target_without_a_path_is_for_the_root() {
    let (origin, _proxy, sender) = scene("kind = \"proxy\"");
    for (target, expected) in [
        ("http://localhost?a=b", "/?a=b"),
        ("https://localhost?a=b/c?d", "/?a=b/c?d"),
        ("http://localhost?", "/?"),
        ("http://localhost", "/"),
        ("http://localhost/?a=b", "/?a=b"),
        ("/?a=b", "/?a=b"),
    ] {
        for method in ["GET", "POST"] {
            assert_eq!(
                sender.send(method, target, "", "").unwrap().status,
                200,
                "{target}"
            );
            assert_eq!(
                origin.received().pop().unwrap().request_line,
                format!("{method} {expected} HTTP/1.1")
            );
        }
    }
}

#[test]
fn both_versions_of_http_hold_a_target_to_the_same() {
    let (origin, _proxy, sender) = scene("kind = \"proxy\"");
    let mut http2 = Http2::connect(&sender).unwrap();
    for target in ["/\u{e9}", "/a/\u{1f600}?x", "/a?\u{e9}"] {
        for (method, body) in [("GET", ""), ("POST", "x")] {
            sender
                .send(method, target, "", body)
                .unwrap()
                .refuses(400, "malformed_request");
            http2
                .send(method, target, &[], body)
                .unwrap()
                .refuses(400, "malformed_request");
        }
    }
    origin.received_nothing();
    assert_eq!(http2.send("GET", "/%C3%A9", &[], "").unwrap().status, 200);
}

#[test]
fn there_is_no_request_without_a_host() {
    let (origin, _proxy, sender) = scene("kind = \"proxy\"");
    for (target, fields, version) in [
        ("/x", "Host:\r\n", "1.1"),
        ("/x", "Host: \t \r\n", "1.1"),
        ("/x", "Host:\r\n", "1.0"),
        ("http:///x", "Host:\r\n", "1.1"),
        ("*", "Host:\r\n", "1.1"),
        ("/x", "", "1.1"),
        ("/x", "Host: a\r\nHost:\r\n", "1.1"),
    ] {
        let request = format!("GET {target} HTTP/{version}\r\n{fields}\r\n");
        sender
            .raw(request.as_bytes())
            .unwrap()
            .refuses(400, "malformed_request");
    }
    origin.received_nothing();
    assert_eq!(
        sender.raw(b"GET /x HTTP/1.0\r\n\r\n").unwrap().status,
        200,
        "there was none in HTTP/1.0"
    );
}

#[test]
fn hosts_are_equal_with_and_without_the_default_port() {
    let (origin, _proxy, sender) = scene("kind = \"proxy\"");
    for (target, host, passes) in [
        ("http://a.example:80/x", "a.example", true),
        ("http://a.example/x", "a.example:80", true),
        ("http://A.example:80/x", "a.EXAMPLE:80", true),
        ("http://a.example:/x", "a.example", true),
        ("https://a.example:443/x", "a.example", true),
        ("https://a.example/x", "a.example:443", true),
        ("https://[::1]/x", "[::1]:443", true),
        ("http://a.example:8080/x", "a.example:8080", true),
        ("http://a.example:443/x", "a.example", false),
        ("https://a.example:80/x", "a.example", false),
        ("http://a.example/x", "a.example:443", false),
        ("http://a.example:8080/x", "a.example", false),
        ("http://b.example/x", "a.example", false),
        ("http://a.example@b.example/x", "a.example", false),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = sender.raw(request.as_bytes()).unwrap();
        if passes {
            assert_eq!(answer.status, 200, "{target} {host}");
            assert_eq!(origin.received().pop().unwrap().header("Host"), host);
        } else {
            answer.refuses(400, "malformed_request");
        }
    }
}

#[test]
fn what_peers_let_pass_in_a_target_passes() {
    let (origin, _proxy, sender) = scene("kind = \"proxy\"");
    for target in ["/a<b>", "/`", "/?a=<b>", "/?a=\"", "/a|b^{c}\"?d=`[e]"] {
        assert_eq!(
            sender.send("GET", target, "", "").unwrap().status,
            200,
            "{target}"
        );
        assert_eq!(
            origin.received().pop().unwrap().request_line,
            format!("GET {target} HTTP/1.1")
        );
        let chunked = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        );
        assert_eq!(
            sender.raw(chunked.as_bytes()).unwrap().status,
            200,
            "{target}"
        );
    }
}

#[test]
fn a_path_holds_no_nul() {
    let (origin, _proxy, sender) = scene("kind = \"proxy\"");
    let mut http2 = Http2::connect(&sender).unwrap();
    for target in [
        "/hook/..%00/admin",
        "/%00",
        "/a%2500b",
        "/a%c0%80",
        "/a%C0%80",
        "/a%u0000",
        "/a%00?b",
        "/%U0000",
    ] {
        sender
            .send("GET", target, "", "")
            .unwrap()
            .refuses(400, "malformed_request");
        sender
            .send("POST", target, "", "x")
            .unwrap()
            .refuses(400, "malformed_request");
        http2
            .send("GET", target, &[], "")
            .unwrap()
            .refuses(400, "malformed_request");
    }
    sender
        .send("GET", "/a\0b", "", "")
        .unwrap()
        .refuses(400, "malformed_request");
    origin.received_nothing();
    assert_eq!(
        sender.send("GET", "/a%20?b=%00", "", "").unwrap().status,
        200
    );
}
