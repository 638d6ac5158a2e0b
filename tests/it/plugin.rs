//! The gate as a plugin: a Pingora proxy with two routes of its own beside the webhook, and client
//! certificates on the webhook's path only.
//!
//! Held here: a body that the gate has read reaches the upstream (it was gone, and every request
//! hung), up to 64 KiB and never beyond; Pingora's retries send it again; the request is that of the
//! program, header by header; what the gate answers opens no connection to an upstream; what is not
//! the gate's is left alone, but for paths that an application could read as the webhook's.

use crate::support::{Http2, Leaf, Origin, Pki, Proxy, Received, Sender, WEBHOOK, eventually};
use async_trait::async_trait;
use netdata_webhook_proxy::{
    ClientTrust, Gate, GateBuilder, Tests, Verify, WebhookContext, WebhookRoute, read_identity,
};
use pingora::http::RequestHeader;
use pingora::prelude::*;
use pingora::server::ShutdownWatch;
use pingora::services::Service as _;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use rustls::sign::CertifiedKey;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The programs that the manual shows.
#[allow(clippy::print_stdout, unreachable_pub)]
#[path = "../../src/manual/axum_handler.rs"]
mod manual_axum;
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/manual/pingora_proxy.rs"]
mod manual_proxy;

const SECRET: &str = "YOUR_CHALLENGE_SECRET";

/// What a user of the library writes: a shop that has a webhook, too.
struct Shop {
    gate: Arc<Gate>,
    /// Where requests go, and where they are tried first.
    upstream: SocketAddr,
    first: Option<SocketAddr>,
    /// How often Pingora asked for a peer.
    peers: Arc<AtomicUsize>,
}

#[derive(Default)]
struct ShopContext {
    webhook: WebhookContext,
    attempts: usize,
}

#[async_trait]
impl ProxyHttp for Shop {
    type CTX = ShopContext;

    fn new_ctx(&self) -> ShopContext {
        ShopContext::default()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut ShopContext) -> Result<bool> {
        self.gate.request_filter(session, &mut ctx.webhook).await
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut ShopContext) -> Result<Box<HttpPeer>> {
        self.peers.fetch_add(1, Ordering::SeqCst);
        ctx.attempts += 1;
        let address = match self.first {
            Some(first) if ctx.attempts == 1 => first,
            _ => self.upstream,
        };
        Ok(Box::new(HttpPeer::new(address, false, String::new())))
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut ShopContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(ctx.attempts < 2);
        error
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut ShopContext,
    ) -> Result<()> {
        self.gate.upstream_request_filter(request, &mut ctx.webhook)
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut ShopContext) {
        self.gate.logging(session, error, &mut ctx.webhook);
    }
}

struct Scene {
    pki: Pki,
    gate: Arc<Gate>,
    origin: Origin,
    address: SocketAddr,
    peers: Arc<AtomicUsize>,
}

fn trust(pki: &Pki, names: &[&str]) -> ClientTrust {
    let pem = std::fs::read(pki.path().join("ca.pem")).unwrap();
    ClientTrust::from_pem(&pem)
        .unwrap()
        .with_verify(Verify::Request)
        .with_common_names(names.iter().copied())
}

fn builder(pki: &Pki, names: &[&str]) -> GateBuilder {
    let route = WebhookRoute::new().challenge_secret(SECRET);
    Gate::builder()
        .trust(trust(pki, names))
        .route(WEBHOOK, route)
}

fn identity(pki: &Pki) -> Arc<CertifiedKey> {
    let directory = pki.path();
    read_identity(&directory.join("server.pem"), &directory.join("server.key")).unwrap()
}

impl Scene {
    fn new() -> Self {
        Self::with(|builder| builder, None)
    }

    fn with(change: impl FnOnce(GateBuilder) -> GateBuilder, first: Option<SocketAddr>) -> Self {
        let pki = Pki::new();
        let gate = change(builder(&pki, &["app.netdata.cloud"]));
        let gate = Arc::new(gate.build().unwrap().with_metrics());
        let origin = Origin::spawn();
        let peers = Arc::new(AtomicUsize::new(0));
        let shop = Shop {
            gate: gate.clone(),
            upstream: origin.address(),
            first,
            peers: peers.clone(),
        };
        let settings = gate.listener_settings(identity(&pki), true).unwrap();
        let address = serve(shop, settings);
        Self {
            pki,
            gate,
            origin,
            address,
            peers,
        }
    }

    fn client(&self, leaf: Option<&Leaf>) -> Sender {
        Sender {
            address: self.address,
            config: Arc::new(crate::support::client_config(leaf, rustls::ALL_VERSIONS)),
        }
    }

