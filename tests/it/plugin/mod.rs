//! The gate as a plugin: a Pingora proxy with two routes of its own beside the webhook, and client
//! certificates on the webhook's path only.

mod bodies;
mod load;
mod manual;
mod requests;
mod routes;
mod signatures;

use crate::support::{Leaf, Origin, Pki, Sender, WEBHOOK, eventually};
use async_trait::async_trait;
use netdata_webhook_proxy::{
    ClientTrust, Gate, GateBuilder, Verify, WebhookContext, WebhookRoute, read_identity,
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

#[derive(Default)]
struct ShopContext {
    webhook: WebhookContext,
    attempts: usize,
}

struct Scene {
    pki: Pki,
    gate: Arc<Gate>,
    origin: Origin,
    address: SocketAddr,
    peers: Arc<AtomicUsize>,
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
    include_str!("../bodies/flat-alert.json"),
    include_str!("../bodies/flat-reachability.json"),
    include_str!("../bodies/nested-clear.json"),
    include_str!("../bodies/nested-critical.json"),
    include_str!("../bodies/nested-reachable.json"),
    include_str!("../bodies/nested-unreachable.json"),
];

/// Headers that a client could forge, in several spellings.
const FORGED: &str = "X-Netdata-Verified: client-certificate\r\nX_Netdata_Client_CN: root\r\n\
     x-netdata-severity: clear\r\nIdempotency-Key: forged\r\nClient-Cert: :Zm9yZ2Vk:\r\n\
     X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\nX-SSL-Client-Verify: SUCCESS\r\n\
     Authorization: Basic Zm9yZ2VkOmZvcmdlZA==\r\nConnection: keep-alive, X-Custom\r\n\
     X-Custom: dropped\r\nX-Kept: kept\r\nX-Request-Id: the-id\r\n";
