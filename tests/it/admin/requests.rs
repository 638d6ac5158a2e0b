//! The metrics of requests: each moves its own and no others.

use super::{ALERT, Scene, handshakes, requests};
use crate::support::{Edit as _, Http2, PATIENCE, Pki, WEBHOOK};
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

fn notifications(kind: &str, severity: &str, shape: &str) -> String {
    format!(
        "notifications_total{{kind=\"{kind}\",route=\"{WEBHOOK}\",severity=\"{severity}\",shape=\"{shape}\"}}"
    )
}

fn duration(route: &str) -> String {
    format!("request_duration_seconds_count{{route=\"{route}\"}}")
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

#[test]
fn every_notification_moves_its_metrics_and_no_others() {
    let pki = Pki::shared();
    let scene = Scene::new(pki, "request", "");
    let upstream = format!(
        "upstream_duration_seconds_count{{upstream=\"{}\"}}",
        scene.origin.url
    );
    for (body, kind, severity, shape) in [
        (ALERT, "alert", "critical", "nested"),
        (
            "{\"alert\":{\"state\":{\"status\":\"Warning\"}}}",
            "alert",
            "warning",
            "nested",
        ),
        (
            "{\"alert\":{\"state\":{\"status\":\"CLEAR\"}}}",
            "alert",
            "clear",
            "nested",
        ),
        (
            "{\"alert\":\"x\",\"severity\":\"critical\"}",
            "alert",
            "critical",
            "flat",
        ),
        (
            "{\"alert\":\"x\",\"severity\":\"fatal-1\"}",
            "alert",
            "other",
            "flat",
        ),
        (
            "{\"alert\":\"x\",\"severity\":\"\\\"} 1\"}",
            "alert",
            "",
            "flat",
        ),
        (
            "{\"reachable\":true,\"severity\":\"info\"}",
            "reachability",
            "info",
            "nested",
        ),
        (
            "{\"status\":{\"reachable\":false},\"severity\":\"critical\"}",
            "reachability",
            "critical",
            "flat",
        ),
    ] {
        let sender = scene.sender(Some(&pki.netdata()));
        scene.operator.moves(
            body,
            || assert_eq!(sender.post(body).status, 200),
            &[
                &requests(WEBHOOK, "forwarded", "ok"),
                &notifications(kind, severity, shape),
                &duration(WEBHOOK),
                &upstream,
                &handshakes("ok", ""),
            ],
        );
    }
    let sender = scene.sender(Some(&pki.netdata()));
    scene.operator.moves(
        "a Test notification",
        || assert_eq!(sender.post("{\"token\":\"x\"}").status, 200),
        &[
            &requests(WEBHOOK, "test", "ok"),
            &notifications("test", "", ""),
            &duration(WEBHOOK),
            &handshakes("ok", ""),
        ],
    );
    let last = scene.operator.metrics()
        [&format!("last_notification_timestamp_seconds{{route=\"{WEBHOOK}\"}}")];
    assert!((now() - last).abs() < PATIENCE.as_secs_f64(), "{last}");
    // Over HTTP/2 it is all the same.
    scene.operator.moves(
        "HTTP/2",
        || {
            let mut http2 = Http2::connect(&scene.sender(Some(&pki.netdata()))).unwrap();
            assert_eq!(http2.post(ALERT).unwrap().status, 200);
        },
        &[
            &requests(WEBHOOK, "forwarded", "ok"),
            &notifications("alert", "critical", "nested"),
            &duration(WEBHOOK),
            &upstream,
            &handshakes("ok", ""),
        ],
    );
}

#[test]
fn every_challenge_moves_its_metrics_and_no_others() {
    let pki = Pki::shared();
    let scene = Scene::new(pki, "request", "");
    let mut connection = scene.sender(Some(&pki.netdata())).connect().unwrap();
    for (query, outcome, code, answer) in [
        ("?crc_token=abc", "challenge", "ok", "answered"),
        ("?crc_token=", "refused", "crc_token_invalid", "refused"),
        ("", "refused", "crc_token_missing", "refused"),
    ] {
        let handshake = if query == "?crc_token=abc" {
            vec![handshakes("ok", "")]
        } else {
            Vec::new()
        };
        let challenge = format!("challenges_total{{outcome=\"{answer}\",route=\"{WEBHOOK}\"}}");
        let expected = [
            vec![
                requests(WEBHOOK, outcome, code),
                duration(WEBHOOK),
                challenge,
            ],
            handshake,
        ]
        .concat();
        scene.operator.moves(
            query,
            || {
                drop(
                    connection
                        .send("GET", &format!("{WEBHOOK}{query}"), "", "")
                        .unwrap(),
                )
            },
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn every_refusal_moves_its_metrics_and_no_others() {
    let pki = Pki::shared();
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let more = format!(
        "max_body = 100\nspaces = [\"acme\"]\n[routes.auth]\nbearer = [{{ token = {{ file = \"challenge.secret\" }} }}]\n\
         [[routes]]\npath = \"/dead\"\nupstream = \"http://{dead}\"\n[limits]\nheader_timeout = \"300ms\"\n"
    );
    let scene = Scene::new(pki, "request", &more);
    let token = "Authorization: Bearer YOUR_CHALLENGE_SECRET\r\n";
    let long = "x".repeat(40 * 1024);
    let (netdata, evil) = (pki.netdata(), pki.named("evil"));
    let (netdata, evil, nobody) = (Some(&netdata), Some(&evil), None);
    for (leaf, method, target, headers, body, code) in [
        (
            nobody,
            "POST",
            WEBHOOK,
            token,
            ALERT,
            "client_certificate_missing",
        ),
        (
            Some(&pki.impostor()),
            "POST",
            WEBHOOK,
            token,
            ALERT,
            "client_certificate_invalid",
        ),
        (evil, "POST", WEBHOOK, token, ALERT, "common_name_mismatch"),
        (netdata, "PUT", WEBHOOK, token, ALERT, "method_not_allowed"),
        (netdata, "POST", WEBHOOK, "", ALERT, "authorization_missing"),
        (
            netdata,
            "POST",
            WEBHOOK,
            "Authorization: Bearer x\r\n",
            ALERT,
            "authorization_invalid",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            &format!("{token}Content-Type: text/html\r\n"),
            ALERT,
            "unsupported_media_type",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            &format!("{token}Content-Encoding: gzip\r\n"),
            ALERT,
            "unsupported_encoding",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            token,
            &long[..101],
            "body_too_large",
        ),
        (netdata, "POST", WEBHOOK, token, "nonsense", "invalid_json"),
        (netdata, "POST", WEBHOOK, token, "{}", "schema_mismatch"),
        (netdata, "POST", WEBHOOK, token, ALERT, "space_not_allowed"),
        (
            netdata,
            "GET",
            "/dead?crc_token=x",
            "",
            "",
            "challenge_disabled",
        ),
        (
            netdata,
            "POST",
            "/nowhere/%3Cscript%3E",
            "",
            ALERT,
            "not_found",
        ),
        (netdata, "POST", "/nowhere/<script>", "", ALERT, "not_found"),
        (
            netdata,
            "POST",
            "/nowhere/#script",
            "",
            ALERT,
            "malformed_request",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            "Content-Length: 1\r\n",
            ALERT,
            "malformed_request",
        ),
        (
            netdata,
            "POST",
            WEBHOOK,
            &format!("X-Long: {long}\r\n"),
            ALERT,
            "header_too_large",
        ),
    ] {
        let route = match code {
            "not_found" | "malformed_request" | "header_too_large" => "",
            _ => target.split('?').next().unwrap(),
        };
        let mut expected = vec![requests(route, "refused", code), handshakes("ok", "")];
        // A request that could not be parsed has no duration.
        if !matches!(code, "malformed_request" | "header_too_large") {
            expected.push(duration(route));
        }
        if method == "GET" {
            expected.push(format!(
                "challenges_total{{outcome=\"refused\",route=\"{route}\"}}"
            ));
        }
        let sender = scene.sender(leaf);
        scene.operator.moves(
            code,
            || {
                assert_eq!(
                    sender.send(method, target, headers, body).unwrap().code(),
                    code
                )
            },
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    let sender = scene.sender(netdata);
    scene.operator.moves(
        "a head that does not end",
        || {
            assert_eq!(
                sender.raw(b"POST / HTTP/1.1\r\n").unwrap().code(),
                "timeout"
            )
        },
        &[&requests("", "refused", "timeout"), &handshakes("ok", "")],
    );
    scene.operator.moves(
        "an application that is not there",
        || {
            assert_eq!(
                sender.send("POST", "/dead", "", ALERT).unwrap().code(),
                "upstream_unreachable"
            )
        },
        &[
            &requests("/dead", "refused", "upstream_unreachable"),
            &notifications("alert", "critical", "nested").edit(WEBHOOK, "/dead"),
            "not_delivered_total{code=\"upstream_unreachable\",route=\"/dead\"}",
            &duration("/dead"),
            &format!("upstream_duration_seconds_count{{upstream=\"http://{dead}\"}}"),
            &handshakes("ok", ""),
        ],
    );
    scene.origin.received_nothing();
}