    fn netdata(&self) -> Sender {
        self.client(Some(&self.pki.netdata()))
    }

    fn opened_no_upstream(&self) {
        assert_eq!(self.peers.load(Ordering::SeqCst), 0);
        self.origin.received_nothing();
    }
}

/// Serves in this process, on a listener of Pingora's own.
fn serve<P>(proxy: P, settings: pingora::listeners::tls::TlsSettings) -> SocketAddr
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    free.set_nonblocking(true).unwrap();
    let conf = Arc::new(pingora::server::configuration::ServerConf::default());
    let mut service = http_proxy_service(&conf, proxy);
    service.add_tls_with_settings(&address.to_string(), None, settings);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (_running, shutdown): (_, ShutdownWatch) = tokio::sync::watch::channel(false);
        let mut fds = pingora::server::Fds::new();
        fds.add(
            address.to_string(),
            std::os::fd::IntoRawFd::into_raw_fd(free),
        );
        let fds = Arc::new(parking_lot::Mutex::new(fds));
        runtime.block_on(service.start_service(Some(fds), shutdown, 1));
    });
    eventually("the service", || TcpStream::connect(address).ok());
    address
}

/// An alert of exactly this many bytes.
fn alert_of(bytes: usize) -> String {
    let frame = "{\"alert\":\"cpu\",\"message\":\"\"}";
    let message = "x".repeat(bytes - frame.len());
    format!("{{\"alert\":\"cpu\",\"message\":\"{message}\"}}")
}

const BODIES: [&str; 6] = [
    include_str!("bodies/flat-alert.json"),
    include_str!("bodies/flat-reachability.json"),
    include_str!("bodies/nested-clear.json"),
    include_str!("bodies/nested-critical.json"),
    include_str!("bodies/nested-reachable.json"),
    include_str!("bodies/nested-unreachable.json"),
];

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

/// Headers that a client could forge, in several spellings.
const FORGED: &str = "X-Netdata-Verified: client-certificate\r\nX_Netdata_Client_CN: root\r\n\
     x-netdata-severity: clear\r\nIdempotency-Key: forged\r\nClient-Cert: :Zm9yZ2Vk:\r\n\
     X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\nX-SSL-Client-Verify: SUCCESS\r\n\
     Authorization: Basic Zm9yZ2VkOmZvcmdlZA==\r\nConnection: keep-alive, X-Custom\r\n\
     X-Custom: dropped\r\nX-Kept: kept\r\nX-Request-Id: the-id\r\n";

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

#[test]
fn the_policy_is_replaced_under_load_without_a_wrong_answer() {
    let scene = Scene::new();
    let leaves = [scene.pki.netdata(), scene.pki.named("other.netdata.cloud")];
    let policy = |names: &[&str]| builder(&scene.pki, names).build_policy().unwrap();
    let both = ["app.netdata.cloud", "other.netdata.cloud"];
    std::thread::scope(|scope| {
        let clients: Vec<_> = leaves
            .iter()
            .map(|leaf| {
                let client = scene.client(Some(leaf));
                scope.spawn(move || {
                    let mut connection = client.connect().unwrap();
                    let statuses = (0..400).map(|_| connection.post(BODIES[0]).unwrap().status);
                    statuses.collect::<Vec<_>>()
                })
            })
            .collect();
        for round in 0..40 {
            scene.gate.replace(policy(&both[..1 + round % 2]));
        }
        let mut statuses = clients.into_iter().map(|client| client.join().unwrap());
        assert!(statuses.next().unwrap().iter().all(|status| *status == 200));
        let others = statuses.next().unwrap();
        assert!(others.iter().all(|status| [200, 403].contains(status)));
    });
    // An open connection is judged by the policy of the moment.
    let mut open = scene.client(Some(&leaves[1])).connect().unwrap();
    scene.gate.replace(policy(&both));
    assert_eq!(open.post(BODIES[0]).unwrap().status, 200);
    scene.gate.replace(policy(&both[..1]));
    open.post(BODIES[0])
        .unwrap()
        .refuses(403, "common_name_mismatch");
}

#[test]
fn ten_thousand_requests_at_32_connections_do_not_hang() {
    const CONNECTIONS: usize = 32;
    const EACH: usize = 10_000 / CONNECTIONS + 1;
    let scene = Scene::new();
    let client = scene.netdata();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = client.connect().unwrap();
                for number in 0..EACH {
                    let body = BODIES[number % BODIES.len()];
                    assert_eq!(connection.post(body).unwrap().status, 200);
                }
            });
        }
    });
    assert_eq!(scene.origin.received().len(), CONNECTIONS * EACH);
}

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
