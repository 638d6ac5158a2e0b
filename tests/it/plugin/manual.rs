//! The programs that the manual shows.

use super::{BODIES, alert_of, builder, identity, serve};
use crate::support::{Leaf, Origin, Pki, Sender};
use std::net::TcpListener;
use std::sync::Arc;

/// The programs that the manual shows.
#[allow(clippy::print_stdout, unreachable_pub)]
#[path = "../../../src/manual/axum_handler.rs"]
mod manual_axum;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../src/manual/pingora_proxy.rs"]
mod manual_proxy;

#[test]
fn the_proxy_in_the_manual_works() {
    let pki = Pki::new();
    let gate = Arc::new(builder(&pki, &["app.netdata.cloud"]).build().unwrap());
    let settings = gate.listener_settings(identity(&pki), true).unwrap();
    let origin = Origin::spawn();
    let upstream = origin.address();
    let address = serve(manual_proxy::Shop { gate, upstream }, settings);
    let client = |leaf: Option<&Leaf>| Sender {
        address,
        config: Arc::new(crate::support::client_config(leaf, rustls::ALL_VERSIONS)),
    };
    let netdata = client(Some(&pki.netdata()));
    assert_eq!(netdata.post(BODIES[3]).status, 200);
    assert_eq!(origin.received_one().body, BODIES[3].as_bytes());
    client(None)
        .post(BODIES[3])
        .refuses(403, "client_certificate_missing");
    assert_eq!(
        client(None).send("GET", "/shop", "", "").unwrap().status,
        200
    );
}

#[test]
fn the_axum_server_in_the_manual_demands_a_certificate_on_one_path() {
    let pki = Pki::new();
    let gate = builder(&pki, &["app.netdata.cloud"]).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let identity = identity(&pki);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            manual_axum::serve(gate, &identity, listener).await.unwrap();
        });
    });
    let client = |leaf: Option<&Leaf>| Sender {
        address,
        config: Arc::new(crate::support::client_config(leaf, rustls::ALL_VERSIONS)),
    };
    assert_eq!(client(None).send("GET", "/", "", "").unwrap().status, 200);
    client(None)
        .post(BODIES[0])
        .refuses(403, "client_certificate_missing");
    let stranger = client(Some(&pki.impostor()));
    stranger
        .post(BODIES[0])
        .refuses(403, "client_certificate_invalid");
    let netdata = client(Some(&pki.netdata()));
    for body in BODIES {
        assert_eq!(netdata.post(body).status, 204);
    }
    netdata.post("{}").refuses(422, "schema_mismatch");
    assert_eq!(netdata.post(&alert_of(64 * 1024 + 1)).status, 413);
    let challenge = netdata.get("?crc_token=abc");
    assert!(
        challenge
            .body
            .contains("igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk=")
    );
}
