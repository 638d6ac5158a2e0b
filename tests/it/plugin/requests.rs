//! The request that reaches the upstream is that of the program, header by header.

use super::{BODIES, FORGED, Scene};
use crate::support::{Http2, Origin, Proxy, Received, Sender, WEBHOOK};
use netdata_webhook_proxy::{Tests, WebhookRoute};
use std::sync::Arc;

fn comparable(received: &Received) -> (String, Vec<(String, String)>) {
    let mut headers = received.headers.clone();
    for (name, _) in &mut headers {
        name.make_ascii_lowercase();
    }
    headers.sort();
    (received.request_line.clone(), headers)
}

#[test]
fn the_application_receives_the_request_that_the_program_forwards() {
    let scene = Scene::new();
    let origin = Origin::spawn();
    let program = Proxy::in_front_of(&origin, &scene.pki, "request", "");
    let leaf = scene.pki.netdata();
    let headers = format!("Content-Type: application/json\r\n{FORGED}");
    for body in BODIES {
        for client in [scene.netdata(), Sender::to(&program, Some(&leaf))] {
            let mut client = client;
            client.config = Arc::new(crate::support::client_config(
                Some(&leaf),
                rustls::ALL_VERSIONS,
            ));
            let target = format!("{WEBHOOK}?x=%2F&y");
            let response = client.send("POST", &target, &headers, body).unwrap();
            assert_eq!(response.status, 200);
        }
    }
    let (plugin, program) = (scene.origin.received(), origin.received());
    assert_eq!(plugin.len(), BODIES.len());
    for (plugin, program) in plugin.iter().zip(&program) {
        assert_eq!(comparable(plugin), comparable(program));
        assert_eq!(plugin.header("x-netdata-verified"), "client-certificate");
        assert_eq!(plugin.header("x-netdata-client-cn"), "app.netdata.cloud");
        assert_eq!(plugin.header("x-kept"), "kept");
        for name in [
            "authorization",
            "x-real-ip",
            "x-ssl-client-verify",
            "x-custom",
        ] {
            assert!(plugin.all(name).is_empty(), "{name}");
        }
        assert!(!plugin.all("idempotency-key").contains(&"forged"));
    }
}

#[test]
fn http2_has_the_same_headers() {
    let scene = Scene::new();
    let client = scene.netdata();
    let mut http2 = Http2::connect(&client).unwrap();
    let forged = [
        "x-netdata-verified: basic",
        "x-netdata-client-cn: root",
        "x-kept: kept",
    ];
    let headers = [&["content-type: application/json"], &forged[..]].concat();
    let response = http2.send("POST", WEBHOOK, &headers, BODIES[3]).unwrap();
    assert_eq!(response.status, 200);
    let received = scene.origin.received_one();
    assert_eq!(received.header("host"), "localhost");
    assert_eq!(received.header("x-netdata-verified"), "client-certificate");
    assert_eq!(received.header("x-netdata-client-cn"), "app.netdata.cloud");
    assert_eq!(received.header("x-kept"), "kept");
    assert_eq!(
        received.header("content-length"),
        BODIES[3].len().to_string()
    );
}

#[test]
fn test_notifications_are_forwarded_where_that_is_said() {
    let route = WebhookRoute::new().tests(Tests::Forward);
    let scene = Scene::with(|builder| builder.route("/tests", route), None);
    let response = scene
        .netdata()
        .send("POST", "/tests", "", "{\"token\":\"x\"}");
    assert_eq!(response.unwrap().status, 200);
    assert_eq!(
        scene.origin.received_one().header("x-netdata-notification"),
        "test"
    );
}
