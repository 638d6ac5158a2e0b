//! What the gate answers opens no connection to an upstream; what is not the gate's is left alone,
//! but for paths that an application could read as the webhook's.

use super::{BODIES, FORGED, Scene};
use crate::support::{Http2, WEBHOOK, eventually};
use netdata_webhook_proxy::GateBuilder;

#[test]
fn what_the_gate_answers_opens_no_upstream_connection() {
    let scene = Scene::new();
    let client = scene.netdata();
    let challenge = client.get("?crc_token=abc");
    assert!(
        challenge
            .body
            .contains("igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk=")
    );
    assert_eq!(client.post("{\"token\":\"x\"}").body, "{\"received\":true}");
    client.post("{}").refuses(422, "schema_mismatch");
    client.post("{").refuses(400, "invalid_json");
    client.get("").refuses(400, "crc_token_missing");
    let put = client.send("PUT", WEBHOOK, "", "").unwrap();
    put.refuses(405, "method_not_allowed");
    let evil = scene.client(Some(&scene.pki.named("app.netdata.cloud.evil.example")));
    evil.post(BODIES[0]).refuses(403, "common_name_mismatch");
    let stranger = scene.client(Some(&scene.pki.impostor()));
    stranger
        .post(BODIES[0])
        .refuses(403, "client_certificate_invalid");
    let anonymous = scene.client(None);
    anonymous
        .post(BODIES[0])
        .refuses(403, "client_certificate_missing");
    let mut http2 = Http2::connect(&anonymous).unwrap();
    let refused = http2.post(BODIES[0]).unwrap();
    refused.refuses(403, "client_certificate_missing");
    scene.opened_no_upstream();
}

#[test]
fn requests_that_could_be_read_in_two_ways_are_refused() {
    let scene = Scene::new();
    let client = scene.netdata();
    let post = |fields: &str| {
        let body = BODIES[0];
        let length = body.len();
        let request =
            format!("POST {WEBHOOK} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
        client.raw(request.as_bytes()).unwrap()
    };
    for fields in [
        "Host: localhost\r\nTransfer-Encoding: chunked\r\n",
        "Host: localhost\r\nContent-Length: 1\r\n",
        "Host: localhost\r\nHost: other\r\n",
        "Host: localhost\r\nTransfer-Encoding: identity\r\n",
        "",
    ] {
        assert_eq!(post(fields).status, 400, "{fields:?}");
    }
    let mut http2 = Http2::connect(&client).unwrap();
    let headers = ["host: other", "content-type: application/json"];
    let refused = http2.send("POST", WEBHOOK, &headers, BODIES[0]).unwrap();
    assert_eq!(refused.status, 400);
    scene.opened_no_upstream();
}

#[test]
fn other_routes_are_left_alone() {
    let scene = Scene::new();
    let anonymous = scene.client(None);
    for target in ["/", "/shop", "/webhooks", "/webhooks/other?a=b"] {
        let response = anonymous.send("POST", target, FORGED, "anything").unwrap();
        assert_eq!(response.status, 200, "{target}");
    }
    let mut http2 = Http2::connect(&anonymous).unwrap();
    assert_eq!(
        http2.send("GET", "/shop/cart", &[], "").unwrap().status,
        200
    );
    let received = scene.origin.received();
    assert_eq!(received.len(), 5);
    assert_eq!(received[0].body, b"anything");
    assert_eq!(
        received[0].header("authorization"),
        "Basic Zm9yZ2VkOmZvcmdlZA=="
    );
    assert_eq!(
        received[0].header("x-netdata-verified"),
        "client-certificate"
    );
}

#[test]
fn a_path_that_could_be_read_as_the_webhooks_is_not_left_alone() {
    let scene = Scene::new();
    let anonymous = scene.client(None);
    for target in [
        "/webhooks/netdata/",
        "//webhooks/netdata",
        "/webhooks/%6eetdata",
        "/Webhooks/Netdata",
        "/x/../webhooks/netdata",
        "/webhooks/netdata;x",
        "/webhooks\\netdata",
        "/webhooks/netdata.json",
    ] {
        let response = anonymous.send("POST", target, "", BODIES[0]).unwrap();
        assert_eq!(response.status, 404, "{target}");
    }
    scene.opened_no_upstream();
}

#[test]
fn every_path_is_the_gates_where_that_is_said() {
    let scene = Scene::with(GateBuilder::refuse_other_paths, None);
    let response = scene.netdata().send("GET", "/shop", "", "").unwrap();
    response.refuses(404, "not_found");
    scene.opened_no_upstream();
}

#[test]
fn an_answered_request_leaves_its_connection_open() {
    let scene = Scene::new();
    let mut connection = scene.netdata().connect().unwrap();
    for _ in 0..3 {
        let target = format!("{WEBHOOK}?crc_token=abc");
        assert_eq!(connection.send("GET", &target, "", "").unwrap().status, 200);
        connection
            .post("{}")
            .unwrap()
            .refuses(422, "schema_mismatch");
        assert_eq!(connection.post(BODIES[0]).unwrap().status, 200);
    }
}

#[test]
fn requests_are_counted_as_the_program_counts_them() {
    let scene = Scene::new();
    let client = scene.netdata();
    assert_eq!(client.post(BODIES[3]).status, 200);
    assert_eq!(client.get("?crc_token=abc").status, 200);
    client.post("{}").refuses(422, "schema_mismatch");
    assert_eq!(client.send("GET", "/shop", "", "").unwrap().status, 200);
    for (name, labels) in [
        ("requests_total", "code=\"ok\",outcome=\"forwarded\""),
        ("requests_total", "code=\"ok\",outcome=\"challenge\""),
        (
            "requests_total",
            "code=\"schema_mismatch\",outcome=\"refused\"",
        ),
        ("notifications_total", "kind=\"alert\""),
    ] {
        let name = format!("netdata_webhook_proxy_{name}{{{labels},");
        let counted = || {
            let metrics = scene.gate.metrics().unwrap();
            metrics
                .lines()
                .any(|line| line.starts_with(&name) && line.ends_with(" 1"))
                .then_some(())
        };
        eventually(&name, counted);
    }
    assert!(!scene.gate.metrics().unwrap().contains("/shop"));
}
