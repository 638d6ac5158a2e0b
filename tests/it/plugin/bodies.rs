//! A body that the gate has read reaches the upstream (it was gone, and every request hung), up to
//! 64 KiB and never beyond; Pingora's retries send it again.

use super::{BODIES, Scene, alert_of};
use crate::support::{Http2, WEBHOOK};
use std::sync::atomic::Ordering;

#[test]
fn every_body_reaches_the_application_byte_for_byte() {
    let scene = Scene::new();
    let client = scene.netdata();
    let mut http2 = Http2::connect(&client).unwrap();
    let mut sent: Vec<String> = BODIES.map(str::to_owned).to_vec();
    sent.extend([64 * 1024 - 1, 64 * 1024].map(alert_of));
    for body in &sent {
        assert_eq!(client.post(body).status, 200);
        assert_eq!(http2.post(body).unwrap().status, 200);
    }
    let received: Vec<_> = scene
        .origin
        .received()
        .into_iter()
        .map(|it| it.body)
        .collect();
    let twice = sent.iter().flat_map(|body| [body.as_bytes(); 2]);
    assert!(received.iter().map(Vec::as_slice).eq(twice));
}

#[test]
fn a_chunked_body_reaches_the_application_with_its_length() {
    let scene = Scene::new();
    let body = alert_of(3000);
    let (first, rest) = body.split_at(1000);
    let request = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
        first.len(),
        rest.len()
    );
    let response = scene.netdata().raw(request.as_bytes()).unwrap();
    assert_eq!(response.status, 200);
    let received = scene.origin.received_one();
    assert_eq!(received.body, body.as_bytes());
    assert_eq!(received.header("content-length"), "3000");
    assert!(received.all("transfer-encoding").is_empty());
}

#[test]
fn a_longer_body_is_refused_before_an_upstream_is_asked_for() {
    let scene = Scene::new();
    let client = scene.netdata();
    let body = alert_of(64 * 1024 + 1);
    client.post(&body).refuses(413, "body_too_large");
    let mut http2 = Http2::connect(&client).unwrap();
    http2.post(&body).unwrap().refuses(413, "body_too_large");
    let chunked = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    client
        .raw(chunked.as_bytes())
        .unwrap()
        .refuses(413, "body_too_large");
    scene.opened_no_upstream();
}

#[test]
fn a_second_peer_gets_the_body_that_the_first_refused() {
    let refused = crate::support::free_address();
    let scene = Scene::with(|builder| builder, Some(refused));
    let client = scene.netdata();
    let body = alert_of(64 * 1024);
    assert_eq!(client.post(&body).status, 200);
    let mut http2 = Http2::connect(&client).unwrap();
    assert_eq!(http2.post(&body).unwrap().status, 200);
    assert_eq!(scene.peers.load(Ordering::SeqCst), 4);
    for received in scene.origin.received() {
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(received.header("x-netdata-verified"), "client-certificate");
    }
}
